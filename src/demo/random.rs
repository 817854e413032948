//! A small source of random numbers (xorshift64*): for variety, not for secrets.
//!
//! A seed gives the same numbers every time, which tests need and a package would not do better.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Makes the high bits depend on all bits of the state (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
const MULTIPLIER: u64 = 0x2545_f491_4f6c_dd1d;

/// The shifts of the same generator: 12, 25, 27.
const SHIFTS: (u32, u32, u32) = (12, 25, 27);

/// A sequence of numbers.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// One that differs from run to run.
    pub(super) fn new() -> Random {
        Random::seeded(RandomState::new().hash_one(()))
    }

    /// One that is the same for the same seed.
    pub(super) fn seeded(seed: u64) -> Random {
        // A state of zero stays zero for ever.
        Random { state: seed | 1 }
    }

    /// The next number, any.
    pub(super) fn next(&mut self) -> u64 {
        let (right, left, last) = SHIFTS;
        self.state ^= self.state >> right;
        self.state ^= self.state << left;
        self.state ^= self.state >> last;
        self.state.wrapping_mul(MULTIPLIER)
    }

    /// A number in 0..`end`; `end` is not 0. The bias of the remainder does not matter here.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The high half: its bits are the better ones, and fit into any `usize`.
        (self.next() >> u32::BITS) as usize % end
    }

    /// A number in the range, ends included.
    pub(super) fn within(&mut self, range: &RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// A duration in the range, in whole milliseconds.
    pub(super) fn lasting(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let span = (*range.end() - *range.start()).as_millis() as usize;
        *range.start() + Duration::from_millis(self.below(span + 1) as u64)
    }

    /// True once in `times` on average.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `items`, of which there is at least one.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Items that are drawn like cards: all of them before one comes again.
pub(super) struct Cards<T> {
    items: Vec<T>,
    to_come: Vec<usize>,
}

impl<T> Cards<T> {
    pub(super) fn new(items: Vec<T>) -> Cards<T> {
        Cards { items, to_come: Vec::new() }
    }

    /// The next item, of which there is at least one.
    pub(super) fn draw(&mut self, random: &mut Random) -> &T {
        if self.to_come.is_empty() {
            self.to_come.extend(0..self.items.len());
        }
        let index = self.to_come.swap_remove(random.below(self.to_come.len()));
        &self.items[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let first = |seed| Random::seeded(seed).next();
        assert_eq!(first(8), first(8));
        assert_ne!(first(8), first(10));
        assert_ne!(Random::new().next(), Random::new().next());
    }

    #[test]
    fn every_number_of_a_range_comes_and_no_other() {
        let mut random = Random::seeded(1);
        let mut seen = [0; 7];
        for _ in 0..1000 {
            seen[random.within(&(2..=5))] += 1;
        }
        assert_eq!((seen[0], seen[1], seen[6]), (0, 0, 0));
        assert!(seen[2..=5].iter().all(|&count| count > 200), "{seen:?}");
    }

    #[test]
    fn every_card_comes_before_one_comes_again() {
        let mut random = Random::seeded(1);
        let mut cards = Cards::new((0..50).collect());
        for _round in 0..3 {
            let mut drawn: Vec<u32> = (0..50).map(|_| *cards.draw(&mut random)).collect();
            assert!(!drawn.is_sorted());
            drawn.sort_unstable();
            assert!(drawn.into_iter().eq(0..50));
        }
    }
}
