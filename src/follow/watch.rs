//! Polls a few small files and reports each that was created, modified or removed.
//!
//! A change is reported once the file has settled, with the file's content: a burst of writes, or a
//! temporary file renamed over the path, is one change.
//! Invariant: a file is opened only at the start and when its state has changed, and only if it is
//! regular; no clock (the time is a parameter), no thread, no printing.
//! Known weakness: new content under the same size, modification time and inode is missed.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::small;

/// Longest time between two reports of a file that never settles.
const UNREST_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How long a file must stay unchanged before its change is reported. Zero: no wait.
    pub(crate) settle_time: Duration,
    /// The content of a larger file is left out.
    pub(crate) max_content_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Modified,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Changed {
        /// As it was given to [`Watch::start`].
        path: PathBuf,
        change: Change,
        /// Of a regular file.
        size_bytes: Option<u64>,
        mtime: Option<SystemTime>,
        /// Of a readable regular file that is not larger than [`Options::max_content_bytes`].
        content: Option<Vec<u8>>,
    },
    /// Once per change of state; `msg` can follow the path in a sentence.
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
    options: Options,
}

impl Watch {
    /// Starts from the present state of the paths. Returns the content of each file that
    /// [`Item::Changed`] would give it for. A path whose state cannot be read is reported by the
    /// first poll.
    pub(crate) fn start(paths: Vec<PathBuf>, options: Options) -> (Watch, Vec<(PathBuf, Vec<u8>)>) {
        let mut entries: Vec<Entry> = paths.into_iter().map(Entry::new).collect();
        let contents = entries.iter_mut().filter_map(|entry| entry.start(options)).collect();
        (Watch { entries, options }, contents)
    }

    /// Takes one step. `now` is the time since any fixed start.
    pub(crate) fn poll(&mut self, now: Duration) -> Vec<Item> {
        let mut items = Vec::new();
        for entry in &mut self.entries {
            entry.poll(now, self.options, &mut items);
        }
        items
    }
}

/// One path.
struct Entry {
    path: PathBuf,
    /// Absent until the path's state could be read once.
    observed: Option<Observed>,
    /// Why the path's state cannot be read at present.
    trouble: Option<String>,
}

struct Observed {
    reported: Option<State>,
    seen: Option<State>,
    pending: Option<Pending>,
}

/// A change that is not reported yet.
struct Pending {
    since: Duration,
    changed_at: Duration,
}

/// The state of a path at which there is something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    dev: u64,
    ino: u64,
    size_bytes: Option<u64>,
    mtime: Option<SystemTime>,
}

impl Entry {
    fn new(path: PathBuf) -> Entry {
        Entry { path, observed: None, trouble: None }
    }

    fn start(&mut self, options: Options) -> Option<(PathBuf, Vec<u8>)> {
        let seen = look(&self.path).ok()?;
        let read = seen.and_then(|state| read(&self.path, state, options));
        let state = read.as_ref().map_or(seen, |(state, _)| Some(*state));
        self.observed = Some(Observed { reported: state, seen: state, pending: None });
        read.map(|(_, content)| (self.path.clone(), content))
    }

    fn poll(&mut self, now: Duration, options: Options, items: &mut Vec<Item>) {
        match look(&self.path) {
            Ok(state) => {
                if self.trouble.take().is_some() {
                    items.push(Item::Recovered { path: self.path.clone() });
                }
                self.note(state, now);
                items.extend(self.report(now, options));
            }
            Err(msg) if self.trouble.as_ref() == Some(&msg) => {}
            Err(msg) => {
                items.push(Item::Unreadable { path: self.path.clone(), msg: msg.clone() });
                self.trouble = Some(msg);
            }
        }
    }

    fn note(&mut self, state: Option<State>, now: Duration) {
        let first = || Observed { reported: state, seen: state, pending: None };
        let observed = self.observed.get_or_insert_with(first);
        if state != observed.seen {
            observed.seen = state;
            let since = observed.pending.as_ref().map_or(now, |pending| pending.since);
            observed.pending = Some(Pending { since, changed_at: now });
        }
    }

