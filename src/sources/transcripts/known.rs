//! The sessions that are known, their files and their states, as events in the hub.
//!
//! A session with a process, or one that was written lately, is followed: its files have tails and
//! its state is folded. Of any other session only the files are known, and its event if a client
//! requested sessions of that age.
//! Invariant: no clock and no sleep. `formats` and `sessions` interpret the records.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Data, Draft, Origin, Rank, SessionRemoved, SourceId};
use crate::follow::small;
use crate::follow::tail::{Batch, Item, Line, Options, Reason, Tail};
use crate::follow::tails::{FileId, Polled, Tails};
use crate::formats::prices::Prices;
use crate::formats::transcript::{self, AgentMeta, Location, Part, Record};
use crate::hub::Hub;
use crate::report::health::Health;
use crate::report::transcripts::{self, State};
use crate::sessions::{Files, Liveness, Session, Status};
use crate::sources::{fault, recovered};

use super::{OPTIONS, place};

/// The shortest time between two events of a session whose status stays the same.
const CHANGE_PERIOD: Duration = Duration::from_millis(250);

/// The longest `.meta.json` that is read; one has about 200 bytes.
const MAX_META_BYTES: u64 = 64 * 1024;

/// The most bytes that are read at a time when a state is folded again.
const FOLD_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct Known {
    pub(super) sessions: BTreeMap<Arc<str>, KnownSession>,
    pub(super) files: HashMap<FileId, KnownFile>,
    /// Sessions to show again, when they are due.
    changed: BTreeSet<Arc<str>>,
    /// Sessions whose files were rewritten.
    stale: BTreeSet<Arc<str>>,
    /// Sessions that are shown and have not ended.
    running: BTreeSet<Arc<str>>,
    pub(super) started_at: Timestamp,
    hasher: RandomState,
    /// The state that was reported last, and whether a status has changed since.
    state: State,
    is_uncounted: bool,
    prices: Arc<Prices>,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

/// A session.
pub(super) struct KnownSession {
    pub(super) main: Option<FileId>,
    pub(super) agents: BTreeMap<String, FileId>,
    pub(super) liveness: Liveness,
    /// When one of its files was last written; absent without a file.
    pub(super) written_at: Option<Timestamp>,
    pub(super) followed: Option<Box<Followed>>,
    /// The state that clients know.
    pub(super) shown: Option<Shown>,
}

/// The state of a session whose files have tails.
pub(super) struct Followed {
    session: Session,
    /// The files that have not been read to their ends yet.
    behind: BTreeSet<FileId>,
    /// A file was rewritten: the state is to be folded again.
    is_stale: bool,
}

/// The state of a session that was published.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) status: Status,
    pub(super) since: Option<Timestamp>,
    json_hash: u64,
    /// When it may be published again with the same status.
    due: Duration,
    /// Without the state of its transcripts, which were not read yet.
    is_unread: bool,
}

/// A transcript.
pub(super) struct KnownFile {
    session_id: Arc<str>,
    pub(super) agent_id: Option<String>,
    pub(super) written_at: Timestamp,
    /// Lines that end behind this offset are published, unless they are old.
    pub(super) publish_from: u64,
    old: Option<Old>,
    pub(super) newest: Option<Timestamp>,
    /// How much of it was read.
    pub(super) read_bytes: u64,
    /// It is nowhere in the tree, and may come back.
    pub(super) is_gone: bool,
    /// It was published that it cannot be read.
    is_unreadable: bool,
}

/// Records that were copied into a file or written into it again: those that begin before an offset
/// and are not later than a time.
struct Old {
    before: u64,
    until: Timestamp,
}

/// The outcome of a poll.
#[derive(Default)]
pub(super) struct Taken {
    /// Lines that were written while the program runs.
    pub(super) new_lines: usize,
    /// It was the first to read the file to its end.
    pub(super) has_caught_up: bool,
}

impl KnownSession {
    fn new() -> KnownSession {
        KnownSession {
            main: None,
            agents: BTreeMap::new(),
            liveness: Liveness::Unknown,
            written_at: None,
            followed: None,
            shown: None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.liveness, Liveness::Alive(_))
    }

