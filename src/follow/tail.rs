//! A tail follows one file that other programs append to, rewrite, rename, replace and remove, and
//! returns each of its lines once.
//!
//! The identity of the file, the read position and the bytes before it separate new bytes from old
//! ones. If these do not match, fingerprints of the lines decide.
//! Invariant: no clock (the caller passes the time), thread, sleep, printing or meaning of a line.
//! Known weakness: misses content that comes and goes within 100 ms, and a rewrite that leaves the
//! last 4 KiB in place. Repeats the later lines of a rewrite in place that pauses for 100 ms half
//! way or takes longer than a second. Sees a change through a memory map when the file's times
//! change.

mod batch;
mod comparison;
mod cursor;
mod file;
mod fingerprints;
mod last_lines;
mod lines;
pub(crate) mod page;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use batch::Batch;
use comparison::{Comparison, compare};
use cursor::{Cursor, Progress};
use file::{Access, Id, Signature};
use fingerprints::Fingerprints;
use lines::Record;

/// How long a file is read again although its state seems the same: the coarsest tick of file times
/// (FAT).
const TICK: Duration = Duration::from_secs(2);

/// How long a file that is being rewritten must keep its state to be at rest. Between two writes, a
/// program on a busy machine can pause for tens of milliseconds.
const REST_TIME: Duration = Duration::from_millis(100);

/// The longest wait for a rewrite to come to rest, and for an empty file to be written to.
const REWRITE_TIME: Duration = Duration::from_secs(1);

/// How long the path may lead nowhere before the file counts as removed: a program can replace a
/// file by deleting and creating it.
const ABSENCE_TIME: Duration = Duration::from_secs(1);

/// How long a file that was replaced or removed is read for writers that still hold it.
const RETIRED_TIME: Duration = Duration::from_secs(5);

/// How many such files are kept open; the oldest is closed first.
const RETIRED_FILES: usize = 8;

/// The costs of following a file, and the test for a whole record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How many of the newest lines are read at first and from new content, 1 at least;
    /// `usize::MAX` for all of them, without a search for their beginning.
    pub(crate) newest: usize,
    /// How many lines are remembered, 8 bytes of hash and 8 of number each, to recognise them after
    /// a rewrite. With 0, each line of the new content is new.
    pub(crate) fingerprints: usize,
    /// The longest line that is given out whole; so much is held of a half line.
    pub(crate) max_line_bytes: usize,
    /// Whether bytes that begin with `{` and end with `}` are one whole record, though no line end
    /// follows.
    pub(crate) is_whole: fn(&[u8]) -> bool,
}

/// A line of the file; its bytes are in the [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Position among all lines that this [`Tail`] has given out, from 0; names the line in a later
    /// [`Item::Reset`].
    pub(crate) seq: u64,
    /// Offset of its first byte in the file from which it was read.
    pub(crate) offset: u64,
    /// Its length in the file.
    pub(crate) len_bytes: u64,
    /// The place of its bytes in the batch.
    start: usize,
    kept_bytes: usize,
}

impl Line {
    fn of(record: &Record, seq: u64, start: usize) -> Line {
        let Record { offset, bytes, len_bytes } = *record;
        Line { seq, offset, len_bytes, start, kept_bytes: bytes.len() }
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.len_bytes > self.kept_bytes as u64
    }
}

/// Why lines that were given out are no longer in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Truncated,
    Replaced,
    Removed,
}

/// A line that was given out and is still in the file, and its present offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Line(Line),
    /// Every earlier line that is not among `kept` is gone from the file.
    Reset {
        reason: Reason,
        kept: Vec<Kept>,
    },
    /// The file was missing, at the start or since it was removed, and now exists.
    Found,
    /// Once per change of state; the message can follow the path.
    Unreadable {
        msg: String,
    },
    Recovered,
}

/// The file at the path, as of the last poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Status {
    pub(crate) exists: bool,
    pub(crate) size_bytes: u64,
    pub(crate) read_bytes: u64,
}

pub(crate) struct Tail {
    path: PathBuf,
    options: Options,
    fingerprints: Fingerprints,
    state: State,
    retired: VecDeque<Retired>,
    trouble: Option<String>,
    /// Size of the file at the path at the last look.
    size_bytes: Option<u64>,
}

enum State {
    /// No file is followed. If it was found missing, its appearance is reported.
    Missing {
        is_awaited: bool,
    },
    Following(Box<Current>),
    /// Another file is at the path; the current one is read to its end first.
    Switching {
        from: Box<Current>,
        to: Box<Successor>,
    },
}

