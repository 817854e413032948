//! The newest lines that were given out, remembered by their hashes, to tell after a rewrite which lines are new.
//!
//! Invariant: no line's text is held; the memory is bounded by the number of lines asked for.
//! Known weakness: the order of lines does not count, so a line that moved is a known one.

use super::Kept;
use super::lines::Record;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Remembered lines, oldest first.
pub(super) struct Known {
    limit: usize,
    lines: VecDeque<(u64, u64)>,
    hasher: RandomState,
}

impl Known {
    pub(super) fn new(limit: usize) -> Known {
        Known { limit, lines: VecDeque::new(), hasher: RandomState::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn remember(&mut self, seq: u64, record: &Record) {
        if self.lines.len() >= self.limit {
            self.lines.pop_front();
        }
        self.lines.push_back((seq, self.hash(record)));
    }

    /// Forgets every line that is not among these.
    pub(super) fn retain(&mut self, kept: &[Kept]) {
        let seqs: HashSet<u64> = kept.iter().map(|kept| kept.seq).collect();
        self.lines.retain(|(seq, _)| seqs.contains(seq));
    }

    /// For going through a file's lines, oldest first.
    pub(super) fn matcher(&self) -> Matcher<'_> {
        let mut left: HashMap<u64, VecDeque<u64>> = HashMap::new();
        for &(seq, hash) in &self.lines {
            left.entry(hash).or_default().push_back(seq);
        }
        Matcher { known: self, left, last: None }
    }

    /// White space around a line does not count: it may have come after the line was given out.
    fn hash(&self, record: &Record) -> u64 {
        let is_cut = record.len_bytes > record.bytes.len() as u64;
        self.hasher.hash_one((record.bytes.trim_ascii(), is_cut.then_some(record.len_bytes)))
    }
}

/// Pairs the lines of a file with remembered ones, each at most once.
pub(super) struct Matcher<'a> {
    known: &'a Known,
    left: HashMap<u64, VecDeque<u64>>,
    last: Option<u64>,
}

impl Matcher<'_> {
    /// The remembered line that this one is. Of several equal ones the first after the last found, so that the
    /// order in which they were given out is kept where it can be.
    pub(super) fn find(&mut self, record: &Record) -> Option<u64> {
        let seqs = self.left.get_mut(&self.known.hash(record))?;
        let next = seqs.partition_point(|&seq| self.last.is_some_and(|last| seq < last));
        let found = seqs.remove(next).or_else(|| seqs.pop_front());
        self.last = found.or(self.last);
        found
    }
}
