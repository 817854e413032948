//! The registry of running sessions, `sessions/*.json`, joined with the processes that it names.
//!
//! An entry is written when the status changes, not as a heartbeat, and a crash leaves it behind: a
//! session runs if its process does. Other files there, such as `*.key`, are never opened.
//! Invariant: no clock and no sleep; the worker in `main` passes the time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::follow::process::Process;
use crate::follow::small;
use crate::follow::tree::{Item, Kind, Reach, Tree};
use crate::formats::status::{self, Entry, EntryStatus};
use crate::sessions::Liveness;

/// The longest entry that is read; one has a few hundred bytes.
const MAX_ENTRY_BYTES: u64 = 64 * 1024;

/// How long an entry that changed is read again: with coarse file times a second change within one
/// tick leaves no trace.
const REREAD_TIME: Duration = Duration::from_secs(2);

/// The time between two looks at the processes.
const PROCESS_PERIOD: Duration = Duration::from_secs(1);

/// The most directories of a scan: the registry has one.
const ALL: usize = usize::MAX;

/// A change in the registry.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Session { id: String, liveness: Liveness },
    Unreadable { path: PathBuf, msg: String },
    Recovered { path: PathBuf },
}

/// Follows the registry.
pub(crate) struct Statuses {
    tree: Tree,
    look_up: fn(u32) -> Process,
    files: BTreeMap<PathBuf, File>,
    /// The last report of each session.
    reported: HashMap<String, Liveness>,
    processes_due: Duration,
}

/// A file of the registry.
#[derive(Default)]
struct File {
    /// The last entry that could be parsed.
    entry: Option<Entry>,
    is_alive: bool,
    /// Until when it is read at each poll.
    unsettled_until: Duration,
}

impl Statuses {
    pub(crate) fn new(dir: PathBuf, look_up: fn(u32) -> Process) -> Statuses {
        Statuses {
            tree: Tree::new(dir, is_entry),
            look_up,
            files: BTreeMap::new(),
            reported: HashMap::new(),
            processes_due: Duration::ZERO,
        }
    }

    /// Returns what changed. `now` is the time since any fixed start, and `wall` the time of day.
    pub(crate) fn poll(&mut self, now: Duration, wall: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let items = self.scan(now);
        let mut is_news = !items.is_empty();
        for item in items {
            match item {
                Item::Appeared { path, .. } | Item::Changed { path, .. } => {
                    self.files.entry(path).or_default().unsettled_until = now + REREAD_TIME;
                }
                Item::Vanished { path } => _ = self.files.remove(&path),
                Item::Unreadable { path, msg } => changes.push(Change::Unreadable { path, msg }),
                Item::Recovered { path } => changes.push(Change::Recovered { path }),
            }
        }
        let is_processes_due = now >= self.processes_due;
        if is_processes_due {
            self.processes_due = now + PROCESS_PERIOD;
        }
        for (path, file) in &mut self.files {
            let is_unsettled = now < file.unsettled_until;
            let has_changed = is_unsettled && file.read(path);
            is_news |= has_changed || is_processes_due;
            if has_changed || is_processes_due {
                file.is_alive = file.entry.as_ref().is_some_and(|it| is_alive(it, self.look_up));
            }
        }
        if is_news {
            self.report(wall, &mut changes);
        }
        changes
    }

    fn scan(&mut self, now: Duration) -> Vec<Item> {
        let mut items = Vec::new();
        self.tree.scan(Reach::All);
        while self.tree.step(now, ALL, &mut items) {}
        items
    }

    fn report(&mut self, wall: Timestamp, changes: &mut Vec<Change>) {
        let entries =
            || self.files.values().filter_map(|it| Some((it.entry.as_ref()?, it.is_alive)));
        let mut ids: HashSet<&str> =
            entries().map(|(entry, _)| entry.session_id.as_str()).collect();
        ids.extend(self.reported.keys().map(String::as_str));
        let mut sessions = Vec::new();
        for id in ids {
            let of_session = || entries().filter(|(entry, _)| entry.session_id == id);
            let alive = of_session().filter(|(_, is_alive)| *is_alive).map(|(entry, _)| entry);
            let is_foreign =
                of_session().next().is_some() && of_session().all(|it| is_foreign(it.0));
            // Several processes can have resumed one session.
            let liveness = match alive.min_by_key(|entry| urgency(entry)) {
                Some(entry) => Liveness::Alive(Box::new(entry.clone())),
                None if is_foreign => Liveness::Unknown,
                None => match self.reported.get(id) {
                    Some(gone @ Liveness::Gone { .. }) => gone.clone(),
                    _ => Liveness::Gone { since: wall },
                },
            };
            if self.reported.get(id) != Some(&liveness) {
                sessions.push((id.to_owned(), liveness));
            }
        }
        for (id, liveness) in sessions {
            self.reported.insert(id.clone(), liveness.clone());
            changes.push(Change::Session { id, liveness });
        }
    }