    /// Whether its own transcript exists, apart from those of subagents.
    pub(super) fn has_transcript(&self, files: &HashMap<FileId, KnownFile>) -> bool {
        self.main.and_then(|file| files.get(&file)).is_some_and(|file| !file.is_gone)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| !followed.behind.is_empty())
    }

    /// Whether a subagent's transcript is still being written, as far as its records tell.
    pub(super) fn is_agent_in_turn(&self, agent_id: &str) -> bool {
        let session = self.followed.as_ref().map(|followed| &followed.session);
        session.is_some_and(|session| session.is_agent_in_turn(agent_id))
    }

    fn as_files<'a>(
        &self,
        files: &HashMap<FileId, KnownFile>,
        path: impl Fn(FileId) -> Option<&'a str>,
        wall: Timestamp,
    ) -> Files<'a> {
        let main = self.main.and_then(|id| files.get(&id));
        let bytes = main.map_or(0, |file| file.read_bytes);
        let path = self.main.filter(|_| self.has_transcript(files)).and_then(path);
        Files { written_at: self.written_at.unwrap_or(wall), path, bytes }
    }

    pub(super) fn files(&self) -> Vec<FileId> {
        self.main.iter().chain(self.agents.values()).copied().collect()
    }
}

impl KnownFile {
    /// A file whose lines are all published.
    fn new(session_id: Arc<str>, agent_id: Option<String>, written_at: Timestamp) -> KnownFile {
        KnownFile {
            session_id,
            agent_id,
            written_at,
            publish_from: 0,
            old: None,
            newest: None,
            read_bytes: 0,
            is_gone: false,
            is_unreadable: false,
        }
    }

    pub(super) fn session_id(&self) -> &Arc<str> {
        &self.session_id
    }

    /// Whether a line was written while the program runs.
    fn is_new(&self, line: &Line) -> bool {
        line.offset + line.len_bytes > self.publish_from
    }

    fn publishes(&self, line: &Line, record: &Record) -> bool {
        let is_old = self.old.as_ref().is_some_and(|old| {
            line.offset < old.before && record.ts.is_some_and(|ts| ts <= old.until)
        });
        self.is_new(line) && record.is_published() && !is_old
    }

    /// Takes in that the file, which has no tail, was written.
    pub(super) fn change(&mut self, old_bytes: u64, size_bytes: u64) {
        if size_bytes < old_bytes {
            self.rewrite(size_bytes, Some(self.written_at));
        } else {
            self.publish_from = self.publish_from.max(old_bytes);
        }
    }

    /// From now on every line is new, apart from those in the present content that are not later
    /// than a time.
    fn rewrite(&mut self, size_bytes: u64, until: Option<Timestamp>) {
        self.publish_from = 0;
        let until = until.max(self.old.as_ref().map(|old| old.until));
        self.old = until.map(|until| Old { before: size_bytes, until });
    }

    /// After a rewrite every line that the tail returns is new to it. Their times separate the old
    /// records: those of the time before the start if the file was not read yet, and
    /// all that were known if the tail recognised none.
    fn restart(
        &mut self,
        size_bytes: u64,
        is_unknown: bool,
        has_caught_up: bool,
        started_at: Timestamp,
    ) {
        let of_start = (!has_caught_up).then_some(started_at);
        let of_file = self.newest.filter(|_| is_unknown);
        self.rewrite(size_bytes, of_start.max(of_file));
    }
}

/// Where a line of a transcript goes: into the session's state, and to the streams if it is new.
struct Sink<'a> {
    file: &'a mut KnownFile,
    followed: &'a mut Followed,
    hub: &'a Hub,
    health: &'a Health,
}

