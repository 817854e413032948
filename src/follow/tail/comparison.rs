//! Compares a file's content with the fingerprints: which known lines it still has, and which are
//! new.
//!
//! Lines before the first known one are old, since the newest lines are known. All others that are
//! not known are new, also between known ones: a rewrite can merge two histories.
//! Invariant: reads only; the search ends at a limit, so its cost does not grow with the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use super::file::{self, BLOCK_BYTES};
use super::fingerprints::Fingerprints;
use super::last_lines;
use super::lines::{Lines, Record};
use super::{Kept, Options};

/// How many times as many lines are searched for known ones if not all were found.
const GROWTH: usize = 4;

pub(super) struct Comparison {
    /// The known lines, in the order of the file.
    pub(super) kept: Vec<Kept>,
    /// Where reading goes on.
    pub(super) start: Start,
}

/// A place in a file to read on from, and the known lines after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    pub(super) offset: u64,
    known: VecDeque<Span>,
}

/// The bytes of a line in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    offset: u64,
    len_bytes: u64,
}

impl Start {
    /// Where the last known line ends, if it is after the start.
    pub(super) fn last_end(&self) -> Option<u64> {
        self.known.back().map(|span| span.end())
    }

    /// Whether a line that is read after the start is a known one. Call it in the order of the
    /// file.
    pub(super) fn knows(&mut self, record: &Record) -> bool {
        while self.known.front().is_some_and(|span| span.offset < record.offset) {
            self.known.pop_front();
        }
        self.known.front() == Some(&Span::of(record))
    }
}

impl Span {
    fn of(record: &Record) -> Span {
        Span { offset: record.offset, len_bytes: record.len_bytes }
    }

    fn end(&self) -> u64 {
        self.offset + self.len_bytes
    }
}

/// Searches the file for known lines. Without any, the newest lines are new: as many of those
/// that were there when it had `noticed_bytes`, and all that came after.
pub(super) fn compare(
    file: &File,
    fingerprints: &Fingerprints,
    options: &Options,
    noticed_bytes: u64,
) -> io::Result<Comparison> {
    let end = file::signature(file)?.size_bytes;
    let (kept, mut known) = find_known(file, fingerprints, options, end)?;
    let offset = match known.pop_front() {
        Some(first) => first.end(),
        None if options.newest == usize::MAX => 0,
        None => last_lines::offset(file, noticed_bytes.min(end), options.newest)?,
    };
    Ok(Comparison { kept, start: Start { offset, known } })
}

/// Searches more and more of the last lines, until all remembered ones are found or the limit is
/// reached.
fn find_known(
    file: &File,
    fingerprints: &Fingerprints,
    options: &Options,
    end: u64,
) -> io::Result<(Vec<Kept>, VecDeque<Span>)> {
    let (mut kept, mut known) = (Vec::new(), VecDeque::new());
    let (mut from, mut count) = (end, options.fingerprints);
    while kept.len() < fingerprints.count() && from > 0 {
        let last_from = from;
        from = last_lines::offset(file, end, count)?;
        if from == last_from {
            break;
        }
        // Matched anew, so that equal lines are paired in their order.
        (kept, known) = (Vec::new(), VecDeque::new());
        let mut matcher = fingerprints.matcher();
        each_record(file, options.max_line_bytes, from, end, |record| {
            if let Some(seq) = matcher.find(&record) {
                kept.push(Kept { seq, offset: record.offset });
                known.push_back(Span::of(&record));
            }
        })?;
        count = count.saturating_mul(GROWTH);
    }
    Ok((kept, known))
}

fn each_record(
    file: &File,
    max_line_bytes: usize,
    from: u64,
    to: u64,
    mut give: impl FnMut(Record),
) -> io::Result<()> {
    let mut lines = Lines::at(from, max_line_bytes);
    let mut buffer = Vec::new();
    while lines.position() < to {
        let (at, room) = (lines.position(), lines.held_bytes());
        let len = (to - at).min(BLOCK_BYTES as u64) as usize;
        buffer.resize(room + len, 0);
        let len = file::fill(file, &mut buffer[room..], at)?;
        if len == 0 {
            break;
        }
        lines.push(&mut buffer[..room + len], usize::MAX, |_, record| give(record));
    }
    // A half line is compared too.
    lines.settle(|_| true, give);
    Ok(())
}
