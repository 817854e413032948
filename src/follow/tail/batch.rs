//! The result of one poll: items in order, and the bytes of their lines in one buffer.
//!
//! The caller passes a batch to each poll, so many tails can share one, and a tail at rest holds
//! no memory of it.
//! Invariant: a poll reads and gives out a bounded amount; the rest is left for the next poll.

use std::collections::VecDeque;

use super::lines::{Lines, Record};
use super::{Item, Line};

/// How many bytes of the budget allow for one item.
const BYTES_PER_ITEM: usize = 64;

/// The items that any budget allows for.
const MIN_ITEMS: usize = 64;

/// The shortest read, in bytes: a file can have grown since its size was read.
const MIN_READ_BYTES: usize = 4 << 10;

pub(crate) struct Batch {
    items: VecDeque<Item>,
    /// Blocks as they were read, which contain the lines; from `filled` on it is empty.
    buffer: Vec<u8>,
    filled: usize,
    budget_bytes: usize,
    left_bytes: usize,
    /// There is more to do at once, whatever is left of the budget.
    pub(super) more: bool,
}

impl Batch {
    /// A poll reads `budget_bytes` at most, and gives out about one item for 64 of them at most.
    pub(crate) fn new(budget_bytes: usize) -> Batch {
        Batch {
            items: VecDeque::new(),
            buffer: Vec::new(),
            filled: 0,
            budget_bytes,
            left_bytes: 0,
            more: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes out the first item.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Takes out the first item if it is a line.
    pub(crate) fn pop_line(&mut self) -> Option<Line> {
        let Item::Line(line) = *self.items.front()? else { return None };
        self.items.pop_front();
        Some(line)
    }

    /// The bytes of a line that was taken out: without its end, a byte-order mark and NULs around
    /// it; of a line longer than `max_line_bytes`, the first 4 KiB. They are here until the next
    /// poll.
    pub(crate) fn bytes(&self, line: &Line) -> &[u8] {
        &self.buffer[line.start..line.start + line.kept_bytes]
    }

    /// Empties it for the next poll. Memory is given back if the last poll read no lines, or a long
    /// one.
    pub(super) fn begin(&mut self) {
        if self.filled == 0 || self.buffer.len() > 2 * self.budget_bytes {
            (self.items, self.buffer) = (VecDeque::new(), Vec::new());
        }
        self.items.clear();
        self.filled = 0;
        self.left_bytes = self.budget_bytes;
        self.more = false;
    }

    pub(super) fn is_full(&self) -> bool {
        self.left_bytes == 0 || self.items.len() >= self.max_items()
    }

    /// How much memory its lines take.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn max_items(&self) -> usize {
        MIN_ITEMS + self.budget_bytes / BYTES_PER_ITEM
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    pub(super) fn push_front(&mut self, item: Item) {
        self.items.push_front(item);
    }

    /// Returns space for reading about `wanted_bytes`, as far as the budget allows, with room
    /// before it for a half line.
    pub(super) fn space(&mut self, room: usize, wanted_bytes: u64) -> &mut [u8] {
        let wanted = usize::try_from(wanted_bytes).unwrap_or(usize::MAX);
        let len = wanted.max(MIN_READ_BYTES).min(self.left_bytes);
        let (from, to) = (self.filled + room, self.filled + room + len);
        if self.buffer.len() < to && self.filled == 0 {
            // New memory costs nothing before it is written to, and growing costs a copy: so there
            // is space for one more read, which finds the end.
            self.buffer = vec![0; to + MIN_READ_BYTES];
        }
        self.grow(to);
        &mut self.buffer[from..to]
    }

    fn grow(&mut self, to: usize) {
        if let Some(more) = to.checked_sub(self.buffer.len()) {
            self.buffer.reserve_exact(more);
            self.buffer.resize(to, 0);
        }
    }

    /// Gives out the lines in the first `len` bytes read into [`Batch::space`]. `number` numbers a
    /// line, or passes over it. Returns the bytes that were taken.
    pub(super) fn split(
        &mut self,
        len: usize,
        lines: &mut Lines,
        mut number: impl FnMut(&Record) -> Option<u64>,
    ) -> &[u8] {
        let (from, room, position) = (self.filled, lines.held_bytes(), lines.position());
        let end = from + room + len;
        let limit = self.max_items() - self.items.len();
        let items = &mut self.items;
        lines.push(&mut self.buffer[from..end], limit, |at, record| {
            if let Some(seq) = number(&record) {
                items.push_back(Item::Line(Line::of(&record, seq, from + at)));
                self.filled = end;
            }
        });
        let taken = (lines.position() - position) as usize;
        self.left_bytes -= taken;
        &self.buffer[from + room..from + room + taken]
    }

    /// Gives out a line that is copied.
    pub(super) fn push_line(&mut self, record: &Record, seq: u64) {
        let (from, to) = (self.filled, self.filled + record.bytes.len());
        self.grow(to);
        self.buffer[from..to].copy_from_slice(record.bytes);
        self.filled = to;
        self.push(Item::Line(Line::of(record, seq, from)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(batch: &mut Batch, text: &[u8]) -> usize {
        let mut lines = Lines::at(0, 1 << 20);
        let space = batch.space(0, text.len() as u64);
        let len = text.len().min(space.len());
        space[..len].copy_from_slice(&text[..len]);
        batch.split(len, &mut lines, |record| Some(record.offset)).len()
    }

    #[test]
    fn lines_are_in_the_buffer_of_their_batch() {
        let mut batch = Batch::new(1 << 20);
        batch.begin();
        give(&mut batch, b"one\ntwo\n");
        give(&mut batch, b"three\n");
        batch.push_line(&Record { offset: 0, bytes: b"four", len_bytes: 4 }, 0);
        let mut texts = Vec::new();
        while let Some(line) = batch.pop_line() {
            texts.push(String::from_utf8_lossy(batch.bytes(&line)).into_owned());
        }
        assert_eq!(texts, ["one", "two", "three", "four"]);
    }

    #[test]
    fn a_batch_is_full_after_its_bytes_or_its_items() {
        let mut batch = Batch::new(MIN_READ_BYTES);
        batch.begin();
        assert_eq!(give(&mut batch, &[b'x'; 2 * MIN_READ_BYTES]), MIN_READ_BYTES);
        assert!(batch.is_full());
        batch.begin();
        let most = MIN_ITEMS + MIN_READ_BYTES / BYTES_PER_ITEM;
        assert_eq!(give(&mut batch, &b"x\n".repeat(MIN_READ_BYTES / 2)), 2 * most);
        assert!(batch.is_full());
        assert_eq!(batch.items.len(), most);
    }

    #[test]
    fn memory_is_given_back_after_a_poll_without_lines_and_after_a_long_line() {
        let mut batch = Batch::new(MIN_READ_BYTES);
        batch.begin();
        give(&mut batch, b"x\n");
        batch.begin();
        assert_ne!(batch.buffer.len(), 0, "for the next lines");
        batch.begin();
        assert_eq!((batch.buffer.capacity(), batch.items.capacity()), (0, 0));
        let long = [b'x'; 3 * MIN_READ_BYTES];
        batch.push_line(&Record { offset: 0, bytes: &long, len_bytes: 1 }, 0);
        batch.begin();
        assert_eq!(batch.buffer.capacity(), 0);
    }

    #[test]
    fn an_item_that_is_no_line_stays_where_lines_are_taken_out() {
        let mut batch = Batch::new(1);
        batch.push(Item::Found);
        assert_eq!(batch.pop_line(), None);
        assert_eq!(batch.pop(), Some(Item::Found));
        assert!(batch.is_empty());
    }
}
