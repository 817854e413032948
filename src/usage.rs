//! The tokens and the cost of every API response, each counted once over all files.
//!
//! Several records show the same response, and forks and resumed sessions copy records into other
//! files. `message.id` and `requestId` identify a response; a record without a message id counts by
//! itself, by its `uuid`. The record with the largest output counts. Time, project and session are
//! those of the earliest record; of several, of one in a file of the session that it names, then of
//! the first path.
//! Invariant: pure. The sums do not depend on the order in which files are added, grow and are
//! removed.

mod names;
pub(crate) mod query;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use query::Query;
pub(crate) use report::{Progress, Report};

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use crate::formats::prices::{Price, Prices, Terms};
use crate::formats::transcript::{Counted, Usage};

use names::Names;

/// The model of responses that do not name it.
const UNKNOWN_MODEL: &str = "unknown";

/// All responses, by the files that show them.
pub(crate) struct Responses {
    prices: Arc<Prices>,
    /// Absent: removed.
    files: Vec<Option<File>>,
    free: Vec<FileNo>,
    /// Where the record is that is first in time.
    first: HashMap<u64, Place, BuildHasherDefault<Identity>>,
    /// Responses whose largest record is not the first.
    larger: HashMap<u64, Shown, BuildHasherDefault<Identity>>,
    models: Names,
    /// By model.
    model_prices: Vec<Option<Price>>,
    projects: Names,
    sessions: Names,
    hasher: RandomState,
}

/// Names a file until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileNo(u32);

/// Whose the responses of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Absent if only the records tell it.
    pub(crate) session_id: Option<String>,
    pub(crate) part: Part,
}

/// The part of a session that a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Transcript,
    Subagent,
    Compaction,
}

struct File {
    path: String,
    session: Option<u32>,
    part: Part,
    /// Where its session began.
    project: Option<u32>,
    /// As Claude Code counts it, in US dollars.
    reported_cost: Option<f64>,
    /// The time of records without one.
    last_ms: i64,
    entries: Vec<Entry>,
}

/// The records of a file that show a response. There may be several for the same one.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    ms: i64,
    shown: Shown,
    /// Not of another session, from which it was copied.
    is_own: bool,
    is_subagent: bool,
    /// Of all entries of the response.
    is_first: bool,
    /// There may be others of the response.
    is_shared: bool,
    has_larger: bool,
}

/// The tokens of a response, and what its price depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    input: u32,
    output: u32,
    cache_read: u32,
    cache_write: u32,
    cache_write_hour: u32,
    model: u16,
    terms: Terms,
}

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    entry: u32,
}

impl Responses {
    pub(crate) fn new(prices: Arc<Prices>) -> Responses {
        Responses {
            prices,
            files: Vec::new(),
            free: Vec::new(),
            first: HashMap::default(),
            larger: HashMap::default(),
            models: Names::default(),
            model_prices: Vec::new(),
            projects: Names::default(),
            sessions: Names::default(),
            hasher: RandomState::new(),
        }
    }

    /// Adds a file without records. Of files that show a response at the same time, the path
    /// decides.
    pub(crate) fn add_file(&mut self, path: &str, owner: Owner) -> FileNo {
        let session = owner.session_id.map(|id| self.sessions.number(&id));
        let file = File {
            path: path.to_owned(),
            session,
            part: owner.part,
            project: None,
            reported_cost: None,
            last_ms: 0,
            entries: Vec::new(),
        };
        if let Some(free) = self.free.pop() {
            self.files[free.0 as usize] = Some(file);
            return free;
        }
        self.files.push(Some(file));
        FileNo(u32::try_from(self.files.len() - 1).expect("there are fewer files"))
    }

    /// Counts a record of a file, which begins at an offset.
    pub(crate) fn add(&mut self, file: FileNo, offset: u64, counted: &Counted) {
        let key = self.key(file, offset, counted);
        let shown = self.shown(counted);
        let session = counted.session_id.as_ref().map(|id| self.sessions.number(id));
        let project = match self.file(file).project {
            None => counted.cwd.as_ref().map(|cwd| self.projects.number(cwd)),
            known => known,
        };
        let file_of = self.file_mut(file);
        file_of.project = project;
        file_of.session = file_of.session.or(session);
        let ms = counted.ts.map_or(file_of.last_ms, |ts| ts.as_millisecond());
        file_of.last_ms = ms;
        let entry = Entry {
            key,
            ms,
            shown,
            is_own: session.is_none() || session == file_of.session,
            is_subagent: match file_of.part {
                Part::Transcript => counted.is_sidechain,
                Part::Subagent => true,
                Part::Compaction => false,
            },
            is_first: false,
            is_shared: false,
            has_larger: false,
        };
        let last = file_of.entries.len().wrapping_sub(1);
        let at = match file_of.entries.last() {
            Some(known) if known.key == key => last,
            _ => last.wrapping_add(1),
        };
        let place = Place { file: file.0, entry: u32::try_from(at).expect("there are fewer") };
        if at == last { self.merge(place, entry) } else { self.push(place, entry) }
    }

    /// Takes in the cost of the file's session that Claude Code has counted.
    pub(crate) fn set_reported_cost(&mut self, file: FileNo, usd: f64) {
        self.file_mut(file).reported_cost = Some(usd);
    }

    /// Gives back the memory that a file's growth was provided with.
    pub(crate) fn shrink(&mut self, file: FileNo) {
        self.file_mut(file).entries.shrink_to_fit();
    }

