//! Follows one file that others append to, rewrite, rename, replace and remove, and gives out its lines.
//!
//! What was read is told from what is new by the file's identity, the read position and the bytes before it; where
//! that fails, by the lines themselves. Each poll is a step that returns data.
//! Invariant: no clock (the time is handed in), no thread, no sleep, no printing, no knowledge of what a line means.
//! Known weakness: content that came and went between two polls is not seen, nor is a rewrite of earlier bytes that
//! leaves the last 4 KiB in place; of a rewrite in place that goes on for longer than 100 ms, the lines that were not
//! yet written again by then come out again after the reset. What a memory map changes without a change of the file's
//! times is seen with the next change that has one. What becomes of the path without a trace in a file at rest, such as a
//! swap of its folder or a mount over it, is seen after at most 100 ms.

mod file;
mod given;
mod known;
mod lines;
mod newest;
mod source;

use file::{Access, Id, Signature};
use given::Given;
use source::{Comparison, Progress, Source, compare};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// How long a state is looked at again although it seems the same: the coarsest ticks of file times (FAT's).
const TICK: Duration = Duration::from_secs(2);

/// How long a file at rest is trusted to be what the path leads to while its own state stays the same: to ask an open file
/// costs half of asking the path, and to rename, replace or remove a file changes its state on most file systems.
const TRUST_TIME: Duration = Duration::from_millis(100);

/// How long a rewrite may go on until it is taken as it is, if it does not come to rest before.
const REWRITE_TIME: Duration = Duration::from_millis(100);

/// How long the path may lead nowhere before the file counts as removed: replacing can be deleting and creating.
const ABSENCE_TIME: Duration = Duration::from_secs(1);

/// How long a file that was replaced or removed is listened to for writers that still hold it.
const LATE_TIME: Duration = Duration::from_secs(5);

/// How many such files are held at most; the oldest is let go first.
const LATE_FILES: usize = 8;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Position among all lines this [`Tail`] has given out, from 0; names the line in a later [`Item::Reset`].
    pub(crate) seq: u64,
    /// Where its first byte is in the file it was read from.
    pub(crate) offset: u64,
    /// Without its end, a byte-order mark and NUL runs around it; of a line over 1 MiB the first 4 KiB.
    pub(crate) bytes: Vec<u8>,
    /// Length of the same span in the file.
    pub(crate) len_bytes: u64,
}

impl Line {
    pub(crate) fn is_truncated(&self) -> bool {
        self.len_bytes > self.bytes.len() as u64
    }
}

/// Why what was given out is no longer what the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Truncated,
    Replaced,
    Removed,
}

/// A line given out before that still stands, and where it stands now.
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
    /// The file was not there, at the start or after it was removed, and now is.
    Found,
    /// Once per change of state; the words can follow the path.
    Unreadable {
        msg: String,
    },
    Recovered,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Poll {
    pub(crate) items: Vec<Item>,
    /// There is more to read now: to be polled again without sleeping.
    pub(crate) more: bool,
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
    given: Given,
    held: Option<Held>,
    /// Of the held file.
    rewrite: Option<Rewrite>,
    next: Option<Next>,
    late: VecDeque<Late>,
    /// The file was not there, and its coming is news.
    is_awaited: bool,
    absent_since: Option<Duration>,
    /// Until when the path is taken to lead to the held file if that one is unchanged.
    trusted_until: Duration,
    trouble: Option<String>,
    /// At the path, by the last look.
    size_bytes: Option<u64>,
}

/// The file that is followed.
struct Held {
    source: Source,
    access: Access,
    /// The state in which everything was read.
    seen: Option<Signature>,
    changed_at: Duration,
    /// That state was looked at again after the time in which a change could have left no trace.
    is_settled: bool,
    /// The path's last part is a link, or may be: it can be turned elsewhere without a trace in the file.
    is_linked: bool,
}

/// New content in place of what was read, perhaps still being written; or a size that is a stale answer.
struct Rewrite {
    since: Duration,
    noticed_bytes: u64,
    /// The state at the last poll.
    seen: Option<Signature>,
}

/// Another file in place of the held one, to go on with once that one is read to its end.
struct Next {
    file: File,
    id: Id,
    rewrite: Rewrite,
    /// How far the held file is read first; not known before it is clear whether this one goes on where it ends.
    until: Option<u64>,
    /// The reset that was given out, if it was.
    told: Option<Told>,
}