    /// Returns what was reported of a session last.
    pub(crate) fn liveness(&self, id: &str) -> Liveness {
        self.reported.get(id).cloned().unwrap_or(Liveness::Unknown)
    }

    /// Returns the sessions that run, by id, as they were reported last.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.reported.iter().filter_map(|(id, liveness)| match liveness {
            Liveness::Alive(entry) => Some((id.as_str(), &**entry)),
            _ => None,
        })
    }

    /// Forgets a session that is no longer shown, if its entry is gone.
    pub(crate) fn forget(&mut self, id: &str) {
        let is_listed = self
            .files
            .values()
            .any(|file| file.entry.as_ref().is_some_and(|entry| entry.session_id == id));
        if !is_listed {
            self.reported.remove(id);
        }
    }
}

impl File {
    /// Returns whether there is another entry than before. Half-written JSON keeps the last one.
    fn read(&mut self, path: &Path) -> bool {
        let content = small::read(path, MAX_ENTRY_BYTES);
        let Some(mut entry) = content.and_then(|(_, bytes)| status::parse(&bytes)) else {
            return false;
        };
        entry.pid = entry.pid.or_else(|| pid_of(path));
        let has_changed = self.entry.as_ref() != Some(&entry);
        self.entry = Some(entry);
        has_changed
    }
}

fn is_entry(path: &Path, kind: Kind) -> bool {
    kind == Kind::File && path.extension().is_some_and(|extension| extension == "json")
}

/// Sessions that need a person come first, if several processes have resumed one.
fn urgency(entry: &Entry) -> u8 {
    match entry.status {
        Some(EntryStatus::Waiting { .. }) => 0,
        Some(EntryStatus::Busy) => 1,
        Some(EntryStatus::Idle | EntryStatus::Shell) => 2,
        None => 3,
    }
}

/// The process id in a file's name: `40211.json`, and `pid-40211.json` of 2025.
fn pid_of(path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    stem.strip_prefix("pid-").unwrap_or(stem).parse().ok()
}

/// Whether the entry's process runs. Its number can be in use by another process since.
fn is_alive(entry: &Entry, look_up: fn(u32) -> Process) -> bool {
    let Some(pid) = entry.pid.filter(|_| !is_foreign(entry)) else { return false };
    match (look_up(pid), &entry.proc_start) {
        (Process::Absent, _) => false,
        (Process::Running { started_at: Some(started_at) }, Some(wanted)) => {
            // A date is how other systems print it; then the number alone counts.
            started_at == *wanted || !wanted.bytes().all(|byte| byte.is_ascii_digit())
        }
        (Process::Running { .. }, _) => true,
    }
}

