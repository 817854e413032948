//! The offset of the last lines of a file: blocks are read backwards from the end until enough line
//! starts are found, so the cost does not grow with the file.
//!
//! Invariant: only an offset is returned; lines are split in one place, `lines`, and always
//! forwards.
//! Known weakness: of a single line longer than the limit, the part within the limit counts as the
//! line.

use std::fs::File;
use std::io;

use memchr::memrchr_iter;

use super::file::{BLOCK_BYTES, fill};
use super::lines::is_blank;

/// How much the search reads at most, in bytes.
pub(super) const LIMIT_BYTES: u64 = 64 << 20;

/// Returns the offset at which the last `count` lines before `end` begin; blank lines are not
/// counted.
pub(super) fn offset(file: &File, end: u64, count: usize) -> io::Result<u64> {
    offset_within(LIMIT_BYTES, file, end, count)
}

fn offset_within(limit_bytes: u64, file: &File, end: u64, count: usize) -> io::Result<u64> {
    let mut search = Search { left: count, has_text: false, start: None };
    let mut block = vec![0; BLOCK_BYTES];
    let limit = end.saturating_sub(limit_bytes);
    let mut to = end;
    while to > limit {
        let from = to.saturating_sub(BLOCK_BYTES as u64);
        let len = fill(file, &mut block[..(to - from) as usize], from)?;
        to = from;
        if let Some(start) = search.search(from, &block[..len]) {
            return Ok(start);
        }
    }
    Ok(if to == 0 { 0 } else { search.start.unwrap_or(to) })
}

struct Search {
    left: usize,
    /// The line that is being searched through is not blank.
    has_text: bool,
    /// Start of the oldest line found so far.
    start: Option<u64>,
}

impl Search {
    /// Searches the block before the last one. Returns the offset once it is found.
    fn search(&mut self, from: u64, block: &[u8]) -> Option<u64> {
        let mut right = block.len();
        for newline in memrchr_iter(b'\n', block) {
            self.has_text |= !is_blank(&block[newline + 1..right]);
            right = newline;
            if std::mem::take(&mut self.has_text) {
                self.start = Some(from + newline as u64 + 1);
                self.left = self.left.saturating_sub(1);
            }
            if self.left == 0 {
                return self.start;
            }
        }
        self.has_text |= !is_blank(&block[..right]);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;

    fn file(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    #[track_caller]
    fn check(content: &str, newest: usize, wanted: u64) {
        let found = offset(&file(content.as_bytes()), content.len() as u64, newest).unwrap();
        assert_eq!(found, wanted, "{content:?} {newest}");
    }

    #[test]
    fn the_newest_lines_begin_where_they_begin() {
        check("", 2, 0);
        check("a", 2, 0);
        check("a\nb\nc\n", 1, 4);
        check("a\nb\nc\n", 2, 2);
        check("a\nb\nc\n", 3, 0);
        check("a\nb\nc\n", 4, 0);
    }

    #[test]
    fn a_line_without_its_end_counts_and_a_blank_one_does_not() {
        check("a\nb\nc", 2, 2);
        check("a\nb\n \r\n\0\n\n", 1, 2);
        check("\n\na\n", 1, 2);
        check("a\n\n", 9, 0);
    }

    #[test]
    fn a_line_is_found_across_blocks() {
        let gap = " ".repeat(BLOCK_BYTES + 1);
        check(&format!("a\n{gap}b\n"), 1, 2);
        check(&format!("a\n{gap}\nb\n"), 2, 0);
        check(&format!("a\nb{gap}\n"), 1, 2);
    }

    #[test]
    fn only_what_stands_before_the_end_counts() {
        assert_eq!(offset(&file(b"a\nb\nc\nd\n"), 4, 1).unwrap(), 2);
    }

    /// A limit at which tests take no time: of a few blocks.
    const LIMIT: u64 = 4 * BLOCK_BYTES as u64;

    #[test]
    fn the_search_ends_at_its_limit_where_it_has_found_a_line() {
        let end = 3 * LIMIT;
        let file = file(&vec![b'x'; end as usize]);
        file.write_all_at(b"old\n", LIMIT).unwrap();
        file.write_all_at(b"\nnew\n", end - 5).unwrap();
        assert_eq!(offset_within(LIMIT, &file, end, 1000).unwrap(), end - 4);
    }

    #[test]
    fn of_a_line_longer_than_the_limit_the_part_within_it_counts() {
        let end = 2 * LIMIT;
        let file = file(&vec![b'x'; end as usize]);
        file.write_all_at(b"old\n", 0).unwrap();
        assert_eq!(offset_within(LIMIT, &file, end, 1).unwrap(), end - LIMIT);
        assert_eq!(offset(&file, end, 1).unwrap(), 4);
    }

    #[test]
    fn of_more_blanks_or_nuls_than_the_limit_only_the_last_are_looked_through() {
        for byte in [b' ', b'\n', 0] {
            let end = 2 * LIMIT;
            let file = file(&vec![byte; end as usize]);
            file.write_all_at(b"old\n", 0).unwrap();
            assert_eq!(offset_within(LIMIT, &file, end, 1).unwrap(), end - LIMIT, "{byte}");
            file.write_all_at(b"new", end - 3).unwrap();
            let found = offset_within(LIMIT, &file, end, 1).unwrap();
            assert!((end - LIMIT..end - 2).contains(&found), "{byte} {found}");
        }
    }

    fn naive(content: &[u8], newest: usize) -> usize {
        let mut at = 0;
        let mut starts = Vec::new();
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if !is_blank(line) {
                starts.push(at);
            }
            at += line.len();
        }
        if starts.len() < newest { 0 } else { starts[starts.len() - newest] }
    }

    /// A byte, a few times or more often than a block holds.
    fn run() -> impl Strategy<Value = (u8, usize)> {
        let byte = prop_oneof![Just(b'\n'), Just(b'a'), Just(b' '), Just(0u8)];
        (byte, prop_oneof![4 => 1usize..5, 1 => 60_000usize..70_000])
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 40,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn it_is_what_going_through_the_whole_file_finds(
            runs in proptest::collection::vec(run(), 0..30),
            newest in 1usize..6,
        ) {
            let bytes = runs.iter().flat_map(|&(byte, len)| std::iter::repeat_n(byte, len));
            let content: Vec<u8> = bytes.collect();
            let found = offset(&file(&content), content.len() as u64, newest).unwrap() as usize;
            let wanted = naive(&content, newest);
            // With fewer lines, or with blank ones before the first, any place before the first
            // will do.
            let is_right = found == wanted || is_blank(&content[found..wanted]);
            prop_assert!(is_right, "{} {}", found, wanted);
        }
    }
}
