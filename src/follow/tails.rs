//! Follows the files of a tree: many tails that share a buffer and a bounded number of handles.
//!
//! A scan finds the files. The caller decides which of them have a tail and how often it is
//! polled. A file has a key that stays when the file is moved within the tree, and so does its
//! tail.
//! Invariant: no clock (the time is a parameter), no thread, no printing, and no knowledge of a
//! file's meaning.
//! Known weakness: a rewrite of a file without an open handle is seen as one of a closed
//! [`Tail`]; a file that is new in an old directory is found by the next scan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::tail::{Batch, Options, Status, Tail};
use super::tree::{FileState, Item, Kind, Reach, Tree};

/// The time between two scans.
const SCAN_PERIOD: Duration = Duration::from_secs(5);

/// The time between two scans that look at each file. Those in between go to the directories that
/// the caller says: with 3,000 files that is a fiftieth of the work.
const DEEP_SCAN_PERIOD: Duration = Duration::from_secs(60);

/// Where polls are rare, deep scans are this many polls apart, or this time.
const DEEP_SCAN_POLLS: u32 = 3000;
const MAX_DEEP_SCAN_PERIOD: Duration = Duration::from_secs(300);

/// The shortest time between two scans, while a file that should be there is missing.
const HURRIED_PERIOD: Duration = Duration::from_millis(200);

/// Directories that a step of a scan visits, about a millisecond of work.
const STEP_DIRS: usize = 16;

/// A tail that is polled sometimes is due after this many polls of the others, or after this time.
const SOMETIMES_POLLS: u32 = 5;
const MAX_SOMETIMES_PERIOD: Duration = Duration::from_millis(400);

/// The same of a tail that is seldom polled, which waits for the first of the times at least.
const SELDOM_POLLS: u32 = 25;
const SELDOM_PERIOD: Duration = Duration::from_secs(1);
const MAX_SELDOM_PERIOD: Duration = Duration::from_secs(5);

/// The most bytes that a poll reads: half a millisecond of work to the caller, and fewer lines than
/// a ring of events holds.
const POLL_BYTES: usize = 256 << 10;

/// How much a step reads of the files that have to catch up, apart from those that are due anyway.
const CATCH_UP_BYTES: usize = 1 << 20;

/// The cost of a file that has to catch up beside its bytes: opening it takes as long as reading
/// this many.
const FILE_BYTES: usize = 8 << 10;

/// Names a file for as long as the program runs; from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

/// A change in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The file is new, existed at the first scan, or is back.
    Found {
        file: FileId,
    },
    /// The file, which has no tail, has changed.
    Changed {
        file: FileId,
        was: FileState,
    },
    /// The file is at another path now.
    Moved {
        file: FileId,
    },
    /// The file is nowhere in the tree.
    Gone {
        file: FileId,
    },
    /// A file without a key appeared, changed or vanished.
    Other {
        path: PathBuf,
    },
    Unreadable {
        path: PathBuf,
        msg: String,
    },
    Recovered {
        path: PathBuf,
    },
}

/// How often a tail is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Every [`Tails::begin`] asks for, with an open handle.
    Often,
    /// Every fifth time, and after 400 ms at most, with an open handle.
    Sometimes,
    /// Every 25th time, after one second at least and five at most, with a closed handle.
    Seldom,
    /// When a scan finds it changed, with a closed handle.
    OnChange,
}

impl Pace {
    fn is_hot(self) -> bool {
        matches!(self, Pace::Often | Pace::Sometimes)
    }
}

/// A tail after a poll.
pub(crate) struct Polled<'a> {
    pub(crate) file: FileId,
    pub(crate) path: &'a Path,
    /// The items of the poll.
    pub(crate) batch: &'a mut Batch,
    /// Whether the tail has read everything that the file had at the first poll.
    pub(crate) has_caught_up: bool,
    pub(crate) size_bytes: u64,
    /// Up to where the tail has read.
    pub(crate) read_bytes: u64,
    /// When the file was last written; absent without items, a file, or such times.
    pub(crate) written_at: Option<SystemTime>,
}

