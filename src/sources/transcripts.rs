//! Transcripts and the registry of running sessions, as sessions and records in the hub.
//!
//! One step does all of it, since a session's state joins the registry with its files: it polls
//! the registry and the tails, takes steps of a scan, and publishes what has changed. No step does
//! much at once, so that a large tree delays no record that is written now.
//! Invariant: no clock and no sleep; the worker in `main` passes the time.

mod known;
pub(super) mod place;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::event::Topic;
use crate::follow::process;
use crate::follow::tail::Options;
use crate::follow::tail::page;
use crate::follow::tails::{Change, FileId, Pace, Tails};
use crate::follow::tree::FileState;
use crate::formats::json;
use crate::formats::transcript::{Part, each_part};
use crate::hub::Hub;
use crate::report::health::Health;
use crate::report::transcripts;
use crate::sessions::{Liveness, SILENCE};

use super::records::{Reading, Records};
use super::statuses::{self, Statuses};
use super::usage::Usage;
use super::{Pacer, fault, recovered};
use known::{Known, KnownSession};
use place::Owner;

/// Options of transcript tails, each of which takes a few KiB. Rewrites concern the last records,
/// of which this many are recognised.
const OPTIONS: Options = Options {
    newest: usize::MAX,
    fingerprints: 128,
    max_line_bytes: MAX_RECORD_BYTES,
    is_whole: json::is_record,
};

/// The longest record that is read whole.
pub(super) const MAX_RECORD_BYTES: usize = 16 << 20;

/// A scan goes to the directories that have the transcripts of sessions. Those of subagents are
/// looked at while their session is at work.
const SCAN_DEPTH: usize = 1;

/// The time between two looks at the registry, two at the directories in which live sessions will
/// have their files, and two at sessions for which only time has passed.
const REGISTRY_PERIOD: Duration = Duration::from_millis(100);
const LOOK_PERIOD: Duration = Duration::from_millis(500);
const TIME_PERIOD: Duration = Duration::from_secs(1);

/// Where polls are rare, a look is due after this many of them, or after this time.
const LOOK_POLLS: u32 = 5;
const MAX_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The time between two looks for sessions that have become too old.
const SELECT_PERIOD: Duration = Duration::from_secs(30);

/// After this many new lines streams are notified, and waited for if they lag.
const BURST_LINES: usize = 500;

/// A file that was written in this time is polled often, and after that sometimes while its session
/// has a process.
const HOT_TIME: SignedDuration = SignedDuration::from_mins(1);

/// Sessions of this time are followed.
pub(super) const WARM_HOURS: u32 = 24;

/// How much older than their file records are that were written into it, such as a prompt that a
/// hook held up. Older ones were copied.
const MAX_RECORD_AGE: SignedDuration = SignedDuration::from_secs(10);

/// The most sessions that are shown: at 4 KiB each they are a part of what the program may use.
const MAX_SESSIONS: usize = 4000;

/// See the module.
pub(crate) struct Transcripts {
    projects: PathBuf,
    tails: Tails,
    registry: Statuses,
    known: Known,
    /// Subagents of 2025 whose session is not looked up yet.
    orphans: Vec<FileId>,
    pacer: Pacer,
    records: Arc<Records>,
    usage: Arc<Usage>,
    hub: Arc<Hub>,
    health: Arc<Health>,
    /// The time of the step.
    now: Duration,
    wall: Timestamp,
    period: Duration,
    /// When the next step is due.
    due: Duration,
    registry_due: Duration,
    look_due: Duration,
    time_due: Duration,
    select_due: Duration,
    /// All files that existed at the start are known.
    is_scanned: bool,
    /// 0 before the first selection.
    hours: u32,
}

