//! The directory that `--demo` follows: created in the temporary folder, written to as Claude Code
//! writes, and removed at the end.
//!
//! The files are real, so that the rest of the program cannot tell the difference, and so are the
//! processes that play sessions. The [`script`] says what is written and when, and which process
//! starts and ends; the [`janitor`] removes the directory if the program is killed.
//! Invariant: nothing outside the directory is written or removed; [`Demo::step`] neither sleeps
//! nor prints.

mod janitor;
mod process;
mod script;

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use janitor::Janitor;
use process::Process;
use script::{Action, Change, Names, Script, Step};

const SCRIPT: &str = include_str!("demo/script.jsonl");

/// For the user alone, as the real directory, which contains prompts.
const DIR_MODE: u32 = 0o700;

const FILE_MODE: u32 = 0o600;

/// When the script begins again, a longer history is removed: it grows by some megabytes a day.
const MAX_HISTORY_BYTES: u64 = 16 * 1024 * 1024;

/// A step that is later than this shows that the process or the machine was stopped.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// A Claude directory with invented content; removed on drop.
pub(crate) struct Demo {
    dir: PathBuf,
    script: Script,
    names: Names,
    /// Index of the step that is due next.
    next: usize,
    /// Time of the script's second 0, as [`Demo::step`] counts; absent before its first call.
    start: Option<Duration>,
    processes: HashMap<String, Process>,
    /// The transcripts of the sessions that this play of the script wrote to.
    transcripts: BTreeSet<PathBuf>,
    /// Those of the play before, which are removed after this one.
    old_transcripts: BTreeSet<PathBuf>,
    is_failing: bool,
    warning: Option<String>,
    // Dropped after `Demo::drop` has removed the directory, so that it finds nothing to do.
    _janitor: Option<Janitor>,
}

impl Demo {
    /// Creates the directory and plays the script up to its second 0.
    ///
    /// # Errors
    ///
    /// The directory or a file in it cannot be written; the directory is removed then.
    pub(crate) fn create() -> io::Result<Demo> {
        Demo::create_in(&temporary_folder(), SCRIPT)
    }

    fn create_in(parent: &Path, script: &'static str) -> io::Result<Demo> {
        let random = RandomState::new().hash_one(());
        let name = format!("claude-live-demo-{}-{random:016x}", std::process::id());
        // Absolute, because the janitor works in `/`.
        let dir = std::path::absolute(parent)?.join(name);
        make_dir(&dir)?;
        let (janitor, warning) = match Janitor::start(&dir) {
            Ok(janitor) => (Some(janitor), None),
            Err(error) => (None, Some(left_behind(&dir, &error))),
        };
        let mut demo = Demo {
            dir,
            script: Script::parse(script),
            names: Names::default(),
            next: 0,
            start: None,
            processes: HashMap::new(),
            transcripts: BTreeSet::new(),
            old_transcripts: BTreeSet::new(),
            is_failing: false,
            warning,
            _janitor: janitor,
        };
        demo.play_past(|_, _| true)?;
        Ok(demo)
    }

    /// The directory, as an absolute path.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Why the directory would remain if the program was killed; absent if it would not.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Writes the steps that are due by `now`, the time since any fixed start. Returns an error
    /// when writing begins to fail, and `Ok` when it succeeds again.
    pub(crate) fn step(&mut self, now: Duration) -> Option<io::Result<()>> {
        let mut start = *self.start.get_or_insert(now);
        let due = start + self.next_at();
        if now > due + MAX_DELAY {
            // The script continues where it stopped, instead of writing at once all that it missed.
            start += now - due;
        }
        let mut change = None;
        while start + self.next_at() <= now {
            let mut outcome = self.play_next(Timestamp::now());
            if self.next == self.script.steps().len() {
                start += Duration::from_millis(self.script.steps()[self.next - 1].at_ms as u64);
                outcome = outcome.and(self.begin_again());
            }
            if outcome.is_err() != self.is_failing {
                self.is_failing = outcome.is_err();
                change = Some(outcome);
            }
        }
        self.start = Some(start);
        change
    }

    /// Time of the next step since second 0.
    fn next_at(&self) -> Duration {
        Duration::from_millis(self.script.steps()[self.next].at_ms as u64)
    }