/// See the module.
pub(crate) struct Tails {
    tree: Tree,
    key: fn(&Path) -> Option<String>,
    options: Options,
    max_open_files: usize,
    scan_depth: usize,
    last_id: u32,
    files: HashMap<FileId, File>,
    by_key: HashMap<String, FileId>,
    /// Further files with the key of a file, by path.
    copies: BTreeMap<PathBuf, (FileId, FileState)>,
    missing: BTreeSet<FileId>,
    /// Files that were reported to be gone, but that a tail has found.
    back: Vec<FileId>,
    scans: u64,
    scan_due: Duration,
    /// When the last scan began.
    scanned_at: Duration,
    deep_scanned_at: Duration,
    is_scanning: bool,
    is_deep: bool,
    /// Directories in which a file was missed.
    to_look_at: BTreeSet<PathBuf>,
    often: BTreeSet<FileId>,
    sometimes: BTreeSet<FileId>,
    seldom: BTreeSet<FileId>,
    /// Tails that have not caught up, in the order in which they do.
    behind: BTreeSet<(Order, FileId)>,
    /// Between two polls of the tails that are polled often.
    period: Duration,
    often_due: Duration,
    sometimes_due: Duration,
    seldom_due: Duration,
    /// The tails to poll in this step, and those that had more to read.
    queue: VecDeque<FileId>,
    unfinished: VecDeque<FileId>,
    /// How much this step may still read of files that have to catch up.
    catch_up_bytes: usize,
    open_files: usize,
    tails: usize,
    batch: Batch,
}

/// How many files there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) files: usize,
    /// Files with a tail.
    pub(crate) tails: usize,
    /// Tails that are polled often or sometimes.
    pub(crate) hot: usize,
    /// Tails that have to catch up.
    pub(crate) behind: usize,
    pub(crate) open_files: usize,
}

/// Files that are polled often or sometimes come first, then the newest.
type Order = (bool, Reverse<Option<SystemTime>>);

struct File {
    key: String,
    path: PathBuf,
    /// As of the last scan.
    state: FileState,
    /// The number of scans that were begun when the file was missed; it is gone when a later one
    /// has ended.
    missing: Option<u64>,
    followed: Option<Box<Followed>>,
}

struct Followed {
    tail: Tail,
    pace: Pace,
    /// Present until the tail has caught up.
    behind: Option<Order>,
}

impl Tails {
    /// Follows the files below `root` that `accepts` lets through and `key` names. A scan goes
    /// `scan_depth` directories deep as a rule, and finds files that appear or vanish.
    /// `max_open_files` bounds the handles.
    pub(crate) fn new(
        root: PathBuf,
        accepts: fn(&Path, Kind) -> bool,
        key: fn(&Path) -> Option<String>,
        options: Options,
        scan_depth: usize,
        max_open_files: usize,
    ) -> Tails {
        Tails {
            tree: Tree::new(root, accepts),
            key,
            options,
            max_open_files,
            scan_depth,
            last_id: 0,
            files: HashMap::new(),
            by_key: HashMap::new(),
            copies: BTreeMap::new(),
            missing: BTreeSet::new(),
            back: Vec::new(),
            scans: 0,
            scan_due: Duration::ZERO,
            scanned_at: Duration::ZERO,
            deep_scanned_at: Duration::ZERO,
            is_scanning: false,
            is_deep: false,
            to_look_at: BTreeSet::new(),
            often: BTreeSet::new(),
            sometimes: BTreeSet::new(),
            seldom: BTreeSet::new(),
            behind: BTreeSet::new(),
            period: Duration::ZERO,
            often_due: Duration::ZERO,
            sometimes_due: Duration::ZERO,
            seldom_due: Duration::ZERO,
            queue: VecDeque::new(),
            unfinished: VecDeque::new(),
            catch_up_bytes: 0,
            open_files: 0,
            tails: 0,
            batch: Batch::new(POLL_BYTES),
        }
    }

