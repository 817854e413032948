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

    pub(super) fn is_truncated(&self) -> bool {
        self.len_bytes > self.bytes.len() as u64
    }

    /// The two records it would have been, had the first been taken out before the rest came.
    pub(super) fn split(mut self, at: usize) -> (Record, Record) {
        let nuls = self.bytes[at..].iter().take_while(|&&byte| byte == 0).count();
        let bytes = self.bytes.split_off(at + nuls);
        self.bytes.truncate(at);
        self.len_bytes = at as u64;
        let (offset, len_bytes) = (self.end() + nuls as u64, bytes.len() as u64);
        (self, Record { offset, bytes, len_bytes })
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
    pub(super) fn push(&mut self, block: &[u8], mut give: impl FnMut(Record)) {
        self.push_for_room(block, |record| {
            give(record);
            Vec::new()
        });
    }

    /// The same for one who gives room for the next record's bytes in return.
    pub(super) fn push_for_room(
        &mut self,
        mut block: &[u8],
        mut give: impl FnMut(Record) -> Vec<u8>,
    ) {
        while let Some(at) = memchr(b'\n', block) {
            self.absorb(&block[..at]);
            block = &block[at + 1..];
            let next = self.position() + 1;
            let bytes = self.take().map(&mut give).unwrap_or_default();
            *self = Lines { bytes, ..Lines::at(next) };
        }
        self.absorb(block);
    }

    /// Takes so many NULs.
    pub(super) fn skip(&mut self, nuls: u64) {
        if self.gap_cr {
            self.fill_gap();
        }
        self.gap_nuls += nuls;
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

pub(super) fn is_nul(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The length without NULs and one `\r` at the end.
fn solid_len(part: &[u8]) -> usize {
    let part = part.strip_suffix(b"\r").unwrap_or(part);
    part.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn is_object(bytes: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    }

    fn read<'a>(lines: &mut Lines, blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Record> {
        let mut records = Vec::new();
        for block in blocks {
            lines.push(block, |record| records.push(record));
        }
        records.extend(lines.settle(is_object));
        records
    }

    #[test]
    fn the_room_that_is_given_for_a_record_holds_the_next_one() {
        let room = Vec::with_capacity(100);
        let address = room.as_ptr();
        let mut rooms = vec![Vec::new(), room];
        let mut addresses = Vec::new();
        Lines::at(0).push_for_room(b"one\ntwo\n", |record| {
            addresses.push(record.bytes.as_ptr());
            rooms.pop().unwrap()
        });
        assert_eq!(addresses[1], address);
    }

    #[track_caller]
    fn check(content: impl AsRef<[u8]>, wanted: &[(u64, &str)]) {
        let content = content.as_ref();
        let records = read(&mut Lines::at(0), [content]);
        let shown: Vec<_> =
            records.iter().map(|it| (it.offset, String::from_utf8_lossy(&it.bytes))).collect();
        let wanted: Vec<_> =
            wanted.iter().map(|(offset, text)| (*offset, (*text).into())).collect();
        assert_eq!(shown, wanted);
        assert_eq!(read(&mut Lines::at(0), content.chunks(1)), records, "byte by byte");
    }

    #[test]
    fn line_ends_are_no_part_of_a_line() {
        check("a\nb\r\nc\r\r\n", &[(0, "a"), (2, "b"), (5, "c\r")]);
    }

    #[test]
    fn blank_lines_are_none() {
        check("\n \t\n\r\n\0\n\0 \r\na\n\n", &[(12, "a")]);
        check("\n".repeat(100_000) + "a\n", &[(100_000, "a")]);
    }

    #[test]
    fn only_a_newline_ends_a_line() {
        check("a\rb\u{2028}c\u{85}d\x0Be\x0C\n", &[(0, "a\rb\u{2028}c\u{85}d\x0Be\x0C")]);
    }

    #[test]
    fn a_mark_counts_for_nothing_at_the_very_start_only() {
        check("\u{feff}a\n\u{feff}b\n", &[(3, "a"), (5, "\u{feff}b")]);
        check("\u{feff}\n\u{feff}b\n", &[(4, "\u{feff}b")]);
        check("\u{feff}\0\0a\n", &[(5, "a")]);
        check("\0\u{feff}a\n", &[(1, "\u{feff}a")]);
        check(b"\xEF\xBBa\n", &[(0, "\u{fffd}a")]);
    }

    #[test]
    fn nuls_around_a_line_are_skipped_and_those_within_kept() {
        check("\0\0a\0b\0\n\0\0c\0\0\r\n", &[(2, "a\0b"), (9, "c")]);
        check("a\r\0\n\0\rb\n", &[(0, "a\r"), (5, "\rb")]);
        check("\r\0b\n", &[(0, "\r\0b")]);
        check("\0".repeat(143 << 10) + "a\nb\n", &[(143 << 10, "a"), ((143 << 10) + 2, "b")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        check(b"a\xFF\xFEb\n\xC3\nc\n", &[(0, "a\u{fffd}\u{fffd}b"), (5, "\u{fffd}"), (7, "c")]);
    }

    #[test]
    fn glued_and_cut_records_are_lines_as_they_stand() {
        check(
            "{\"a\":1}{\"b\":2}\n{\"c\":\n3}\n",
            &[(0, "{\"a\":1}{\"b\":2}"), (15, "{\"c\":"), (21, "3}")],
        );
    }

    #[test]
    fn a_half_line_is_a_record_once_it_is_a_whole_object() {
        check("a\n{\"b\":1}", &[(0, "a"), (2, "{\"b\":1}")]);
        check("a\n {\"b\":1} \0\r", &[(0, "a"), (2, " {\"b\":1} ")]);
        check("{\"b\":{}", &[]);
        check("[1]", &[]);
        check("12", &[]);
    }

    #[test]
    fn what_follows_a_record_without_its_end_is_another() {
        let mut lines = Lines::at(7);
        let mut next = |bytes: &str| -> Vec<(u64, String)> {
            let records = read(&mut lines, [bytes.as_bytes()]);
            records
                .into_iter()
                .map(|it| (it.offset, String::from_utf8(it.bytes).unwrap()))
                .collect()
        };
        let wanted = |offset, text: &str| vec![(offset, text.to_owned())];
        assert_eq!(next("{}\r"), wanted(7, "{}"));
        assert_eq!(next("\n"), []);
        assert_eq!(next("{}"), wanted(11, "{}"));
        assert_eq!(next("{}"), wanted(13, "{}"));
        assert_eq!(next(" x"), []);
        assert_eq!(next("y\n"), wanted(15, " xy"));
        assert_eq!(lines.position(), 19);
    }

    #[test]
    fn bytes_are_judged_once() {
        thread_local!(static ASKED: Cell<usize> = const { Cell::new(0) });
        fn never(_: &[u8]) -> bool {
            ASKED.set(ASKED.get() + 1);
            false
        }
        let mut lines = Lines::at(0);
        for (bytes, asked) in [("{", 0), ("}", 1), ("", 1), ("", 1), ("\0", 1), (",", 1), ("}", 2)]
        {
            lines.push(bytes.as_bytes(), |_| {});
            assert_eq!(lines.settle(never), None);
            assert_eq!(ASKED.get(), asked, "after {bytes:?}");
        }
    }

    #[track_caller]
    fn check_long(content: &[u8], offset: u64, kept: usize, len_bytes: u64) {
        for size in [content.len(), 4096, 65_521] {
            let mut lines = Lines::at(0);
            let records = read(&mut lines, content.chunks(size));
            let shown: Vec<_> =
                records.iter().map(|it| (it.offset, it.bytes.len(), it.len_bytes)).collect();
            assert_eq!(shown, [(offset, kept, len_bytes), (content.len() as u64 - 2, 1, 1)]);
            assert_eq!(records[0].bytes, content[offset as usize..][..kept]);
        }
    }

    #[test]
    fn a_line_is_whole_up_to_one_mebibyte_and_cut_beyond() {
        let max = MAX_LINE_BYTES as usize;
        for (len, kept) in
            [(1, 1), (max - 1, max - 1), (max, max), (max + 1, KEPT_BYTES), (3 * max, KEPT_BYTES)]
        {
            let line = vec![b'x'; len];
            check_long(&[&line[..], b"\ny\n"].concat(), 0, kept, len as u64);
            check_long(&[&line[..], b"\r\ny\n"].concat(), 0, kept, len as u64);
            check_long(&[b"\0\0", &line[..], b"\0\0\r\ny\n"].concat(), 2, kept, len as u64);
            check_long(&[BOM, &line[..], b"\ny\n"].concat(), 3, kept, len as u64);
        }
    }

    #[test]
    fn what_does_not_belong_to_a_line_does_not_make_it_long() {
        let nuls = vec![0; 2 << 20];
        check_long(&[b"x", &nuls[..], b"\ny\n"].concat(), 0, 1, 1);
        check_long(&[b"x", &nuls[..], b"x\ny\n"].concat(), 0, KEPT_BYTES, nuls.len() as u64 + 2);
        check(vec![b' '; 9000], &[]);
        assert_eq!(
            read(&mut Lines::at(0), [&[b' '; 2 << 20][..], b"\na\n"])[0].offset,
            (2 << 20) + 1
        );
    }

    #[test]
    fn a_cut_line_is_not_taken_for_a_whole_object() {
        let mut lines = Lines::at(0);
        let object = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
        assert_eq!(read(&mut lines, [object.as_bytes()]), []);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut lines = Lines::at(0);
        let block = vec![b'x'; 64 << 10];
        let mut most = 0;
        for _ in 0..200 * 16 {
            lines.push(&block, |_| {});
            most = most.max(lines.bytes.capacity());
        }
        assert!(most <= 2 * MAX_LINE_BYTES as usize, "{most}");
        assert_eq!(lines.bytes.capacity(), KEPT_BYTES);
        lines.push(b"\n", |record| assert_eq!(record.len_bytes, 200 << 20));
        assert_eq!(read(&mut lines, [&b"a\n"[..]]).len(), 1);
    }

    /// The same in the simplest words, for a whole file at once.
    fn naive(content: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut at = 0;
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let text = if at == 0 { text.strip_prefix(BOM).unwrap_or(text) } else { text };
            let first = text.iter().position(|&byte| byte != 0).unwrap_or(text.len());
            let last = text.iter().rposition(|&byte| byte != 0).map_or(first, |last| last + 1);
            let offset = at + first + if at == 0 && line.starts_with(BOM) { BOM.len() } else { 0 };
            let (text, len_bytes) = (&text[first..last], (last - first) as u64);
            if !text.iter().all(|&byte| byte == 0 || byte.is_ascii_whitespace()) {
                let kept = if len_bytes > MAX_LINE_BYTES { KEPT_BYTES } else { text.len() };
                records.push(Record {
                    offset: offset as u64,
                    bytes: text[..kept].to_vec(),
                    len_bytes,
                });
            }
            at += line.len();
        }
        records
    }

    fn runs(most: usize, longest: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(&b"\n"[..]), 2 => Just(&b"\r"[..]), 2 => Just(&b"\0"[..]), 1 => Just(&b" "[..]),
            2 => Just(&b"a"[..]), 1 => Just(&b"{"[..]), 1 => Just(&b"}"[..]), 2 => Just(BOM), 1 => Just(&b"\xEF"[..]),
        ];
        let run = (byte, prop_oneof![4 => 1usize..3, 1 => 1usize..=longest]);
        proptest::collection::vec(run, 0..most).prop_map(|runs| {
            runs.into_iter().flat_map(|(bytes, count)| bytes.repeat(count)).collect()
        })
    }

    fn pieces<'a>(content: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = content;
        sizes.iter().cycle().map_while(move |&size| {
            let (piece, left) = rest.split_at(size.min(rest.len()));
            rest = left;
            (!piece.is_empty()).then_some(piece)
        })
    }

    #[test]
    fn skipped_nuls_are_as_good_as_read_ones() {
        for before in ["", "\0", "a", "a\r", "\r", "a\0\r", "a\n"] {
            for after in ["\n", "b\n", "\r\n", "\0\n"] {
                let mut lines = Lines::at(9);
                let mut skipped = Vec::new();
                lines.push(before.as_bytes(), |record| skipped.push(record));
                lines.skip(5);
                skipped.extend(read(&mut lines, [after.as_bytes()]));
                let pieces = [before.as_bytes(), &[0; 5], after.as_bytes()];
                assert_eq!(skipped, read(&mut Lines::at(9), pieces), "{before:?} {after:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn how_bytes_are_cut_changes_nothing(
            content in runs(20, 5),
            sizes in proptest::collection::vec(1usize..8, 1..8),
        ) {
            let mut records = Vec::new();
            let mut lines = Lines::at(0);
            for piece in pieces(&content, &sizes) {
                lines.push(piece, |record| records.push(record));
            }
            prop_assert_eq!(lines.position(), content.len() as u64);
            prop_assert_eq!(records, naive(&content));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nor_does_it_with_lines_of_any_length(
            content in runs(6, 600_000),
            sizes in proptest::collection::vec(prop_oneof![1usize..8, 1000usize..100_000], 1..8),
        ) {
            let mut records = Vec::new();
            let mut lines = Lines::at(0);
            let sizes = [&sizes[..], &[300_000]].concat();
            for piece in pieces(&content, &sizes) {
                lines.push(piece, |record| records.push(record));
            }
            prop_assert_eq!(lines.position(), content.len() as u64);
            prop_assert!(records == naive(&content));
        }
    }
}