impl Sink<'_> {
    fn take(&mut self, line: &Line, bytes: &[u8], origin: Origin) {
        self.health.counters.oversized_lines.add(u64::from(line.is_truncated()));
        each_part(line, bytes, |part| match part {
            Part::Record(record) => self.record(line, &record, origin),
            Part::Malformed => self.malformed(),
        });
    }

    fn malformed(&mut self) {
        self.health.transcripts.malformed.add(1);
        if !self.followed.is_stale {
            self.followed.session.malformed(self.file.agent_id.as_deref());
        }
    }

    fn record(&mut self, line: &Line, record: &Record, origin: Origin) {
        let counters = &self.health.transcripts;
        counters.records.add(1);
        record.unknown_types().for_each(|unknown| counters.count_unknown(unknown));
        if !self.followed.is_stale {
            self.followed.session.record(self.file.agent_id.as_deref(), record);
        }
        if self.file.publishes(line, record) {
            self.publish(line, record, origin);
        }
        self.file.newest = self.file.newest.max(record.ts);
    }

    fn publish(&self, line: &Line, record: &Record, origin: Origin) {
        let location = Location {
            session_id: &self.file.session_id,
            agent_id: self.file.agent_id.as_deref(),
            project: self.followed.session.project(),
            offset: line.offset,
            bytes: line.len_bytes,
        };
        self.hub.add(record.draft(location).with_origin(origin));
    }
}

/// Passes on the records of a line.
fn each_part(line: &Line, bytes: &[u8], mut each: impl FnMut(Part)) {
    if line.is_truncated() {
        return each(Part::Malformed);
    }
    transcript::each_part(bytes, each);
}

impl Followed {
    fn read_meta(&mut self, agent_id: &str, path: &Path) {
        let content = small::read(path, MAX_META_BYTES);
        if let Some(meta) = content.and_then(|(_, bytes)| AgentMeta::parse(&bytes)) {
            self.session.agent_meta(agent_id, meta);
        }
    }
}

/// Folds the records of a file that begin before an offset.
fn fold(session: &mut Session, agent_id: Option<&str>, path: &Path, end: u64) {
    let options = Options { fingerprints: 0, ..OPTIONS };
    let (mut tail, mut batch) = (Tail::new(path.to_owned(), options), Batch::new(FOLD_BYTES));
    loop {
        let has_more = tail.poll(Duration::ZERO, &mut batch);
        while let Some(item) = batch.pop() {
            let Item::Line(line) = item else { continue };
            if line.offset >= end {
                return;
            }
            each_part(&line, batch.bytes(&line), |part| match part {
                Part::Record(record) => session.record(agent_id, &record),
                Part::Malformed => session.malformed(agent_id),
            });
        }
        if !has_more {
            return;
        }
    }
}

impl Known {
    pub(super) fn new(
        hub: Arc<Hub>,
        health: Arc<Health>,
        prices: Arc<Prices>,
        started_at: Timestamp,
    ) -> Known {
        Known {
            sessions: BTreeMap::new(),
            files: HashMap::new(),
            changed: BTreeSet::new(),
            stale: BTreeSet::new(),
            running: BTreeSet::new(),
            started_at,
            hasher: RandomState::new(),
            state: State::default(),
            is_uncounted: true,
            prices,
            hub,
            health,
        }
    }

    /// Returns the session with an id, which is new if it was not known.
    pub(super) fn entry(&mut self, id: &str) -> (Arc<str>, &mut KnownSession) {
        let id = match self.sessions.get_key_value(id) {
            Some((id, _)) => Arc::clone(id),
            None => Arc::from(id),
        };
        let entry = self.sessions.entry(Arc::clone(&id)).or_insert_with(KnownSession::new);
        (id, entry)
    }

    pub(super) fn session_of(&self, file: FileId) -> Option<&Arc<str>> {
        self.files.get(&file).map(|file| &file.session_id)
    }

    /// Adds a file. If it existed before the program's start, its present content is not published.
    /// Otherwise its records are, apart from those up to `copied_until`, which were copied into it.
    pub(super) fn add(
        &mut self,
        id: FileId,
        session_id: &str,
        agent_id: Option<String>,
        written_at: Timestamp,
        size_bytes: u64,
        copied_until: Option<Timestamp>,
    ) {
        let (session_id, entry) = self.entry(session_id);
        match &agent_id {
            None => entry.main = Some(id),
            Some(agent_id) => _ = entry.agents.insert(agent_id.clone(), id),
        }
        entry.written_at = entry.written_at.max(Some(written_at));
        self.changed.insert(Arc::clone(&session_id));
        let file = self.files.entry(id).or_insert_with(|| {
            let mut file = KnownFile::new(session_id, agent_id, written_at);
            match copied_until {
                Some(until) => file.old = Some(Old { before: u64::MAX, until }),
                None => file.publish_from = size_bytes,
            }
            file
        });
        if std::mem::take(&mut file.is_gone) {
            // Its tail may have read it already.
            let session_id = Arc::clone(&file.session_id);
            self.expire(&session_id);
        }
    }

