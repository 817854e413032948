//! The tailer's input: the records are the same wherever blocks are cut, and each is in the file as
//! given.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/follow/tail"]
mod tail {
    mod lines;

    use lines::{Lines, Record};

    /// The shortest limit on lines that the fuzzer tries.
    const MIN_LINE_BYTES: usize = 4;

    pub(crate) fn check(block_bytes: usize, max_line_bytes: usize, bytes: &[u8]) {
        let max_line_bytes = MIN_LINE_BYTES + max_line_bytes;
        let whole = records(max_line_bytes, bytes.chunks(usize::MAX));
        assert_eq!(whole, records(max_line_bytes, bytes.chunks(block_bytes)));
        let mut end = 0;
        for (offset, text, len_bytes) in &whole {
            let (from, to) = (*offset as usize, (offset + len_bytes) as usize);
            assert!(from >= end && to <= bytes.len());
            assert!(bytes[from..to].starts_with(text));
            assert!(text.len() <= max_line_bytes && !text.contains(&b'\n'));
            assert!(!lines::is_blank(&bytes[from..to]));
            end = to;
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !lines::is_blank(line));
        assert!(whole.len() <= lines.count());
    }

    fn records<'a>(
        max_line_bytes: usize,
        blocks: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<(u64, Vec<u8>, u64)> {
        let (mut lines, mut records) = (Lines::at(0, max_line_bytes), Vec::new());
        let mut pushed_bytes = 0;
        let own = |it: Record| (it.offset, it.bytes.to_vec(), it.len_bytes);
        for block in blocks {
            let mut buffer = [&vec![0; lines.held_bytes()], block].concat();
            lines.push(&mut buffer, usize::MAX, |_, record| records.push(own(record)));
            pushed_bytes += block.len() as u64;
            assert_eq!(lines.position(), pushed_bytes);
        }
        lines.settle(|_| true, |record| records.push(own(record)));
        records
    }
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (sizes, bytes) = input;
    tail::check(usize::from(sizes % 16) + 1, usize::from(sizes / 16), bytes);
});