    /// Returns whether the first scan has ended.
    pub(crate) fn is_scanned(&self) -> bool {
        self.scans > 1 || (self.scans == 1 && !self.is_scanning)
    }

    pub(crate) fn path(&self, file: FileId) -> Option<&Path> {
        self.files.get(&file).map(|file| file.path.as_path())
    }

    /// Returns the file's state as of the last scan.
    pub(crate) fn state(&self, file: FileId) -> Option<FileState> {
        self.files.get(&file).map(|file| file.state)
    }

    /// Returns up to where the file's tail has read; absent without a tail.
    pub(crate) fn read_bytes(&self, file: FileId) -> Option<u64> {
        let followed = self.files.get(&file)?.followed.as_ref()?;
        Some(followed.tail.status().read_bytes)
    }

    /// Returns up to where the file's tail has given out lines; absent without a tail.
    pub(crate) fn given_bytes(&self, file: FileId) -> Option<u64> {
        let followed = self.files.get(&file)?.followed.as_ref()?;
        Some(followed.tail.given_bytes())
    }

    /// Whether the file's tail has more to read now.
    pub(crate) fn is_reading(&self, file: FileId) -> bool {
        let followed = self.files.get(&file).and_then(|file| file.followed.as_ref());
        followed.is_some_and(|followed| followed.behind.is_some())
            || self.unfinished.contains(&file)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            files: self.files.len(),
            tails: self.tails,
            hot: self.often.len() + self.sometimes.len(),
            behind: self.behind.len(),
            open_files: self.open_files,
        }
    }

    /// Takes a step of a scan if one is due, and looks for files that were missed.
    pub(crate) fn scan(&mut self, now: Duration) -> Vec<Change> {
        let mut items = Vec::new();
        let back = std::mem::take(&mut self.back);
        let mut changes: Vec<_> = back.into_iter().map(|file| Change::Found { file }).collect();
        for dir in std::mem::take(&mut self.to_look_at) {
            self.tree.look(&dir, now, &mut items);
            self.hurry(now);
        }
        if !self.is_scanning {
            if now < self.scan_due {
                changes.extend(self.changes(items));
                return changes;
            }
            // Only a scan of everything distinguishes a moved file from a removed one.
            let period =
                (DEEP_SCAN_POLLS * self.period).clamp(DEEP_SCAN_PERIOD, MAX_DEEP_SCAN_PERIOD);
            let is_due = self.scans == 0 || now >= self.deep_scanned_at + period;
            self.is_deep = is_due || !self.missing.is_empty();
            if self.is_deep {
                self.deep_scanned_at = now;
            }
            let depth = self.scan_depth;
            self.tree.scan(if self.is_deep { Reach::All } else { Reach::Directories { depth } });
            self.is_scanning = true;
            self.scans += 1;
            (self.scanned_at, self.scan_due) = (now, now + SCAN_PERIOD);
        }
        self.is_scanning = self.tree.step(now, STEP_DIRS, &mut items);
        changes.extend(self.changes(items));
        if !self.is_scanning {
            changes.extend(self.look_at_copies());
            self.settle_missing(now, &mut changes);
        }
        changes
    }

    /// Brings the next scan forward, to now if the last one was not just before.
    pub(crate) fn hurry(&mut self, now: Duration) {
        self.scan_due = self.scan_due.min(now.max(self.scanned_at + HURRIED_PERIOD));
    }

    /// Looks at one directory and those that are new below it.
    pub(crate) fn look(&mut self, dir: &Path, now: Duration) -> Vec<Change> {
        let mut items = Vec::new();
        self.tree.look(dir, now, &mut items);
        self.changes(items)
    }

    /// Looks at the copies of files that are polled. A scan that does not look at each file would
    /// leave the tail at a copy that is no longer written.
    fn look_at_copies(&mut self) -> Vec<Change> {
        let is_polled = |id| {
            let followed = self.files.get(id).and_then(|file| file.followed.as_ref());
            followed.is_some_and(|followed| followed.pace != Pace::OnChange)
        };
        let copies = self.copies.iter().filter(|(_, (id, _))| is_polled(id));
        let paths: Vec<_> = copies.map(|(path, _)| path.clone()).collect();
        let states = paths.into_iter().filter_map(|path| Some((FileState::at(&path)?, path)));
        states.filter_map(|(state, path)| self.update(path, state)).collect()
    }

    fn changes(&mut self, items: Vec<Item>) -> Vec<Change> {
        let mut changes = Vec::new();
        for item in items {
            changes.extend(match item {
                Item::Appeared { path, state } | Item::Changed { path, state } => {
                    self.update(path, state)
                }
                Item::Vanished { path } => self.miss(path),
                Item::Unreadable { path, msg } => Some(Change::Unreadable { path, msg }),
                Item::Recovered { path } => Some(Change::Recovered { path }),
            });
        }
        changes
    }

    fn update(&mut self, path: PathBuf, state: FileState) -> Option<Change> {
        let Some(key) = (self.key)(&path) else { return Some(Change::Other { path }) };
        let Some(&id) = self.by_key.get(&key) else {
            self.last_id += 1;
            let id = FileId(self.last_id);
            self.by_key.insert(key.clone(), id);
            self.files.insert(id, File { key, path, state, missing: None, followed: None });
            return Some(Change::Found { file: id });
        };
        let file = self.files.get_mut(&id)?;
        if file.path != path {
            // Of two copies the one that was written last is followed. The known state is behind
            // that of a file that is being written, and a copy may have its times.
            let present = FileState::at(&file.path);
            if present.is_some_and(|present| !state.is_ahead_of(&present)) {
                self.copies.insert(path, (id, state));
                return None;
            }
            return Some(self.move_to(id, path, state));
        }
        let was = std::mem::replace(&mut file.state, state);
        // A file that was missed and is no longer looked for was reported to be gone.
        if file.missing.take().is_some() && !self.missing.remove(&id) {
            return Some(Change::Found { file: id });
        }
        if was == state {
            return None;
        }
        match &file.followed {
            None => Some(Change::Changed { file: id, was }),
            Some(followed) => {
                if followed.pace == Pace::OnChange {
                    self.unfinished.push_back(id);
                }
                None
            }
        }
    }

    fn move_to(&mut self, id: FileId, path: PathBuf, state: FileState) -> Change {
        self.copies.remove(&path);
        let file = self.files.get_mut(&id).expect("the id is of a known key");
        if let Some(followed) = &mut file.followed {
            followed.tail.move_to(path.clone());
            if followed.pace == Pace::OnChange {
                // It can have grown too.
                self.unfinished.push_back(id);
            }
        }
        let was_gone = file.missing.take().is_some() && !self.missing.remove(&id);
        let from = std::mem::replace(&mut file.path, path);
        file.state = state;
        if let Some(state) = FileState::at(&from) {
            self.copies.insert(from, (id, state));
        }
        if was_gone { Change::Found { file: id } } else { Change::Moved { file: id } }
    }

    fn miss(&mut self, path: PathBuf) -> Option<Change> {
        let Some(key) = (self.key)(&path) else { return Some(Change::Other { path }) };
        if self.copies.remove(&path).is_some() {
            return None;
        }
        let id = *self.by_key.get(&key)?;
        let file = self.files.get_mut(&id)?;
        if file.path != path {
            return None;
        }
        let copies = self.copies.iter().filter(|(_, (of, _))| *of == id);
        // The copy that was written last takes its place.
        if let Some((path, (_, state))) = copies.max_by_key(|(_, (_, state))| state.mtime) {
            let (path, state) = (path.clone(), *state);
            return Some(self.move_to(id, path, state));
        }
        if file.missing.is_none() {
            file.missing = Some(self.scans);
            self.missing.insert(id);
        }
        None
    }

    /// After a scan: files that it did not find in any place are gone.
    fn settle_missing(&mut self, now: Duration, changes: &mut Vec<Change>) {
        let scans = self.scans;
        for id in std::mem::take(&mut self.missing) {
            let Some(file) = self.files.get_mut(&id) else { continue };
            if self.is_deep && file.missing.is_some_and(|at| at < scans) {
                if FileState::at(&file.path).is_some() {
                    file.missing = None;
                } else {
                    changes.push(Change::Gone { file: id });
                }
            } else {
                self.missing.insert(id);
            }
        }
        if !self.missing.is_empty() {
            self.hurry(now);
        }
    }

    /// Returns the files whose tails are polled often or sometimes.
    pub(crate) fn hot(&self) -> Vec<FileId> {
        self.often.iter().chain(&self.sometimes).copied().collect()
    }

    /// Gives the file a tail, which begins at the file's first byte, or changes its pace.
    pub(crate) fn follow(&mut self, id: FileId, pace: Pace) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let order = (!pace.is_hot(), Reverse(file.state.mtime));
        let tails = &mut self.tails;
        let followed = file.followed.get_or_insert_with(|| {
            *tails += 1;
            let tail = Tail::new(file.path.clone(), self.options);
            Box::new(Followed { tail, pace, behind: Some(order) })
        });
        followed.pace = pace;
        match &mut followed.behind {
            Some(behind) => {
                self.behind.remove(&(*behind, id));
                *behind = order;
                self.behind.insert((order, id));
            }
            None => self.set_pace(id, pace),
        }
    }

    fn set_pace(&mut self, id: FileId, pace: Pace) {
        self.often.remove(&id);
        self.sometimes.remove(&id);
        self.seldom.remove(&id);
        match pace {
            Pace::Often => _ = self.often.insert(id),
            Pace::Sometimes => _ = self.sometimes.insert(id),
            Pace::Seldom => _ = self.seldom.insert(id),
            // A change since the last scan would not show in the next one.
            Pace::OnChange => self.unfinished.push_back(id),
        }
    }

    /// Takes the file's tail away.
    pub(crate) fn unfollow(&mut self, id: FileId) {
        let followed = self.files.get_mut(&id).and_then(|file| file.followed.take());
        let Some(followed) = followed else { return };
        self.open_files -= followed.tail.open_files();
        self.tails -= 1;
        self.often.remove(&id);
        self.sometimes.remove(&id);
        self.seldom.remove(&id);
        followed.behind.map(|order| self.behind.remove(&(order, id)));
    }

    /// Forgets a file that is gone.
    pub(crate) fn forget(&mut self, id: FileId) {
        self.unfollow(id);
        self.missing.remove(&id);
        if let Some(file) = self.files.remove(&id) {
            self.by_key.remove(&file.key);
        }
    }

    /// Begins to poll the tails that are due, with `period` between two polls of those that are
    /// polled often, and some of those that have to catch up.
    pub(crate) fn begin(&mut self, now: Duration, period: Duration) {
        self.period = period;
        // First the files that had more to read than one poll allows.
        self.queue.append(&mut self.unfinished);
        let sometimes_period = (SOMETIMES_POLLS * period).min(MAX_SOMETIMES_PERIOD);
        let seldom_period = (SELDOM_POLLS * period).clamp(SELDOM_PERIOD, MAX_SELDOM_PERIOD);
        for (tails, due, period) in [
            (&self.often, &mut self.often_due, period),
            (&self.sometimes, &mut self.sometimes_due, sometimes_period),
            (&self.seldom, &mut self.seldom_due, seldom_period),
        ] {
            // A longer period of before must not delay a shorter one.
            *due = (*due).min(now + period);
            if now >= *due {
                *due = now + period;
                self.queue.extend(tails);
            }
        }
        self.catch_up_bytes = CATCH_UP_BYTES;
    }

    /// Returns the file that catches up next, as long as the step may read of such files.
    fn next_behind(&mut self) -> Option<FileId> {
        let (_, id) = self.behind.first().filter(|_| self.catch_up_bytes > 0)?;
        let read_bytes = self.read_bytes(*id).unwrap_or(0);
        let size_bytes = self.files.get(id).map_or(0, |file| file.state.size_bytes);
        let left_bytes =
            usize::try_from(size_bytes.saturating_sub(read_bytes)).unwrap_or(POLL_BYTES);
        let cost = FILE_BYTES + left_bytes.min(POLL_BYTES);
        self.catch_up_bytes = self.catch_up_bytes.saturating_sub(cost);
        Some(*id)
    }

    /// Polls the tails that are due, up to one that has something to tell; absent if none has.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Polled<'_>> {
        let (id, has_caught_up) = loop {
            let id = self.queue.pop_front().or_else(|| self.next_behind())?;
            if let Some(has_caught_up) = self.poll(id, now) {
                break (id, has_caught_up);
            }
        };
        let file = self.files.get(&id)?;
        let (path, batch) = (file.path.as_path(), &mut self.batch);
        let Status { size_bytes, read_bytes, .. } = file.followed.as_ref()?.tail.status();
        let meta = if batch.is_empty() { None } else { fs::metadata(path).ok() };
        let written_at = meta.and_then(|meta| meta.modified().ok());
        Some(Polled { file: id, path, batch, has_caught_up, size_bytes, read_bytes, written_at })
    }

    /// Polls a tail. If that tells something, returns whether the tail has caught up.
    fn poll(&mut self, id: FileId, now: Duration) -> Option<bool> {
        let file = self.files.get_mut(&id)?;
        let followed = file.followed.as_mut()?;
        let (open_files, read_bytes) =
            (followed.tail.open_files(), followed.tail.status().read_bytes);
        let has_more = followed.tail.poll(now, &mut self.batch);
        self.open_files -= open_files;
        let is_over = self.open_files + followed.tail.open_files() > self.max_open_files;
        let is_done = !has_more && followed.tail.is_at_rest();
        // An open handle notices a replaced file for certain; a system allows only so many.
        if is_over || (!followed.pace.is_hot() && is_done) {
            followed.tail.close();
        }
        if followed.pace == Pace::OnChange {
            // Until then a change may not show in a scan.
            if is_done {
                self.seldom.remove(&id)
            } else {
                self.seldom.insert(id)
            };
        }
        self.open_files += followed.tail.open_files();
        let status = followed.tail.status();
        if !status.exists && file.missing.is_none() {
            self.to_look_at.extend(file.path.parent().map(Path::to_owned));
            file.missing = Some(self.scans);
            self.missing.insert(id);
        } else if status.exists && file.missing.take().is_some() && !self.missing.remove(&id) {
            self.back.push(id);
        }
        let was_behind = followed.behind.is_some();
        if has_more && !was_behind {
            self.unfinished.push_back(id);
        }
        if !has_more && let Some(order) = followed.behind.take() {
            let pace = followed.pace;
            self.behind.remove(&(order, id));
            self.set_pace(id, pace);
            return Some(true);
        }
        let is_news = !self.batch.is_empty() || status.read_bytes != read_bytes;
        is_news.then_some(!was_behind)
    }

    /// Returns how long nothing is due.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        if self.is_scanning || !self.behind.is_empty() || !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let dues = [
            (&self.often, self.often_due),
            (&self.sometimes, self.sometimes_due),
            (&self.seldom, self.seldom_due),
        ];
        let dues = dues.into_iter().filter(|(tails, _)| !tails.is_empty()).map(|(_, due)| due);
        let due = dues.fold(self.scan_due, Duration::min);
        due.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests;
