//! Splits the bytes of a file into records: its lines without their ends.
//!
//! A record is complete at its `\n`, or earlier when the caller's test says that the bytes so far
//! are one whole record. NULs around a record (holes that a crash or a stale writer left) and a
//! byte-order mark at the file's very start are not part of it. Blank lines, of white space and
//! NULs, are skipped.
//! Invariant: at most one line of the longest size is held; where blocks are cut changes nothing.

use memchr::{memchr, memchr_iter};

/// How much of a line that is too long is kept: enough to recognise it by.
pub(super) const KEPT_BYTES: usize = 4 << 10;

/// UTF-8's byte-order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One line of the file, without what surrounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) offset: u64,
    /// The first [`KEPT_BYTES`] of a line that is too long.
    pub(super) bytes: &'a [u8],
    /// Length of the line in the file.
    pub(super) len_bytes: u64,
}

impl Record<'_> {
    /// The length of the line if its bytes are cut.
    pub(super) fn cut_from_bytes(&self) -> Option<u64> {
        (self.len_bytes > self.bytes.len() as u64).then_some(self.len_bytes)
    }
}

/// The read position, with the half line before it.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    /// Offset of the half line.
    start: u64,
    /// The bytes of the half line, or the first ones if it is too long.
    held: Vec<u8>,
    /// How many bytes of the half line are not held because it is too long.
    dropped_bytes: u64,
    /// Of a half line that is too long: all its bytes are blank.
    is_blank: bool,
    /// Of a half line that is too long: its last byte is a `\r`.
    ends_with_cr: bool,
    /// The half line was found to be no whole record.
    is_half: bool,
    max_line_bytes: usize,
}

impl Lines {
    /// Begins at this offset of the file, where a line begins or a record ended. Lines of up to
    /// `max_line_bytes` are given whole.
    pub(super) fn at(offset: u64, max_line_bytes: usize) -> Lines {
        Lines {
            start: offset,
            held: Vec::new(),
            dropped_bytes: 0,
            is_blank: false,
            ends_with_cr: false,
            is_half: false,
            max_line_bytes,
        }
    }

    /// The offset of the next byte to be pushed.
    pub(super) fn position(&self) -> u64 {
        self.start + self.held.len() as u64 + self.dropped_bytes
    }

    /// The offset of the half line, or of the next line.
    pub(super) fn line_start(&self) -> u64 {
        self.start
    }

    /// The room that [`Lines::push`] needs before the block.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes the block at the read position and gives each record that it completes, with the place
    /// of its bytes in `buffer`. The buffer has room for the half line, and behind that the block:
    /// so a line is in one piece, and is copied only if a block ends in it. Stops after `limit`
    /// records; the bytes after the last one are then not taken.
    pub(super) fn push(
        &mut self,
        buffer: &mut [u8],
        limit: usize,
        mut give: impl FnMut(usize, Record),
    ) {
        let room = self.held.len();
        let Some(first) = memchr(b'\n', &buffer[room..]) else {
            return self.hold(&buffer[room..]);
        };
        buffer[..room].copy_from_slice(&self.held);
        let base = self.start + self.dropped_bytes;
        let (mut at, mut left) = (0, limit);
        // The rest of a line that is too long only adds to its length.
        if self.dropped_bytes > 0 {
            self.hold(&buffer[room..room + first]);
            if let Some(record) = self.too_long_record() {
                give(0, record);
                left -= 1;
            }
            at = room + first + 1;
        }
        let from = at.max(room);
        for newline in memchr_iter(b'\n', &buffer[from..]).map(|newline| from + newline) {
            if left == 0 {
                break;
            }
            let line = &buffer[at..newline];
            if let Some((skipped, record)) = trim(base + at as u64, line, self.max_line_bytes) {
                give(at + skipped, record);
                left -= 1;
            }
            at = newline + 1;
        }
        *self = Lines::at(base + at as u64, self.max_line_bytes);
        if left > 0 {
            self.hold(&buffer[at..]);
        }
    }

    /// Ends a read at the end of the file. Gives the half line if it is one whole record; the
    /// bytes after that on the same line are another one.
    pub(super) fn settle(&mut self, is_whole: fn(&[u8]) -> bool, give: impl FnOnce(Record)) {
        if self.is_half || self.dropped_bytes > 0 {
            return;
        }
        let bytes = without_end(&self.held);
        let trimmed = bytes.trim_ascii();
        self.is_half = bytes.len() > self.max_line_bytes
            || !(trimmed.starts_with(b"{") && trimmed.ends_with(b"}") && is_whole(trimmed));
        if self.is_half {
            return;
        }
        give(Record { offset: self.start, bytes, len_bytes: bytes.len() as u64 });
        let taken = bytes.len() + leading_nuls(&self.held[bytes.len()..]);
        self.start += taken as u64;
        self.held.drain(..taken);
    }

