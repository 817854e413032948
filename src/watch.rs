//! Notices that one of a few small files was created, modified or removed, by looking at them from time to time.
//!
//! Changes are reported once they have settled, so that a burst of writes, or a file written beside and renamed over,
//! is one change.
//! Invariant: files are looked at, never opened; no clock (the time is handed in), no thread, no printing.
//! Known weakness: new content under the same size, modification time and inode is missed.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a file must have stayed the same before its change is reported.
const SETTLE_TIME: Duration = Duration::from_millis(250);

/// How long a change of a file that never rests may go unreported.
const UNREST_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Modified,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Changed {
        /// As it was given to [`Watch::new`].
        path: PathBuf,
        change: Change,
        /// Of a regular file.
        size_bytes: Option<u64>,
        mtime: Option<SystemTime>,
    },
    /// Once per change of state; the words can follow the path.
    Unreadable {
        path: PathBuf,
        msg: String,
    },
    Recovered {
        path: PathBuf,
    },
}

pub(crate) struct Watch {
    entries: Vec<Entry>,
}

impl Watch {
    /// What is there now is taken as known. A path that cannot be looked at is reported by the first poll.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Watch {
        Watch { entries: paths.into_iter().map(Entry::new).collect() }
    }

    /// Takes one step. `now` is the time since any fixed start.
    pub(crate) fn poll(&mut self, now: Duration) -> Vec<Item> {
        let mut items = Vec::new();
        for entry in &mut self.entries {
            entry.poll(now, &mut items);
        }
        items
    }
}

/// One path and what is known of it.
struct Entry {
    path: PathBuf,
    /// It was looked at without error before.
    is_known: bool,
    reported: Option<State>,
    seen: Option<State>,
    seen_at: Duration,
    /// Since when there may be something to report.
    unreported_since: Option<Duration>,
    trouble: Option<String>,
}

/// Something that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    dev: u64,
    ino: u64,
    size_bytes: Option<u64>,
    mtime: Option<SystemTime>,
}

impl Entry {
    fn new(path: PathBuf) -> Entry {
        let mut entry = Entry {
            path,
            is_known: false,
            reported: None,
            seen: None,
            seen_at: Duration::ZERO,
            unreported_since: None,
            trouble: None,
        };
        if let Ok(state) = look(&entry.path) {
            entry.note(state, Duration::ZERO);
        }
        entry
    }

    fn poll(&mut self, now: Duration, items: &mut Vec<Item>) {
        match look(&self.path) {
            Ok(state) => {
                if self.trouble.take().is_some() {
                    items.push(Item::Recovered { path: self.path.clone() });
                }
                self.note(state, now);
                items.extend(self.report(now));
            }
            Err(msg) if self.trouble.as_ref() == Some(&msg) => {}
            Err(msg) => {
                items.push(Item::Unreadable { path: self.path.clone(), msg: msg.clone() });
                self.trouble = Some(msg);
            }
        }
    }

    fn note(&mut self, state: Option<State>, now: Duration) {
        if !std::mem::replace(&mut self.is_known, true) {
            (self.reported, self.seen) = (state, state);
        }
        if state != self.seen {
            self.seen = state;
            self.seen_at = now;
            self.unreported_since.get_or_insert(now);
        }
    }

    fn report(&mut self, now: Duration) -> Option<Item> {
        let since = self.unreported_since?;
        let is_settled = now >= self.seen_at + SETTLE_TIME;
        if !is_settled && now < since + UNREST_TIME {
            return None;
        }
        // Of a file that does not rest, the next report is due by the time of this one.
        self.unreported_since = (!is_settled).then_some(now);
        let before = std::mem::replace(&mut self.reported, self.seen);
        let change = match (before, self.seen) {
            (before, seen) if before == seen => return None,
            (None, _) => Change::Created,
            (_, None) => Change::Removed,
            _ => Change::Modified,
        };
        Some(Item::Changed {
            path: self.path.clone(),
            change,
            size_bytes: self.seen.and_then(|state| state.size_bytes),
            mtime: self.seen.and_then(|state| state.mtime),
        })
    }
}

