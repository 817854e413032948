//! Bytes of a file, in whatever pieces they come, put together into records: the lines without their ends.
//!
//! A record is complete at its `\n`, or earlier when the caller's test says that what is there is one whole record.
//! NUL runs around a record (holes that a crash or a stale writer left) and a byte-order mark at the file's very
//! start are no part of it; lines of nothing but white space and NUL are no records.
//! Invariant: memory is bounded by `MAX_LINE_BYTES`, whatever comes; how the bytes are cut into pieces changes nothing.

use memchr::memchr;

/// The longest line, in bytes, that is given out whole.
pub(super) const MAX_LINE_BYTES: u64 = 1 << 20;

/// How much of a longer line is given out: enough to recognise it by.
pub(super) const KEPT_BYTES: usize = 4 << 10;

/// UTF-8's byte-order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One line of the file, without what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// More than `bytes.len()` only for a line that is too long.
    pub(super) len_bytes: u64,
}

impl Record {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len_bytes
    }
}

/// The line that is being put together: `len_bytes` that belong to it, then a gap (NULs, perhaps one `\r`)
/// that belongs to it only if more follows.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    start: u64,
    bytes: Vec<u8>,
    len_bytes: u64,
    gap_nuls: u64,
    gap_cr: bool,
    is_blank: bool,
    /// What is there was found to be no whole record yet.
    is_half: bool,
}

impl Lines {
    /// For bytes that begin at this offset of the file, which is where a line begins or a record ended.
    pub(super) fn at(offset: u64) -> Lines {
        Lines {
            start: offset,
            bytes: Vec::new(),
            len_bytes: 0,
            gap_nuls: 0,
            gap_cr: false,
            is_blank: true,
            is_half: false,
        }
    }

    /// The offset of the next byte to be pushed.
    pub(super) fn position(&self) -> u64 {
        self.start + self.len_bytes + self.gap_nuls + u64::from(self.gap_cr)
    }

    /// Takes the bytes that follow and hands out every record they complete.
    pub(super) fn push(&mut self, mut block: &[u8], mut give: impl FnMut(Record)) {
        while let Some(at) = memchr(b'\n', block) {
            self.absorb(&block[..at]);
            block = &block[at + 1..];
            let next = self.position() + 1;
            if let Some(record) = self.take() {
                give(record);
            }
            *self = Lines::at(next);
        }
        self.absorb(block);
    }

    /// To be called at the end of what is there: a line without its end is given out if it is a whole record.
    pub(super) fn settle(&mut self, is_whole: fn(&[u8]) -> bool) -> Option<Record> {
        if self.is_half || self.is_too_long() {
            return None;
        }
        let trimmed = self.bytes.trim_ascii();
        self.is_half = !(trimmed.starts_with(b"{") && trimmed.ends_with(b"}") && is_whole(trimmed));
        if self.is_half { None } else { self.take() }
    }

    /// Takes out the record as it stands; what follows on the line is another one.
    fn take(&mut self) -> Option<Record> {
        let (offset, len_bytes) = (self.start, self.len_bytes);
        let bytes = std::mem::take(&mut self.bytes);
        self.start += len_bytes;
        self.len_bytes = 0;
        let is_blank = std::mem::replace(&mut self.is_blank, true);
        (!is_blank).then_some(Record { offset, bytes, len_bytes })
    }

    /// Takes bytes of one line, without its end.
    fn absorb(&mut self, part: &[u8]) {
        let mark_left = (BOM.len() as u64).saturating_sub(self.position());
        if mark_left > 0 && part.len() as u64 > mark_left {
            // So that a mark is seen by itself, whatever follows it.
            let (mark, rest) = part.split_at(mark_left as usize);
            self.absorb_part(mark);
            return self.absorb_part(rest);
        }
        self.absorb_part(part);
    }

    fn absorb_part(&mut self, mut part: &[u8]) {
        if self.len_bytes == 0 && !self.gap_cr {
            let nuls = part.iter().take_while(|&&byte| byte == 0).count();
            self.gap_nuls += nuls as u64;
            part = &part[nuls..];
        }
        if part.is_empty() {
            return;
        }
        let (solid, gap) = part.split_at(solid_len(part));
        if !solid.is_empty() || self.gap_cr {
            self.fill_gap();
        }
        self.store(solid);
        self.gap_cr = gap.ends_with(b"\r");
        self.gap_nuls += gap.len() as u64 - u64::from(self.gap_cr);
    }

    /// Makes the gap a part of the line, or what comes before the line if there is none yet.
    fn fill_gap(&mut self) {
        let nuls = std::mem::take(&mut self.gap_nuls);
        if self.len_bytes == 0 {
            self.start += nuls;
        } else {
            let kept = self.grow(nuls);
            self.bytes.resize(self.bytes.len() + kept, 0);
        }
        if std::mem::take(&mut self.gap_cr) {
            self.store(b"\r");
        }
    }

    fn store(&mut self, part: &[u8]) {
        self.is_blank = self.is_blank && is_blank(part);
        self.is_half = self.is_half && part.is_empty();
        let kept = self.grow(part.len() as u64);
        self.bytes.extend_from_slice(&part[..kept]);
        if self.start == 0 && self.bytes == BOM {
            *self = Lines::at(BOM.len() as u64);
        }
    }

    /// Counts bytes that come to the line and says how many of them are to be kept.
    fn grow(&mut self, more_bytes: u64) -> usize {
        self.len_bytes += more_bytes;
        if !self.is_too_long() {
            return more_bytes as usize;
        }
        self.bytes.truncate(KEPT_BYTES);
        self.bytes.shrink_to(KEPT_BYTES);
        let room = KEPT_BYTES - self.bytes.len();
        more_bytes.min(room as u64) as usize
    }

    fn is_too_long(&self) -> bool {
        self.len_bytes > MAX_LINE_BYTES
    }
}

/// Whether nothing is there to be shown: ASCII white space and NULs.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0 || byte.is_ascii_whitespace())
}

/// The length without NULs and one `\r` at the end.
fn solid_len(part: &[u8]) -> usize {
    let part = part.strip_suffix(b"\r").unwrap_or(part);
    part.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}