    /// Begins the state of a session.
    pub(super) fn follow(&mut self, id: &Arc<str>) {
        let Some(entry) = self.sessions.get_mut(id) else { return };
        let behind = entry.files().into_iter().collect();
        let session = Session::new(id, Arc::clone(&self.prices));
        entry.followed = Some(Box::new(Followed { session, behind, is_stale: false }));
        self.changed.insert(Arc::clone(id));
    }

    /// Registers a file of a followed session that is to be read.
    pub(super) fn expect(&mut self, id: FileId, path: &Path) {
        let Some(file) = self.files.get(&id) else { return };
        let entry = self.sessions.get_mut(&file.session_id);
        let Some(followed) = entry.and_then(|entry| entry.followed.as_mut()) else { return };
        followed.behind.insert(id);
        if let Some(agent_id) = &file.agent_id {
            followed.read_meta(agent_id, &place::meta(path));
        }
    }

    /// Reads the `.meta.json` at a path.
    pub(super) fn describe(&mut self, path: &Path) {
        let Some((session_id, agent_id)) = place::described(path) else { return };
        let Some((id, _)) = self.sessions.get_key_value(session_id) else { return };
        let id = Arc::clone(id);
        let entry = self.sessions.get_mut(&id);
        // Before there is a transcript, it is read with it.
        let entry = entry.filter(|entry| entry.agents.contains_key(agent_id));
        if let Some(followed) = entry.and_then(|entry| entry.followed.as_mut()) {
            followed.read_meta(agent_id, path);
            self.changed.insert(id);
        }
    }

    /// Takes in what a tail has read.
    pub(super) fn take(&mut self, polled: Polled, wall: Timestamp) -> Taken {
        let Polled { file: id, path, batch, has_caught_up, size_bytes, read_bytes, written_at } =
            polled;
        let Known { sessions, files, changed, stale, hub, health, .. } = self;
        let Some(file) = files.get_mut(&id) else { return Taken::default() };
        let Some(entry) = sessions.get_mut(&file.session_id) else { return Taken::default() };
        let Some(followed) = &mut entry.followed else { return Taken::default() };
        file.read_bytes = read_bytes;
        let source = SourceId::transcript(id.0);
        let mut new_lines = 0;
        let mut has_changed = false;
        while let Some(item) = batch.pop() {
            match item {
                Item::Line(line) => {
                    // The tail sees that a file is back before the scan does; or these are the last
                    // lines of one that is gone.
                    if file.is_gone && written_at.is_some() {
                        file.is_gone = false;
                        // Lines that were known before are not given out again.
                        followed.is_stale = true;
                        stale.insert(Arc::clone(&file.session_id));
                    }
                    has_changed = true;
                    new_lines += usize::from(file.is_new(&line));
                    let (seq, bytes) = (line.seq, batch.bytes(&line));
                    let mut sink = Sink { file, followed, hub, health };
                    sink.take(&line, bytes, Origin { source, seq });
                }
                Item::Reset { reason, kept } => {
                    health.counters.resets.add(1);
                    let offsets = kept.iter().map(|kept| (kept.seq, kept.offset)).collect();
                    hub.retain(source, &offsets);
                    // A file that is back can still be being written.
                    let size_bytes = if reason == Reason::Removed { u64::MAX } else { size_bytes };
                    file.restart(size_bytes, kept.is_empty(), has_caught_up, self.started_at);
                    followed.is_stale = true;
                    stale.insert(Arc::clone(&file.session_id));
                }
                Item::Found => {}
                // A path that is not a directory is reported by the scan, once for all its files.
                Item::Unreadable { msg } if path.parent().is_some_and(Path::is_dir) => {
                    let path = path.to_string_lossy();
                    file.is_unreadable = true;
                    hub.publish(fault(health, "transcripts.unreadable", msg, &path));
                }
                Item::Recovered if std::mem::take(&mut file.is_unreadable) => {
                    hub.publish(recovered(health, &path.to_string_lossy()));
                }
                Item::Unreadable { .. } | Item::Recovered => {}
            }
        }
        if new_lines > 0 {
            let written_at = written_at.and_then(|at| Timestamp::try_from(at).ok());
            file.written_at = written_at.map_or(wall, |at| at.min(wall));
            entry.written_at = entry.written_at.max(Some(file.written_at));
        }
        let has_caught_up = has_caught_up && followed.behind.remove(&id);
        if has_caught_up || has_changed {
            changed.insert(Arc::clone(&file.session_id));
        }
        Taken { new_lines, has_caught_up }
    }

