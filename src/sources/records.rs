//! Older records, read from their files when a client asks for them.
//!
//! Invariant: nothing is kept; a file is named by `main` or found by a source, never by a request.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::Serialize;

use crate::follow::tail::page::{self, PageLine};
use crate::formats::transcript::{self, Location, Part};
use crate::formats::{history, json};

use super::history::MAX_LINE_BYTES;
use super::transcripts::{MAX_RECORD_BYTES, WARM_HOURS};

/// The files from which clients can ask for older records, and how far they are read.
pub(crate) struct Records {
    history: PathBuf,
    /// By session.
    transcripts: Mutex<HashMap<Arc<str>, Paths>>,
    reading: Mutex<Option<Reading>>,
    wanted_hours: AtomicU32,
}

/// The transcripts of a session and of its subagents.
#[derive(Default)]
struct Paths {
    main: Option<PathBuf>,
    agents: BTreeMap<String, PathBuf>,
}

/// How many transcripts are to be read, and how many of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reading {
    pub(crate) files: usize,
    pub(crate) done: usize,
    /// Transcripts of this many last hours are among them; 0 before the tree is scanned.
    #[serde(skip)]
    pub(super) hours: u32,
}

/// Older events, as JSON without an id: the hub does not know them.
pub(crate) struct Older {
    /// Newest first.
    pub(crate) events: Vec<Vec<u8>>,
    /// The offset before which the next page begins; absent at the file's beginning.
    pub(crate) before: Option<u64>,
}

impl Records {
    pub(crate) fn new(history: PathBuf) -> Records {
        Records {
            history,
            transcripts: Mutex::default(),
            reading: Mutex::new(None),
            wanted_hours: AtomicU32::new(0),
        }
    }

    /// Sets where the transcript of a session or a subagent is; `None` if it is gone.
    pub(super) fn set(&self, session_id: &Arc<str>, agent_id: Option<&str>, path: Option<&Path>) {
        let path = path.map(Path::to_owned);
        let mut transcripts = self.transcripts.lock();
        let paths = transcripts.entry(Arc::clone(session_id)).or_default();
        match (agent_id, path) {
            (None, path) => paths.main = path,
            (Some(agent_id), Some(path)) => _ = paths.agents.insert(agent_id.to_owned(), path),
            (Some(agent_id), None) => _ = paths.agents.remove(agent_id),
        }
        if paths.main.is_none() && paths.agents.is_empty() {
            transcripts.remove(session_id);
        }
    }

    pub(super) fn set_reading(&self, reading: Reading) {
        *self.reading.lock() = Some(reading);
    }

    /// Returns how far transcripts are read; absent while they are not followed. `done` is less
    /// than `files` until the requested hours are among them.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let reading = (*self.reading.lock())?;
        let is_pending = reading.hours < self.wanted_hours();
        Some(Reading { files: reading.files + usize::from(is_pending), ..reading })
    }

    /// Asks for the sessions that were written in the last `hours`.
    pub(crate) fn want_hours(&self, hours: u32) {
        self.wanted_hours.fetch_max(hours, Relaxed);
    }

    pub(super) fn wanted_hours(&self) -> u32 {
        self.wanted_hours.load(Relaxed).max(WARM_HOURS)
    }

    /// Reads the last `limit` lines of the history that begin before an offset; fewer if they are
    /// large. A missing file has none.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(crate) fn history_before(&self, before: u64, limit: usize) -> io::Result<Older> {
        let page = page::read(&self.history, Some(before), limit, MAX_LINE_BYTES, json::is_record);
        match page {
            Ok(page) => {
                let events = page.lines.iter().map(event).collect();
                Ok(Older { events, before: page.before })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Older { events: Vec::new(), before: None })
            }
            Err(error) => Err(error),
        }
    }
}

/// The transcript of a session, or of one of its subagents.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) agent_id: Option<&'a str>,
}

/// Why there are no records.
pub(crate) enum Unavailable {
    UnknownSession,
    UnknownAgent,
    Unreadable(io::Error),
}

/// Records as JSON of `transcript.append` events without ids.
pub(crate) struct Page {
    /// Newest first.
    pub(crate) records: Vec<Vec<u8>>,
    /// The offset before which the next page begins; absent at the file's beginning.
    pub(crate) before: Option<u64>,
}

