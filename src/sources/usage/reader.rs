//! Finds the transcripts, and reads them in steps.
//!
//! A first scan finds all files, so that the newest are read first and a client can be told how far
//! reading is. Later scans find files that no tail follows.
//! Invariant: a step does some milliseconds of work. Only lines that can have tokens or a cost are
//! parsed.
//! Known weakness: without requests, a file that no tail follows is found within a minute.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use parking_lot::Mutex;

use crate::follow::tree::{Item, Reach, Tree};
use crate::formats::transcript::{each_counted, reported_cost};
use crate::report::log;
use crate::sources::transcripts::place;
use crate::usage::{FileNo, Progress, Responses};

use super::Shared;
use super::file::{Lines, Outcome, Position};

/// The time between two steps while nothing is to be read: with the time in which a tail sees a
/// response, less than a second.
const PERIOD: Duration = Duration::from_millis(500);

/// The time between two scans while clients ask, and while none does: what tails follow is read
/// without one.
const ASKED_SCAN_PERIOD: Duration = Duration::from_secs(1);
const SCAN_PERIOD: Duration = Duration::from_secs(60);

/// Directories that a step of a scan visits.
const STEP_DIRS: usize = 64;

/// The bytes that a step reads of a file, some milliseconds of work.
const STEP_BYTES: usize = 8 << 20;

/// Reads the transcripts in steps.
pub(crate) struct Reader {
    projects: PathBuf,
    tree: Tree,
    files: HashMap<PathBuf, Known>,
    /// Files to read, the newest first.
    queue: BinaryHeap<(Option<SystemTime>, PathBuf)>,
    /// Files that tails reported and no scan has found yet; a scan would miss their removal.
    unlisted: HashSet<PathBuf>,
    /// Files that were not read to their ends yet.
    unread: usize,
    scan: Scan,
    scanned_at: Option<Duration>,
    lines: LineFinder,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
}

/// How far the search for files is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scan {
    /// It goes on; nothing is read before the first one has ended, so that the newest come first.
    Running,
    Over,
}

struct Known {
    no: FileNo,
    position: Position,
    is_unread: bool,
    is_unreadable: bool,
}

impl Reader {
    pub(super) fn new(projects: PathBuf, shared: Arc<Shared>) -> Reader {
        Reader {
            tree: Tree::new(projects.clone(), place::is_counted),
            projects,
            files: HashMap::new(),
            queue: BinaryHeap::new(),
            unlisted: HashSet::new(),
            unread: 0,
            scan: Scan::Over,
            scanned_at: None,
            lines: LineFinder::new(),
            buffer: Vec::new(),
            shared,
        }
    }

    /// Reads some of what there is to read. Returns when the next step is due.
    pub(crate) fn step(&mut self, now: Duration) -> Duration {
        let changed = std::mem::take(&mut *self.shared.changed.lock());
        for path in changed {
            if !self.files.contains_key(&path) {
                self.unlisted.insert(path.clone());
            }
            self.found(path, Some(SystemTime::now()));
        }
        if self.read(now) { Duration::ZERO } else { PERIOD }
    }

    /// Scans if it is time, and reads some. Returns whether there is more to do now.
    pub(super) fn read(&mut self, now: Duration) -> bool {
        self.search(now);
        let is_first_scan = self.shared.progress.lock().is_searching;
        if !is_first_scan {
            self.read_next();
        }
        let (files, done) = (self.files.len(), self.files.len() - self.unread);
        let is_searching = is_first_scan && self.scan == Scan::Running;
        *self.shared.progress.lock() = Progress { files, done, is_searching };
        let has_more = self.scan == Scan::Running || !self.queue.is_empty();
        if !has_more {
            self.buffer = Vec::new();
        }
        has_more
    }

    fn search(&mut self, now: Duration) {
        if self.scan == Scan::Over {
            let is_asked = self.shared.is_asked.load(Relaxed);
            let period = if is_asked { ASKED_SCAN_PERIOD } else { SCAN_PERIOD };
            if self.scanned_at.is_some_and(|at| now < at + period) {
                return;
            }
            self.shared.is_asked.store(false, Relaxed);
            self.scanned_at = Some(now);
            self.tree.scan(Reach::All);
        }
        let mut items = Vec::new();
        let has_more = self.tree.step(now, STEP_DIRS, &mut items);
        self.scan = if has_more { Scan::Running } else { Scan::Over };
        let mut gone = Vec::new();
        for item in items {
            match item {
                Item::Appeared { path, state } | Item::Changed { path, state } => {
                    self.unlisted.remove(&path);
                    self.found(path, state.mtime);
                }
                Item::Vanished { path } => gone.extend(self.forget(&path)),
                Item::Unreadable { path, msg } => warn(&path, msg),
                Item::Recovered { .. } => {}
            }
        }
        if self.scan == Scan::Over {
            let lost: Vec<PathBuf> = self.unlisted.extract_if(|path| !path.exists()).collect();
            gone.extend(lost.iter().filter_map(|path| self.forget(path)));
        }
        if !gone.is_empty() {
            self.shared.remove(&gone);
        }
    }