    /// Marks the state of a session, if it is followed, to be folded again.
    pub(super) fn expire(&mut self, id: &Arc<str>) {
        let followed = self.sessions.get_mut(id).and_then(|entry| entry.followed.as_mut());
        if let Some(followed) = followed {
            followed.is_stale = true;
            self.stale.insert(Arc::clone(id));
        }
    }

    /// Folds the states of sessions again whose files were rewritten or are gone.
    pub(super) fn refold(&mut self, tails: &Tails) {
        for id in std::mem::take(&mut self.stale) {
            let Some(entry) = self.sessions.get_mut(&id) else { continue };
            let files = entry.files();
            let Some(followed) = entry.followed.as_mut().filter(|it| it.is_stale) else { continue };
            // A tail passes over known lines in silence. Before it has, they would be missing.
            if files.iter().any(|file| tails.is_reading(*file)) {
                self.stale.insert(id);
                continue;
            }
            followed.is_stale = false;
            followed.session = Session::new(&id, Arc::clone(&self.prices));
            for id in files {
                let Some(file) = self.files.get(&id).filter(|file| !file.is_gone) else { continue };
                let agent_id = file.agent_id.as_deref();
                let (Some(path), Some(end)) = (tails.path(id), tails.given_bytes(id)) else {
                    continue;
                };
                if let Some(agent_id) = agent_id {
                    followed.read_meta(agent_id, &place::meta(path));
                }
                // The tail gives out the rest, so that each record counts once.
                fold(&mut followed.session, agent_id, path, end);
            }
            self.changed.insert(id);
        }
    }