/// The fewest lines that are read at a time: many are not readable.
const MIN_LINES: usize = 64;

/// The most pages of lines that are searched for readable records.
const MAX_PAGES: usize = 8;

impl Records {
    /// Reads the last `limit` records of a transcript that begin before an offset, or before its
    /// end; fewer if they are large, or if long stretches have none that is readable. With
    /// `is_all`, each record counts as readable.
    ///
    /// # Errors
    ///
    /// The session or the subagent is unknown, or the file cannot be read.
    pub(crate) fn transcript_before(
        &self,
        whose: Whose,
        before: Option<u64>,
        limit: usize,
        is_all: bool,
    ) -> Result<Page, Unavailable> {
        let path = self.path(whose)?;
        let mut page = Page { records: Vec::new(), before };
        for _ in 0..MAX_PAGES {
            let count = (limit - page.records.len()).max(MIN_LINES);
            let lines = page::read(&path, page.before, count, MAX_RECORD_BYTES, json::is_record)
                .map_err(Unavailable::of)?;
            page.before = lines.before;
            for (index, line) in lines.lines.iter().enumerate() {
                page.records.extend(records_of(line, whose, is_all));
                if page.records.len() >= limit {
                    // The next page begins with the lines of this one that are left.
                    let is_last = index + 1 == lines.lines.len();
                    page.before = if is_last { lines.before } else { Some(line.offset) };
                    return Ok(page);
                }
            }
            if page.before.is_none() {
                break;
            }
        }
        Ok(page)
    }

    /// Reads the line that begins at an offset, as it is in the file; nothing if none with a record
    /// begins there, or if it is longer than 16 MiB.
    ///
    /// # Errors
    ///
    /// As [`Records::transcript_before`].
    pub(crate) fn record_at(
        &self,
        whose: Whose,
        offset: u64,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let path = self.path(whose)?;
        let before = Some(offset.saturating_add(1));
        let page = page::read(&path, before, 1, MAX_RECORD_BYTES, json::is_record)
            .map_err(Unavailable::of)?;
        let line = page.lines.into_iter().next();
        let is_it =
            |line: &PageLine| line.offset == offset && line.len_bytes == line.bytes.len() as u64;
        Ok(line.filter(is_it).map(|line| line.bytes).filter(|line| has_record(line)))
    }

    fn path(&self, whose: Whose) -> Result<PathBuf, Unavailable> {
        let transcripts = self.transcripts.lock();
        let paths = transcripts.get(whose.session_id).ok_or(Unavailable::UnknownSession)?;
        let path = match whose.agent_id {
            None => paths.main.as_ref().ok_or(Unavailable::UnknownSession),
            Some(agent_id) => paths.agents.get(agent_id).ok_or(Unavailable::UnknownAgent),
        };
        path.cloned()
    }
}

impl Unavailable {
    fn of(error: io::Error) -> Unavailable {
        match error.kind() {
            io::ErrorKind::NotFound => Unavailable::UnknownSession,
            _ => Unavailable::Unreadable(error),
        }
    }
}

/// Returns the records of a line, the last first.
fn records_of(line: &PageLine, whose: Whose, is_all: bool) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let Whose { session_id, agent_id } = whose;
    let location = Location {
        session_id,
        agent_id,
        project: None,
        offset: line.offset,
        bytes: line.len_bytes,
    };
    transcript::each_part(&line.bytes, |part| match part {
        Part::Record(record) if is_all || record.is_published() => {
            records.push(record.draft(location).json_without_id());
        }
        _ => {}
    });
    records.reverse();
    records
}

fn event(line: &PageLine) -> Vec<u8> {
    let PageLine { offset, bytes, len_bytes } = line;
    let line = history::Line { bytes, len_bytes: *len_bytes, offset: *offset };
    history::draft(line).draft.json_without_id()
}

/// Whether a line has a record: a link in the place of a transcript can lead to any file, whose
/// text is not given out.
fn has_record(line: &[u8]) -> bool {
    let mut has_record = false;
    transcript::each_part(line, |part| has_record |= matches!(part, Part::Record(_)));
    has_record
}
