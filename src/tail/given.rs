//! What one poll gives out, and what is remembered of it.
//!
//! Invariant: every line gets the next number, once; a poll gives out a bounded amount.

use super::known::Known;
use super::lines::Record;
use super::{Item, Kept, Line, Poll, Reason};

/// How many bytes one poll reads, so that nobody waits long for it.
const POLL_BYTES: usize = 1 << 20;

/// How many items one poll gives out, give or take one block's: a block can hold very many very short lines.
const POLL_ITEMS: usize = 4096;

/// The largest memory of a line that is kept for another one: 4 MiB in all at the most.
const SPARE_BYTES: usize = 1024;

pub(super) struct Given {
    pub(super) items: Vec<Item>,
    pub(super) known: Known,
    pub(super) newest: usize,
    pub(super) is_whole: fn(&[u8]) -> bool,
    /// There is more to do at once.
    pub(super) more: bool,
    next_seq: u64,
    poll_bytes: usize,
    left_bytes: usize,
    /// Memory of lines that are done with, while there are more: to give it to the system and to get it again for each line
    /// takes as long as to read it.
    spare: Vec<Vec<u8>>,
}

impl Given {
    pub(super) fn new(newest: usize, is_whole: fn(&[u8]) -> bool) -> Given {
        let known = Known::new(newest);
        Given {
            items: Vec::new(),
            known,
            newest,
            is_whole,
            more: false,
            next_seq: 0,
            poll_bytes: POLL_BYTES,
            left_bytes: 0,
            spare: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.refill();
        self.more = false;
    }

    pub(super) fn finish(&mut self) -> Poll {
        if self.items.is_empty() {
            self.spare = Vec::new();
        }
        Poll { more: self.more || self.is_full(), items: std::mem::take(&mut self.items) }
    }

    /// Lets a whole poll's bytes be read from here on.
    pub(super) fn refill(&mut self) {
        self.more |= self.left_bytes == 0;
        self.left_bytes = self.poll_bytes;
    }

    /// How many bytes may still be read.
    pub(super) fn left_bytes(&self) -> usize {
        self.left_bytes
    }

    /// Makes polls smaller than they are, so that a few bytes take many.
    #[cfg(test)]
    pub(super) fn set_poll_bytes(&mut self, bytes: usize) {
        self.poll_bytes = bytes;
    }

    /// The number of the next line.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn is_full(&self) -> bool {
        self.left_bytes == 0 || self.items.len() >= POLL_ITEMS
    }

    pub(super) fn count(&mut self, read_bytes: usize) {
        self.left_bytes = self.left_bytes.saturating_sub(read_bytes);
    }

    /// Gives out a record. Returns room for the next one's bytes.
    pub(super) fn give(&mut self, record: Record) -> Vec<u8> {
        self.known.remember(self.next_seq, &record);
        self.push(record);
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back the memory of a line's bytes.
    pub(super) fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < POLL_ITEMS && bytes.capacity() <= SPARE_BYTES {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Gives out a record whose line goes on as far as is known.
    pub(super) fn give_open(&mut self, record: Record) {
        self.known.remember_open(self.next_seq, &record);
        self.push(record);
    }

    fn push(&mut self, record: Record) {
        let Record { offset, bytes, len_bytes } = record;
        self.items.push(Item::Line(Line { seq: self.next_seq, offset, bytes, len_bytes }));
        self.next_seq += 1;
    }

    pub(super) fn reset(&mut self, reason: Reason, kept: Vec<Kept>) {
        self.known.retain(&kept);
        self.items.push(Item::Reset { reason, kept });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_large_is_given_out_again_until_there_is_nothing_to_read() {
        let mut given = Given::new(10, |_| false);
        let give = |given: &mut Given| {
            given.give(Record { offset: 0, bytes: b"x".to_vec(), len_bytes: 1 })
        };
        given.recycle(vec![b'x'; SPARE_BYTES]);
        given.recycle(vec![b'x'; SPARE_BYTES + 1]);
        let room = give(&mut given);
        assert!(room.is_empty() && room.capacity() == SPARE_BYTES);
        assert_eq!(give(&mut given).capacity(), 0, "there is no more");
        (0..=POLL_ITEMS).for_each(|_| given.recycle(Vec::with_capacity(1)));
        assert_eq!(given.finish().items.len(), 2);
        assert_eq!(given.spare.len(), POLL_ITEMS);
        assert_eq!(given.finish().items, []);
        assert_eq!(given.spare.len(), 0);
    }
}
