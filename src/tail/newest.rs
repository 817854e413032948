//! Where the newest lines of a file begin, found from its end: blocks are read backwards until enough are seen,
//! so that the cost does not grow with the file.
//!
//! Invariant: only an offset comes out; lines are put together in one place, `lines`, and always forwards.
//! Known weakness: a single line longer than the limit is searched through to its start.

use super::file::{BLOCK_BYTES, read_span};
use super::lines::is_blank;
use memchr::memrchr_iter;
use std::fs::File;
use std::io;

/// How far back the search goes, in bytes, if by then it has found any line's start.
const LIMIT_BYTES: u64 = 64 << 20;

/// The offset at which the newest `newest` lines before `end` begin; blank lines are not counted.
pub(super) fn start(file: &File, end: u64, newest: usize) -> io::Result<u64> {
    let mut search = Search { left: newest, is_solid: false, start: None };
    let mut to = end;
    while to > 0 {
        let from = to.saturating_sub(BLOCK_BYTES as u64);
        let block = read_span(file, from, to)?;
        if search.is_done(from, &block) {
            break;
        }
        to = from;
        if end - to >= LIMIT_BYTES && (search.start.is_some() || search.is_after_hole(to, &block)) {
            break;
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

    /// Takes the end of a hole for a line's start: holes can be larger than any disk.
    fn is_after_hole(&mut self, from: u64, block: &[u8]) -> bool {
        let is_hole = self.is_solid && block.iter().all(|&byte| byte == 0);
        if is_hole {
            self.start = Some(from + block.len() as u64);
        }
        is_hole
    }
}