/// The next state, and an error of the path or of the file there.
type Step = (State, io::Result<()>);

/// The file that is followed.
struct Current {
    /// Absent after [`Tail::close`], until the file changes.
    file: Option<File>,
    id: Id,
    access: Access,
    cursor: Cursor,
    /// The state in which everything was read.
    seen: Option<Signature>,
    changed_at: Duration,
    /// The file was read again in that state, when a change could no longer leave it the same.
    is_settled: bool,
    rewrite: Option<Rewrite>,
    absent_since: Option<Duration>,
}

/// New content in place of bytes that were read, perhaps still being written; or a stale size.
struct Rewrite {
    since: Duration,
    noticed_bytes: u64,
    /// The state at the last poll, and since when it is that.
    seen: Option<(Signature, Duration)>,
}

/// Another file at the path.
struct Successor {
    file: File,
    seen: Signature,
    rewrite: Rewrite,
}

/// A file that was replaced or removed, and may still be written to.
struct Retired {
    file: File,
    id: Id,
    cursor: Cursor,
    until: Duration,
}

impl Tail {
    pub(crate) fn new(path: PathBuf, options: Options) -> Tail {
        Tail {
            path,
            options,
            fingerprints: Fingerprints::new(options.fingerprints),
            state: State::default(),
            retired: VecDeque::new(),
            trouble: None,
            size_bytes: None,
        }
    }

    /// Takes one step and leaves its items in `batch`, which is emptied first. Returns whether
    /// there is more to read now, so that the next poll is due without a pause. `now` is the time
    /// since any fixed start.
    ///
    /// Reads no more than the batch's budget, apart from the search for the newest lines at first
    /// and at a reset, which reads 64 MiB at most.
    pub(crate) fn poll(&mut self, now: Duration, batch: &mut Batch) -> bool {
        batch.begin();
        let seen = file::look(&self.path);
        self.size_bytes = seen.as_ref().ok().map(|seen| seen.size_bytes);
        let state = mem::take(&mut self.state);
        let (state, done) = self.advance(state, seen, now, batch);
        self.state = state;
        match done {
            Ok(()) => self.recover(batch),
            // `Removed` has reported the absence; the tail waits for the file in silence.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.fail(&error, batch),
        }
        // The file at the path comes first: a batch has a bound, and late lines are rare.
        self.drain_retired(now, batch);
        batch.more || batch.is_full()
    }

    pub(crate) fn status(&self) -> Status {
        let read_bytes = self.cursor().map_or(0, Cursor::position);
        let size_bytes = self.size_bytes.unwrap_or(0);
        Status { exists: self.size_bytes.is_some(), size_bytes, read_bytes }
    }

    /// Returns up to where lines were given out: a half line is read, but not given out.
    pub(crate) fn given_bytes(&self) -> u64 {
        self.cursor().map_or(0, Cursor::line_start)
    }

    fn cursor(&self) -> Option<&Cursor> {
        match &self.state {
            State::Missing { .. } => None,
            State::Following(current) | State::Switching { from: current, .. } => {
                Some(&current.cursor)
            }
        }
    }

    fn advance(
        &mut self,
        state: State,
        seen: io::Result<Signature>,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        match (state, seen) {
            (State::Missing { is_awaited }, Ok(_)) => self.on_first_sight(is_awaited, now, batch),
            (State::Missing { is_awaited }, Err(error)) => {
                let is_awaited = is_awaited || error.kind() == ErrorKind::NotFound;
                (State::Missing { is_awaited }, Err(error))
            }
            // A successor is dropped if the current file is back in its place.
            (State::Following(current) | State::Switching { from: current, .. }, Ok(seen))
                if seen.id == current.id =>
            {
                self.on_same_file(current, seen, now, batch)
            }
            (State::Following(current), Ok(_)) => self.on_other_file(current, now, batch),
            (State::Following(current), Err(error)) => self.on_no_file(current, error, now, batch),
            (State::Switching { from, to }, seen) => {
                let is_passed = seen.is_ok_and(|seen| seen.id != to.seen.id);
                self.switch(from, to, is_passed, now, batch)
            }
        }
    }

    fn on_first_sight(&mut self, is_awaited: bool, now: Duration, batch: &mut Batch) -> Step {
        match self.open_first() {
            Ok((current, seen)) => {
                if is_awaited {
                    batch.push(Item::Found);
                }
                self.follow(current, seen, now, batch)
            }
            Err(error) => (State::Missing { is_awaited }, Err(error)),
        }
    }