/// What is at the path, symbolic links followed; nothing there is no error.
fn look(path: &Path) -> Result<Option<State>, String> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(State::of(&meta))),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(format!("cannot be looked at: {}", err.to_string().to_lowercase())),
    }
}

impl State {
    fn of(meta: &Metadata) -> State {
        State {
            dev: meta.dev(),
            ino: meta.ino(),
            size_bytes: meta.is_file().then_some(meta.len()),
            mtime: meta.modified().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    const STEP: Duration = Duration::from_millis(500);

    struct World {
        dir: TempDir,
        watch: Watch,
        now: Duration,
    }

    impl World {
        fn new(setup: impl FnOnce(&Path)) -> World {
            let dir = tempfile::tempdir().unwrap();
            setup(dir.path());
            let watch = Watch::new(vec![dir.path().join("f")]);
            World { dir, watch, now: Duration::ZERO }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.at(name), content).unwrap();
        }

        fn poll(&mut self) -> Vec<String> {
            self.now += STEP;
            self.watch.poll(self.now).iter().map(show).collect()
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.at(name)).unwrap();
        }

        fn link(&self, to: impl AsRef<Path>, name: &str) {
            symlink(to, self.at("new link")).unwrap();
            fs::rename(self.at("new link"), self.at(name)).unwrap();
        }

        /// What comes within four polls: changes are reported by then, and once.
        #[track_caller]
        fn sees(&mut self, wanted: &[&str]) {
            let seen: Vec<String> = (0..4).flat_map(|_| self.poll()).collect();
            assert_eq!(seen, wanted);
        }
    }

    fn with_file() -> World {
        World::new(|dir| fs::write(dir.join("f"), "x").unwrap())
    }

    fn show(item: &Item) -> String {
        match item {
            Item::Changed { change, size_bytes, mtime, .. } => {
                assert_eq!(mtime.is_some(), *change != Change::Removed);
                format!("{change:?} {}", size_bytes.map_or("-".to_owned(), |size| size.to_string()))
            }
            Item::Unreadable { msg, .. } => msg.clone(),
            Item::Recovered { .. } => "recovered".to_owned(),
        }
    }

    #[test]
    fn what_is_there_at_first_is_no_news() {
        with_file().sees(&[]);
    }

    #[test]
    fn created_modified_and_removed() {
        let mut world = World::new(|_| {});
        world.write("f", "x");
        world.sees(&["Created 1"]);
        world.write("f", "xy");
        world.sees(&["Modified 2"]);
        world.remove("f");
        world.sees(&["Removed -"]);
    }

    #[test]
    fn items_name_the_path_as_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let paths = vec![dir.path().join("./a"), dir.path().join("b/../b")];
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::File::open(dir.path().join("b")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let mut watch = Watch::new(paths.clone());
        fs::write(dir.path().join("a"), "x").unwrap();
        fs::write(dir.path().join("b/new"), "").unwrap();
        let mut items = watch.poll(STEP);
        items.extend(watch.poll(2 * STEP));
        let mtime = |name: &str| fs::metadata(dir.path().join(name)).unwrap().modified().ok();
        let changed = |n: usize, change, size_bytes, mtime| Item::Changed {
            path: paths[n].clone(),
            change,
            size_bytes,
            mtime,
        };
        let created = changed(0, Change::Created, Some(1), mtime("a"));
        assert_eq!(items, [created, changed(1, Change::Modified, None, mtime("b"))]);
    }

    #[test]
    fn a_change_is_reported_once_it_has_settled() {
        let mut world = with_file();
        world.write("f", "xy");
        assert_eq!(world.watch.poll(Duration::from_millis(1000)), []);
        assert_eq!(world.watch.poll(Duration::from_millis(1249)), []);
        assert_eq!(world.watch.poll(Duration::from_millis(1250)).len(), 1);
    }

    #[test]
    fn written_beside_and_renamed_over_is_one_change() {
        let mut world = with_file();
        let mtime = fs::metadata(world.at("f")).unwrap().modified().unwrap();
        world.write("f.tmp", "y");
        fs::File::options()
            .write(true)
            .open(world.at("f.tmp"))
            .unwrap()
            .set_modified(mtime)
            .unwrap();
        fs::rename(world.at("f.tmp"), world.at("f")).unwrap();
        world.sees(&["Modified 1"]);
    }

