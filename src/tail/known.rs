//! The newest lines that were given out, remembered by their hashes, to tell after a rewrite which lines are new.
//!
//! Invariant: no line's text is held; the memory is bounded by the number of lines asked for.
//! Known weakness: the order of lines does not count, so a line that moved is a known one; what was glued to a line
//! that was given out before its end is not known again if the two together are too long to be given out whole.

use super::Kept;
use super::lines::Record;
use memchr::memchr_iter;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Remembered lines, oldest first.
pub(super) struct Known {
    limit: usize,
    lines: VecDeque<Remembered>,
    hasher: RandomState,
}

struct Remembered {
    seq: u64,
    hash: u64,
    /// Its length, if it was given out before its end, so that the next one may follow on the same line.
    open_len_bytes: Option<usize>,
}

impl Known {
    pub(super) fn new(limit: usize) -> Known {
        Known { limit, lines: VecDeque::new(), hasher: RandomState::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn remember(&mut self, seq: u64, record: &Record) {
        let hash = self.hash(record);
        self.push(Remembered { seq, hash, open_len_bytes: None });
    }

    /// Remembers a line that was given out before its end.
    pub(super) fn remember_open(&mut self, seq: u64, record: &Record) {
        let hash = self.hash(record);
        let open_len_bytes = Some(record.bytes.trim_ascii_end().len());
        self.push(Remembered { seq, hash, open_len_bytes });
    }

    fn push(&mut self, line: Remembered) {
        if self.lines.len() >= self.limit {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Forgets every line that is not among these.
    pub(super) fn retain(&mut self, kept: &[Kept]) {
        let seqs: HashSet<u64> = kept.iter().map(|kept| kept.seq).collect();
        self.lines.retain(|line| seqs.contains(&line.seq));
    }

    /// For going through a file's lines, oldest first.
    pub(super) fn matcher(&self) -> Matcher<'_> {
        let mut left: HashMap<u64, VecDeque<u64>> = HashMap::new();
        for line in &self.lines {
            left.entry(line.hash).or_default().push_back(line.seq);
        }
        let open_lens_bytes = self.lines.iter().filter_map(|line| line.open_len_bytes).collect();
        Matcher { known: self, left, open_lens_bytes, last: None }
    }

    fn hash(&self, record: &Record) -> u64 {
        self.hash_bytes(&record.bytes, record.is_truncated().then_some(record.len_bytes))
    }

    /// White space around a line does not count: it may have come after the line was given out.
    fn hash_bytes(&self, bytes: &[u8], truncated_from_bytes: Option<u64>) -> u64 {
        self.hasher.hash_one((bytes.trim_ascii(), truncated_from_bytes))
    }
}

/// Pairs the lines of a file with remembered ones, each at most once.
pub(super) struct Matcher<'a> {
    known: &'a Known,
    left: HashMap<u64, VecDeque<u64>>,
    open_lens_bytes: HashSet<usize>,
    last: Option<u64>,
}

impl Matcher<'_> {
    /// Hands out the remembered lines that this one is made of: one as a rule, more if the first were given out
    /// before their end and others then written right behind.
    pub(super) fn find_all(&mut self, record: Record, mut give: impl FnMut(u64, &Record)) {
        let mut rest = Some(record);
        while let Some(record) = rest.take() {
            if let Some(seq) = self.find(&record) {
                give(seq, &record);
            } else if let Some((seq, len)) = self.find_open(&record) {
                let (first, others) = record.split(len);
                give(seq, &first);
                rest = Some(others);
            }
        }
    }

    /// The remembered line that this one is.
    fn find(&mut self, record: &Record) -> Option<u64> {
        self.take(self.known.hash(record))
    }

    /// The remembered line that this one begins with, and its length.
    fn find_open(&mut self, record: &Record) -> Option<(u64, usize)> {
        let bytes = if record.is_truncated() { &[][..] } else { &record.bytes };
        memchr_iter(b'}', bytes).map(|at| at + 1).find_map(|len| {
            self.open_lens_bytes.get(&len)?;
            Some((self.take(self.known.hash_bytes(&bytes[..len], None))?, len))
        })
    }

    /// Of several equal lines the first after the last found, so that the order in which they were given out is kept
    /// where it can be.
    fn take(&mut self, hash: u64) -> Option<u64> {
        let seqs = self.left.get_mut(&hash)?;
        let next = seqs.partition_point(|&seq| self.last.is_some_and(|last| seq < last));
        let found = seqs.remove(next).or_else(|| seqs.pop_front());
        self.last = found.or(self.last);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(text: &str) -> Record {
        Record { offset: 0, bytes: text.into(), len_bytes: text.len() as u64 }
    }

    fn known<'a>(limit: usize, texts: impl IntoIterator<Item = &'a str>) -> Known {
        let mut known = Known::new(limit);
        texts
            .into_iter()
            .enumerate()
            .for_each(|(seq, text)| known.remember(seq as u64, &record(text)));
        known
    }

    fn found<'a>(known: &Known, texts: impl IntoIterator<Item = &'a str>) -> Vec<Option<u64>> {
        let mut matcher = known.matcher();
        texts.into_iter().map(|text| matcher.find(&record(text))).collect()
    }

