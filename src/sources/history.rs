//! The history file as events in the hub.
//!
//! Invariant: no clock and no sleep; the workers in `main` bring the time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Pacer, fault, recovered};
use crate::event::{Data, Draft, Notice, Origin, SourceId, Topic};
use crate::follow::tail::{self, Batch, Kept, Line, Options, Reason, Tail};
use crate::formats::{history, json};
use crate::hub::{Hub, RING_EVENTS};
use crate::report::health::{FileStatus, Health};
use crate::report::log;

/// The history file under a Claude directory.
pub(crate) fn history_path(claude_dir: &Path) -> PathBuf {
    claude_dir.join("history.jsonl")
}

/// Events that are published at once, so that streams send them together: a quarter of the ring,
/// which gives a reader three pauses to catch up before the ring moves on under it.
const BATCH: usize = RING_EVENTS / 4;

/// Bytes of lines after which a batch ends for the same reason; as events they are about twice as
/// many.
const BATCH_BYTES: usize = 1024 * 1024;

/// The longest line that is published whole, in bytes.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The most bytes that a poll reads, so that streams never wait long for it.
const POLL_BYTES: usize = 1024 * 1024;

/// Follows the history file into the hub.
pub(crate) struct History {
    tail: Tail,
    /// Items of the last poll that are not published yet.
    batch: Batch,
    /// There was more to read at the last poll.
    more: bool,
    pacer: Pacer,
    path: String,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

impl History {
    pub(crate) fn new(claude_dir: &Path, hub: Arc<Hub>, health: Arc<Health>) -> History {
        let path = history_path(claude_dir);
        let shown = path.to_string_lossy().into_owned();
        let options = Options {
            newest: RING_EVENTS,
            fingerprints: RING_EVENTS,
            max_line_bytes: MAX_LINE_BYTES,
            is_whole: json::is_record,
        };
        History {
            tail: Tail::new(path, options),
            batch: Batch::new(POLL_BYTES),
            more: false,
            pacer: Pacer::new(Arc::clone(&hub), Topic::Prompts),
            path: shown,
            hub,
            health,
        }
    }

    /// Reads the file at the start: its lines are the backlog, and notify no stream.
    pub(crate) fn seed(&mut self) {
        loop {
            self.poll(Duration::ZERO);
            while let Some(line) = self.batch.pop_line() {
                self.health.counters.lines.add(1);
                self.hub.seed(self.draft(&line));
            }
            // Items of other kinds can change which of the lines before them are kept.
            if !self.more || !self.batch.is_empty() {
                break;
            }
        }
    }

    /// Publishes new lines, one batch at most. Returns whether there is more.
    pub(crate) fn step(&mut self, now: Duration) -> bool {
        // The batch has the bytes of its lines, so it is published whole before the next poll.
        if self.batch.is_empty() {
            self.poll(now);
        }
        if !self.batch.is_empty() && !self.pacer.is_held(now) {
            self.publish_batch();
        }
        self.more || !self.batch.is_empty()
    }

    fn poll(&mut self, now: Duration) {
        self.more = self.tail.poll(now, &mut self.batch);
        let tail::Status { exists, size_bytes, read_bytes } = self.tail.status();
        self.health.set_history(FileStatus { exists, size_bytes, read_bytes });
    }

    fn publish_batch(&mut self) {
        let mut left_bytes = BATCH_BYTES;
        for _ in 0..BATCH {
            let Some(item) = self.batch.pop() else { break };
            if let tail::Item::Line(line) = &item {
                left_bytes = left_bytes.saturating_sub(self.batch.bytes(line).len());
            }
            self.publish(item);
            if left_bytes == 0 {
                break;
            }
        }
        self.hub.notify();
    }

    fn publish(&self, item: tail::Item) {
        match item {
            tail::Item::Line(line) => {
                self.health.counters.lines.add(1);
                self.hub.add(self.draft(&line));
            }
            tail::Item::Reset { reason, kept } => self.reset(reason, &kept),
            tail::Item::Found => self.notice("history.found", "the history file was found"),
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
        self.hub.retain(SourceId::HISTORY, &offsets);
        let (reason, msg) = match reason {
            Reason::Truncated => ("truncated", "the history file was truncated or rewritten"),
            Reason::Replaced => ("replaced", "the history file was replaced"),
            Reason::Removed => ("removed", "the history file was removed"),
        };
        let msg = format!("{msg}; {} known lines kept", kept.len());
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

    fn draft(&self, line: &Line) -> Draft {
        let Line { seq, offset, len_bytes, .. } = *line;
        let bytes = self.batch.bytes(line);
        let parsed = history::draft(history::Line { bytes, len_bytes, offset });
        let counters = &self.health.counters;
        counters.parse_errors.add(u64::from(parsed.is_malformed));
        counters.oversized_lines.add(u64::from(line.is_truncated()));
        parsed.draft.with_origin(Origin { source: SourceId::HISTORY, seq })
    }
}