    /// The half line, once its end has come, if it is too long.
    fn too_long_record(&self) -> Option<Record<'_>> {
        let all_bytes = self.held.len() as u64 + self.dropped_bytes;
        let len_bytes = all_bytes - u64::from(self.ends_with_cr);
        (!self.is_blank).then_some(Record { offset: self.start, bytes: &self.held, len_bytes })
    }

    /// Takes bytes of one line, without its end.
    fn hold(&mut self, part: &[u8]) {
        let mark_left = (BOM.len() as u64).saturating_sub(self.position()) as usize;
        if mark_left > 0 && part.len() > mark_left {
            // So that a mark is seen by itself, however blocks are cut.
            let (mark, rest) = part.split_at(mark_left);
            self.hold_part(mark);
            return self.hold_part(rest);
        }
        self.hold_part(part);
    }

    fn hold_part(&mut self, mut part: &[u8]) {
        if self.held.is_empty() {
            let nuls = leading_nuls(part);
            self.start += nuls as u64;
            part = &part[nuls..];
        }
        if part.is_empty() {
            return;
        }
        self.is_half = false;
        if self.dropped_bytes > 0
            || self.held.len() + part.len() > with_cr_bytes(self.max_line_bytes)
        {
            return self.drop_part(part);
        }
        self.held.extend_from_slice(part);
        if self.start == 0 && self.held == BOM {
            *self = Lines::at(BOM.len() as u64, self.max_line_bytes);
        }
    }

    fn drop_part(&mut self, part: &[u8]) {
        let is_first = self.dropped_bytes == 0;
        self.is_blank =
            is_blank(part) && if is_first { is_blank(&self.held) } else { self.is_blank };
        self.ends_with_cr = part.ends_with(b"\r");
        let all_bytes = self.held.len() as u64 + self.dropped_bytes + part.len() as u64;
        let kept = kept_bytes(self.max_line_bytes);
        self.held.truncate(kept);
        self.held.extend_from_slice(&part[..part.len().min(kept - self.held.len())]);
        // Until now it held up to `max_line_bytes`, 16 MiB for a transcript.
        self.held.shrink_to_fit();
        self.dropped_bytes = all_bytes - self.held.len() as u64;
    }
}

/// Returns the record that a line is, and how many bytes of the line are before it.
fn trim(offset: u64, line: &[u8], max_line_bytes: usize) -> Option<(usize, Record<'_>)> {
    let mark = if offset == 0 && line.starts_with(BOM) { BOM.len() } else { 0 };
    let skipped = mark + leading_nuls(&line[mark..]);
    let bytes = &line[skipped..];
    if is_blank(bytes) {
        return None;
    }
    // Of a line that is longer than this, NULs at the end are not known to be at the end before it
    // ends.
    let bytes = match bytes.len() > with_cr_bytes(max_line_bytes) {
        true => bytes.strip_suffix(b"\r").unwrap_or(bytes),
        false => without_end(bytes),
    };
    let len_bytes = bytes.len() as u64;
    let kept = if bytes.len() > max_line_bytes { kept_bytes(max_line_bytes) } else { bytes.len() };
    let record = Record { offset: offset + skipped as u64, bytes: &bytes[..kept], len_bytes };
    Some((skipped, record))
}

/// The longest line together with a `\r`.
fn with_cr_bytes(max_line_bytes: usize) -> usize {
    max_line_bytes.saturating_add(1)
}

fn kept_bytes(max_line_bytes: usize) -> usize {
    KEPT_BYTES.min(max_line_bytes)
}

/// Whether there is nothing to be shown: only ASCII white space and NULs.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0 || byte.is_ascii_whitespace())
}

fn leading_nuls(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| byte == 0).count()
}

