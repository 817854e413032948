//! A page of a file's lines, read backwards from an offset, so that its cost does not grow with the
//! file.
//!
//! Lines are split as a [`super::Tail`] splits them, so a line has the same offset in both.
//! Invariant: a page holds a bounded number of bytes; nothing is kept between two pages.
//! Known weakness: of a line longer than the search for its start, only the end is a line.

use std::io;
use std::path::Path;

use memchr::memchr;

use super::file::{self, BLOCK_BYTES};
use super::last_lines;
use super::lines::{Lines, Record};

/// The most bytes of a page, but for a single line.
const MAX_PAGE_BYTES: u64 = 8 << 20;

/// How far a line that goes on at the end of a page is read to its own end.
const MAX_END_BYTES: u64 = 64 << 20;

pub(crate) struct Page {
    /// Newest first.
    pub(crate) lines: Vec<PageLine>,
    /// The offset before which the next page begins; absent at the file's beginning.
    pub(crate) before: Option<u64>,
}

pub(crate) struct PageLine {
    pub(crate) offset: u64,
    /// Of a line that is too long the first 4 KiB.
    pub(crate) bytes: Vec<u8>,
    /// The length of the line in the file.
    pub(crate) len_bytes: u64,
}

/// Reads the last `limit` lines that begin before the offset, or before the end of the file; fewer
/// if they are large.
///
/// # Errors
///
/// The file at the path cannot be read, or is no regular file.
pub(crate) fn read(
    path: &Path,
    before: Option<u64>,
    limit: usize,
    max_line_bytes: usize,
    is_whole: fn(&[u8]) -> bool,
) -> io::Result<Page> {
    let (file, seen) = file::open(path)?;
    let before = before.unwrap_or(u64::MAX).min(seen.size_bytes);
    let mut count = limit;
    let mut from = last_lines::offset(&file, before, count)?;
    // How large lines are is known only once their beginnings are found.
    while before - from > MAX_PAGE_BYTES && count > 1 {
        count /= 2;
        from = last_lines::offset(&file, before, count)?;
    }
    let mut lines = Vec::new();
    let mut take = |record: Record| {
        if record.offset < before {
            let Record { offset, bytes, len_bytes } = record;
            lines.push(PageLine { offset, bytes: bytes.to_vec(), len_bytes });
        }
    };
    let end = line_end(&file, before)?;
    let mut splitter = Lines::at(from, max_line_bytes);
    while splitter.position() < end {
        let room = splitter.held_bytes();
        let at = splitter.position();
        let block = file::read_span(&file, at, end.min(at + BLOCK_BYTES as u64))?;
        if block.is_empty() {
            break;
        }
        let mut buffer = [&vec![0; room][..], &block].concat();
        splitter.push(&mut buffer, usize::MAX, |_, record| take(record));
    }
    splitter.settle(is_whole, take);
    lines.reverse();
    let oldest = lines.last().map(|line| line.offset);
    Ok(Page { before: oldest.filter(|_| from > 0), lines })
}

/// Returns where the line ends in which the offset is; the offset itself between two lines.
fn line_end(file: &std::fs::File, offset: u64) -> io::Result<u64> {
    let mut at = offset.saturating_sub(1);
    while at < offset + MAX_END_BYTES {
        let block = file::read_span(file, at, at + BLOCK_BYTES as u64)?;
        match memchr(b'\n', &block) {
            Some(newline) => return Ok(at + newline as u64 + 1),
            None if block.is_empty() => return Ok(at),
            None => at += block.len() as u64,
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn is_json(bytes: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    }

    fn page_of(
        content: &[u8],
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<(u64, String)>, Option<u64>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, content).unwrap();
        let page = read(&path, before, limit, 1 << 20, is_json).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (page.lines.iter().map(|line| (line.offset, text(&line.bytes))).collect(), page.before)
    }

    #[track_caller]
    fn check(
        content: &str,
        before: Option<u64>,
        limit: usize,
        wanted: &[(u64, &str)],
        next: Option<u64>,
    ) {
        let wanted = wanted.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(page_of(content.as_bytes(), before, limit), (wanted, next), "{content:?}");
    }

    #[test]
    fn a_page_has_the_last_lines_before_an_offset_newest_first() {
        check("a\nb\nc\n", None, 2, &[(4, "c"), (2, "b")], Some(2));
        check("a\nb\nc\n", Some(2), 2, &[(0, "a")], None);
        check("a\nb\nc\n", Some(4), 1, &[(2, "b")], Some(2));
        check("a\nb\nc\n", Some(0), 5, &[], None);
        check("a\nb\n", Some(u64::MAX), 5, &[(2, "b"), (0, "a")], None);
        check("", None, 5, &[], None);
    }

    #[test]
    fn a_line_belongs_to_the_page_if_it_begins_before_the_offset() {
        check("a\nbcd\ne\n", Some(3), 5, &[(2, "bcd"), (0, "a")], None);
        check("a\n\0\0b\n", Some(4), 5, &[(0, "a")], None);
        check("a\n\nb\r\n", None, 1, &[(3, "b")], Some(3));
    }

    #[test]
    fn of_two_lines_that_are_too_large_together_a_page_has_one() {
        let line = "x".repeat(5 << 20) + "\n";
        let (lines, next) = page_of(line.repeat(2).as_bytes(), None, 2);
        assert_eq!((lines.len(), next), (1, Some(line.len() as u64)));
    }

    #[test]
    fn a_line_of_many_blocks_is_read_to_its_end() {
        let text = "x".repeat(3 * BLOCK_BYTES);
        check(&format!("a\n{text}\nb\n"), Some(3), 1, &[(2, &text)], Some(2));
    }

    #[test]
    fn a_half_line_at_the_end_counts_once_it_is_whole() {
        check("a\nhal", None, 5, &[(0, "a")], None);
        check("a\n{\"b\":1}", None, 5, &[(2, "{\"b\":1}"), (0, "a")], None);
    }

    #[test]
    fn a_page_of_large_lines_is_shorter_and_the_next_one_goes_on() {
        let line = "x".repeat(1 << 20) + "\n";
        let content = line.repeat(30);
        let (mut before, mut seen) = (None, 0);
        loop {
            let (lines, next) = page_of(content.as_bytes(), before, 30);
            assert!((1..=8).contains(&lines.len()), "{}", lines.len());
            seen += lines.len();
            before = next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, 30);
    }

    #[test]
    fn a_directory_and_an_absent_file_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), None, 5, 1 << 20, is_json).is_err());
        let absent = read(&dir.path().join("x"), None, 5, 1 << 20, is_json);
        assert_eq!(absent.err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn pages_together_are_the_lines_of_the_file(
            lines in prop::collection::vec("[a-c]{0,4}\r?|\0{1,3}x", 0..30),
            limit in 1..7_usize,
        ) {
            let content = lines.join("\n") + "\n";
            let whole = page_of(content.as_bytes(), None, 1000).0;
            let (mut before, mut all) = (None, Vec::new());
            loop {
                let (lines, next) = page_of(content.as_bytes(), before, limit);
                prop_assert!(lines.len() <= limit);
                all.extend(lines);
                before = next;
                if before.is_none() {
                    break;
                }
            }
            prop_assert_eq!(&all, &whole);
            let solid = lines.iter().filter(|line| !line.trim_matches(['\0', '\r']).is_empty());
            prop_assert_eq!(whole.len(), solid.count());
        }
    }
}