    #[test]
    fn a_burst_of_writes_is_one_change() {
        let mut world = with_file();
        for text in ["a", "ab", "abc"] {
            world.write("f", text);
            assert_eq!(world.poll(), [""; 0]);
        }
        world.sees(&["Modified 3"]);
    }

    #[test]
    fn a_file_that_never_rests_is_reported_every_two_seconds() {
        let mut world = with_file();
        let mut times = Vec::new();
        for n in 2..=20 {
            world.write("f", &"x".repeat(n));
            if !world.poll().is_empty() {
                times.push(world.now.as_millis());
            }
        }
        assert_eq!(times, [2500, 4500, 6500, 8500]);
        world.sees(&["Modified 20"]);
        world.sees(&[]);
    }

    #[test]
    fn rest_after_unrest_is_no_change() {
        let mut world = with_file();
        let mut seen = Vec::new();
        for n in 2..=6 {
            world.write("f", &"x".repeat(n));
            seen.extend(world.poll());
        }
        assert_eq!(seen, ["Modified 6"]);
        world.sees(&[]);
        world.write("f", "x");
        assert_eq!(world.poll(), [""; 0], "unrest begins anew");
        world.sees(&["Modified 1"]);
    }

    #[test]
    fn what_is_undone_before_it_settles_is_no_change() {
        let mut world = World::new(|_| {});
        world.write("f", "x");
        assert_eq!(world.poll(), [""; 0]);
        world.remove("f");
        world.sees(&[]);
    }

    #[test]
    fn deleted_and_created_at_once_is_a_modification() {
        let mut world = with_file();
        world.remove("f");
        assert_eq!(world.poll(), [""; 0]);
        world.write("f", "xyz");
        world.sees(&["Modified 3"]);
    }

    #[test]
    fn new_content_under_the_same_size_and_time_is_missed() {
        let mut world = with_file();
        let mtime = fs::metadata(world.at("f")).unwrap().modified().unwrap();
        world.write("f", "y");
        fs::File::options().write(true).open(world.at("f")).unwrap().set_modified(mtime).unwrap();
        world.sees(&[]);
    }

    #[test]
    fn times_need_not_grow() {
        let mut world = with_file();
        let file = fs::File::options().write(true).open(world.at("f")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        world.sees(&["Modified 1"]);
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)).unwrap();
        world.sees(&["Modified 1"]);
    }

    #[test]
    fn links_are_followed_and_nothing_is_opened() {
        let mut world = World::new(|dir| symlink("target", dir.join("f")).unwrap());
        world.sees(&[]);
        world.write("target", "x");
        world.sees(&["Created 1"]);
        let made = std::process::Command::new("mkfifo").arg(world.at("fifo")).status();
        assert!(made.unwrap().success());
        world.link("fifo", "f");
        world.sees(&["Modified -"]);
        world.link("nothing", "f");
        world.sees(&["Removed -"]);
    }

    #[test]
    fn what_cannot_be_looked_at_is_an_error_once_and_what_was_known_stays_known() {
        let mut world = with_file();
        fs::rename(world.at("f"), world.at("g")).unwrap();
        world.link("f", "f");
        let msg = "cannot be looked at: too many levels of symbolic links (os error 40)";
        world.sees(&[msg]);
        world.sees(&[]);
        fs::rename(world.at("g"), world.at("f")).unwrap();
        world.sees(&["recovered"]);
        world.link("f", "f");
        world.sees(&[msg]);
        world.remove("f");
        world.sees(&["recovered", "Removed -"]);
    }

    #[test]
    fn what_could_not_be_looked_at_at_the_start_was_perhaps_there() {
        let mut world = World::new(|dir| symlink("f", dir.join("f")).unwrap());
        world.sees(&["cannot be looked at: too many levels of symbolic links (os error 40)"]);
        world.write("g", "x");
        fs::rename(world.at("g"), world.at("f")).unwrap();
        world.sees(&["recovered"]);
        world.write("f", "xy");
        world.sees(&["Modified 2"]);
    }
}
