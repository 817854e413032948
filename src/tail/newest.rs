//! Where the newest lines of a file begin, found from its end: blocks are read backwards until enough are seen,
//! so that the cost does not grow with the file.
//!
//! Invariant: only an offset comes out; lines are put together in one place, `lines`, and always forwards.
//! Known weakness: a single line longer than the limit is searched through to its start.

use super::file::{BLOCK_BYTES, data_before, fill};
use super::lines::{is_blank, is_nul};
use memchr::memrchr_iter;
use std::fs::File;
use std::io;

/// How much the search reads, in bytes, if by then it has found any line's start or nothing at all; holes aside.
pub(super) const LIMIT_BYTES: u64 = 64 << 20;

/// The offset at which the newest `newest` lines before `end` begin; blank lines are not counted.
pub(super) fn start(file: &File, end: u64, newest: usize) -> io::Result<u64> {
    let mut search = Search { left: newest, is_solid: false, start: None };
    let mut block = vec![0; BLOCK_BYTES];
    let (mut to, mut read_bytes) = (end, 0);
    while to > 0 {
        let from = to.saturating_sub(BLOCK_BYTES as u64);
        let len = fill(file, &mut block[..(to - from) as usize], from)?;
        let block = &block[..len];
        if search.is_done(from, block) {
            break;
        }
        read_bytes += to - from;
        to = from;
        if read_bytes >= LIMIT_BYTES && search.is_enough(to, block) {
            break;
        }
        if is_nul(block) {
            to = data_before(file, to);
        }
    }
    Ok(if to == 0 { 0 } else { search.start.unwrap_or(0) })
}

struct Search {
    left: usize,
    /// Whether the line that is being searched through holds anything.
    is_solid: bool,
    /// Where the oldest line found so far begins.
    start: Option<u64>,
}

impl Search {
    /// Looks through the block before the one looked through last.
    fn is_done(&mut self, from: u64, block: &[u8]) -> bool {
        let mut right = block.len();
        for newline in memrchr_iter(b'\n', block) {
            self.is_solid |= !is_blank(&block[newline + 1..right]);
            right = newline;
            if std::mem::take(&mut self.is_solid) {
                self.start = Some(from + newline as u64 + 1);
                self.left = self.left.saturating_sub(1);
            }
            if self.left == 0 {
                return true;
            }
        }
        self.is_solid |= !is_blank(&block[..right]);
        false
    }

    /// Whether the search can end here. The end of a long run of NULs is taken for a line's start, and so is this
    /// place if nothing follows: neither is always a hole that can be passed by.
    fn is_enough(&mut self, from: u64, block: &[u8]) -> bool {
        if self.is_solid && is_nul(block) {
            self.start = Some(from + block.len() as u64);
        } else if !self.is_solid && self.start.is_none() {
            self.start = Some(from);
        }
        self.start.is_some()
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
        let found = start(&file(content.as_bytes()), content.len() as u64, newest).unwrap();
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
        assert_eq!(start(&file(b"a\nb\nc\nd\n"), 4, 1).unwrap(), 2);
    }

    #[test]
    fn the_search_ends_at_its_limit_where_it_has_found_a_line() {
        let file = file(b"");
        let end = 3 * LIMIT_BYTES;
        file.write_all_at(b"old\n", LIMIT_BYTES).unwrap();
        let long = vec![b'x'; LIMIT_BYTES as usize];
        file.write_all_at(&long, 2 * LIMIT_BYTES).unwrap();
        file.write_all_at(b"\nnew\n", end - 5).unwrap();
        assert_eq!(start(&file, end, 1000).unwrap(), end - 4);
    }

    #[test]
    fn a_line_longer_than_the_limit_is_searched_through() {
        let file = file(b"old\n");
        let end = LIMIT_BYTES + LIMIT_BYTES / 2;
        file.write_all_at(&vec![b'x'; end as usize - 4], 4).unwrap();
        assert_eq!(start(&file, end, 1).unwrap(), 4);
    }

    #[test]
    fn a_hole_ends_where_data_begins() {
        let file = file(b"old\n");
        let data = 1 << 20;
        file.write_all_at(b"new\n", data).unwrap();
        let hole = data_before(&file, data);
        assert!((4..data).contains(&hole), "{hole}");
        assert_eq!(data_before(&file, hole), hole, "no hole reaches up to its own start");
        assert_eq!(data_before(&file, data + 4), data + 4);
    }

    #[test]
    fn a_hole_of_any_size_is_passed_by() {
        let file = file(b"old\n");
        let end = 1 << 42;
        file.set_len(end).unwrap();
        assert_eq!(start(&file, end, 1).unwrap(), 0);
        file.write_all_at(b"a\nb\n", end - 4).unwrap();
        assert_eq!(start(&file, end, 2).unwrap(), 4);
        assert_eq!(start(&file, end, 1000).unwrap(), 0);
    }

    #[test]
    fn of_more_blanks_than_the_limit_only_the_last_are_looked_through() {
        let file = file(b"old\n");
        file.write_all_at(&vec![b' '; LIMIT_BYTES as usize], 4 + BLOCK_BYTES as u64).unwrap();
        let end = 4 + BLOCK_BYTES as u64 + LIMIT_BYTES;
        assert_eq!(start(&file, end, 1).unwrap(), end - LIMIT_BYTES);
    }

    #[test]
    fn the_end_of_more_nuls_than_the_limit_is_a_lines_start() {
        let file = file(b"old\n");
        let end = 4 + BLOCK_BYTES as u64 + LIMIT_BYTES;
        file.write_all_at(&vec![0; (end - 4) as usize], 4).unwrap();
        file.write_all_at(b"a\n", end - 2).unwrap();
        let found = start(&file, end, 1000).unwrap();
        assert!((end - LIMIT_BYTES..end - 2).contains(&found), "{found}");
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
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_what_going_through_the_whole_file_finds(
            runs in proptest::collection::vec(run(), 0..30),
            newest in 1usize..6,
        ) {
            let content: Vec<u8> = runs.iter().flat_map(|&(byte, len)| std::iter::repeat_n(byte, len)).collect();
            let found = start(&file(&content), content.len() as u64, newest).unwrap() as usize;
            let wanted = naive(&content, newest);
            // With fewer lines, or with blank ones before the first, any place before the first will do.
            prop_assert!(found == wanted || is_blank(&content[found..wanted]), "{} {}", found, wanted);
        }
    }
}