/// Whether the entry's process ids are those of another system, as with a mounted home directory.
fn is_foreign(entry: &Entry) -> bool {
    let own = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let systems = ["linux", "darwin", "win32"];
    entry.pid_domain.as_deref().is_some_and(|it| it != own && systems.contains(&it))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// The processes that run, with their starts.
        static PROCESSES: RefCell<HashMap<u32, String>> = RefCell::default();
    }

    fn look_up(pid: u32) -> Process {
        let started_at = PROCESSES.with_borrow(|processes| processes.get(&pid).cloned());
        started_at.map_or(Process::Absent, |it| Process::Running { started_at: Some(it) })
    }

    struct World {
        dir: tempfile::TempDir,
        statuses: Statuses,
        now: Duration,
    }

    impl World {
        fn new(processes: &[(u32, &str)]) -> World {
            let processes = processes.iter().map(|(pid, start)| (*pid, (*start).to_owned()));
            PROCESSES.set(processes.collect());
            let dir = tempfile::tempdir().unwrap();
            let statuses = Statuses::new(dir.path().join("sessions"), look_up);
            fs::create_dir(dir.path().join("sessions")).unwrap();
            World { dir, statuses, now: Duration::ZERO }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join("sessions").join(name), text).unwrap();
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.dir.path().join("sessions").join(name)).unwrap();
        }

        fn poll(&mut self) -> Vec<String> {
            self.now += Duration::from_millis(100);
            let wall = Timestamp::UNIX_EPOCH + self.now;
            let mut shown: Vec<_> = self.statuses.poll(self.now, wall).iter().map(show).collect();
            shown.sort();
            shown
        }

        /// What comes within the time in which processes are looked at.
        fn polls(&mut self) -> Vec<String> {
            (0..11).flat_map(|_| self.poll()).collect()
        }
    }

    fn show(change: &Change) -> String {
        match change {
            Change::Session { id, liveness: Liveness::Alive(entry) } => match &entry.status {
                Some(EntryStatus::Waiting { waiting_for: Some(it) }) => format!("{id} waits: {it}"),
                Some(status) => format!("{id} {status:?}"),
                None => format!("{id} lives"),
            },
            Change::Session { id, liveness: Liveness::Gone { .. } } => format!("{id} gone"),
            Change::Session { id, liveness: Liveness::Unknown } => format!("{id} unknown"),
            Change::Unreadable { msg, .. } => msg.clone(),
            Change::Recovered { .. } => "recovered".to_owned(),
        }
    }

    fn entry(pid: u32, start: &str, session: &str, status: &str) -> String {
        format!(
            r#"{{"pid":{pid},"sessionId":"{session}","procStart":"{start}","status":"{status}","waitingFor":"permission prompt"}}"#
        )
    }

    #[test]
    fn a_session_is_reported_when_its_status_changes_and_when_it_is_gone() {
        let mut world = World::new(&[(7, "100")]);
        assert_eq!(world.poll(), [""; 0]);
        world.write("7.json", &entry(7, "100", "a", "busy"));
        assert_eq!(world.poll(), ["a Busy"]);
        assert_eq!(world.polls(), [""; 0]);
        world.write("7.json", &entry(7, "100", "a", "waiting"));
        assert_eq!(world.poll(), ["a waits: permission prompt"]);
        world.write("7.json", &entry(7, "100", "a", "idle"));
        assert_eq!(world.poll(), ["a Idle"]);
        world.remove("7.json");
        assert_eq!(world.poll(), ["a gone"]);
        assert_eq!(world.polls(), [""; 0]);
    }

    #[test]
    fn a_process_that_dies_or_is_another_one_does_not_live() {
        let mut world = World::new(&[(7, "100"), (8, "999")]);
        world.write("7.json", &entry(7, "100", "a", "busy"));
        world.write("8.json", &entry(8, "100", "reused", "busy"));
        world.write("9.json", &entry(9, "100", "crashed", "busy"));
        assert_eq!(world.poll(), ["a Busy", "crashed gone", "reused gone"]);
        PROCESSES.with_borrow_mut(HashMap::clear);
        assert_eq!(world.polls(), ["a gone"]);
        PROCESSES.with_borrow_mut(|processes| processes.insert(7, "200".to_owned()));
        assert_eq!(world.polls(), [""; 0], "the number alone is used again");
    }

    #[test]
    fn entries_of_any_age_count_and_other_files_are_not_read() {
        let mut world = World::new(&[(5, "1"), (6, "1")]);
        world.write("pid-5.json", r#"{"session_id":"old","cwd":"/p"}"#);
        world.write(
            "6.json",
            r#"{"pid":6,"sessionId":"sdk","procStart":"Sun Sep 20 08:51:15 2026"}"#,
        );
        world.write("6.abc.key", "secret");
        world.write("x.json", "[]");
        assert_eq!(world.poll(), ["old lives", "sdk lives"]);
    }

    #[test]
    fn half_an_entry_keeps_the_last_one_until_it_is_whole() {
        let mut world = World::new(&[(7, "100")]);
        let whole = entry(7, "100", "a", "busy");
        world.write("7.json", &whole);
        assert_eq!(world.poll(), ["a Busy"]);
        world.write("7.json", &whole[..40]);
        assert_eq!(world.polls(), [""; 0]);
        world.write("7.json", "");
        assert_eq!(world.poll(), [""; 0]);
        world.write("7.json", &whole.replace("busy", "idle"));
        assert_eq!(world.poll(), ["a Idle"]);
    }

    #[test]
    fn of_two_processes_with_one_session_the_one_that_waits_counts() {
        let mut world = World::new(&[(7, "1"), (8, "1")]);
        world.write("7.json", &entry(7, "1", "a", "busy"));
        world.write("8.json", &entry(8, "1", "a", "waiting"));
        assert_eq!(world.poll(), ["a waits: permission prompt"]);
        world.remove("8.json");
        assert_eq!(world.poll(), ["a Busy"]);
    }

    #[test]
    fn processes_of_another_system_are_not_looked_up() {
        let mut world = World::new(&[(7, "1")]);
        let domain = if cfg!(target_os = "macos") { "linux" } else { "darwin" };
        let foreign =
            entry(7, "1", "a", "busy").replace('{', &format!("{{\"pidDomain\":\"{domain}\","));
        world.write("7.json", &foreign);
        assert_eq!(world.poll(), ["a unknown"]);
    }

    #[test]
    fn a_registry_that_cannot_be_read_is_an_error_once() {
        let mut world = World::new(&[]);
        let dir = world.dir.path().join("sessions");
        fs::remove_dir(&dir).unwrap();
        assert_eq!(world.polls(), [""; 0], "an absent one is none");
        fs::write(&dir, "").unwrap();
        assert_eq!(world.polls(), ["not a directory (os error 20)"]);
        fs::remove_file(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        assert_eq!(world.polls(), ["recovered"]);
    }

    #[test]
    fn a_second_change_within_one_tick_is_seen() {
        let mut world = World::new(&[(7, "1")]);
        let path = world.dir.path().join("sessions/7.json");
        world.write("7.json", &entry(7, "1", "a", "busy"));
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(world.poll(), ["a Busy"]);
        world.write("7.json", &entry(7, "1", "a", "idle"));
        fs::File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        assert_eq!(world.poll(), ["a Idle"]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write { file: u32, pid: u32, start: u8, session: u8, status: u8 },
        Cut { file: u32 },
        Remove { file: u32 },
        Start { pid: u32, start: u8 },
        Kill { pid: u32 },
        Poll,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (few, pids) = (0..3_u8, 1..4_u32);
        prop_oneof![
            4 => (pids.clone(), pids.clone(), few.clone(), few.clone(), 0..5_u8).prop_map(
                |(file, pid, start, session, status)| {
                    Step::Write { file, pid, start, session, status }
                },
            ),
            1 => pids.clone().prop_map(|file| Step::Cut { file }),
            1 => pids.clone().prop_map(|file| Step::Remove { file }),
            2 => (pids.clone(), few).prop_map(|(pid, start)| Step::Start { pid, start }),
            2 => pids.prop_map(|pid| Step::Kill { pid }),
            4 => Just(Step::Poll),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_registry_makes_a_dead_process_live(steps in prop::collection::vec(step(), 0..40)) {
            let mut world = World::new(&[]);
            for step in steps {
                match step {
                    Step::Write { file, pid, start, session, status } => {
                        let status = ["busy", "idle", "waiting", "shell", "?"][usize::from(status)];
                        let text = entry(pid, &start.to_string(), &session.to_string(), status);
                        world.write(&format!("{file}.json"), &text);
                    }
                    Step::Cut { file } => world.write(&format!("{file}.json"), "{\"pid\":1,\"ses"),
                    Step::Remove { file } => {
                        let name = format!("sessions/{file}.json");
                        _ = fs::remove_file(world.dir.path().join(name));
                    }
                    Step::Start { pid, start } => PROCESSES.with_borrow_mut(|processes| {
                        processes.insert(pid, start.to_string());
                    }),
                    Step::Kill { pid } => PROCESSES.with_borrow_mut(|processes| {
                        processes.remove(&pid);
                    }),
                    Step::Poll => {
                        world.polls();
                        for liveness in world.statuses.reported.values() {
                            let Liveness::Alive(entry) = liveness else { continue };
                            let started_at = entry.proc_start.clone();
                            let running = Process::Running { started_at };
                            prop_assert_eq!(look_up(entry.pid.unwrap()), running);
                        }
                    }
                }
            }
        }
    }
}