    fn is_past(step: &Step) -> bool {
        step.at_ms < 0
    }

    /// Plays the past steps that `is_due` accepts.
    fn play_past(&mut self, is_due: fn(&Script, &Step) -> bool) -> io::Result<()> {
        let now = Timestamp::now();
        let mut outcome = Ok(());
        self.next = 0;
        while let Some(step) = self.script.steps().get(self.next).filter(|it| Demo::is_past(it)) {
            let time = now + SignedDuration::from_millis(step.at_ms);
            if is_due(&self.script, step) {
                outcome = outcome.and(self.play_next(time));
            } else {
                self.next += 1;
            }
        }
        outcome
    }

    /// Makes room for the sessions of another play of the script, which have other ids.
    fn begin_again(&mut self) -> io::Result<()> {
        self.names.renew();
        for transcript in std::mem::take(&mut self.old_transcripts) {
            // The user can have removed them, and most sessions have no subagents.
            let _ = fs::remove_file(&transcript);
            let _ = fs::remove_dir_all(transcript.with_extension(""));
        }
        self.old_transcripts = std::mem::take(&mut self.transcripts);
        let history = self.dir.join("history.jsonl");
        let is_long = fs::metadata(&history).is_ok_and(|it| it.len() > MAX_HISTORY_BYTES);
        let removed = if is_long { remove(&history) } else { Ok(()) };
        self.play_past(Script::is_again).and(removed)
    }

    /// Plays the next step as if it was `now`.
    fn play_next(&mut self, now: Timestamp) -> io::Result<()> {
        let step = &self.script.steps()[self.next];
        let is_past = Demo::is_past(step);
        let Change { target, action } = self.script.change(step, &mut self.names, now);
        self.next += 1;
        match action {
            Action::Start => return self.start_process(target),
            Action::End => {
                self.processes.remove(&target);
                self.names.ended(&target);
                return Ok(());
            }
            _ => {}
        }
        let path = self.dir.join(&target);
        self.make_parents(Path::new(&target))?;
        if target.starts_with("projects/") && target.split('/').count() == 3 {
            self.transcripts.insert(path.clone());
        }
        match action {
            Action::Append(text) => append(&path, &text)?,
            Action::Replace(text) => replace(&path, &text)?,
            _ => return remove(&path),
        }
        if is_past { set_modified(&path, now) } else { Ok(()) }
    }

    fn start_process(&mut self, name: String) -> io::Result<()> {
        let started = Process::start();
        let process = started
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start `sh`: {error}")))?;
        self.names.started(name.clone(), process.pid(), process.started_at());
        self.processes.insert(name, process);
        Ok(())
    }

    /// Creates the folders between the directory and a file, but not the directory itself: after
    /// its removal another user can have created it.
    fn make_parents(&self, file: &Path) -> io::Result<()> {
        let mut dir = self.dir.clone();
        for name in file.parent().into_iter().flat_map(Path::components) {
            dir.push(name);
            match make_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The janitor removes what remains, such as a file that appears during the removal.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns `$TMPDIR`, or `/tmp` if it is unset or empty.
fn temporary_folder() -> PathBuf {
    let folder = env::temp_dir();
    if folder.as_os_str().is_empty() { PathBuf::from("/tmp") } else { folder }
}

fn left_behind(dir: &Path, error: &io::Error) -> String {
    format!("`{}` remains if the program is killed: cannot start `sh`: {error}", dir.display())
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(path).map_err(|error| at(path, &error))
}

/// Appends in one write. Opens the file each time, as Claude Code does, because a user who tries
/// the program can have removed or replaced it.
fn append(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, OpenOptions::new().append(true))
}

/// Writes a temporary file and renames it over the path, as Claude Code does.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let staged = path.with_extension(format!("json.tmp.{}", std::process::id()));
    write(&staged, text, OpenOptions::new().write(true).truncate(true))?;
    fs::rename(&staged, path).map_err(|error| at(path, &error))
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).map_err(|error| at(path, &error))
}

fn write(path: &Path, text: &str, options: &mut OpenOptions) -> io::Result<()> {
    options
        .create(true)
        .mode(FILE_MODE)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| at(path, &error))
}

