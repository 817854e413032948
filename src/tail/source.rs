//! One open file and how far it has been read, with the bytes before that place to recognise it by.
//!
//! Invariant: bytes count only if the anchor still stood after they were read, so nothing of a file that was
//! rewritten meanwhile is taken for growth.
//! Known weakness: a rewrite that leaves the anchor's bytes in their place is not seen.

use super::Given;
use super::file::{self, BLOCK_BYTES, Id, Signature};
use super::lines::{Lines, Record, is_nul};
use super::{Kept, newest};
use std::fs::File;
use std::io;

/// How many bytes before the read position are compared: enough for any two histories to differ in.
const ANCHOR_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything up to the limit is read.
    End,
    /// This poll has read enough; there may be more.
    Full,
    /// What was read before is no longer there.
    Gone,
}

pub(super) struct Source {
    file: File,
    pub(super) id: Id,
    /// The last bytes before the read position.
    anchor: Vec<u8>,
    lines: Lines,
}

impl Source {
    /// To be read from this offset on, which is where a line begins or a record ended.
    pub(super) fn at(file: File, id: Id, offset: u64) -> io::Result<Source> {
        let anchor = tail_before(&file, offset)?;
        Ok(Source { file, id, anchor, lines: Lines::at(offset) })
    }

    /// The same content in another file, read on from the same place; a held half line is taken along.
    pub(super) fn moved_to(&self, file: File, id: Id) -> Source {
        Source { file, id, anchor: self.anchor.clone(), lines: self.lines.clone() }
    }

    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.anchor = tail_before(&self.file, offset)?;
        self.lines = Lines::at(offset);
        Ok(())
    }

    /// Goes on with another handle of the same file.
    pub(super) fn set_file(&mut self, file: File) {
        self.file = file;
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.lines.position()
    }

    pub(super) fn signature(&self) -> io::Result<Signature> {
        file::signature(&self.file)
    }

    /// Where the file ends; where reading has come to, if it cannot be said.
    pub(super) fn end_bytes(&self) -> u64 {
        self.signature().map_or(self.read_bytes(), |seen| seen.size_bytes)
    }

    /// Reads what there is, at most up to this offset, and gives out its lines.
    pub(super) fn read(&mut self, until: u64, given: &mut Given) -> io::Result<Progress> {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            if given.is_full() {
                return Ok(Progress::Full);
            }
            let at = self.read_bytes();
            let room = BLOCK_BYTES.min(given.left_bytes());
            let wanted = until.saturating_sub(at).min(room as u64) as usize;
            let len = file::read_at(&self.file, &mut block[..wanted], at)?;
            if !self.stands_in(&self.file)? {
                return Ok(Progress::Gone);
            }
            if len == 0 {
                if let Some(record) = self.lines.settle(given.is_whole) {
                    given.give_open(record);
                }
                return Ok(Progress::End);
            }
            self.take(&block[..len], given);
            if is_nul(&block[..len]) {
                self.pass_hole(until);
            }
        }
    }

    /// Goes on where data follows. With an anchor of nothing but NULs, it is the same there.
    fn pass_hole(&mut self, until: u64) {
        let at = self.read_bytes();
        if self.anchor.len() == ANCHOR_BYTES && is_nul(&self.anchor) {
            let data = file::data_after(&self.file, at).min(until);
            self.lines.skip(data.saturating_sub(at));
        }
    }

    fn take(&mut self, bytes: &[u8], given: &mut Given) {
        given.count(bytes.len());
        self.lines.push_for_room(bytes, |record| given.give(record));
        let kept = ANCHOR_BYTES.saturating_sub(bytes.len()).min(self.anchor.len());
        self.anchor.drain(..self.anchor.len() - kept);
        self.anchor.extend_from_slice(&bytes[bytes.len().saturating_sub(ANCHOR_BYTES)..]);
    }

    /// Whether the file has the bytes before the read position in the same place.
    pub(super) fn stands_in(&self, file: &File) -> io::Result<bool> {
        let to = self.read_bytes();
        Ok(file::read_span(file, to - self.anchor.len() as u64, to)? == self.anchor)
    }

    /// Whether the other file goes on where this one ends, unread bytes included.
    pub(super) fn goes_on_in(&self, file: &File) -> io::Result<bool> {
        let end = self.end_bytes();
        // What was written here in place of what was read stands nowhere else.
        if !self.stands_in(file)? || !self.stands_in(&self.file).unwrap_or(true) {
            return Ok(false);
        }
        // An old file that cannot be read any more has nothing unread.
        let Ok(unread) = tail_before(&self.file, end) else { return Ok(true) };
        Ok(end <= self.read_bytes() || unread == tail_before(file, end)?)
    }
}

fn tail_before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    file::read_span(file, offset.saturating_sub(ANCHOR_BYTES as u64), offset)
}

/// What a file's content means to one who knows some of its lines.
pub(super) struct Comparison {
    pub(super) kept: Vec<Kept>,
    /// Where the lines begin that are new.
    pub(super) new_from: u64,
}

/// Looks for known lines in the file. If it holds none, the newest lines are new: as many of those that were there
/// when it had `noticed_bytes`, and all that came after.
pub(super) fn compare(file: &File, given: &Given, noticed_bytes: u64) -> io::Result<Comparison> {
    let end = file::signature(file)?.size_bytes;
    if let Some(known) = find_known(file, given, end)? {
        return Ok(known);
    }
    let new_from = newest::start(file, noticed_bytes.min(end), given.newest)?;
    Ok(Comparison { kept: Vec::new(), new_from })
}

/// Searches for the last known line from the end on backwards, twice as many lines each time, since any number of
/// lines can have come after it; then looks among the lines before it for the others.
fn find_known(file: &File, given: &Given, end: u64) -> io::Result<Option<Comparison>> {
    let (mut to, mut count) = (end, given.newest);
    if given.known.is_empty() {
        return Ok(None);
    }
    while to > 0 && end - to < newest::LIMIT_BYTES {
        let from = newest::start(file, to, count)?;
        if let Some(last) = match_span(file, given, from, to)? {
            let from = newest::start(file, last.new_from, given.newest)?;
            return match_span(file, given, from, to);
        }
        (to, count) = (from, count.saturating_mul(2));
    }
    Ok(None)
}

/// The known lines of the span, if it holds any.
fn match_span(file: &File, given: &Given, from: u64, to: u64) -> io::Result<Option<Comparison>> {
    let mut matcher = given.known.matcher();
    let (mut kept, mut new_from) = (Vec::new(), from);
    each_record(file, from, to, |record| {
        matcher.find_all(record, |seq, record| {
            kept.push(Kept { seq, offset: record.offset });
            new_from = record.end();
        });
    })?;
    Ok((!kept.is_empty()).then_some(Comparison { kept, new_from }))
}

fn each_record(file: &File, from: u64, to: u64, mut give: impl FnMut(Record)) -> io::Result<()> {
    let mut lines = Lines::at(from);
    while lines.position() < to {
        let at = lines.position();
        let block = file::read_span(file, at, to.min(at + BLOCK_BYTES as u64))?;
        if block.is_empty() {
            break;
        }
        lines.push(&block, &mut give);
        if is_nul(&block) {
            let at = lines.position();
            lines.skip(file::data_after(file, at).min(to).saturating_sub(at));
        }
    }
    // To be compared, it need not be known to be whole.
    lines.settle(|_| true).into_iter().for_each(give);
    Ok(())
}