/// Strips one `\r` and then NULs from the end.
fn without_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn is_object(bytes: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    }

    const MAX_BYTES: usize = 1 << 20;

    /// A record with bytes of its own.
    #[derive(Debug, Clone, PartialEq)]
    struct Owned {
        offset: u64,
        bytes: Vec<u8>,
        len_bytes: u64,
    }

    fn owned(record: Record) -> Owned {
        let Record { offset, bytes, len_bytes } = record;
        Owned { offset, bytes: bytes.to_vec(), len_bytes }
    }

    fn lines_at(offset: u64) -> Lines {
        Lines::at(offset, MAX_BYTES)
    }

    fn push(lines: &mut Lines, block: &[u8]) -> Vec<Owned> {
        let room = lines.held_bytes();
        let mut buffer = [&vec![b'?'; room], block].concat();
        let mut places = Vec::new();
        let mut records = Vec::new();
        lines.push(&mut buffer, usize::MAX, |at, record| {
            places.push(at);
            records.push(owned(record));
        });
        for (at, record) in places.into_iter().zip(&records) {
            assert_eq!(buffer[at..at + record.bytes.len()], record.bytes, "its place is right");
        }
        records
    }

    fn read<'a>(lines: &mut Lines, blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut records: Vec<_> = blocks.into_iter().flat_map(|block| push(lines, block)).collect();
        lines.settle(is_object, |record| records.push(owned(record)));
        records
    }

    #[track_caller]
    fn check(content: impl AsRef<[u8]>, wanted: &[(u64, &str)]) {
        let content = content.as_ref();
        let records = read(&mut lines_at(0), [content]);
        let shown: Vec<_> =
            records.iter().map(|it| (it.offset, String::from_utf8_lossy(&it.bytes))).collect();
        let wanted: Vec<_> =
            wanted.iter().map(|(offset, text)| (*offset, (*text).into())).collect();
        assert_eq!(shown, wanted);
        assert_eq!(read(&mut lines_at(0), content.chunks(1)), records, "byte by byte");
    }

    #[test]
    fn line_ends_are_not_part_of_a_line() {
        check("a\nb\r\nc\r\r\n", &[(0, "a"), (2, "b"), (5, "c\r")]);
    }

    #[test]
    fn blank_lines_are_skipped() {
        check("\n \t\n\r\n\0\n\0 \r\na\n\n", &[(12, "a")]);
        check("\n".repeat(100_000) + "a\n", &[(100_000, "a")]);
    }

    #[test]
    fn only_a_newline_ends_a_line() {
        check("a\rb\u{2028}c\u{85}d\x0Be\x0C\n", &[(0, "a\rb\u{2028}c\u{85}d\x0Be\x0C")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_very_start_only() {
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
    fn bytes_that_are_not_utf_8_are_kept() {
        check(b"a\xFF\xFEb\n\xC3\nc\n", &[(0, "a\u{fffd}\u{fffd}b"), (5, "\u{fffd}"), (7, "c")]);
    }

    #[test]
    fn glued_and_cut_records_are_one_line_each() {
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
    fn bytes_after_a_record_without_its_end_are_another_record() {
        let mut lines = lines_at(7);
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
        let mut lines = lines_at(0);
        for (bytes, asked) in [("{", 0), ("}", 1), ("", 1), ("", 1), (",", 1), ("}", 2)] {
            push(&mut lines, bytes.as_bytes());
            lines.settle(never, |_| panic!("it is not whole"));
            assert_eq!(ASKED.get(), asked, "after {bytes:?}");
        }
    }

    #[track_caller]
    fn check_long(content: &[u8], offset: u64, kept: usize, len_bytes: u64) {
        for size in [content.len(), 4096, 65_521] {
            let mut lines = lines_at(0);
            let records = read(&mut lines, content.chunks(size));
            let shown: Vec<_> =
                records.iter().map(|it| (it.offset, it.bytes.len(), it.len_bytes)).collect();
            assert_eq!(shown, [(offset, kept, len_bytes), (content.len() as u64 - 2, 1, 1)]);
            assert_eq!(records[0].bytes, content[offset as usize..][..kept]);
        }
    }

    #[test]
    fn a_line_is_whole_up_to_one_mebibyte_and_cut_beyond() {
        let max = MAX_BYTES;
        for (len, kept) in
            [(1, 1), (max - 1, max - 1), (max, max), (max + 1, KEPT_BYTES), (3 * max, KEPT_BYTES)]
        {
            let line = vec![b'x'; len];
            check_long(&[&line[..], b"\ny\n"].concat(), 0, kept, len as u64);
            check_long(&[&line[..], b"\r\ny\n"].concat(), 0, kept, len as u64);
            check_long(&[b"\0\0", &line[..], b"\r\ny\n"].concat(), 2, kept, len as u64);
            check_long(&[BOM, &line[..], b"\ny\n"].concat(), 3, kept, len as u64);
        }
    }

    #[test]
    fn nuls_before_a_line_do_not_make_it_long_and_nuls_in_it_do() {
        let nuls = vec![0; 2 << 20];
        let long = nuls.len() as u64 + 1;
        check_long(&[&nuls[..], b"x\ny\n"].concat(), long - 1, 1, 1);
        check_long(&[BOM, &nuls[..100], b"x\ny\n"].concat(), 103, 1, 1);
        check_long(&[b"x", &nuls[..100], b"\ny\n"].concat(), 0, 1, 1);
        check_long(&[b"x", &nuls[..], b"\ny\n"].concat(), 0, KEPT_BYTES, long);
        check_long(&[b"x", &nuls[..], b"x\r\ny\n"].concat(), 0, KEPT_BYTES, long + 1);
    }

    #[test]
    fn a_blank_line_of_any_length_is_skipped() {
        check(vec![b' '; 9000], &[]);
        let blank = [&[b' '; 2 << 20][..], b"\na\n"].concat();
        for size in [blank.len(), 4096] {
            let records = read(&mut lines_at(0), blank.chunks(size));
            assert_eq!((records.len(), records[0].offset), (1, (2 << 20) + 1));
        }
    }

    #[test]
    fn lines_after_the_limit_are_not_taken() {
        let mut lines = lines_at(0);
        let mut taken = Vec::new();
        let mut buffer = *b"a\n\nb\nc\nd";
        lines.push(&mut buffer, 2, |_, record| taken.push(record.offset));
        assert_eq!((taken, lines.position()), (vec![0, 3], 5));
        assert_eq!(push(&mut lines, b"c\nd").len(), 1);
        assert_eq!(lines.position(), 8);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_taken_for_a_whole_object() {
        let mut lines = lines_at(0);
        let object = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
        assert_eq!(read(&mut lines, [object.as_bytes()]), []);
    }

    #[test]
    fn memory_is_bounded_and_given_back_after_a_long_line() {
        let mut lines = lines_at(0);
        let block = vec![b'x'; 64 << 10];
        let mut most = 0;
        for _ in 0..200 * 16 {
            push(&mut lines, &block);
            most = most.max(lines.held.capacity());
        }
        assert!(most <= 2 * MAX_BYTES, "{most}");
        assert_eq!(lines.held.capacity(), KEPT_BYTES);
        assert_eq!(push(&mut lines, b"\n")[0].len_bytes, 200 << 20);
        assert_eq!(lines.held.capacity(), 0);
        push(&mut lines, &vec![b'x'; MAX_BYTES]);
        assert_eq!(push(&mut lines, b"\na\n").len(), 2);
        assert_eq!(lines.held.capacity(), 0);
    }

    /// The same rules for a whole file at once, in the simplest words.
    fn naive(content: &[u8], max_bytes: usize) -> Vec<Owned> {
        let mut records = Vec::new();
        let mut at = 0;
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            let Some(mut text) = line.strip_suffix(b"\n") else { break };
            let mut offset = at;
            at += line.len();
            if offset == 0 && text.starts_with(BOM) {
                (text, offset) = (&text[BOM.len()..], BOM.len());
            }
            while let Some(rest) = text.strip_prefix(b"\0") {
                (text, offset) = (rest, offset + 1);
            }
            let is_long = text.len() > max_bytes + 1;
            text = text.strip_suffix(b"\r").unwrap_or(text);
            while !is_long && let Some(rest) = text.strip_suffix(b"\0") {
                text = rest;
            }
            if text.iter().all(|&byte| byte == 0 || byte.is_ascii_whitespace()) {
                continue;
            }
            let kept = if text.len() > max_bytes { max_bytes.min(KEPT_BYTES) } else { text.len() };
            let (bytes, len_bytes) = (text[..kept].to_vec(), text.len() as u64);
            records.push(Owned { offset: offset as u64, bytes, len_bytes });
        }
        records
    }

    fn runs(most: usize, longest: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(&b"\n"[..]),
            2 => Just(&b"\r"[..]),
            2 => Just(&b"\0"[..]),
            1 => Just(&b" "[..]),
            2 => Just(&b"a"[..]),
            1 => Just(&b"{"[..]),
            1 => Just(&b"}"[..]),
            2 => Just(BOM),
            1 => Just(&b"\xEF"[..]),
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

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn where_blocks_are_cut_changes_nothing(
            content in runs(20, 5),
            sizes in proptest::collection::vec(1usize..8, 1..8),
            max_bytes in prop_oneof![Just(MAX_BYTES), 4usize..12],
        ) {
            let mut lines = Lines::at(0, max_bytes);
            let pieces = pieces(&content, &sizes);
            let records: Vec<_> = pieces.flat_map(|piece| push(&mut lines, piece)).collect();
            prop_assert_eq!(lines.position(), content.len() as u64);
            prop_assert_eq!(records, naive(&content, max_bytes));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 8,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn nor_does_it_with_lines_of_any_length(
            content in runs(6, 600_000),
            sizes in proptest::collection::vec(prop_oneof![1usize..8, 1000usize..100_000], 1..8),
        ) {
            let mut lines = lines_at(0);
            let sizes = [&sizes[..], &[300_000]].concat();
            let pieces = pieces(&content, &sizes);
            let records: Vec<_> = pieces.flat_map(|piece| push(&mut lines, piece)).collect();
            prop_assert_eq!(lines.position(), content.len() as u64);
            prop_assert!(records == naive(&content, MAX_BYTES));
        }
    }
}
