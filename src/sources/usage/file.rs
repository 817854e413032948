//! How far a transcript is read, and the lines behind that.
//!
//! Invariant: of a file no more than a buffer is held. A line is passed on once; after a rewrite of
//! the part that was read, the caller gets [`Outcome::Rewritten`] and begins again.

use std::fs::{File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use memchr::{memchr, memrchr};
use rustix::fs::OFlags;

use crate::formats::json;

use crate::sources::transcripts::MAX_RECORD_BYTES;

/// The bytes that are read at a time, few enough to stay in the processor's cache.
const BUFFER_BYTES: usize = 256 << 10;

/// The bytes before the position that are compared, to notice that a file was rewritten. The last
/// record has its id and its time among them as a rule.
const ANCHOR_BYTES: u64 = 1024;

/// How far a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    offset: u64,
    /// Of the bytes before the offset.
    anchor: u64,
    /// When the file was last written, as of the time when everything was read.
    mtime: Option<SystemTime>,
    /// The position is inside a line that is too long.
    is_skipping: bool,
}

/// The outcome of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole file is read.
    AtEnd,
    /// There is more than the budget allowed to read.
    More,
    /// The part that was read before has changed: the position is the beginning.
    Rewritten,
}

/// Bytes of whole lines, and the offset of the first one.
pub(super) type Lines<'a> = (&'a [u8], u64);

impl Position {
    /// Passes on whole lines that follow the position, at most about `budget` bytes. The last line
    /// is whole without its end if it is one whole record.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a regular file.
    pub(super) fn read(
        &mut self,
        path: &Path,
        buffer: &mut Vec<u8>,
        budget: usize,
        mut each: impl FnMut(Lines),
    ) -> io::Result<Outcome> {
        let file = open(path)?;
        let meta = file.metadata()?;
        if self.is_rewritten(&file, &meta)? {
            *self = Position::default();
            return Ok(Outcome::Rewritten);
        }
        let start = self.offset;
        let mut filled = 0;
        let outcome = loop {
            if buffer.len() < filled + BUFFER_BYTES {
                buffer.resize(filled + BUFFER_BYTES, 0);
            }
            let count = file.read_at(&mut buffer[filled..], self.offset + filled as u64)?;
            filled += count;
            if count == 0 {
                self.take_rest(&buffer[..filled], &mut each);
                break Outcome::AtEnd;
            }
            let whole = self.take_lines(&buffer[..filled], &mut each);
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
            if self.offset - start >= budget as u64 {
                break Outcome::More;
            }
        };
        // A long line is rare, and its memory is better given back.
        buffer.truncate(BUFFER_BYTES);
        buffer.shrink_to_fit();
        self.anchor = anchor(&file, self.offset)?;
        let meta = file.metadata()?;
        let is_at_rest = outcome == Outcome::AtEnd && meta.len() == self.offset + filled as u64;
        self.mtime = meta.modified().ok().filter(|_| is_at_rest);
        Ok(outcome)
    }

    /// Whether the part of the file that was read has changed.
    fn is_rewritten(&self, file: &File, meta: &Metadata) -> io::Result<bool> {
        if meta.len() < self.offset {
            return Ok(true);
        }
        let has_grown = meta.len() > self.offset;
        let is_touched = self.mtime.is_some() && meta.modified().ok() != self.mtime;
        let is_same = self.offset == 0 || anchor(file, self.offset)? == self.anchor;
        Ok((is_touched && !has_grown) || !is_same)
    }

    /// Passes on the whole lines at the beginning of some bytes. Returns how many bytes are done.
    fn take_lines(&mut self, bytes: &[u8], each: &mut impl FnMut(Lines)) -> usize {
        let mut start = 0;
        if self.is_skipping {
            let Some(end) = memchr(b'\n', bytes) else { return self.advance(bytes.len()) };
            self.is_skipping = false;
            start = end + 1;
        }
        let Some(end) = memrchr(b'\n', &bytes[start..]).map(|at| start + at + 1) else {
            self.is_skipping = bytes.len() - start > MAX_RECORD_BYTES;
            return self.advance(if self.is_skipping { bytes.len() } else { start });
        };
        each((&bytes[start..end], self.offset + start as u64));
        self.advance(end)
    }

    /// Passes on a last line that has no end.
    fn take_rest(&mut self, rest: &[u8], each: &mut impl FnMut(Lines)) {
        if rest.trim_ascii_end().ends_with(b"}") && json::is_record(rest) {
            each((rest, self.offset));
            self.advance(rest.len());
        }
    }

    fn advance(&mut self, bytes: usize) -> usize {
        self.offset += bytes as u64;
        bytes
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Non-blocking, because the path can have come to name a FIFO since the caller looked at it.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

fn anchor(file: &File, offset: u64) -> io::Result<u64> {
    let count = offset.min(ANCHOR_BYTES);
    let mut bytes = [0; ANCHOR_BYTES as usize];
    let bytes = &mut bytes[..count as usize];
    file.read_exact_at(bytes, offset - count)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    Ok(hasher.finish())
}
