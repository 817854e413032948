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
        let state = look(&path).unwrap_or(None);
        Entry {
            path,
            reported: state,
            seen: state,
            seen_at: Duration::ZERO,
            unreported_since: None,
            trouble: None,
        }
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

        /// What comes within four polls: changes are reported by then, and once.
        #[track_caller]
        fn sees(&mut self, wanted: &[&str]) {
            let seen: Vec<String> = (0..4).flat_map(|_| self.poll()).collect();
            assert_eq!(seen, wanted);
        }
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
        World::new(|dir| fs::write(dir.join("f"), "x").unwrap()).sees(&[]);
    }

    #[test]
    fn created_modified_and_removed() {
        let mut world = World::new(|_| {});
        world.write("f", "x");
        world.sees(&["Created 1"]);
        world.write("f", "xy");
        world.sees(&["Modified 2"]);
        fs::remove_file(world.at("f")).unwrap();
        world.sees(&["Removed -"]);
    }

    #[test]
    fn written_beside_and_renamed_over_is_one_change() {
        let mut world = World::new(|dir| fs::write(dir.join("f"), "x").unwrap());
        world.write("f.tmp", "y");
        fs::rename(world.at("f.tmp"), world.at("f")).unwrap();
        world.sees(&["Modified 1"]);
    }
}