    fn report(&mut self, now: Duration, options: Options) -> Option<Item> {
        let observed = self.observed.as_mut()?;
        let pending = observed.pending.as_mut()?;
        let is_settled = now >= pending.changed_at + options.settle_time;
        if !is_settled && now < pending.since + UNREST_TIME {
            return None;
        }
        if is_settled {
            observed.pending = None;
        } else {
            // The next report of a file that never settles is due UNREST_TIME after this one.
            pending.since = now;
        }
        if observed.seen == observed.reported {
            return None;
        }
        let read = observed.seen.and_then(|state| read(&self.path, state, options));
        // The state that belongs to the content: a later write is a change of the next poll.
        let seen = read.as_ref().map_or(observed.seen, |(state, _)| Some(*state));
        let change = match (observed.reported, seen) {
            (None, _) => Change::Created,
            (_, None) => Change::Removed,
            _ => Change::Modified,
        };
        (observed.reported, observed.seen) = (seen, seen);
        Some(Item::Changed {
            path: self.path.clone(),
            change,
            size_bytes: seen.and_then(|state| state.size_bytes),
            mtime: seen.and_then(|state| state.mtime),
            content: read.map(|(_, content)| content),
        })
    }
}

/// Returns the state of the path, symbolic links followed. An absent file is no error.
fn look(path: &Path) -> Result<Option<State>, String> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(State::of(&meta))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be accessed: {}", error.to_string().to_lowercase())),
    }
}

