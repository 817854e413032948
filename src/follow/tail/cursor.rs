//! The read position in a file, with an anchor to recognise it by: the last bytes before the
//! position.
//!
//! Invariant: bytes count only if the anchor still matched after they were read, so nothing of a
//! file that was rewritten meanwhile is taken for growth.
//! Known weakness: a rewrite that leaves the anchor's bytes in their place is not noticed.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher;
use std::io;

use super::batch::Batch;
use super::comparison::Start;
use super::fingerprints::Fingerprints;
use super::lines::Lines;
use super::{Options, file};

/// How many bytes before the read position are compared: enough for any two histories to differ in.
const ANCHOR_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything is read.
    End,
    /// The batch is full; there may be more.
    Full,
    /// The bytes before the read position have changed.
    Rewritten,
}

#[derive(Clone)]
pub(super) struct Cursor {
    anchor: Anchor,
    /// Tells known lines from new ones, after a comparison.
    start: Start,
    /// The end of the last known line: known lines that were not read again yet can be rewritten
    /// too.
    ahead: Option<Anchor>,
    lines: Lines,
    is_whole: fn(&[u8]) -> bool,
}

/// The bytes before an offset. Only their hash is kept, since hundreds of files are followed.
#[derive(Clone, Copy)]
struct Anchor {
    end: u64,
    len_bytes: usize,
    hash: u64,
}

impl Cursor {
    pub(super) fn at(file: &File, start: Start, options: &Options) -> io::Result<Cursor> {
        Ok(Cursor {
            anchor: Anchor::at(file, start.offset)?,
            ahead: start.last_end().map(|end| Anchor::at(file, end)).transpose()?,
            lines: Lines::at(start.offset, options.max_line_bytes),
            start,
            is_whole: options.is_whole,
        })
    }

    pub(super) fn position(&self) -> u64 {
        self.lines.position()
    }

    /// Up to where the file's lines were given out.
    pub(super) fn line_start(&self) -> u64 {
        self.lines.line_start()
    }

    /// Reads to the end of the file, which has about `size_bytes`, and gives out its lines.
    pub(super) fn read(
        &mut self,
        file: &File,
        size_bytes: u64,
        batch: &mut Batch,
        fingerprints: &mut Fingerprints,
    ) -> io::Result<Progress> {
        while !batch.is_full() {
            let at = self.position();
            let space = batch.space(self.lines.held_bytes(), size_bytes.saturating_sub(at));
            let len = file::read_at(file, space, at)?;
            // After the read: a rewrite that came between the two would pass for growth.
            let Some(before) = self.recognise(file)? else { return Ok(Progress::Rewritten) };
            // Only here: elsewhere the end of a whole record is in the next block.
            if len == 0 {
                self.lines.settle(self.is_whole, |record| {
                    if !self.start.knows(&record) {
                        batch.push_line(&record, fingerprints.add(&record));
                    }
                });
                return Ok(Progress::End);
            }
            let taken = batch.split(len, &mut self.lines, |record| {
                (!self.start.knows(record)).then(|| fingerprints.add(record))
            });
            self.anchor = Anchor::after(before, taken, self.lines.position());
        }
        Ok(Progress::Full)
    }

    /// Whether another file goes on from the read position. A half line is then continued there.
    pub(super) fn continues_in(&self, file: &File) -> io::Result<bool> {
        // The anchor of an empty file is in any file.
        Ok(self.position() > 0 && self.recognise(file)?.is_some())
    }

    /// Returns the bytes before the read position if they are those that were read.
    fn recognise(&self, file: &File) -> io::Result<Option<Vec<u8>>> {
        let before = self.anchor.read(file)?;
        let mut is_same = self.anchor.is_of(&before);
        if let Some(ahead) = self.ahead.filter(|ahead| ahead.end > self.position()) {
            is_same = is_same && ahead.is_of(&ahead.read(file)?);
        }
        Ok(is_same.then_some(before))
    }
}

impl Anchor {
    fn at(file: &File, end: u64) -> io::Result<Anchor> {
        let before = file::read_span(file, end.saturating_sub(ANCHOR_BYTES as u64), end)?;
        Ok(Anchor { end, len_bytes: before.len(), hash: hash(&before) })
    }

    /// The anchor after a block, given the bytes before the block.
    fn after(mut before: Vec<u8>, block: &[u8], end: u64) -> Anchor {
        before.extend_from_slice(&block[block.len().saturating_sub(ANCHOR_BYTES)..]);
        let before = &before[before.len().saturating_sub(ANCHOR_BYTES)..];
        Anchor { end, len_bytes: before.len(), hash: hash(before) }
    }

    /// Reads the bytes that are now in its place.
    fn read(&self, file: &File) -> io::Result<Vec<u8>> {
        file::read_span(file, self.end - self.len_bytes as u64, self.end)
    }

    fn is_of(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.len_bytes && hash(bytes) == self.hash
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