    /// Publishes the sessions that have changed, as far as they are due. Returns when the next one
    /// is. `path` tells where a file is, relative to the Claude directory.
    pub(super) fn show<'a>(
        &mut self,
        now: Duration,
        wall: Timestamp,
        path: impl Fn(FileId) -> Option<&'a str>,
    ) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for id in std::mem::take(&mut self.changed) {
            if let Some(due) = self.show_one(&id, now, wall, &path) {
                next = Some(next.map_or(due, |next| next.min(due)));
                self.changed.insert(id);
            }
        }
        next
    }

    /// Returns when the session may be shown if it is not due yet.
    fn show_one<'a>(
        &mut self,
        id: &Arc<str>,
        now: Duration,
        wall: Timestamp,
        path: impl Fn(FileId) -> Option<&'a str>,
    ) -> Option<Duration> {
        let entry = self.sessions.get_mut(id)?;
        let is_alive = entry.is_alive();
        if !is_alive && !entry.has_transcript(&self.files) {
            return None;
        }
        let followed = entry.followed.as_ref()?;
        // Half a state would be wrong. The registry's state is known at once.
        let is_behind = !followed.behind.is_empty();
        if is_behind && !is_alive {
            return None;
        }
        let unread = is_behind.then(|| Session::new(id, Arc::clone(&self.prices)));
        let session = unread.as_ref().unwrap_or(&followed.session);
        let files = entry.as_files(&self.files, path, wall);
        let is_early = |shown: &Shown| now < shown.due && shown.is_unread == is_behind;
        // A change of the status is not put off.
        if let Some(shown) = entry.shown.filter(is_early)
            && session.status(&entry.liveness, files, wall) == shown.status
        {
            return Some(shown.due);
        }
        let view = session.view(&entry.liveness, files, wall);
        let json_hash = self.hasher.hash_one(view.json.get());
        if entry.shown.is_some_and(|shown| shown.json_hash == json_hash) {
            return None;
        }
        let last_at = view.last_at.or(Some(files.written_at));
        let rank = Rank { status: view.status as u8, is_live: view.is_live, last_at };
        let draft = Draft::new(Some(wall), &Data::SessionChanged(&view.json));
        self.hub.publish(draft.with_session(id).with_rank(rank));
        let (status, since) = (view.status, view.since);
        if status == Status::Ended {
            self.running.remove(id);
        } else {
            self.running.insert(Arc::clone(id));
        }
        self.is_uncounted = true;
        let due = now + CHANGE_PERIOD;
        entry.shown = Some(Shown { status, since, json_hash, due, is_unread: is_behind });
        None
    }

    /// Publishes the removal of a session, if clients know it.
    pub(super) fn hide(&mut self, id: &Arc<str>, reason: &'static str) {
        let shown = self.sessions.get_mut(id).and_then(|entry| entry.shown.take());
        if shown.is_some() {
            self.running.remove(id);
            self.is_uncounted = true;
            let removed = SessionRemoved { session_id: id, reason };
            let draft = Draft::new(None, &Data::SessionRemoved(removed));
            self.hub.publish(draft.with_session(id));
        }
    }

    /// Looks for sessions whose status has changed by the passing of time.
    pub(super) fn watch_time(&mut self, wall: Timestamp) {
        for id in &self.running {
            let Some(entry) = self.sessions.get_mut(id) else { continue };
            let Some(shown) = entry.shown else { continue };
            // A clock that was set back must not put off the silence.
            entry.written_at = entry.written_at.map(|at| at.min(wall));
            let files = entry.as_files(&self.files, |_| None, wall);
            let Some(followed) = &entry.followed else { continue };
            if followed.session.status(&entry.liveness, files, wall) != shown.status {
                self.changed.insert(Arc::clone(id));
            }
        }
    }

    /// Reports the number of sessions with each status.
    pub(super) fn count(&mut self, files: transcripts::Files) {
        if !self.is_uncounted && files == self.state.files {
            return;
        }
        self.is_uncounted = false;
        let mut state = State { files, ..State::default() };
        for shown in self.sessions.values().filter_map(|entry| entry.shown) {
            let sessions = &mut state.sessions;
            *match shown.status {
                Status::Waiting => &mut sessions.waiting,
                Status::Working => &mut sessions.working,
                Status::Idle => &mut sessions.idle,
                Status::Ended => &mut sessions.ended,
            } += 1;
            if shown.status == Status::Waiting {
                let earliest = [state.waiting_since, shown.since].into_iter().flatten().min();
                state.waiting_since = earliest;
            }
        }
        self.state = state;
        self.health.transcripts.set_state(state);
    }

    /// Returns the earliest time among the `count` sessions that were written last.
    pub(super) fn newest(&self, count: usize) -> Timestamp {
        let mut times: Vec<_> = self.sessions.values().filter_map(|it| it.written_at).collect();
        if times.len() <= count {
            return Timestamp::MIN;
        }
        let (_, last, _) = times.select_nth_unstable_by(count - 1, |one, other| other.cmp(one));
        *last
    }

    /// Whether clients know that the session has ended, and no change is pending.
    pub(super) fn is_shown_ended(&self, id: &Arc<str>) -> bool {
        let entry = self.sessions.get(id).filter(|entry| !entry.is_behind());
        let shown = entry.and_then(|entry| entry.shown);
        shown.is_some_and(|it| it.status == Status::Ended) && !self.changed.contains(id)
    }

    /// Shows a session again if its state differs.
    pub(super) fn mark(&mut self, id: &Arc<str>) {
        self.changed.insert(Arc::clone(id));
    }
}