    fn found(&mut self, path: PathBuf, mtime: Option<SystemTime>) {
        if !self.files.contains_key(&path) {
            let Ok(relative) = path.strip_prefix(&self.projects) else { return };
            let Some(owner) = place::account(relative) else { return };
            let no = self.shared.responses.lock().add_file(&relative.to_string_lossy(), owner);
            let known =
                Known { no, position: Position::default(), is_unread: true, is_unreadable: false };
            self.files.insert(path.clone(), known);
            self.unread += 1;
        }
        self.queue.push((mtime, path));
    }

    fn forget(&mut self, path: &Path) -> Option<FileNo> {
        let known = self.files.remove(path)?;
        self.unread -= usize::from(known.is_unread);
        Some(known.no)
    }

    /// Reads a part of the first file in the queue.
    fn read_next(&mut self) {
        let Some(entry) = self.queue.pop() else { return };
        let path = &entry.1;
        let Some(known) = self.files.get_mut(path) else { return };
        let (responses, lines) = (&self.shared.responses, &self.lines);
        let each = |of: Lines| lines.count(of, known.no, responses);
        let outcome = known.position.read(path, &mut self.buffer, STEP_BYTES, each);
        if let Err(error) = &outcome {
            if error.kind() == ErrorKind::NotFound {
                let gone = self.forget(path);
                return self.shared.remove(gone.as_slice());
            }
            if !known.is_unreadable {
                warn(path, error.to_string().to_lowercase());
            }
        }
        known.is_unreadable = outcome.is_err();
        match outcome {
            Ok(Outcome::More) => self.queue.push(entry),
            Ok(Outcome::Rewritten) => {
                let no = known.no;
                let mut responses = responses.lock();
                responses.remove(&[no]);
                let relative = path.strip_prefix(&self.projects).unwrap_or(path);
                let owner = place::account(relative).expect("the file is known");
                known.no = responses.add_file(&relative.to_string_lossy(), owner);
                self.queue.push(entry);
            }
            // Unreadable files count as absent.
            Ok(Outcome::AtEnd) | Err(_) => {
                responses.lock().shrink(known.no);
                self.unread -= usize::from(std::mem::take(&mut known.is_unread));
            }
        }
    }
}

fn warn(path: &Path, msg: String) {
    log::warn(format_args!("cannot read `{}`: {msg}", path.display()));
}

/// Finds the lines that matter without parsing the others: most bytes of a transcript are in
/// results of tools.
struct LineFinder {
    usage: Finder<'static>,
    assistant: Finder<'static>,
    cost: Finder<'static>,
}

impl LineFinder {
    fn new() -> LineFinder {
        LineFinder {
            usage: Finder::new("\"usage\""),
            assistant: Finder::new("\"assistant\""),
            cost: Finder::new("\"totalCostUSD\""),
        }
    }

    fn count(&self, (bytes, offset): Lines, file: FileNo, responses: &Mutex<Responses>) {
        each_line_with(&self.usage, bytes, |line, start| {
            if self.assistant.find(line).is_some() {
                each_counted(line, |counted| {
                    responses.lock().add(file, offset + start as u64, &counted);
                });
            }
        });
        let mut cost = None;
        each_line_with(&self.cost, bytes, |line, _| cost = reported_cost(line).or(cost));
        if let Some(usd) = cost {
            responses.lock().set_reported_cost(file, usd);
        }
    }
}

/// Passes on the lines that contain a text, and where they start.
fn each_line_with(text: &Finder, bytes: &[u8], mut each: impl FnMut(&[u8], usize)) {
    let mut at = 0;
    while let Some(found) = text.find(&bytes[at..]).map(|found| at + found) {
        let start = memrchr(b'\n', &bytes[at..found]).map_or(at, |before| at + before + 1);
        let end = memchr(b'\n', &bytes[found..]).map_or(bytes.len(), |after| found + after);
        each(&bytes[start..end], start);
        at = end;
    }
}