    #[test]
    fn a_line_is_known_as_often_as_it_is_remembered() {
        let known = known(9, ["a", "b", "a"]);
        assert_eq!(
            found(&known, ["a", "x", "a", "a", "b"]),
            [Some(0), None, Some(2), None, Some(1)]
        );
    }

    #[test]
    fn of_equal_lines_the_one_that_follows_is_found() {
        let known = known(9, ["a", "b", "a"]);
        assert_eq!(found(&known, ["b", "a"]), [Some(1), Some(2)]);
    }

    #[test]
    fn only_the_newest_lines_are_remembered() {
        assert_eq!(found(&known(2, ["a", "b", "c"]), ["a", "b", "c"]), [None, Some(1), Some(2)]);
    }

    #[test]
    fn what_is_not_retained_is_forgotten() {
        let mut known = known(9, ["a", "b", "c"]);
        known.retain(&[Kept { seq: 1, offset: 0 }]);
        assert_eq!(found(&known, ["a", "b", "c"]), [None, Some(1), None]);
        known.retain(&[]);
        assert!(known.is_empty());
    }

    #[test]
    fn what_was_given_out_before_its_lines_end_is_known_with_more_behind_it() {
        let mut known = known(9, ["{\"bb\":{}}", "c"]);
        known.remember_open(2, &record("{\"a\":{}} "));
        known.remember_open(3, &record("{}"));
        let found = |text: &str| {
            let mut found = Vec::new();
            let give = |seq, record: &Record| found.push((seq, record.offset, record.len_bytes));
            known.matcher().find_all(record(text), give);
            found
        };
        assert_eq!(found("{\"a\":{}}\0{}{\"bb\":{}}"), [(2, 0, 8), (3, 9, 2), (0, 11, 9)]);
        assert_eq!(found("{\"a\":{}}x"), [(2, 0, 8)]);
        assert_eq!(found("{}{}"), [(3, 0, 2)]);
        assert_eq!(found("{\"bb\":{}}c"), []);
        assert_eq!(found("x{}"), []);
    }

    #[test]
    fn white_space_around_a_line_does_not_count_and_a_cut_lines_length_does() {
        let mut known = known(9, ["a"]);
        assert_eq!(found(&known, [" a "]), [Some(0)]);
        let cut = |len_bytes| Record { offset: 0, bytes: b"b".to_vec(), len_bytes };
        known.remember(1, &cut(5));
        assert_eq!(known.matcher().find(&record("b")), None);
        assert_eq!(known.matcher().find(&cut(6)), None);
        assert_eq!(known.matcher().find(&cut(5)), Some(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_that_were_purged_leave_the_others_in_order(
            texts in proptest::collection::vec("[abc]", 0..20),
            mask in any::<u32>(),
        ) {
            let known = known(99, texts.iter().map(String::as_str));
            let left = texts.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 0).map(|(_, text)| text.as_str());
            let seqs: Option<Vec<u64>> = found(&known, left).into_iter().collect();
            let seqs = seqs.expect("all are known");
            prop_assert!(seqs.is_sorted_by(|a, b| a < b), "{:?}", seqs);
        }

        #[test]
        fn each_line_is_found_as_often_as_both_sides_have_it(
            texts in proptest::collection::vec("[abc]", 0..20),
            others in proptest::collection::vec("[abcd]", 0..20),
        ) {
            let known = known(99, texts.iter().map(String::as_str));
            let seqs = found(&known, others.iter().map(String::as_str));
            for line in ["a", "b", "c", "d"] {
                let count = |texts: &[String]| texts.iter().filter(|text| *text == line).count();
                let hits: Vec<bool> =
                    others.iter().zip(&seqs).filter(|(text, _)| *text == line).map(|(_, seq)| seq.is_some()).collect();
                let wanted = count(&texts).min(count(&others));
                prop_assert!(hits.iter().take(wanted).all(|hit| *hit), "the first ones are the known ones");
                prop_assert!(!hits.iter().skip(wanted).any(|hit| *hit));
            }
            let mut unique: Vec<u64> = seqs.iter().flatten().copied().collect();
            for (seq, text) in seqs.iter().zip(&others) {
                prop_assert!(seq.is_none_or(|seq| texts[seq as usize] == *text));
            }
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), seqs.iter().flatten().count());
        }
    }
}
