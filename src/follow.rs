//! What the polls found, as events in the hub: the one place that knows both the files and the events.
//!
//! Invariant: no clock and no sleep; the workers in `main` bring the time.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Data, Draft, Fault, FileChanged, Notice};
use crate::health::Health;
use crate::history;
use crate::hub::{Hub, RING_BYTES, RING_EVENTS};
use crate::log;
use crate::tail::{self, Kept, Line, Reason, Tail};
use crate::watch::{self, Change, Watch};

/// The history file under a Claude directory.
pub(crate) fn history_path(claude_dir: &Path) -> PathBuf {
    claude_dir.join("history.jsonl")
}

/// Files under a Claude directory that are watched unasked.
const WATCHED: [&str; 2] = ["stats-cache.json", "state/component-registry.json"];

/// Events that are published at once, so that streams send them together: a quarter of the ring, which gives a reader
/// three pauses to catch up before the ring moves on under it.
const BATCH: usize = RING_EVENTS / 4;

/// Bytes of lines after which a batch ends for the same reason; as events they are about twice as many.
const BATCH_BYTES: usize = 1024 * 1024;

/// How long a burst waits for readers that are half a ring behind. One that has stalled holds the others up for as long,
/// once; a burst smaller than that never waits.
const READER_TIME: Duration = Duration::from_millis(250);

/// Follows the history file into the hub.
pub(crate) struct History {
    tail: Tail,
    /// What the last poll found, as far as it is not published yet.
    waiting: VecDeque<tail::Item>,
    /// There was more to read at the last poll.
    more: bool,
    /// Since when the next batch has been waiting for readers.
    held_since: Option<Duration>,
    path: String,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

impl History {
    pub(crate) fn new(claude_dir: &Path, hub: Arc<Hub>, health: Arc<Health>) -> History {
        let path = history_path(claude_dir);
        let shown = path.to_string_lossy().into_owned();
        let tail = Tail::new(path, RING_EVENTS, history::is_whole);
        History {
            tail,
            waiting: VecDeque::new(),
            more: false,
            held_since: None,
            path: shown,
            hub,
            health,
        }
    }

    /// Reads what is there at the start: the backlog, of which no stream is told.
    pub(crate) fn seed(&mut self) {
        let mut seeds = Newest::default();
        loop {
            self.poll(Duration::ZERO);
            while let Some(line) = self.next_line() {
                self.health.counters.lines.add(1);
                seeds.push(line);
            }
            // What is no line can change which lines before it still stand.
            if !self.more || !self.waiting.is_empty() {
                break;
            }
        }
        let health = Arc::clone(&self.health);
        let drafts = seeds.lines.into_iter().rev().map(move |line| draft(&line, &health));
        self.hub.seed(drafts.len(), Box::new(drafts));
    }

    /// Publishes what is new, one batch at most. Returns whether there is more.
    pub(crate) fn step(&mut self, now: Duration) -> bool {
        if self.waiting.is_empty() {
            self.poll(now);
        }
        if !self.waiting.is_empty() && !self.is_held(now) {
            self.publish_batch();
        }
        self.more || !self.waiting.is_empty()
    }

    fn poll(&mut self, now: Duration) {
        let poll = self.tail.poll(now);
        self.waiting = poll.items.into();
        self.more = poll.more;
        self.health.set_history(self.tail.status());
    }

    /// The next of what waits, if it is a line.
    fn next_line(&mut self) -> Option<Line> {
        match self.waiting.pop_front()? {
            tail::Item::Line(line) => Some(line),
            other => {
                self.waiting.push_front(other);
                None
            }
        }
    }

    /// Whether readers have to catch up before the ring may move on.
    fn is_held(&mut self, now: Duration) -> bool {
        if !self.hub.is_far_ahead() {
            self.held_since = None;
            return false;
        }
        let since = *self.held_since.get_or_insert(now);
        let is_over = now >= since + READER_TIME;
        if is_over {
            self.hub.leave_behind();
            self.held_since = None;
        }
        !is_over
    }

    fn publish_batch(&mut self) {
        let mut left_bytes = BATCH_BYTES;
        for _ in 0..BATCH {
            let Some(item) = self.waiting.pop_front() else { break };
            if let tail::Item::Line(line) = &item {
                left_bytes = left_bytes.saturating_sub(line.bytes.len());
            }
            self.publish(item);
            if left_bytes == 0 {
                break;
            }
        }
        self.hub.tell();
    }

    fn publish(&mut self, item: tail::Item) {
        match item {
            tail::Item::Line(line) => {
                self.health.counters.lines.add(1);
                self.hub.add(draft(&line, &self.health));
                self.tail.recycle(line);
            }
            tail::Item::Reset { reason, kept } => self.reset(reason, &kept),
            tail::Item::Found => self.notice("history.found", "the history file is there now"),
            tail::Item::Unreadable { msg } => {
                self.hub.publish(fault(&self.health, "history.unreadable", msg, &self.path));
            }
            tail::Item::Recovered => {
                self.hub.publish(recovered(&self.health, &self.path));
            }
        }
    }