    fn open_first(&self) -> io::Result<(Box<Current>, Signature)> {
        let (file, seen) = file::open(&self.path)?;
        // A file that was moved away and is back can have known lines: those written to it
        // meanwhile.
        let Comparison { start, .. } = self.compare(&file, seen.size_bytes)?;
        let cursor = Cursor::at(&file, start, &self.options)?;
        Ok((Current::new(file, seen, cursor), seen))
    }

    fn follow(
        &mut self,
        mut current: Box<Current>,
        seen: Signature,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        // A file that is back at the path must not be read twice.
        self.retired.retain(|retired| retired.id != current.id);
        let done = current.read(seen, now, batch, &mut self.fingerprints);
        (State::Following(current), done.map(drop))
    }

    fn on_same_file(
        &mut self,
        mut current: Box<Current>,
        seen: Signature,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        current.absent_since = None;
        let done = if self.trouble.is_none() && current.is_at_rest_in(seen) {
            Ok(())
        } else {
            self.read_on(&mut current, seen, now, batch)
        };
        (State::Following(current), done)
    }

    fn read_on(
        &mut self,
        current: &mut Current,
        seen: Signature,
        now: Duration,
        batch: &mut Batch,
    ) -> io::Result<()> {
        if current.file.is_none() || self.trouble.is_some() || current.is_touched(seen) {
            // The right to read may have been taken away, and a handle can go stale.
            current.reopen(&self.path)?;
        }
        match current.read(seen, now, batch, &mut self.fingerprints)? {
            Progress::Rewritten => return self.verify(current, seen, now, batch),
            Progress::End if current.cursor.position() < seen.size_bytes => {
                // On an overlay file system the first write makes a copy, and before Linux 4.19 a
                // handle stayed with the original:
                // https://docs.kernel.org/filesystems/overlayfs.html#non-standard-behavior
                current.reopen(&self.path)?;
            }
            Progress::End | Progress::Full => {}
        }
        // The bytes match: the size was stale, or the old content is back.
        current.rewrite = None;
        Ok(())
    }

    /// Starts over with the new content once the rewrite is certain and at rest.
    fn verify(
        &mut self,
        current: &mut Current,
        seen: Signature,
        now: Duration,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let rewrite = current.rewrite.get_or_insert(Rewrite::noticed(seen.size_bytes, now));
        if rewrite.is_done(seen, now) {
            let noticed_bytes = rewrite.noticed_bytes;
            self.restart(current, noticed_bytes, batch)?;
            current.read(seen, now, batch, &mut self.fingerprints)?;
        }
        Ok(())
    }

    /// Moves the cursor to the beginning of the new lines.
    fn restart(
        &mut self,
        current: &mut Current,
        noticed_bytes: u64,
        batch: &mut Batch,
    ) -> io::Result<()> {
        // A closed file is never found to be rewritten, as it is not read.
        let Some(file) = &current.file else { return Ok(()) };
        let Comparison { kept, start } = self.compare(file, noticed_bytes)?;
        current.cursor = Cursor::at(file, start, &self.options)?;
        current.rewrite = None;
        self.reset(Reason::Truncated, kept, batch);
        Ok(())
    }

    fn on_other_file(
        &mut self,
        mut current: Box<Current>,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        current.absent_since = None;
        match file::open(&self.path) {
            Ok((file, seen)) => {
                let rewrite = Rewrite::noticed(seen.size_bytes, now);
                let to = Box::new(Successor { file, seen, rewrite });
                self.switch(current, to, false, now, batch)
            }
            Err(error) => self.on_no_file(current, error, now, batch),
        }
    }

    /// Reads on through the handle while there is no file at the path that can be read.
    fn on_no_file(
        &mut self,
        mut current: Box<Current>,
        error: io::Error,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        let progress = self.drain(&mut current, now, batch);
        // Other errors pass. Unread lines come before the reset, which takes them back too.
        if error.kind() == ErrorKind::NotFound && progress != Progress::Full {
            let since = *current.absent_since.get_or_insert(now);
            if now >= since + ABSENCE_TIME {
                self.reset(Reason::Removed, Vec::new(), batch);
                self.retire(current, now);
                return (State::Missing { is_awaited: true }, Err(error));
            }
        }
        (State::Following(current), Err(error))
    }