impl Transcripts {
    /// Follows the transcripts of a Claude directory, of which `max_open_files` are open at most.
    /// Nothing is read before the first step.
    pub(crate) fn new(
        claude_dir: &Path,
        hub: Arc<Hub>,
        health: Arc<Health>,
        records: Arc<Records>,
        usage: Arc<Usage>,
        started_at: Timestamp,
        max_open_files: usize,
    ) -> Transcripts {
        records.set_reading(Reading { files: 0, done: 0, hours: 0 });
        let projects = claude_dir.join("projects");
        let root = projects.clone();
        Transcripts {
            projects,
            tails: Tails::new(
                root,
                place::accepts,
                place::key,
                OPTIONS,
                SCAN_DEPTH,
                max_open_files,
            ),
            registry: Statuses::new(claude_dir.join("sessions"), process::look_up),
            known: Known::new(Arc::clone(&hub), Arc::clone(&health), usage.prices(), started_at),
            usage,
            orphans: Vec::new(),
            pacer: Pacer::new(Arc::clone(&hub), Topic::Transcripts),
            records,
            hub,
            health,
            now: Duration::ZERO,
            wall: started_at,
            period: Duration::ZERO,
            due: Duration::ZERO,
            registry_due: Duration::ZERO,
            look_due: Duration::ZERO,
            time_due: Duration::ZERO,
            select_due: Duration::ZERO,
            is_scanned: false,
            hours: 0,
        }
    }

    /// Publishes the changes. Returns the time until the next step is due, with `period` between
    /// two polls of the files that are polled often.
    pub(crate) fn step(&mut self, now: Duration, wall: Timestamp, period: Duration) -> Duration {
        let is_awaited = period < self.period || self.records.wanted_hours() > self.hours;
        // The history can be due more often.
        if now < self.due && !is_awaited {
            return self.due - now;
        }
        (self.now, self.wall, self.period) = (now, wall, period);
        let pause = self.take_step();
        self.due = now + pause;
        pause
    }

    fn take_step(&mut self) -> Duration {
        let (now, wall, period) = (self.now, self.wall, self.period);
        // Processes, files, records, states, in this order: a change is shown in its own step.
        if is_due(&mut self.registry_due, now, REGISTRY_PERIOD.max(period)) {
            self.poll_registry();
        }
        self.scan();
        let look_period = (LOOK_POLLS * period).clamp(LOOK_PERIOD, MAX_LOOK_PERIOD);
        if is_due(&mut self.look_due, now, look_period) {
            self.look_for_subagents();
            self.look_for_transcripts();
        }
        if is_due(&mut self.time_due, now, TIME_PERIOD) {
            self.known.watch_time(wall);
            self.slow_down();
        }
        let wanted_hours = self.records.wanted_hours();
        if self.is_scanned && (wanted_hours > self.hours || now >= self.select_due) {
            self.hours = wanted_hours;
            self.select_due = now + SELECT_PERIOD;
            self.select();
        }
        let is_held = self.poll_tails(period);
        let tails = &self.tails;
        self.known.refold(tails);
        let claude_dir = self.projects.parent();
        let relative = |file| tails.path(file)?.strip_prefix(claude_dir?).ok()?.to_str();
        let show_due = self.known.show(now, wall, relative);
        self.report();
        if is_held {
            return Duration::from_millis(1);
        }
        let due = [self.registry_due, self.look_due, self.time_due];
        let due = due.into_iter().chain(show_due).fold(Duration::MAX, Duration::min);
        // It shares the wakes of the polls, and so comes a period late at most.
        due.saturating_sub(now).max(period).min(self.tails.pause(now))
    }

    fn poll_registry(&mut self) {
        for change in self.registry.poll(self.now, self.wall) {
            match change {
                statuses::Change::Session { id, liveness } if place::is_id(&id) => {
                    self.set_liveness(&id, liveness);
                }
                statuses::Change::Session { .. } => {}
                statuses::Change::Unreadable { path, msg } => {
                    self.fault("sessions.unreadable", &path, msg);
                }
                statuses::Change::Recovered { path } => self.recovered(&path),
            }
        }
    }

    fn set_liveness(&mut self, id: &str, liveness: Liveness) {
        let (id, entry) = self.known.entry(id);
        entry.liveness = liveness;
        let is_alive = entry.is_alive();
        let has_transcript = self.known.sessions[&id].has_transcript(&self.known.files);
        self.known.mark(&id);
        if is_alive {
            if !has_transcript {
                self.look_for_transcripts();
                self.tails.hurry(self.now);
            }
            self.follow(&id);
        } else if !has_transcript {
            if self.known.entry(&id).1.files().is_empty() {
                self.forget(&id, "deleted");
            } else {
                self.known.hide(&id, "deleted");
            }
        }
    }

