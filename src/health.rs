//! What `GET /healthz` tells: the version, what is followed and since when, and counters since the start.
//!
//! Invariant: never a prompt's text, only names of files and numbers.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::event::print_time;
use crate::hub::Hub;
use crate::tail::Status;

/// See the module. Shared by every thread.
pub(crate) struct Health {
    started: Instant,
    started_at: Timestamp,
    claude_dir: String,
    history_path: String,
    watched: Vec<String>,
    history: Mutex<History>,
    pub(crate) counters: Counters,
}

#[derive(Default)]
struct History {
    status: Status,
    followed_since: Option<Timestamp>,
}

/// Counts since the start, but for `connections`, which are those that are open now.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) lines: Counter,
    pub(crate) parse_errors: Counter,
    pub(crate) oversized_lines: Counter,
    pub(crate) resets: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) connections: Counter,
    /// Streams that were given up because their client stopped reading.
    pub(crate) dropped_streams: Counter,
    /// Connections and streams that were answered 503 or not at all, for want of room.
    pub(crate) refused_connections: Counter,
}

/// A number that many threads change.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// The number before.
    pub(crate) fn add(&self, more: u64) -> u64 {
        self.0.fetch_add(more, Ordering::Relaxed)
    }

    pub(crate) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Health {
    pub(crate) fn new(claude_dir: &Path, history: &Path, watched: Vec<String>) -> Health {
        Health {
            started: Instant::now(),
            started_at: Timestamp::now(),
            claude_dir: claude_dir.to_string_lossy().into_owned(),
            history_path: history.to_string_lossy().into_owned(),
            watched,
            history: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Notes how far the history has been read.
    pub(crate) fn set_history(&self, status: Status) {
        let mut history = self.history.lock();
        if !status.exists {
            history.followed_since = None;
        } else if history.followed_since.is_none() {
            history.followed_since = Some(Timestamp::now());
        }
        history.status = status;
    }

    /// The whole answer.
    pub(crate) fn json(&self, hub: &Hub) -> Vec<u8> {
        let history = self.history.lock();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            started_at: print_time(self.started_at),
            uptime_seconds: (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            claude_dir: &self.claude_dir,
            history: HistoryReport {
                path: &self.history_path,
                exists: history.status.exists,
                size_bytes: history.status.size_bytes,
                read_bytes: history.status.read_bytes,
                followed_since: history.followed_since.map(print_time),
            },
            watched: &self.watched,
            counters: self.counters.report(hub),
            last_event_id: hub.last_id(),
        };
        serde_json::to_vec(&report).expect("a report of numbers and strings is JSON")
    }
}

impl Counters {
    fn report(&self, hub: &Hub) -> CountersReport {
        CountersReport {
            lines: self.lines.get(),
            parse_errors: self.parse_errors.get(),
            oversized_lines: self.oversized_lines.get(),
            resets: self.resets.get(),
            subscribers: hub.subscribers() as u64,
            events_published: hub.published(),
            resyncs: self.resyncs.get(),
            connections: self.connections.get(),
            dropped_streams: self.dropped_streams.get(),
            refused_connections: self.refused_connections.get(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    version: &'static str,
    started_at: String,
    uptime_seconds: f64,
    claude_dir: &'a str,
    history: HistoryReport<'a>,
    watched: &'a [String],
    counters: CountersReport,
    last_event_id: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryReport<'a> {
    path: &'a str,
    exists: bool,
    size_bytes: u64,
    read_bytes: u64,
    followed_since: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CountersReport {
    lines: u64,
    parse_errors: u64,
    oversized_lines: u64,
    resets: u64,
    subscribers: u64,
    events_published: u64,
    resyncs: u64,
    connections: u64,
    dropped_streams: u64,
    refused_connections: u64,
}
