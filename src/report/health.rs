//! The numbers behind `GET /healthz` and `GET /metrics`: the version, the followed files and their
//! state, and counters since the start.
//!
//! Sources and the server report here as they go; numbers that they count anyway come in a
//! [`Load`].
//!
//! Invariant: observes and controls nothing, and never contains the text of a prompt.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::event::print_time;
#[cfg(feature = "fleet")]
use crate::report::fleet::{self, Fleet};
use crate::report::metrics::{Kind, Metrics, snake_case};
use crate::report::transcripts::{self, Transcripts};

/// See the module. Shared by all threads.
pub(crate) struct Health {
    started: Instant,
    started_at: Timestamp,
    claude_dir: String,
    history_path: String,
    watched: Vec<String>,
    history: Mutex<History>,
    /// The paths that cannot be read at present, with the reasons.
    errors: Mutex<BTreeMap<String, String>>,
    pub(crate) counters: Counters,
    pub(crate) transcripts: Transcripts,
    #[cfg(feature = "fleet")]
    pub(crate) fleet: Fleet,
}

/// How far a file that grows has been read.
#[derive(Clone, Copy, Default)]
pub(crate) struct FileStatus {
    pub(crate) exists: bool,
    pub(crate) size_bytes: u64,
    pub(crate) read_bytes: u64,
}

/// Numbers that the server and the hub count for their own use, at one moment.
pub(crate) struct Load {
    /// Open now.
    pub(crate) connections: usize,
    /// Streams that are open now.
    pub(crate) subscribers: usize,
    pub(crate) refused_connections: u64,
    pub(crate) events_published: u64,
    pub(crate) last_event_id: u64,
}

#[derive(Default)]
struct History {
    status: FileStatus,
    followed_since: Option<Timestamp>,
}

/// Counts since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) lines: Counter,
    pub(crate) parse_errors: Counter,
    pub(crate) oversized_lines: Counter,
    pub(crate) resets: Counter,
    pub(crate) resyncs: Counter,
    /// Streams that were closed because their client stopped reading.
    pub(crate) dropped_streams: Counter,
}

/// A number that many threads increase.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
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
            transcripts: Transcripts::default(),
            #[cfg(feature = "fleet")]
            fleet: Fleet::default(),
        }
    }

    /// Reports the state of the history file.
    pub(crate) fn set_history(&self, status: FileStatus) {
        let mut history = self.history.lock();
        if !status.exists {
            history.followed_since = None;
        } else if history.followed_since.is_none() {
            history.followed_since = Some(Timestamp::now());
        }
        history.status = status;
    }

    /// Whether the history file is missing, and no path has an error.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.history.lock().status.exists && self.errors.lock().is_empty()
    }

    /// Reports that a path cannot be read, and why.
    pub(crate) fn set_error(&self, path: &str, msg: &str) {
        self.errors.lock().insert(path.to_owned(), msg.to_owned());
    }

    /// Reports that a path can be read again.
    pub(crate) fn clear_error(&self, path: &str) {
        self.errors.lock().remove(path);
    }

    /// The document of `/healthz`.
    pub(crate) fn json(&self, load: &Load) -> Vec<u8> {
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
            counters: CountersReport(&self.counters, load),
            transcripts: self.transcripts.report(),
            #[cfg(feature = "fleet")]
            fleet: self.fleet.report(),
            last_event_id: load.last_event_id,
        };
        serde_json::to_vec(&report).expect("a report of numbers and strings is JSON")
    }

    /// The document of `/metrics`.
    pub(crate) fn metrics(&self, load: &Load) -> Vec<u8> {
        let status = self.history.lock().status;
        let started = self.started_at.as_millisecond() as f64 / 1e3;
        let mut metrics = Metrics::default();
        metrics.add_version(env!("CARGO_PKG_VERSION"));
        let mut gauge = |name, help, value: f64| metrics.add(name, Kind::Gauge, help, value);
        gauge("start_time_seconds", "When the program started, in seconds since 1970.", started);
        gauge("history_exists", "1 if the history file exists, else 0.", f64::from(status.exists));
        gauge("history_size_bytes", "Size of the history file in bytes.", status.size_bytes as f64);
        gauge(
            "history_read_bytes",
            "Bytes of the history file that have been read.",
            status.read_bytes as f64,
        );
        for reading in self.counters.readings(load) {
            metrics.add(&snake_case(reading.name), reading.kind, reading.help, reading.value);
        }
        self.transcripts.add_to(&mut metrics);
        metrics.into_bytes()
    }
}

/// A number at this moment.
struct Reading {
    /// As in `/healthz`.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: u64,
}

impl Counters {
    #[rustfmt::skip] // A table.
    fn readings(&self, load: &Load) -> [Reading; 10] {
        let counter = |name, value, help| Reading { name, kind: Kind::Counter, help, value };
        let gauge = |name, value, help| Reading { name, kind: Kind::Gauge, help, value };
        [
            counter("lines", self.lines.get(), "Lines that were read from the history."),
            counter("parseErrors", self.parse_errors.get(), "Lines that are not a JSON object."),
            counter("oversizedLines", self.oversized_lines.get(), "Lines over 1 MiB."),
            counter("resets", self.resets.get(), "Truncations, rewrites, replacements of files."),
            gauge("subscribers", load.subscribers as u64, "Streams that are open."),
            counter("eventsPublished", load.events_published, "Events that were published."),
            counter("resyncs", self.resyncs.get(), "Times that a stream could not be resumed."),
            gauge("connections", load.connections as u64, "Connections that are open."),
            counter("droppedStreams", self.dropped_streams.get(),
                "Streams closed because the client stopped reading."),
            counter("refusedConnections", load.refused_connections,
                "Connections and streams refused at the limit."),
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
    /// `null` while transcripts are not followed.
    transcripts: Option<transcripts::Report>,
    #[cfg(feature = "fleet")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<fleet::Report>,
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

struct CountersReport<'a>(&'a Counters, &'a Load);

impl Serialize for CountersReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let readings = self.0.readings(self.1);
        serializer.collect_map(readings.map(|reading| (reading.name, reading.value)))
    }
}
