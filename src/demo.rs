//! The directory that `--demo` follows: made in the temporary folder, written to as Claude Code would, and gone at the end.
//!
//! A newcomer sees the whole program at work, and the files are real: what follows them cannot tell the difference. What is
//! written, and when, is decided by the [`author`]; that the folder goes with the program is the [`janitor`]'s promise.
//!
//! Invariant: nothing outside the one new folder is written or removed, and [`Demo::step`] neither sleeps nor prints.

mod author;
mod janitor;
mod prompts;
mod random;
mod sources;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use author::{Author, Deed};
use janitor::Janitor;
use random::Random;

/// The prompt history, in the directory.
const HISTORY: &str = "history.jsonl";

/// The file of aggregated counts, in the directory.
const STATS: &str = "stats-cache.json";

/// The list of components, in the directory.
const REGISTRY: &str = "state/component-registry.json";

/// For the user alone, as with the real directory: on a shared machine it would hold prompts.
const DIR_MODE: u32 = 0o700;

/// The same for the files.
const FILE_MODE: u32 = 0o600;

/// From the first step to the first line: long enough for a page to open, short enough not to look dead.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is made up for after a standstill (a stopped process, a stalled machine); the rest is forgotten, not poured out at once.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A synthetic Claude directory that is written to step by step, and is removed when the program ends, however it ends.
pub(crate) struct Demo {
    dir: PathBuf,
    author: Author,
    due: Option<Duration>,
    messages: u64,
    warning: Option<String>,
    // Dropped after `Demo::drop` has removed the folder: it finds nothing left to do, and ends.
    _janitor: Option<Janitor>,
}

impl Demo {
    /// Makes the directory, with a history of the last hours, the counts and the component list in it.
    ///
    /// # Errors
    ///
    /// The directory or a file in it cannot be written; nothing stays behind then.
    pub(crate) fn create() -> io::Result<Demo> {
        Demo::create_in(&std::env::temp_dir(), Random::new())
    }

    fn create_in(parent: &Path, mut random: Random) -> io::Result<Demo> {
        let name = format!("claude-live-demo-{}-{:016x}", std::process::id(), random.next());
        // Absolute, as the janitor works from `/`.
        let dir = std::path::absolute(parent)?.join(name);
        make_dir(&dir)?;
        let (janitor, warning) = match Janitor::start(&dir) {
            Ok(janitor) => (Some(janitor), None),
            Err(error) => (None, Some(left_behind(&dir, &error))),
        };
        let author = Author::new(random);
        let mut demo = Demo { dir, author, due: None, messages: 0, warning, _janitor: janitor };
        demo.fill()?;
        Ok(demo)
    }

    /// The directory to follow, absolute.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the user should know: that the directory stays behind if the program is killed.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Writes what falls due by `now`, measured from any fixed start.
    ///
    /// # Errors
    ///
    /// A file cannot be written; the next step goes on with what is due after it.
    pub(crate) fn step(&mut self, now: Duration) -> io::Result<()> {
        let mut due = self.due.unwrap_or(now + FIRST_PAUSE).max(now.saturating_sub(CATCH_UP));
        let mut outcome = Ok(());
        while due <= now && outcome.is_ok() {
            let (deed, pause) = self.author.next(now_ms());
            due += pause;
            outcome = self.perform(&deed);
        }
        self.due = Some(due);
        outcome
    }

    fn fill(&mut self) -> io::Result<()> {
        make_dir(self.dir.join(REGISTRY).parent().expect("the registry is in a folder"))?;
        let lines = self.author.backlog(now_ms());
        self.perform(&Deed::Append(lines))?;
        self.perform(&Deed::Stats)?;
        self.perform(&Deed::Registry)
    }