    fn switch(
        &mut self,
        mut from: Box<Current>,
        mut to: Box<Successor>,
        is_passed: bool,
        now: Duration,
        batch: &mut Batch,
    ) -> Step {
        match self.enter(&mut from, &mut to, is_passed, now, batch) {
            Ok(Some(cursor)) => {
                self.retire(from, now);
                batch.more = true; // The path may have come to name yet another file.
                self.follow(Current::new(to.file, to.seen, cursor), to.seen, now, batch)
            }
            Ok(None) => (State::Switching { from, to }, Ok(())),
            Err(error) => (State::Following(from), Err(error)),
        }
    }

    /// Returns the place in the successor at which to go on, once the current file is read to its
    /// end and the successor continues it or is at rest.
    fn enter(
        &mut self,
        from: &mut Current,
        to: &mut Successor,
        is_passed: bool,
        now: Duration,
        batch: &mut Batch,
    ) -> io::Result<Option<Cursor>> {
        to.seen = file::signature(&to.file)?;
        let is_at_rest = to.rewrite.is_done(to.seen, now);
        // The current file comes first, so that one comparison finds which of all its lines are
        // kept.
        if self.drain(from, now, batch) == Progress::Full {
            return Ok(None);
        }
        if from.cursor.continues_in(&to.file)? {
            return Ok(Some(from.cursor.clone()));
        }
        let has_lines = self.fingerprints.has_lines();
        // Half a file would lack known lines. One that was replaced in turn is done.
        if has_lines && !is_at_rest && !is_passed {
            return Ok(None);
        }
        let Comparison { kept, start } = self.compare(&to.file, to.rewrite.noticed_bytes)?;
        let cursor = Cursor::at(&to.file, start, &self.options)?;
        if has_lines {
            self.reset(Reason::Replaced, kept, batch);
        }
        Ok(Some(cursor))
    }

    /// Reads to the end though the path leads elsewhere. A file that cannot be read any more has
    /// ended.
    fn drain(&mut self, current: &mut Current, now: Duration, batch: &mut Batch) -> Progress {
        self.try_drain(current, now, batch).unwrap_or(Progress::End)
    }

    fn try_drain(
        &mut self,
        current: &mut Current,
        now: Duration,
        batch: &mut Batch,
    ) -> io::Result<Progress> {
        let Some(file) = &current.file else { return Ok(Progress::End) };
        let seen = file::signature(file)?;
        let progress = current.read(seen, now, batch, &mut self.fingerprints)?;
        if progress != Progress::Rewritten {
            return Ok(progress);
        }
        self.restart(current, u64::MAX, batch)?;
        current.read(seen, now, batch, &mut self.fingerprints)
    }

    fn retire(&mut self, current: Box<Current>, now: Duration) {
        let Current { file: Some(file), id, cursor, .. } = *current else { return };
        if self.retired.len() == RETIRED_FILES {
            self.retired.pop_front();
        }
        self.retired.push_back(Retired { file, id, cursor, until: now + RETIRED_TIME });
    }

    fn drain_retired(&mut self, now: Duration, batch: &mut Batch) {
        let fingerprints = &mut self.fingerprints;
        self.retired.retain_mut(|retired| match retired.read(batch, fingerprints) {
            Ok(Progress::Full) => true,
            Ok(Progress::End) => now < retired.until,
            Ok(Progress::Rewritten) | Err(_) => false,
        });
    }

    fn compare(&self, file: &File, noticed_bytes: u64) -> io::Result<Comparison> {
        compare(file, &self.fingerprints, &self.options, noticed_bytes)
    }

    fn reset(&mut self, reason: Reason, kept: Vec<Kept>, batch: &mut Batch) {
        self.fingerprints.retain(&kept);
        batch.push(Item::Reset { reason, kept });
    }

    fn fail(&mut self, error: &io::Error, batch: &mut Batch) {
        let msg = error.to_string();
        if self.trouble.as_ref() != Some(&msg) {
            batch.push(Item::Unreadable { msg: msg.clone() });
            self.trouble = Some(msg);
        }
    }

    fn recover(&mut self, batch: &mut Batch) {
        if self.trouble.take().is_some() {
            batch.push_front(Item::Recovered);
        }
    }
}