/// Dates a file of the past: a session has ended if its transcript is old.
fn set_modified(path: &Path, time: Timestamp) -> io::Result<()> {
    let file = File::options().append(true).open(path);
    file.and_then(|file| file.set_modified(SystemTime::from(time)))
        .map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::follow::process::{self, look_up};

    const SECOND: Duration = Duration::from_secs(1);

    /// A step in the past, a line at each of the seconds 1, 2 and 3, and a folder with a file.
    const SMALL: &str = r#"{"at":-1,"file":"history.jsonl","text":"past\n"}
{"at":1,"file":"history.jsonl","text":"{{id a}}\n"}
{"at":2,"file":"history.jsonl","text":"two\n"}
{"at":2,"file":"sub/dir/file.json","how":"replace","text":"{}"}
{"at":3,"file":"sub/dir/file.json","how":"remove"}"#;

    fn small_in(parent: &Path) -> Demo {
        Demo::create_in(parent, SMALL).unwrap()
    }

    fn history(demo: &Demo) -> Vec<String> {
        let text = fs::read_to_string(demo.dir().join("history.jsonl")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The paths below a folder, relative to it and sorted.
    fn tree(folder: &Path) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                paths.push(path.strip_prefix(folder).unwrap().to_owned());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        paths.sort();
        paths
    }

    #[test]
    fn every_folder_and_file_is_for_the_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = Demo::create_in(parent.path(), SCRIPT).unwrap();
        assert_eq!(demo.warning(), None);
        // It begins again after 702 s.
        for millis in (0..1_450_000).step_by(500) {
            assert!(demo.step(Duration::from_millis(millis)).is_none(), "{millis}");
            assert!(demo.processes.len() < 16, "{millis}");
        }
        let is_transcript =
            |path: &PathBuf| path.starts_with("projects") && path.components().count() == 3;
        let sessions = tree(demo.dir()).iter().filter(|path| is_transcript(path)).count();
        assert!(sessions < 120, "{sessions}");
        let is_temporary = |path: &PathBuf| path.to_string_lossy().contains(".tmp.");
        assert!(!tree(demo.dir()).iter().any(is_temporary));
        let dir = fs::canonicalize(demo.dir()).unwrap();
        for path in tree(&dir).iter().map(|path| dir.join(path)).chain([dir.clone()]) {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{}", path.display());
        }
    }

    #[test]
    fn the_folder_is_removed_with_the_demo() {
        let parent = tempfile::tempdir().unwrap();
        drop(small_in(parent.path()));
        assert_eq!(tree(parent.path()), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn the_end_of_the_pipe_alone_removes_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        drop(demo._janitor.take());
        assert!(!demo.dir().exists());
    }

    #[test]
    fn an_error_at_the_start_names_the_path() {
        let error = Demo::create_in(Path::new("/nonexistent"), SMALL).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let wanted = "cannot write `/nonexistent/claude-live-demo-";
        assert!(error.to_string().starts_with(wanted), "{error}");
    }

    #[test]
    fn steps_are_written_when_they_are_due_in_every_way() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        let file = demo.dir().join("sub/dir/file.json");
        let start = 1000 * SECOND;
        for (seconds, lines, has_file) in
            [(0, 1, false), (1, 2, false), (2, 3, true), (3, 3, false)]
        {
            assert!(demo.step(start + seconds * SECOND).is_none());
            assert_eq!((history(&demo).len(), file.exists()), (lines, has_file), "{seconds}");
        }
    }

    #[test]
    fn the_script_begins_again_with_other_ids_and_without_its_past() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        for seconds in 0..8 {
            assert!(demo.step(seconds * SECOND).is_none());
        }
        let lines = history(&demo);
        let [past, first, two, again, two_again, third] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!([past, two, two_again], ["past", "two", "two"]);
        assert!(first != again && again != third && third != first, "{lines:?}");
    }

    #[test]
    fn after_a_standstill_the_script_continues_where_it_stopped() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        demo.step(Duration::ZERO);
        for seconds in [100_000, 100_000, 100_001] {
            demo.step(seconds * SECOND);
        }
        assert_eq!(history(&demo)[2..], ["two"]);
        demo.step(100_001 * SECOND + SECOND / 2);
        assert_eq!(history(&demo).len(), 3);
    }

    #[test]
    fn a_short_delay_is_made_up_for() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        demo.step(Duration::ZERO);
        demo.step(2 * SECOND);
        assert_eq!(history(&demo)[2..], ["two"]);
    }

    #[test]
    fn a_failure_is_returned_once_and_so_is_its_end() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = small_in(parent.path());
        let changes = |demo: &mut Demo, seconds: std::ops::Range<u32>| -> Vec<String> {
            let changes = seconds.filter_map(|seconds| demo.step(seconds * SECOND));
            changes.map(|change| change.map_or_else(|e| e.to_string(), |()| "ok".into())).collect()
        };
        assert_eq!(changes(&mut demo, 0..2), [""; 0]);
        fs::remove_dir_all(demo.dir()).unwrap();
        let path = demo.dir().join("history.jsonl");
        let wanted =
            format!("cannot write `{}`: No such file or directory (os error 2)", path.display());
        assert_eq!(changes(&mut demo, 2..30), [wanted]);
        assert!(!demo.dir().exists());
        fs::create_dir(demo.dir()).unwrap();
        assert_eq!(changes(&mut demo, 30..60), ["ok"]);
    }

    /// One session of each play, alive from second 1 to second 2, and one that is past.
    const SESSIONS: &str = r#"{"remark":"Two sessions."}
{"template":"it","file":"projects/p/{{id s}}.jsonl","text":"{{pid s}}\n"}
{"template":"agent","file":"projects/p/{{id s}}/subagents/agent-a.jsonl","text":"{}\n"}
{"template":"start","how":"start","process":"s"}
{"template":"end","how":"end","process":"s"}
{"at":-5000,"again":true,"file":"projects/p/{{id old}}.jsonl","text":"{}\n"}
{"at":1,"write":["start","it","agent"]}
{"at":2,"write":["it","end"]}
{"at":3,"file":"history.jsonl","text":"{}\n"}"#;

    #[test]
    fn a_file_of_the_past_is_dated_as_its_step() {
        let parent = tempfile::tempdir().unwrap();
        let demo = Demo::create_in(parent.path(), SESSIONS).unwrap();
        let transcript = demo.transcripts.first().unwrap();
        let age = fs::metadata(transcript).unwrap().modified().unwrap().elapsed().unwrap();
        assert!((5000..5060).contains(&age.as_secs()), "{age:?}");
    }

    #[test]
    fn a_session_has_a_process_until_it_ends() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = Demo::create_in(parent.path(), SESSIONS).unwrap();
        demo.step(Duration::ZERO);
        demo.step(SECOND);
        let pid = demo.processes["s"].pid();
        assert!(matches!(look_up(pid), process::Process::Running { .. }));
        let transcript = demo.transcripts.iter().find(|path| path.with_extension("").exists());
        assert_eq!(fs::read_to_string(transcript.unwrap()).unwrap(), format!("{pid}\n"));
        demo.step(2 * SECOND);
        assert_eq!((look_up(pid), demo.processes.len()), (process::Process::Absent, 0));
    }

    #[test]
    fn sessions_are_removed_after_the_next_play_and_the_past_ones_come_again() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = Demo::create_in(parent.path(), SESSIONS).unwrap();
        let mut counts = Vec::new();
        for halves in 0..25 {
            assert!(demo.step(halves * SECOND / 2).is_none());
            counts.push(tree(&demo.dir().join("projects/p")).len());
        }
        // An old session, then one with a folder, a folder in it and a file in that.
        assert_eq!(counts[..8], [1, 1, 5, 5, 5, 5, 6, 6]);
        assert_eq!(counts.iter().max(), Some(&10));
        assert_eq!(counts[12..18], counts[18..24]);
    }

    #[test]
    fn a_long_history_is_removed_when_the_script_begins_again() {
        let parent = tempfile::tempdir().unwrap();
        let mut demo = Demo::create_in(parent.path(), SESSIONS).unwrap();
        let path = demo.dir().join("history.jsonl");
        File::create(&path).unwrap().set_len(MAX_HISTORY_BYTES).unwrap();
        for seconds in 0..=4 {
            demo.step(seconds * SECOND);
        }
        assert!(!path.exists());
        for seconds in 5..=8 {
            demo.step(seconds * SECOND);
        }
        assert!(path.exists());
    }
}