    fn scan(&mut self) {
        let changes = self.tails.scan(self.now);
        // Before the scan counts as ended: the files that its last step found existed at the start.
        self.apply(changes);
        if !self.is_scanned && self.tails.is_scanned() {
            self.is_scanned = true;
            self.select_due = self.now;
        }
    }

    fn look_for_subagents(&mut self) {
        for file in self.tails.hot() {
            let is_main = self.known.files.get(&file).is_some_and(|file| file.agent_id.is_none());
            if is_main && let Some(path) = self.tails.path(file).map(place::subagents) {
                let changes = self.tails.look(&path, self.now);
                self.apply(changes);
            }
        }
    }

    /// Looks where the transcripts of live sessions are as a rule, which have none before their
    /// first prompt. Elsewhere a scan finds them.
    fn look_for_transcripts(&mut self) {
        let known = &self.known;
        let has_transcript =
            |id| known.sessions.get(id).is_some_and(|session| session.has_transcript(&known.files));
        let lacking = self.registry.alive().filter(|(id, _)| !has_transcript(*id));
        let slugs: BTreeSet<String> =
            lacking.filter_map(|(_, entry)| entry.cwd.as_deref().map(place::slug)).collect();
        for slug in slugs {
            let changes = self.tails.look(&self.projects.join(slug), self.now);
            self.apply(changes);
        }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Found { file } => self.found(file),
                Change::Changed { file, was } => {
                    let state = self.tails.state(file);
                    if let (Some(known), Some(state)) = (self.known.files.get_mut(&file), state) {
                        known.change(was.size_bytes, state.size_bytes);
                    }
                    self.found(file);
                }
                Change::Moved { file } => self.moved(file),
                Change::Gone { file } => self.gone(file),
                Change::Other { path } => self.known.describe(&path),
                Change::Unreadable { path, msg } => {
                    self.fault("transcripts.unreadable", &path, msg);
                }
                Change::Recovered { path } => self.recovered(&path),
            }
        }
    }

    /// Takes in a file that is new, back, or written without having a tail.
    fn found(&mut self, file: FileId) {
        let (Some(path), Some(state)) = (self.tails.path(file), self.tails.state(file)) else {
            return;
        };
        let written_at = state.mtime.and_then(|mtime| Timestamp::try_from(mtime).ok());
        let written_at = written_at.map_or(self.wall, |at| at.min(self.wall));
        let is_of_window =
            written_at >= self.wall - SignedDuration::from_hours(self.hours.max(WARM_HOURS).into());
        let (session_id, agent_id) = match place::owner(path) {
            Some(Owner::Session { id }) => (id, None),
            Some(Owner::Agent { id, session_id }) => (session_id, Some(id)),
            Some(Owner::OldAgent { id }) => match self.known.session_of(file) {
                Some(session_id) => (session_id.to_string(), Some(id)),
                None if is_of_window => match session_in(path) {
                    Some(session_id) => (session_id, Some(id)),
                    None => return,
                },
                None => return self.orphans.push(file),
            },
            None => return,
        };
        let size_bytes = state.size_bytes;
        let copied_until = self.is_scanned.then(|| self.copied_until(state));
        self.known.add(file, &session_id, agent_id, written_at, size_bytes, copied_until);
        self.index(file);
        let (id, entry) = self.known.entry(&session_id);
        entry.liveness = self.registry.liveness(&session_id);
        if entry.followed.is_some() {
            self.follow_file(file);
        } else if entry.is_alive() || (is_of_window && self.is_scanned) {
            self.follow(&id);
        }
    }

    /// Returns the time up to which the records of a new file were copied into it: a fork begins
    /// with the records of its session.
    fn copied_until(&self, state: FileState) -> Timestamp {
        let created_at = state.btime.and_then(|btime| Timestamp::try_from(btime).ok());
        let until = created_at.map(|at| at.min(self.wall) - MAX_RECORD_AGE);
        until.map_or(self.known.started_at, |until| until.max(self.known.started_at))
    }

    fn moved(&mut self, file: FileId) {
        self.index(file);
        if let Some(id) = self.known.session_of(file).cloned() {
            // A rewrite that was noticed before the move was could not be read.
            self.known.expire(&id);
        }
    }

    fn gone(&mut self, file: FileId) {
        let session_id = self.known.session_of(file).cloned();
        if session_id.is_some_and(|id| self.known.entry(&id).1.is_alive()) {
            // If it has ended too, it is removed with its last state.
            self.poll_registry();
        }
        let Some(known) = self.known.files.get_mut(&file) else { return self.tails.forget(file) };
        known.is_gone = true;
        let (id, is_main) = (Arc::clone(known.session_id()), known.agent_id.is_none());
        self.records.set(&id, known.agent_id.as_deref(), None);
        self.known.expire(&id);
        if is_main && !self.known.entry(&id).1.is_alive() {
            self.known.hide(&id, "deleted");
        }
    }

    /// Registers a file, so that clients can request its records.
    fn index(&self, file: FileId) {
        if let (Some(known), Some(path)) = (self.known.files.get(&file), self.tails.path(file)) {
            self.records.set(known.session_id(), known.agent_id.as_deref(), Some(path));
        }
    }

    /// Reads the files of a session from their beginnings, and follows them from then on.
    fn follow(&mut self, id: &Arc<str>) {
        let (_, entry) = self.known.entry(id);
        let files = entry.files();
        if entry.followed.is_none() {
            self.known.follow(id);
        }
        files.into_iter().for_each(|file| self.follow_file(file));
    }

    fn follow_file(&mut self, file: FileId) {
        let pace = self.pace(file);
        let is_new = self.tails.read_bytes(file).is_none();
        self.tails.follow(file, pace);
        if is_new && let Some(path) = self.tails.path(file) {
            self.known.expect(file, path);
        }
    }

    /// Stops following a session, which is shown as it is until one of its files changes.
    fn unfollow(&mut self, id: &Arc<str>) {
        let (_, entry) = self.known.entry(id);
        entry.followed = None;
        for file in entry.files() {
            if let (Some(bytes), Some(known)) =
                (self.tails.read_bytes(file), self.known.files.get_mut(&file))
            {
                known.publish_from = bytes;
            }
            self.tails.unfollow(file);
        }
    }

    fn pace(&self, file: FileId) -> Pace {
        let Some(known) = self.known.files.get(&file) else { return Pace::Seldom };
        let is_fresh = self.wall.duration_since(known.written_at) < HOT_TIME;
        let entry = self.known.sessions.get(known.session_id());
        let is_alive = entry.is_some_and(KnownSession::is_alive);
        let agent_id = known.agent_id.as_deref();
        // An idle subagent resumes with a record of its session.
        let is_active =
            agent_id.is_none_or(|id| entry.is_some_and(|entry| entry.is_agent_in_turn(id)));
        let is_silent = entry.and_then(|entry| entry.written_at).is_none_or(|written_at| {
            self.wall.duration_since(written_at) >= SILENCE && agent_id.is_some()
        });
        match (is_fresh, is_active) {
            (true, _) => Pace::Often,
            (false, true) if is_alive => Pace::Sometimes,
            (false, true) if !is_silent => Pace::Seldom,
            (false, _) => Pace::OnChange,
        }
    }

    /// Polls files less often that were not written for a while.
    fn slow_down(&mut self) {
        for file in self.tails.hot() {
            let pace = self.pace(file);
            if pace != Pace::Often {
                self.tails.follow(file, pace);
            }
        }
    }

    /// Follows the sessions that are new enough, and lets go of those that have become too old.
    fn select(&mut self) {
        let start = self.wall - SignedDuration::from_hours(self.hours.max(WARM_HOURS).into());
        let start = start.max(self.known.newest(MAX_SESSIONS));
        self.resolve_orphans(start);
        let warm_start = self.wall - SignedDuration::from_hours(WARM_HOURS.into());
        let ids: Vec<Arc<str>> = self.known.sessions.keys().cloned().collect();
        for id in ids {
            let (_, entry) = self.known.entry(&id);
            let is_since = |time| entry.is_alive() || entry.written_at.is_some_and(|at| at >= time);
            let is_known = entry.shown.is_some();
            if !is_since(start) {
                self.forget(&id, "aged");
            } else if entry.followed.is_none() && !is_known {
                self.follow(&id);
            } else if !is_since(warm_start) && self.known.is_shown_ended(&id) {
                self.unfollow(&id);
            }
        }
    }

    fn resolve_orphans(&mut self, start: Timestamp) {
        for file in std::mem::take(&mut self.orphans) {
            let mtime = self.tails.state(file).and_then(|state| state.mtime);
            let written_at = mtime.and_then(|mtime| Timestamp::try_from(mtime).ok());
            if written_at.is_some_and(|at| at >= start) {
                self.found(file);
            } else {
                self.orphans.push(file);
            }
        }
    }

    /// Drops a session's state; its files stay known as long as they exist.
    fn forget(&mut self, id: &Arc<str>, reason: &'static str) {
        self.known.hide(id, reason);
        self.registry.forget(id);
        let (_, entry) = self.known.entry(id);
        let (is_alive, files) = (entry.is_alive(), entry.files());
        if entry.followed.is_some() {
            self.unfollow(id);
        }
        let is_gone = |file: &FileId| self.known.files.get(file).is_none_or(|it| it.is_gone);
        if !is_alive && files.iter().all(is_gone) {
            for file in &files {
                self.tails.forget(*file);
                self.known.files.remove(file);
            }
            self.known.sessions.remove(id);
        }
    }

    /// Returns whether streams have to catch up before there may be more.
    fn poll_tails(&mut self, period: Duration) -> bool {
        if self.pacer.is_held(self.now) {
            return true;
        }
        self.tails.begin(self.now, period);
        let (mut to_pace, mut new_lines) = (Vec::new(), 0);
        while let Some(polled) = self.tails.next(self.now) {
            let file = polled.file;
            if !polled.batch.is_empty() {
                self.usage.changed(polled.path);
            }
            let taken = self.known.take(polled, self.wall);
            if taken.new_lines > 0 || taken.has_caught_up {
                to_pace.push(file);
            }
            new_lines += taken.new_lines;
            if new_lines > BURST_LINES {
                self.hub.notify();
                if self.pacer.is_held(self.now) {
                    break;
                }
                new_lines = 0;
            }
        }
        // Only then: a stream that is woken without need neither pings nor looks for its client.
        if new_lines > 0 {
            self.hub.notify();
        }
        for file in to_pace {
            self.tails.follow(file, self.pace(file));
        }
        false
    }

    fn report(&mut self) {
        let counts = self.tails.counts();
        let (files, done) = (counts.tails, counts.tails - counts.behind);
        self.records.set_reading(Reading { files, done, hours: self.hours });
        self.known.count(transcripts::Files {
            hot: counts.hot,
            warm: counts.tails - counts.hot,
            cold: counts.files - counts.tails,
            open: counts.open_files,
        });
    }

    fn fault(&self, kind: &'static str, path: &Path, msg: String) {
        self.hub.publish(fault(&self.health, kind, msg, &path.to_string_lossy()));
    }

    fn recovered(&self, path: &Path) {
        if !path.exists() {
            return self.health.clear_error(&path.to_string_lossy());
        }
        self.hub.publish(recovered(&self.health, &path.to_string_lossy()));
    }
}

/// Returns whether it is time for something, which is due again after a period.
fn is_due(due: &mut Duration, now: Duration, period: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + period;
    }
    is_due
}

/// Returns the session that the first record of a transcript belongs to.
fn session_in(path: &Path) -> Option<String> {
    let page = page::read(path, Some(1), 1, MAX_RECORD_BYTES, json::is_record).ok()?;
    let mut session_id = None;
    each_part(&page.lines.first()?.bytes, |part| {
        if let Part::Record(record) = part {
            session_id = session_id.take().or(record.session_id().map(Into::into));
        }
    });
    session_id.filter(|id: &String| place::is_id(id))
}

#[cfg(test)]
mod tests;