struct Told {
    kept: Vec<Kept>,
    /// The number of the line that came after it.
    next_seq: u64,
}

/// A file that was replaced or removed.
struct Late {
    source: Source,
    until: Duration,
}

impl Tail {
    /// `newest`: how many of the newest lines are read at first sight, 1 at least. `is_whole`: whether bytes that begin
    /// with `{` and end with `}` are one whole record, though no line end follows.
    pub(crate) fn new(path: PathBuf, newest: usize, is_whole: fn(&[u8]) -> bool) -> Tail {
        Tail {
            path,
            given: Given::new(newest, is_whole),
            held: None,
            rewrite: None,
            next: None,
            late: VecDeque::new(),
            is_awaited: false,
            absent_since: None,
            trusted_until: Duration::ZERO,
            trouble: None,
            size_bytes: None,
        }
    }

    /// Takes one step. `now` is the time since any fixed start. Reads about 2 MiB at most; only the search for the
    /// newest lines, at first sight and at a reset, may read more.
    pub(crate) fn poll(&mut self, now: Duration) -> Poll {
        self.given.begin();
        match self.advance(now) {
            Ok(()) => self.recover(),
            Err(err) if err.kind() == ErrorKind::NotFound => self.absent(now),
            Err(err) => self.fail(&err),
        }
        self.given.refill();
        self.hear_late(now);
        self.given.finish()
    }