    fn reset(&self, reason: Reason, kept: &[Kept]) {
        self.health.counters.resets.add(1);
        let offsets: HashMap<u64, u64> = kept.iter().map(|kept| (kept.seq, kept.offset)).collect();
        self.hub.keep_lines(&offsets);
        let (reason, msg) = match reason {
            Reason::Truncated => ("truncated", "the history file was cut or rewritten"),
            Reason::Replaced => ("replaced", "another history file is in the place of the old one"),
            Reason::Removed => ("removed", "the history file was removed"),
        };
        let msg = format!("{msg}; {} of its known lines are still there", kept.len());
        log::info(&msg);
        let notice =
            Notice { kind: "history.reset", msg, reason: Some(reason), ..Notice::default() };
        self.hub.publish(Draft::new(None, &Data::Notice(notice)));
    }

    fn notice(&self, kind: &'static str, msg: &str) {
        log::info(msg);
        let notice = Notice { kind, msg: msg.to_owned(), ..Notice::default() };
        self.hub.publish(Draft::new(None, &Data::Notice(notice)));
    }
}

/// The newest lines, oldest first, as far as the ring could hold them.
#[derive(Default)]
struct Newest {
    lines: VecDeque<Line>,
    held_bytes: usize,
}

impl Newest {
    fn push(&mut self, line: Line) {
        self.held_bytes += line.bytes.len();
        self.lines.push_back(line);
        while self.lines.len() > RING_EVENTS || self.held_bytes > RING_BYTES {
            self.held_bytes -= self.lines.pop_front().map_or(0, |oldest| oldest.bytes.len());
        }
    }
}

fn draft(line: &Line, health: &Health) -> Draft {
    let parsed = history::draft(line);
    health.counters.parse_errors.add(u64::from(parsed.is_malformed));
    health.counters.oversized_lines.add(u64::from(line.is_truncated()));
    parsed.draft
}

/// The files under a Claude directory that are watched: those that always are, and more, each once.
pub(crate) fn watched(claude_dir: &Path, more: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in WATCHED.iter().map(Path::new).chain(more.iter().map(PathBuf::as_path)) {
        let path = claude_dir.join(path);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Reports changes of the watched files to the hub.
pub(crate) struct Watched {
    watch: Watch,
    claude_dir: PathBuf,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

impl Watched {
    pub(crate) fn new(
        claude_dir: &Path,
        paths: Vec<PathBuf>,
        hub: Arc<Hub>,
        health: Arc<Health>,
    ) -> Watched {
        Watched { watch: Watch::new(paths), claude_dir: claude_dir.to_owned(), hub, health }
    }

    /// Publishes the changes that have settled.
    pub(crate) fn step(&mut self, now: Duration) {
        for item in self.watch.poll(now) {
            let draft = match item {
                watch::Item::Changed { path, change, size_bytes, mtime } => {
                    Draft::new(None, &self.changed(&path, change, size_bytes, mtime))
                }
                watch::Item::Unreadable { path, msg } => {
                    let path = shown(&self.claude_dir, &path);
                    fault(&self.health, "watch.unreadable", msg, &path)
                }
                watch::Item::Recovered { path } => {
                    recovered(&self.health, &shown(&self.claude_dir, &path))
                }
            };
            self.hub.publish(draft);
        }
    }

    fn changed(
        &self,
        path: &Path,
        change: Change,
        size: Option<u64>,
        mtime: Option<std::time::SystemTime>,
    ) -> Data<'static> {
        Data::FileChanged(FileChanged {
            path: shown(&self.claude_dir, path),
            change: match change {
                Change::Created => "created",
                Change::Modified => "modified",
                Change::Removed => "removed",
            },
            size,
            // A time beyond the year 9999, which a damaged file system can have, is left out.
            mtime: mtime.and_then(|mtime| Timestamp::try_from(mtime).ok()),
        })
    }
}

/// A watched path as events and `/healthz` name it: relative to the Claude directory where it lies inside.
pub(crate) fn shown(claude_dir: &Path, path: &Path) -> String {
    let path = claude_dir.join(path);
    path.strip_prefix(claude_dir).unwrap_or(&path).to_string_lossy().into_owned()
}

fn fault(health: &Health, kind: &'static str, msg: String, path: &str) -> Draft {
    health.set_error(path, &msg);
    log::warn(format_args!("cannot read `{path}`: {msg}"));
    Draft::new(None, &Data::Error(Fault { kind, msg, path: Some(path.to_owned()) }))
}

fn recovered(health: &Health, path: &str) -> Draft {
    health.clear_error(path);
    let msg = format!("`{path}` can be read again");
    log::info(&msg);
    let notice =
        Notice { kind: "source.recovered", msg, path: Some(path.to_owned()), ..Notice::default() };
    Draft::new(None, &Data::Notice(notice))
}