impl Tail {
    /// Goes on at another path, to which the file was moved. A copy at that path is recognised as a
    /// file that replaces it.
    pub(crate) fn move_to(&mut self, path: PathBuf) {
        self.path = path;
        if let State::Following(current) | State::Switching { from: current, .. } = &mut self.state
        {
            // It was seen there: an absence from now on is another one.
            current.absent_since = None;
        }
    }

    /// Closes the file, and files that were replaced or removed. The next poll opens it again if it
    /// has changed, and reads on at its place if the bytes before that are the same; otherwise it
    /// was rewritten or replaced. Lines that are unread when a closed file is replaced or removed
    /// are lost.
    pub(crate) fn close(&mut self) {
        self.retired.clear();
        self.state = match mem::take(&mut self.state) {
            State::Following(mut current) | State::Switching { from: mut current, .. } => {
                current.file = None;
                State::Following(current)
            }
            missing @ State::Missing { .. } => missing,
        };
    }

    /// How many files it holds open.
    pub(crate) fn open_files(&self) -> usize {
        let at_path = match &self.state {
            State::Missing { .. } => 0,
            State::Following(current) => usize::from(current.file.is_some()),
            State::Switching { from, .. } => usize::from(from.file.is_some()) + 1,
        };
        at_path + self.retired.len()
    }

    /// Whether, as of the last poll, everything was read and any change to come will show in the
    /// size or the times of the file at the path. Before that, a poll can find lines although they
    /// are the same.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_settled = match &self.state {
            State::Missing { .. } => true,
            State::Following(current) => current.is_settled && current.seen.is_some(),
            State::Switching { .. } => false,
        };
        is_settled && self.retired.is_empty()
    }
}

impl Default for State {
    fn default() -> State {
        State::Missing { is_awaited: false }
    }
}

impl Current {
    fn new(file: File, seen: Signature, cursor: Cursor) -> Box<Current> {
        Box::new(Current {
            file: Some(file),
            id: seen.id,
            access: seen.access,
            cursor,
            seen: None,
            changed_at: Duration::ZERO,
            is_settled: false,
            rewrite: None,
            absent_since: None,
        })
    }

    fn is_at_rest_in(&self, seen: Signature) -> bool {
        self.is_settled && self.seen == Some(seen)
    }

    /// Whether the file changed without growing: the right to read it can be gone, as its bytes
    /// can.
    fn is_touched(&self, seen: Signature) -> bool {
        self.access != seen.access
            || self.seen.is_some_and(|last| last != seen && last.size_bytes == seen.size_bytes)
    }

    /// Goes on with a new handle, unless the path has come to name another file.
    fn reopen(&mut self, path: &Path) -> io::Result<()> {
        let (file, seen) = file::open(path)?;
        if seen.id == self.id {
            (self.file, self.access) = (Some(file), seen.access);
        }
        Ok(())
    }

    fn read(
        &mut self,
        seen: Signature,
        now: Duration,
        batch: &mut Batch,
        fingerprints: &mut Fingerprints,
    ) -> io::Result<Progress> {
        let Some(file) = &self.file else { return Ok(Progress::End) };
        // Stays absent if the read fails or ends early: the next poll then reads on.
        let before = self.seen.take();
        let progress = self.cursor.read(file, seen.size_bytes, batch, fingerprints)?;
        if progress == Progress::End {
            if before != Some(seen) {
                self.changed_at = now;
            }
            self.is_settled = now >= self.changed_at + TICK;
            self.seen = Some(seen);
        }
        Ok(progress)
    }
}

impl Retired {
    fn read(&mut self, batch: &mut Batch, fingerprints: &mut Fingerprints) -> io::Result<Progress> {
        let seen = file::signature(&self.file)?;
        // With FUSE a handle can come to show the file that replaced its own.
        if seen.id != self.id {
            return Ok(Progress::Rewritten);
        }
        self.cursor.read(&self.file, seen.size_bytes, batch, fingerprints)
    }
}

impl Rewrite {
    fn noticed(size_bytes: u64, now: Duration) -> Rewrite {
        Rewrite { since: now, noticed_bytes: size_bytes, seen: None }
    }

    /// Call it at each poll, with the state of the file.
    fn is_done(&mut self, seen: Signature, now: Duration) -> bool {
        let last = self.seen.filter(|(last, _)| *last == seen);
        let (_, since) = *self.seen.insert(last.unwrap_or((seen, now)));
        // A program empties a file before it writes the new content.
        let is_empty = seen.size_bytes == 0;
        (now >= since + REST_TIME && !is_empty) || now >= self.since + REWRITE_TIME
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