    /// Takes back a line that is done with, for its memory. Whoever keeps lines need not give them back.
    pub(crate) fn recycle(&mut self, line: Line) {
        self.given.recycle(line.bytes);
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            exists: self.size_bytes.is_some(),
            size_bytes: self.size_bytes.unwrap_or(0),
            read_bytes: self.held.as_ref().map_or(0, |held| held.source.read_bytes()),
        }
    }

    /// # Errors
    /// `NotFound` if the path leads nowhere; otherwise what is wrong with what is there.
    fn advance(&mut self, now: Duration) -> io::Result<()> {
        if now < self.trusted_until && self.held.as_ref().is_some_and(Held::is_unchanged) {
            return Ok(());
        }
        self.trusted_until = Duration::ZERO;
        let seen = file::look(&self.path);
        self.size_bytes = seen.as_ref().ok().map(|seen| seen.size_bytes);
        let (id, held_id) = (seen.as_ref().ok().map(|seen| seen.id), self.held_id());
        // With the held file back in its place, another one that was waited for is no longer the next.
        let next = self.next.take().filter(|next| next.until.is_some() || id != held_id);
        if let Some(next) = next {
            let is_passed = id.is_some_and(|id| id != next.id);
            return self.change_over(next, is_passed, now);
        }
        let done = seen.and_then(|seen| self.present(seen, now));
        if done.is_err() && id != held_id {
            // An old file that cannot be read any more is as good as read.
            let _ = self.hear_held(now);
        }
        done
    }

    fn present(&mut self, seen: Signature, now: Duration) -> io::Result<()> {
        self.absent_since = None;
        match &self.held {
            None => self.first_sight(now),
            Some(held) if held.source.id == seen.id => self.follow(seen, now),
            Some(_) => self.meet_other(now),
        }
    }

    fn first_sight(&mut self, now: Duration) -> io::Result<()> {
        let (file, seen) = file::open(&self.path)?;
        // Known can be what came late from a file that was moved away and is back.
        let Comparison { new_from, .. } = compare(&file, &self.given, seen.size_bytes)?;
        let source = Source::at(file, seen.id, new_from)?;
        if std::mem::take(&mut self.is_awaited) {
            self.given.items.push(Item::Found);
        }
        self.hold(source, seen.access);
        self.read_held(seen, now)?;
        Ok(())
    }

    fn follow(&mut self, seen: Signature, now: Duration) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if self.trouble.is_none() && held.is_settled && held.seen == Some(seen) {
            self.rewrite = None;
            if !held.is_linked {
                self.trusted_until = now + TRUST_TIME;
            }
            return Ok(());
        }
        if self.trouble.is_some() || held.is_touched(seen) {
            // Who may no longer open it shall not go on reading through an old handle; and a handle can go stale.
            self.renew_handle(seen)?;
        }
        let progress = self.read_held(seen, now)?;
        if progress == Progress::Gone {
            return self.doubt(seen, now);
        }
        self.rewrite = None;
        if progress == Progress::End && self.status().read_bytes < seen.size_bytes {
            // On an overlay file system the first write makes a copy, and before Linux 4.19 a handle stayed with the
            // original: https://docs.kernel.org/filesystems/overlayfs.html#non-standard-behavior
            self.renew_handle(seen)?;
        }
        Ok(())
    }

    fn renew_handle(&mut self, seen: Signature) -> io::Result<()> {
        let (file, opened) = file::open(&self.path)?;
        if let Some(held) = &mut self.held
            && opened.id == seen.id
        {
            held.source.set_file(file);
            held.access = opened.access;
        }
        Ok(())
    }

    /// Starts over with the held file's content once it is certain and at rest.
    fn doubt(&mut self, seen: Signature, now: Duration) -> io::Result<()> {
        let rewrite = self.rewrite.get_or_insert(Rewrite::noticed(seen.size_bytes, now));
        if rewrite.is_done(seen, now) {
            let noticed_bytes = rewrite.noticed_bytes;
            self.start_over(seen, noticed_bytes, now)?;
        }
        Ok(())
    }

    fn start_over(&mut self, seen: Signature, noticed_bytes: u64, now: Duration) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let Comparison { kept, new_from } =
            compare(held.source.file(), &self.given, noticed_bytes)?;
        held.source.seek(new_from)?;
        self.given.reset(Reason::Truncated, kept);
        self.rewrite = None;
        self.read_held(seen, now)?;
        Ok(())
    }

    fn meet_other(&mut self, now: Duration) -> io::Result<()> {
        let (file, seen) = file::open(&self.path)?;
        let rewrite = Rewrite::noticed(seen.size_bytes, now);
        self.rewrite = None;
        self.change_over(Next { file, id: seen.id, rewrite, until: None, told: None }, false, now)
    }

    /// Takes the steps from the held file to another as far as they can be taken now.
    fn change_over(&mut self, mut next: Next, is_passed: bool, now: Duration) -> io::Result<()> {
        let seen = file::signature(&next.file)?;
        if next.until.is_none() {
            let is_ready = next.rewrite.is_done(seen, now) || is_passed;
            self.decide(&mut next, is_ready)?;
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let progress = match next.until {
            // An old file that cannot be read any more holds nothing up.
            Some(until) => held.source.read(until, &mut self.given).unwrap_or(Progress::Gone),
            None => Progress::Full,
        };
        if progress == Progress::Full {
            self.next = Some(next);
            return Ok(());
        }
        self.enter(next, seen, now)
    }

    /// Finds out whether the other file goes on where the held one ends; if not, and once it is at rest, tells so.
    fn decide(&mut self, next: &mut Next, is_ready: bool) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if !held.source.goes_on_in(&next.file)? {
            if !is_ready {
                return Ok(());
            }
            if !held.source.stands_in(held.source.file()).unwrap_or(true) {
                let old = compare(held.source.file(), &self.given, u64::MAX)?;
                held.source.seek(old.new_from)?;
            }
            let kept = compare(&next.file, &self.given, next.rewrite.noticed_bytes)?.kept;
            self.given.reset(Reason::Replaced, kept.clone());
            next.told = Some(Told { kept, next_seq: self.given.next_seq() });
        }
        next.until = Some(held.source.end_bytes());
        Ok(())
    }

    fn enter(&mut self, next: Next, seen: Signature, now: Duration) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let is_fresh = held.source.read_bytes() == 0;
        let goes_on = next.told.is_none() && !is_fresh && held.source.stands_in(&next.file)?;
        let source = if goes_on {
            held.source.moved_to(next.file, next.id)
        } else {
            let Comparison { kept, new_from } =
                compare(&next.file, &self.given, next.rewrite.noticed_bytes)?;
            let reason = match next.told {
                None => (!is_fresh).then_some(Reason::Replaced),
                Some(told) => told.outdated_by(&kept, self.given.next_seq()),
            };
            if let Some(reason) = reason {
                self.given.reset(reason, kept);
            }
            Source::at(next.file, next.id, new_from)?
        };
        self.retire(now);
        self.hold(source, seen.access);
        self.given.more = true; // The path may have come to name yet another file.
        self.read_held(seen, now)?;
        Ok(())
    }

    fn absent(&mut self, now: Duration) {
        self.is_awaited |= self.held.is_none();
        if self.held.is_none() || self.given.is_full() {
            return;
        }
        let since = *self.absent_since.get_or_insert(now);
        if now >= since + ABSENCE_TIME {
            self.given.reset(Reason::Removed, Vec::new());
            self.retire(now);
            self.rewrite = None;
            self.absent_since = None;
            self.is_awaited = true;
        }
    }

    fn held_id(&self) -> Option<Id> {
        self.held.as_ref().map(|held| held.source.id)
    }

    fn hold(&mut self, source: Source, access: Access) {
        self.late.retain(|late| late.source.id != source.id);
        self.held = Some(Held {
            source,
            access,
            seen: None,
            changed_at: Duration::ZERO,
            is_settled: false,
            is_linked: true,
        });
    }

    fn retire(&mut self, now: Duration) {
        if self.late.len() == LATE_FILES {
            self.late.pop_front();
        }
        let old = self.held.take().map(|held| Late { source: held.source, until: now + LATE_TIME });
        self.late.extend(old);
    }

    fn read_held(&mut self, seen: Signature, now: Duration) -> io::Result<Progress> {
        let Some(held) = &mut self.held else { return Ok(Progress::End) };
        let before = held.seen.take();
        let progress = held.source.read(u64::MAX, &mut self.given)?;
        if progress == Progress::End {
            if before != Some(seen) {
                held.changed_at = now;
            }
            held.is_settled = now >= held.changed_at + TICK;
            held.is_linked = !held.is_settled || file::is_link(&self.path);
            held.seen = Some(seen);
        }
        Ok(progress)
    }

    /// Reads on in the held file while the path leads elsewhere.
    fn hear_held(&mut self, now: Duration) -> io::Result<Progress> {
        let Some(held) = &self.held else { return Ok(Progress::End) };
        let seen = held.source.signature()?;
        let progress = self.read_held(seen, now)?;
        if progress == Progress::Gone {
            self.start_over(seen, u64::MAX, now)?;
        }
        Ok(progress)
    }

    fn hear_late(&mut self, now: Duration) {
        let given = &mut self.given;
        self.late.retain_mut(|late| {
            // With FUSE a handle can come to show the file that was put in place of its own.
            let is_same = late.source.signature().is_ok_and(|seen| seen.id == late.source.id);
            is_same
                && match late.source.read(u64::MAX, given) {
                    Ok(Progress::Full) => true,
                    Ok(Progress::End) => now < late.until,
                    Ok(Progress::Gone) | Err(_) => false,
                }
        });
    }

    fn fail(&mut self, err: &io::Error) {
        let msg = err.to_string();
        if self.trouble.as_ref() != Some(&msg) {
            self.given.items.push(Item::Unreadable { msg: msg.clone() });
            self.trouble = Some(msg);
        }
    }

    fn recover(&mut self) {
        if self.trouble.take().is_some() {
            self.given.items.insert(0, Item::Recovered);
        }
    }
}

