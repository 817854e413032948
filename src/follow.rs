//! What the polls found, as events in the hub: the one place that knows both the files and the events.
//!
//! Invariant: no clock and no sleep; the workers in `main` bring the time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Data, Draft, Fault, FileChanged, Notice};
use crate::health::Health;
use crate::history;
use crate::hub::{Hub, RING_EVENTS};
use crate::log;
use crate::tail::{self, Kept, Line, Reason, Tail};
use crate::watch::{self, Change, Watch};

/// The history file under a Claude directory.
pub(crate) fn history_path(claude_dir: &Path) -> PathBuf {
    claude_dir.join("history.jsonl")
}

/// Files under a Claude directory that are watched unasked.
pub(crate) const WATCHED: [&str; 2] = ["stats-cache.json", "state/component-registry.json"];

/// Follows the history file into the hub.
pub(crate) struct History {
    tail: Tail,
    path: String,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

impl History {
    pub(crate) fn new(claude_dir: &Path, hub: Arc<Hub>, health: Arc<Health>) -> History {
        let path = history_path(claude_dir);
        let shown = path.to_string_lossy().into_owned();
        History { tail: Tail::new(path, RING_EVENTS, history::is_whole), path: shown, hub, health }
    }

    /// Reads what is there at the start: the backlog, of which no stream is told.
    pub(crate) fn seed(&mut self) {
        while self.poll(Duration::ZERO, Hub::seed) {}
    }

    /// Publishes what is new. Returns whether there is more to read at once.
    pub(crate) fn step(&mut self, now: Duration) -> bool {
        self.poll(now, Hub::publish)
    }

    fn poll(&mut self, now: Duration, take_in: fn(&Hub, Draft) -> u64) -> bool {
        let poll = self.tail.poll(now);
        for item in poll.items {
            match item {
                tail::Item::Line(line) => self.line(&line, take_in),
                tail::Item::Reset { reason, kept } => self.reset(reason, &kept),
                tail::Item::Found => self.notice("history.found", "the history file is there now"),
                tail::Item::Unreadable { msg } => {
                    self.hub.publish(fault("history.unreadable", msg, &self.path));
                }
                tail::Item::Recovered => {
                    self.hub.publish(recovered(&self.path));
                }
            }
        }
        self.health.set_history(self.tail.status());
        poll.more
    }

    fn line(&self, line: &Line, take_in: fn(&Hub, Draft) -> u64) {
        let parsed = history::draft(line);
        let counters = &self.health.counters;
        counters.lines.add(1);
        counters.parse_errors.add(u64::from(parsed.is_malformed));
        counters.oversized_lines.add(u64::from(line.is_truncated()));
        take_in(&self.hub, parsed.draft);
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

/// Reports changes of the watched files to the hub.
pub(crate) struct Watched {
    watch: Watch,
    claude_dir: PathBuf,
    hub: Arc<Hub>,
}

impl Watched {
    pub(crate) fn new(claude_dir: &Path, more: &[PathBuf], hub: Arc<Hub>) -> Watched {
        let mut paths: Vec<PathBuf> = Vec::new();
        for path in WATCHED.iter().map(Path::new).chain(more.iter().map(PathBuf::as_path)) {
            let path = claude_dir.join(path);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Watched { watch: Watch::new(paths), claude_dir: claude_dir.to_owned(), hub }
    }

    /// Publishes the changes that have settled.
    pub(crate) fn step(&mut self, now: Duration) {
        for item in self.watch.poll(now) {
            let draft = match item {
                watch::Item::Changed { path, change, size_bytes, mtime } => {
                    Draft::new(None, &self.changed(&path, change, size_bytes, mtime))
                }
                watch::Item::Unreadable { path, msg } => {
                    fault("watch.unreadable", msg, &shown(&self.claude_dir, &path))
                }
                watch::Item::Recovered { path } => recovered(&shown(&self.claude_dir, &path)),
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

fn fault(kind: &'static str, msg: String, path: &str) -> Draft {
    log::warn(format_args!("cannot read `{path}`: {msg}"));
    Draft::new(None, &Data::Error(Fault { kind, msg, path: Some(path.to_owned()) }))
}

fn recovered(path: &str) -> Draft {
    let msg = format!("`{path}` can be read again");
    log::info(&msg);
    let notice =
        Notice { kind: "source.recovered", msg, path: Some(path.to_owned()), ..Notice::default() };
    Draft::new(None, &Data::Notice(notice))
}
