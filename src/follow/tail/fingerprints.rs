//! Fingerprints: hashes of the newest lines given out, which tell new lines from known ones after a
//! rewrite. Lines get their numbers here too.
//!
//! Invariant: no line's text is held; memory is bounded by the number of lines that are remembered.
//! Known weakness: the order of lines does not count, so a line that moved is a known one; a line
//! that was given out before its end, and to which more was then written, is not known again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::Kept;
use super::lines::Record;

pub(super) struct Fingerprints {
    limit: usize,
    /// Oldest first.
    lines: VecDeque<Fingerprint>,
    hasher: Hasher,
    next_seq: u64,
    /// A line was given out that the last reset did not take back.
    has_lines: bool,
}

struct Fingerprint {
    seq: u64,
    hash: u64,
}

impl Fingerprints {
    /// Remembers the newest `limit` lines.
    pub(super) fn new(limit: usize) -> Fingerprints {
        Fingerprints {
            limit,
            lines: VecDeque::new(),
            hasher: Hasher::new(),
            next_seq: 0,
            has_lines: false,
        }
    }

    /// Remembers a line and returns its number.
    pub(super) fn add(&mut self, record: &Record) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.has_lines = true;
        if self.limit > 0 {
            if self.lines.len() == self.limit {
                self.lines.pop_front();
            }
            let hash = self.hash(record);
            self.lines.push_back(Fingerprint { seq, hash });
        }
        seq
    }

    pub(super) fn has_lines(&self) -> bool {
        self.has_lines
    }

    /// How many lines are remembered.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Forgets every line that is not among these.
    pub(super) fn retain(&mut self, kept: &[Kept]) {
        let seqs: HashSet<u64> = kept.iter().map(|kept| kept.seq).collect();
        self.lines.retain(|line| seqs.contains(&line.seq));
        self.has_lines = !kept.is_empty();
    }

    /// For going through the lines of a file, oldest first.
    pub(super) fn matcher(&self) -> Matcher<'_> {
        let mut left: HashMap<u64, VecDeque<u64>> = HashMap::new();
        for line in &self.lines {
            left.entry(line.hash).or_default().push_back(line.seq);
        }
        Matcher { fingerprints: self, left, last: None }
    }

    /// White space around a line does not count: it may have come after the line was given out.
    fn hash(&self, record: &Record) -> u64 {
        self.hasher.hash(record.bytes.trim_ascii(), record.cut_from_bytes().unwrap_or(0))
    }
}

/// Hashes by folded multiplication, as wyhash and foldhash do: every line is hashed, and with the
/// standard library's hasher that takes a third of the time of reading transcripts.
struct Hasher {
    seed: u64,
    /// Unknown to the writer of the lines.
    secret: u64,
}

impl Hasher {
    fn new() -> Hasher {
        let random = RandomState::new();
        Hasher { seed: random.hash_one(0), secret: random.hash_one(1) }
    }

    fn hash(&self, bytes: &[u8], cut_from_bytes: u64) -> u64 {
        let (blocks, rest) = bytes.as_chunks::<16>();
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let state = blocks.iter().fold(self.seed, |state, block| self.mix(state, *block));
        let state = self.mix(state, last);
        folded_product(state ^ cut_from_bytes, self.secret ^ bytes.len() as u64)
    }

    fn mix(&self, state: u64, block: [u8; 16]) -> u64 {
        let block = u128::from_le_bytes(block);
        folded_product(state ^ block as u64, self.secret ^ (block >> 64) as u64)
    }
}

fn folded_product(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// Pairs the lines of a file with remembered ones, each at most once.
pub(super) struct Matcher<'a> {
    fingerprints: &'a Fingerprints,
    left: HashMap<u64, VecDeque<u64>>,
    last: Option<u64>,
}

impl Matcher<'_> {
    /// Returns the number of the remembered line that equals this one. Of several equal lines it is
    /// the first after the one found last, so that the order in which they were given out is kept
    /// if it can be.
    pub(super) fn find(&mut self, record: &Record) -> Option<u64> {
        let seqs = self.left.get_mut(&self.fingerprints.hash(record))?;
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

    fn record(text: &str) -> Record<'_> {
        Record { offset: 0, bytes: text.as_bytes(), len_bytes: text.len() as u64 }
    }

    fn known<'a>(limit: usize, texts: impl IntoIterator<Item = &'a str>) -> Fingerprints {
        let mut known = Fingerprints::new(limit);
        for (n, text) in texts.into_iter().enumerate() {
            assert_eq!(known.add(&record(text)), n as u64);
        }
        known
    }

    fn found<'a>(
        known: &Fingerprints,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Option<u64>> {
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
    fn where_none_are_remembered_lines_are_numbered_all_the_same() {
        let known = known(0, ["a", "b"]);
        assert_eq!((known.count(), known.has_lines()), (0, true));
        assert_eq!(found(&known, ["a"]), [None]);
    }

    #[test]
    fn lines_that_are_not_retained_are_forgotten() {
        let mut known = known(9, ["a", "b", "c"]);
        known.retain(&[Kept { seq: 1, offset: 0 }]);
        assert_eq!(found(&known, ["a", "b", "c"]), [None, Some(1), None]);
        assert!(known.has_lines());
        known.retain(&[]);
        assert_eq!((known.count(), known.has_lines()), (0, false));
    }

    #[test]
    fn white_space_around_a_line_does_not_count_and_a_cut_lines_length_does() {
        let mut known = known(9, ["a"]);
        assert_eq!(found(&known, [" a "]), [Some(0)]);
        let cut = |len_bytes| Record { offset: 0, bytes: b"b", len_bytes };
        known.add(&cut(5));
        assert_eq!(known.matcher().find(&record("b")), None);
        assert_eq!(known.matcher().find(&cut(6)), None);
        assert_eq!(known.matcher().find(&cut(5)), Some(1));
    }

    #[test]
    fn a_line_that_differs_in_one_bit_or_in_length_has_another_hash() {
        let hasher = Hasher::new();
        let mut hashes = HashSet::new();
        let mut line = vec![0; 100];
        for len in 0..=line.len() {
            assert!(hashes.insert(hasher.hash(&line[..len], 0)), "{len} bytes");
        }
        assert!(hashes.insert(hasher.hash(&line, 100)));
        for bit in 0..8 * line.len() {
            line[bit / 8] ^= 1 << (bit % 8);
            assert!(hashes.insert(hasher.hash(&line, 0)), "bit {bit}");
            line[bit / 8] ^= 1 << (bit % 8);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn lines_that_were_purged_leave_the_others_in_order(
            texts in proptest::collection::vec("[abc]", 0..20),
            mask in any::<u32>(),
        ) {
            let known = known(99, texts.iter().map(String::as_str));
            let left = texts.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 0);
            let left = left.map(|(_, text)| text.as_str());
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
                let places = others.iter().zip(&seqs).filter(|(text, _)| *text == line);
                let hits: Vec<bool> = places.map(|(_, seq)| seq.is_some()).collect();
                let known_count = count(&texts).min(count(&others));
                let wanted: Vec<bool> = (0..hits.len()).map(|hit| hit < known_count).collect();
                prop_assert_eq!(hits, wanted, "the first ones are the known ones");
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