    /// Removes files with their records. What other files show of the same responses counts.
    pub(crate) fn remove(&mut self, files: &[FileNo]) {
        let mut shared = HashSet::new();
        for no in files {
            let Some(file) = self.files[no.0 as usize].take() else { continue };
            self.free.push(*no);
            for entry in file.entries {
                self.first.remove(&entry.key);
                self.larger.remove(&entry.key);
                if entry.is_shared {
                    shared.insert(entry.key);
                }
            }
        }
        if shared.is_empty() {
            return;
        }
        for at in 0..self.files.len() {
            let count = self.files[at].as_ref().map_or(0, |file| file.entries.len());
            for entry in 0..count {
                let place = Place { file: at as u32, entry: entry as u32 };
                let entry = self.entry(place);
                if shared.contains(&entry.key) {
                    (entry.is_first, entry.has_larger) = (false, false);
                    self.settle(place);
                }
            }
        }
    }

    fn file(&self, file: FileNo) -> &File {
        self.files[file.0 as usize].as_ref().expect("the file was not removed")
    }

    fn file_mut(&mut self, file: FileNo) -> &mut File {
        self.files[file.0 as usize].as_mut().expect("the file was not removed")
    }

    fn entry(&mut self, place: Place) -> &mut Entry {
        &mut self.file_mut(FileNo(place.file)).entries[place.entry as usize]
    }

    /// Returns the number that identifies a response, the same for all its records.
    fn key(&self, file: FileNo, offset: u64, counted: &Counted) -> u64 {
        let response = &counted.response;
        match (&response.message_id, &counted.uuid) {
            (Some(id), _) => self.hasher.hash_one((id, &response.request_id)),
            (None, Some(uuid)) => self.hasher.hash_one(uuid),
            (None, None) => self.hasher.hash_one((&self.file(file).path, offset)),
        }
    }

    fn shown(&mut self, counted: &Counted) -> Shown {
        let response = &counted.response;
        let name = response.model.as_deref().unwrap_or(UNKNOWN_MODEL);
        let model = self.models.number(name);
        if model as usize == self.model_prices.len() {
            self.model_prices.push(self.prices.find(name).cloned());
        }
        let usage = response.usage.unwrap_or_default();
        let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Shown {
            input: tokens(usage.input),
            output: tokens(usage.output),
            cache_read: tokens(usage.cache_read),
            cache_write: tokens(usage.cache_write),
            cache_write_hour: tokens(usage.cache_write_hour),
            model: u16::try_from(model).unwrap_or(u16::MAX),
            terms: response.terms,
        }
    }

    fn push(&mut self, place: Place, entry: Entry) {
        self.file_mut(FileNo(place.file)).entries.push(entry);
        self.settle(place);
    }

    /// Takes a further record into an entry: most responses have several in a row.
    fn merge(&mut self, place: Place, with: Entry) {
        let models = &self.models;
        let file = self.files[place.file as usize].as_mut().expect("it has the entry");
        let entry = &mut file.entries[place.entry as usize];
        if with.shown.compare(&entry.shown, models) == Ordering::Greater {
            entry.shown = with.shown;
        }
        if with.order() < entry.order() {
            (entry.ms, entry.is_own, entry.is_subagent) = (with.ms, with.is_own, with.is_subagent);
        }
        self.settle(place);
    }

    /// Finds out which entry of a response is the first and which tokens are the largest, after one
    /// of them is new or has changed.
    fn settle(&mut self, place: Place) {
        let entry = *self.entry(place);
        let Some(&known) = self.first.get(&entry.key) else {
            self.first.insert(entry.key, place);
            self.entry(place).is_first = true;
            return;
        };
        let first = *self.entry(known);
        let largest = self.larger.get(&entry.key).copied().unwrap_or(first.shown);
        let is_larger = entry.shown.compare(&largest, &self.models) == Ordering::Greater;
        let largest = if is_larger { entry.shown } else { largest };
        let mut at = known;
        if known != place {
            self.entry(known).is_shared = true;
            self.entry(place).is_shared = true;
            if self.is_before(place, known) {
                at = place;
                (self.entry(known).is_first, self.entry(known).has_larger) = (false, false);
                self.first.insert(entry.key, place);
            }
        }
        let first = self.entry(at);
        first.is_first = true;
        first.has_larger = first.shown != largest;
        match first.has_larger {
            true => _ = self.larger.insert(entry.key, largest),
            false => _ = self.larger.remove(&entry.key),
        }
    }

    fn is_before(&self, one: Place, other: Place) -> bool {
        let rank = |place: Place| {
            let file = self.file(FileNo(place.file));
            let entry = &file.entries[place.entry as usize];
            (entry.ms, !entry.is_own, &file.path, entry.is_subagent)
        };
        rank(one) < rank(other)
    }
}

impl Entry {
    /// The order of records that show a response in the same file.
    fn order(&self) -> (i64, bool, bool) {
        (self.ms, !self.is_own, self.is_subagent)
    }
}

impl Shown {
    /// Compares the states of a response: output grows while it streams. The rest decides among
    /// records that contradict each other, so that it is always the same one that counts.
    fn compare(&self, other: &Shown, models: &Names) -> Ordering {
        let rank = |it: &Shown| {
            let prompt: u64 = [it.input, it.cache_read, it.cache_write].map(u64::from).iter().sum();
            (it.output, prompt, it.input, it.cache_read, it.cache_write_hour, it.terms)
        };
        let by_model = || models.name(self.model.into()).cmp(models.name(other.model.into()));
        rank(self).cmp(&rank(other)).then_with(by_model)
    }

    fn usage(&self) -> Usage {
        Usage {
            input: self.input.into(),
            output: self.output.into(),
            cache_read: self.cache_read.into(),
            cache_write: self.cache_write.into(),
            cache_write_hour: self.cache_write_hour.into(),
        }
    }
}

/// Hashes keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