    fn perform(&mut self, deed: &Deed) -> io::Result<()> {
        match deed {
            Deed::Append(bytes) => {
                self.messages += 1;
                append(&self.dir.join(HISTORY), bytes)
            }
            Deed::Stats => {
                replace(&self.dir.join(STATS), &sources::stats(Timestamp::now(), self.messages))
            }
            Deed::Registry => {
                replace(&self.dir.join(REGISTRY), &sources::registry(Timestamp::now()))
            }
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What fails here (a file that appears meanwhile) the janitor removes, and nobody is left to be told.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn left_behind(dir: &Path, error: &io::Error) -> String {
    format!("`{}` stays behind if the program is killed: cannot start `sh`: {error}", dir.display())
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(path).map_err(|error| at(path, &error))
}

/// Adds `bytes` in one write, so that no other writer's can get between them. Opened anew each time, as Claude
/// Code does: the file may be deleted or replaced meanwhile, by somebody who tries out what the page does then.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, OpenOptions::new().append(true))
}

/// Puts `bytes` in the place of the file: beside it first, then renamed over it, as Claude Code does.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = path.with_extension(format!("json.tmp.{}", std::process::id()));
    write(&staged, bytes, OpenOptions::new().write(true).truncate(true))?;
    fs::rename(&staged, path).map_err(|error| at(path, &error))
}

fn write(path: &Path, bytes: &[u8], options: &mut OpenOptions) -> io::Result<()> {
    options
        .create(true)
        .mode(FILE_MODE)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::Value;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn demo_in(parent: &Path) -> Demo {
        Demo::create_in(parent, Random::seeded(7)).unwrap()
    }

    fn history_bytes(demo: &Demo) -> u64 {
        fs::metadata(demo.dir().join(HISTORY)).unwrap().len()
    }

    #[track_caller]
    fn check_mode(path: &Path, expected: u32) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{}", path.display());
    }

    #[test]
    fn everything_is_there_at_once_and_for_the_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let demo = demo_in(parent.path());
        assert_eq!(demo.warning(), None);
        check_mode(demo.dir(), DIR_MODE);
        check_mode(&demo.dir().join("state"), DIR_MODE);
        for file in [HISTORY, STATS, REGISTRY] {
            check_mode(&demo.dir().join(file), FILE_MODE);
        }
        for file in [STATS, REGISTRY] {
            let bytes = fs::read(demo.dir().join(file)).unwrap();
            assert!(serde_json::from_slice::<Value>(&bytes).unwrap().is_object(), "{file}");
        }
    }

    #[test]
    fn the_folder_goes_with_the_demo() {
        let parent = tempfile::tempdir().unwrap();
        drop(demo_in(parent.path()));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_pipe_end_alone_removes_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = demo_in(parent.path());
        drop(demo._janitor.take());
        assert!(!demo.dir().exists());
    }

    #[test]
    fn a_parent_that_cannot_be_written_is_named() {
        let error = Demo::create_in(Path::new("/nonexistent"), Random::seeded(7)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error.to_string().starts_with("cannot write `/nonexistent/claude-live-demo-"),
            "{error}"
        );
    }

    #[test]
    fn lines_come_as_time_passes_and_not_before() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = demo_in(parent.path());
        let start_bytes = history_bytes(&demo);
        let start = 1000 * SECOND;
        demo.step(start).unwrap();
        assert_eq!(history_bytes(&demo), start_bytes);
        demo.step(start + FIRST_PAUSE).unwrap();
        assert!(history_bytes(&demo) > start_bytes);
        let first_bytes = history_bytes(&demo);
        demo.step(start + FIRST_PAUSE).unwrap();
        assert_eq!(history_bytes(&demo), first_bytes);
    }

    #[test]
    fn a_standstill_is_not_made_up_for() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = demo_in(parent.path());
        demo.step(SECOND).unwrap();
        let before = demo.messages;
        demo.step(100_000 * SECOND).unwrap();
        assert!((1..100).contains(&(demo.messages - before)), "{}", demo.messages - before);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_not_a_loop() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = demo_in(parent.path());
        demo.step(SECOND).unwrap();
        fs::remove_dir_all(demo.dir()).unwrap();
        demo.step(3 * SECOND).unwrap_err();
        assert!((0..10).any(|_| demo.step(3 * SECOND).is_ok()));
    }

    #[test]
    fn half_an_hour_leaves_only_the_three_files() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = demo_in(parent.path());
        for second in 0..1800 {
            demo.step(second * SECOND).unwrap();
        }
        let names = |dir: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(demo.dir()), [HISTORY, "state", STATS]);
        assert_eq!(names(&demo.dir().join("state")), ["component-registry.json"]);
    }
}