impl Held {
    fn is_unchanged(&self) -> bool {
        self.source.signature().is_ok_and(|seen| self.seen == Some(seen))
    }

    /// Something was done to it that is no growth: the right to read it can be gone, as its bytes can.
    fn is_touched(&self, seen: Signature) -> bool {
        self.access != seen.access
            || self.seen.is_some_and(|last| last != seen && last.size_bytes == seen.size_bytes)
    }
}

impl Rewrite {
    fn noticed(size_bytes: u64, now: Duration) -> Rewrite {
        Rewrite { since: now, noticed_bytes: size_bytes, seen: None }
    }

    /// To be asked once a poll, with the state the file is in.
    fn is_done(&mut self, seen: Signature, now: Duration) -> bool {
        let is_at_rest = self.seen.replace(seen) == Some(seen);
        is_at_rest || now >= self.since + REWRITE_TIME
    }
}

impl Told {
    /// Why another reset is needed with these lines kept, if it is.
    fn outdated_by(&self, kept: &[Kept], next_seq: u64) -> Option<Reason> {
        if next_seq > self.next_seq && !kept.is_empty() {
            // What came since stands in the old file; here it can stand elsewhere or be purged. With no line in common
            // the old file was rotated away, and its last lines are as good as any.
            return Some(Reason::Replaced);
        }
        // Rewritten while the old file was still being read.
        let is_rewritten = !self.kept.iter().all(|it| kept.contains(it));
        is_rewritten.then_some(Reason::Truncated)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