/// Reads a small regular file, with the state that it had when it was opened.
fn read(path: &Path, seen: State, options: Options) -> Option<(State, Vec<u8>)> {
    let is_small = |state: &State| state.size_bytes.is_some_and(|n| n <= options.max_content_bytes);
    // Before the file is opened, because opening a device can have effects.
    if !is_small(&seen) {
        return None;
    }
    let (meta, content) = small::read(path, options.max_content_bytes)?;
    Some((State::of(&meta), content))
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
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    const STEP: Duration = Duration::from_millis(500);

    const OPTIONS: Options =
        Options { settle_time: Duration::from_millis(250), max_content_bytes: 8 };

    const LOOP: &str = "cannot be accessed: too many levels of symbolic links (os error 40)";

    /// A directory, a watch of the file `f` in it, and a clock.
    struct World {
        dir: TempDir,
        watch: Watch,
        contents: Vec<(PathBuf, Vec<u8>)>,
        now: Duration,
    }

    impl World {
        fn new(options: Options, setup: impl FnOnce(&Path)) -> World {
            let dir = tempfile::tempdir().unwrap();
            setup(dir.path());
            let (watch, contents) = Watch::start(vec![dir.path().join("f")], options);
            World { dir, watch, contents, now: Duration::ZERO }
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

        fn make_fifo(&self, name: &str) {
            assert!(Command::new("mkfifo").arg(self.at(name)).status().unwrap().success());
        }

        /// Checks the items of four polls, within which each change is reported once.
        #[track_caller]
        fn check(&mut self, wanted: &[&str]) {
            let seen: Vec<String> = (0..4).flat_map(|_| self.poll()).collect();
            assert_eq!(seen, wanted);
        }
    }

    fn without_file() -> World {
        World::new(OPTIONS, |_| {})
    }

    fn with_file() -> World {
        World::new(OPTIONS, |dir| fs::write(dir.join("f"), "x").unwrap())
    }

    /// `CHANGE SIZE CONTENT`; `-` for each that is absent.
    fn show(item: &Item) -> String {
        match item {
            Item::Changed { change, size_bytes, mtime, content, .. } => {
                assert_eq!(mtime.is_some(), *change != Change::Removed);
                let size = size_bytes.map_or("-".to_owned(), |size| size.to_string());
                let content = content.as_deref().map_or("-", |text| str::from_utf8(text).unwrap());
                format!("{change:?} {size} {content}")
            }
            Item::Unreadable { msg, .. } => msg.clone(),
            Item::Recovered { .. } => "recovered".to_owned(),
        }
    }

    fn set_mtime(path: &Path, mtime: SystemTime) {
        fs::File::options().write(true).open(path).unwrap().set_modified(mtime).unwrap();
    }

    #[test]
    fn a_file_that_exists_at_the_start_is_no_change_and_its_content_is_returned() {
        let mut world = with_file();
        assert_eq!(world.contents, [(world.at("f"), b"x".to_vec())]);
        world.check(&[]);
        assert_eq!(without_file().contents, []);
    }

    #[test]
    fn created_modified_and_removed_come_with_the_content() {
        let mut world = without_file();
        world.write("f", "x");
        world.check(&["Created 1 x"]);
        world.write("f", "xy");
        world.check(&["Modified 2 xy"]);
        world.remove("f");
        world.check(&["Removed - -"]);
    }

    #[test]
    fn the_content_of_a_large_file_is_left_out() {
        let mut world = World::new(OPTIONS, |dir| fs::write(dir.join("f"), "123456789").unwrap());
        assert_eq!(world.contents, []);
        world.write("f", "12345678");
        world.check(&["Modified 8 12345678"]);
        world.write("f", "1234567890");
        world.check(&["Modified 10 -"]);
    }

    #[test]
    fn items_name_the_path_as_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let paths = vec![dir.path().join("./a"), dir.path().join("b/../b")];
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::File::open(dir.path().join("b")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let (mut watch, contents) = Watch::start(paths.clone(), OPTIONS);
        assert_eq!(contents, []);
        fs::write(dir.path().join("a"), "x").unwrap();
        fs::write(dir.path().join("b/new"), "").unwrap();
        let mut items = watch.poll(STEP);
        items.extend(watch.poll(2 * STEP));
        let mtime = |name: &str| fs::metadata(dir.path().join(name)).unwrap().modified().ok();
        let created = Item::Changed {
            path: paths[0].clone(),
            change: Change::Created,
            size_bytes: Some(1),
            mtime: mtime("a"),
            content: Some(b"x".to_vec()),
        };
        let modified = Item::Changed {
            path: paths[1].clone(),
            change: Change::Modified,
            size_bytes: None,
            mtime: mtime("b"),
            content: None,
        };
        assert_eq!(items, [created, modified]);
    }

    #[test]
    fn a_change_is_reported_after_the_settle_time() {
        let mut world = with_file();
        world.write("f", "xy");
        assert_eq!(world.watch.poll(Duration::from_millis(1000)), []);
        assert_eq!(world.watch.poll(Duration::from_millis(1249)), []);
        assert_eq!(world.watch.poll(Duration::from_millis(1250)).len(), 1);
    }

    #[test]
    fn without_a_settle_time_each_poll_reports_its_change() {
        let options = Options { settle_time: Duration::ZERO, ..OPTIONS };
        let mut world = World::new(options, |_| {});
        for text in ["a", "ab", "abc"] {
            world.write("f", text);
            assert_eq!(world.poll().len(), 1, "{text}");
        }
        world.remove("f");
        assert_eq!(world.poll(), ["Removed - -"]);
        world.check(&[]);
    }

    #[test]
    fn a_file_renamed_over_the_path_is_one_change() {
        let mut world = with_file();
        let mtime = fs::metadata(world.at("f")).unwrap().modified().unwrap();
        world.write("f.tmp", "y");
        set_mtime(&world.at("f.tmp"), mtime);
        fs::rename(world.at("f.tmp"), world.at("f")).unwrap();
        world.check(&["Modified 1 y"]);
    }

    #[test]
    fn a_burst_of_writes_is_one_change() {
        let mut world = with_file();
        for text in ["a", "ab", "abc"] {
            world.write("f", text);
            assert_eq!(world.poll(), [""; 0]);
        }
        world.check(&["Modified 3 abc"]);
    }

    #[test]
    fn a_file_that_never_settles_is_reported_every_two_seconds() {
        let mut world = with_file();
        let mut times = Vec::new();
        for n in 2..=20 {
            world.write("f", &"x".repeat(n));
            if !world.poll().is_empty() {
                times.push(world.now.as_millis());
            }
        }
        assert_eq!(times, [2500, 4500, 6500, 8500]);
        world.check(&["Modified 20 -"]);
        world.check(&[]);
    }

    #[test]
    fn settling_after_the_last_report_is_no_change() {
        let mut world = with_file();
        let mut seen = Vec::new();
        for n in 2..=6 {
            world.write("f", &"x".repeat(n));
            seen.extend(world.poll());
        }
        assert_eq!(seen, ["Modified 6 xxxxxx"]);
        world.check(&[]);
        world.write("f", "x");
        assert_eq!(world.poll(), [""; 0], "the settle time begins anew");
        world.check(&["Modified 1 x"]);
    }

    #[test]
    fn a_change_undone_before_it_settles_is_no_change() {
        let mut world = without_file();
        world.write("f", "x");
        assert_eq!(world.poll(), [""; 0]);
        world.remove("f");
        world.check(&[]);
    }

    #[test]
    fn a_removal_followed_by_a_creation_is_a_modification() {
        let mut world = with_file();
        world.remove("f");
        assert_eq!(world.poll(), [""; 0]);
        world.write("f", "xyz");
        world.check(&["Modified 3 xyz"]);
    }

    #[test]
    fn new_content_under_the_same_size_and_time_is_missed() {
        let mut world = with_file();
        let mtime = fs::metadata(world.at("f")).unwrap().modified().unwrap();
        world.write("f", "y");
        set_mtime(&world.at("f"), mtime);
        world.check(&[]);
    }

    #[test]
    fn modification_times_can_go_backwards() {
        let mut world = with_file();
        set_mtime(&world.at("f"), SystemTime::UNIX_EPOCH);
        world.check(&["Modified 1 x"]);
        set_mtime(&world.at("f"), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33));
        world.check(&["Modified 1 x"]);
    }

    #[test]
    fn links_are_followed() {
        let mut world = World::new(OPTIONS, |dir| symlink("target", dir.join("f")).unwrap());
        world.check(&[]);
        world.write("target", "x");
        world.check(&["Created 1 x"]);
        world.link("nothing", "f");
        world.check(&["Removed - -"]);
    }

    #[test]
    fn a_fifo_is_a_change_without_content() {
        let mut world = with_file();
        world.make_fifo("fifo");
        world.link("fifo", "f");
        world.check(&["Modified - -"]);
    }

    #[test]
    fn opening_a_fifo_that_replaces_a_file_after_the_look_does_not_block() {
        let world = with_file();
        let path = world.at("f");
        let seen = look(&path).unwrap().unwrap();
        world.make_fifo("fifo");
        world.link("fifo", "f");
        let (sender, done) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || sender.send(read(&path, seen, OPTIONS)));
        assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(None));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_change_without_content() {
        let world = with_file();
        let seen = look(&world.at("f")).unwrap().unwrap();
        world.remove("f");
        assert_eq!(read(&world.at("f"), seen, OPTIONS), None);
    }

    #[test]
    fn a_failing_stat_is_reported_once_and_keeps_the_last_state() {
        let mut world = with_file();
        fs::rename(world.at("f"), world.at("g")).unwrap();
        world.link("f", "f");
        world.check(&[LOOP]);
        world.check(&[]);
        fs::rename(world.at("g"), world.at("f")).unwrap();
        world.check(&["recovered"]);
        world.link("f", "f");
        world.check(&[LOOP]);
        world.remove("f");
        world.check(&["recovered", "Removed - -"]);
    }

    #[test]
    fn the_first_state_after_a_failing_start_is_no_change() {
        let mut world = World::new(OPTIONS, |dir| symlink("f", dir.join("f")).unwrap());
        world.check(&[LOOP]);
        world.write("g", "x");
        fs::rename(world.at("g"), world.at("f")).unwrap();
        world.check(&["recovered"]);
        world.write("f", "xy");
        world.check(&["Modified 2 xy"]);
    }
}
