//! What `GET /healthz` and `GET /metrics` tell: the version, what is followed and since when, and counters since the start.
//!
//! Invariant: never a prompt's text, only names of files and numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::event::print_time;
use crate::hub::Hub;
use crate::metrics::{Kind, Metrics, snake_case};
use crate::tail::Status;

/// See the module. Shared by every thread.
pub(crate) struct Health {
    started: Instant,
    started_at: Timestamp,
    claude_dir: String,
    history_path: String,
    watched: Vec<String>,
    history: Mutex<History>,
    /// What cannot be read at present, by path.
    errors: Mutex<BTreeMap<String, String>>,
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
    /// Streams that are open now.
    pub(crate) streams: Counter,
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
            errors: Mutex::default(),
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

    /// Whether there is no history yet, and nothing is wrong but that.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.history.lock().status.exists && self.errors.lock().is_empty()
    }

    /// Notes why a path cannot be read.
    pub(crate) fn set_error(&self, path: &str, msg: &str) {
        self.errors.lock().insert(path.to_owned(), msg.to_owned());
    }

    /// Notes that a path can be read again.
    pub(crate) fn clear_error(&self, path: &str) {
        self.errors.lock().remove(path);
    }

    /// The whole answer of `/healthz`.
    pub(crate) fn json(&self, hub: &Hub) -> Vec<u8> {
        // So that every line is counted.
        hub.make_seeds();
        let history = self.history.lock();
        let errors = self.errors.lock();
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
            errors: errors.iter().map(|(path, msg)| ErrorReport { path, msg }).collect(),
            counters: CountersReport(&self.counters, hub),
            last_event_id: hub.last_id(),
        };
        serde_json::to_vec(&report).expect("a report of numbers and strings is JSON")
    }
}

impl Health {
    /// The whole answer of `/metrics`.
    pub(crate) fn metrics(&self, hub: &Hub) -> Vec<u8> {
        hub.make_seeds();
        let status = self.history.lock().status;
        let started = self.started_at.as_millisecond() as f64 / 1e3;
        let mut metrics = Metrics::default();
        metrics.add_version(env!("CARGO_PKG_VERSION"));
        let mut gauge = |name, help, value: f64| metrics.add(name, Kind::Gauge, help, value);
        gauge("start_time_seconds", "When the program started, in seconds since 1970.", started);
        gauge("history_exists", "1 if the history file is there.", f64::from(status.exists));
        gauge("history_size_bytes", "Size of the history file.", status.size_bytes as f64);
        gauge("history_read_bytes", "How far the history is read.", status.read_bytes as f64);
        for reading in self.counters.readings(hub) {
            metrics.add(&snake_case(reading.name), reading.kind, reading.help, reading.value);
        }
        metrics.into_bytes()
    }
}

/// A counter at this moment.
struct Reading {
    /// As `/healthz` spells it.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: u64,
}

impl Counters {
    #[rustfmt::skip] // A table.
    fn readings(&self, hub: &Hub) -> [Reading; 10] {
        let counter = |name, help, value| Reading { name, kind: Kind::Counter, help, value };
        let gauge = |name, help, value| Reading { name, kind: Kind::Gauge, help, value };
        [
            counter("lines", "Lines of the history that were read.", self.lines.get()),
            counter("parseErrors", "Lines that are no JSON object.", self.parse_errors.get()),
            counter("oversizedLines", "Lines over 1 MiB.", self.oversized_lines.get()),
            counter("resets", "Times that the history was cut, rewritten or replaced.", self.resets.get()),
            gauge("subscribers", "Streams that are open.", self.streams.get()),
            counter("eventsPublished", "Events that were sent to the streams.", hub.published()),
            counter("resyncs", "Times that a stream could not be resumed.", self.resyncs.get()),
            gauge("connections", "Connections that are open.", self.connections.get()),
            counter("droppedStreams", "Streams whose client stopped reading.", self.dropped_streams.get()),
            counter("refusedConnections", "Connections and streams for which there was no room.", self.refused_connections.get()),
        ]
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
    errors: Vec<ErrorReport<'a>>,
    counters: CountersReport<'a>,
    last_event_id: u64,
}

#[derive(Serialize)]
struct ErrorReport<'a> {
    path: &'a str,
    msg: &'a str,
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

struct CountersReport<'a>(&'a Counters, &'a Hub);

impl Serialize for CountersReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let readings = self.0.readings(self.1);
        serializer.collect_map(readings.map(|reading| (reading.name, reading.value)))
    }
}
