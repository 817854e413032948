//! The tokens of all responses, read from the transcripts once a client asks for them.
//!
//! Until then nothing is read and nothing is kept. From then on a thread of its own reads every
//! transcript, the newest first, and afterwards the lines that are appended: the sessions' tails
//! report files that have grown, and a scan finds the others. Each file is read from where its
//! reading ended, so no line is counted twice or missed.
//! Invariant: no clock and no sleep; the worker in `main` passes the time. Locks cover memory
//! operations only.

mod file;
mod reader;

pub(crate) use reader::Reader;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::formats::prices::Prices;
use crate::report::metrics::{Kind, Metrics};
use crate::usage::{FileNo, Progress, Query, Report, Responses};

/// Starts a thread that repeats the steps of a reader.
pub(crate) type Start = Box<dyn Fn(Reader) -> io::Result<()> + Send + Sync>;

/// See the module.
pub(crate) struct Usage {
    projects: PathBuf,
    prices: Arc<Prices>,
    shared: Arc<Shared>,
    start: Start,
    is_started: Mutex<bool>,
}

/// The state that the reader and its clients share.
pub(crate) struct Shared {
    responses: Mutex<Responses>,
    progress: Mutex<Progress>,
    is_wanted: AtomicBool,
    /// A client has asked since the reader looked.
    is_asked: AtomicBool,
    /// Transcripts that have changed.
    changed: Mutex<Vec<PathBuf>>,
}

impl Usage {
    /// Reads the transcripts of a Claude directory from the first request on, on a thread that
    /// `start` starts.
    pub(crate) fn new(claude_dir: &Path, prices: Arc<Prices>, start: Start) -> Usage {
        Usage {
            projects: claude_dir.join("projects"),
            shared: Arc::new(Shared::new(Arc::clone(&prices))),
            prices,
            start,
            is_started: Mutex::new(false),
        }
    }

    /// Returns the sums of what is read so far, and starts reading the rest.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub(crate) fn report(&self, query: &Query, now: Timestamp) -> io::Result<Report> {
        self.shared.is_asked.store(true, Relaxed);
        let mut is_started = self.is_started.lock();
        if !*is_started {
            // Before the reader begins: what changes from then on must not be missed.
            self.shared.is_wanted.store(true, Relaxed);
            (self.start)(Reader::new(self.projects.clone(), Arc::clone(&self.shared)))?;
            *is_started = true;
        }
        drop(is_started);
        Ok(self.shared.report(query, now))
    }

    pub(super) fn prices(&self) -> Arc<Prices> {
        Arc::clone(&self.prices)
    }

    /// Takes in that a transcript has changed. Does nothing before the first request.
    pub(super) fn changed(&self, path: &Path) {
        if self.shared.is_wanted.load(Relaxed) {
            let mut changed = self.shared.changed.lock();
            if !changed.iter().any(|known| known == path) {
                changed.push(path.to_owned());
            }
        }
    }

    /// Returns the sums by model as metrics; empty until everything is read, since a counter that
    /// catches up is taken for a burst.
    pub(crate) fn metrics(&self) -> Vec<u8> {
        let mut metrics = Metrics::default();
        if self.shared.is_wanted.load(Relaxed) && !self.shared.progress.lock().is_partial() {
            let sums = self.shared.responses.lock().model_sums();
            let tokens = sums.iter().flat_map(|sum| {
                sum.tokens.map(|(kind, count)| ([("model", &*sum.model), ("kind", kind)], count))
            });
            let help = "Tokens of API responses in the transcripts, each response counted once.";
            metrics.add_labelled("tokens", Kind::Counter, help, tokens);
            let costs =
                sums.iter().filter_map(|sum| Some(([("model", &*sum.model)], sum.cost_usd?)));
            let help = "Cost of API responses in the transcripts, in US dollars.";
            metrics.add_labelled("cost_usd", Kind::Counter, help, costs);
        }
        metrics.into_bytes()
    }
}

impl Shared {
    fn new(prices: Arc<Prices>) -> Shared {
        let progress = Progress { is_searching: true, ..Progress::default() };
        Shared {
            responses: Mutex::new(Responses::new(prices)),
            progress: Mutex::new(progress),
            is_wanted: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            changed: Mutex::default(),
        }
    }

    fn report(&self, query: &Query, now: Timestamp) -> Report {
        // In this order: the report can only be more complete than its progress.
        let progress = *self.progress.lock();
        self.responses.lock().report(query, now, progress)
    }

    fn remove(&self, files: &[FileNo]) {
        self.responses.lock().remove(files);
    }
}

/// Reads the transcripts of a Claude directory once, and returns the sums. Calls `show` with the
/// progress.
pub(crate) fn read_once(
    claude_dir: &Path,
    prices: Arc<Prices>,
    query: &Query,
    now: Timestamp,
    mut show: impl FnMut(Progress),
) -> Report {
    let shared = Arc::new(Shared::new(prices));
    let mut reader = Reader::new(claude_dir.join("projects"), Arc::clone(&shared));
    while reader.read(std::time::Duration::ZERO) {
        show(*shared.progress.lock());
    }
    shared.report(query, now)
}

#[cfg(test)]
mod tests;
