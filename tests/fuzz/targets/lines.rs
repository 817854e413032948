//! The tailer's input: the records are the same however the bytes come, and each is what stands in the file.
#![no_main]
#![allow(dead_code, reason = "the modules are the program's; a target uses a part of each")]

#[path = "../../../src/tail"]
mod tail {
    mod lines;

    use lines::{Lines, Record};

    pub(crate) fn check(piece_bytes: usize, bytes: &[u8]) {
        let whole = records(bytes.chunks(usize::MAX));
        assert_eq!(whole, records(bytes.chunks(piece_bytes)));
        let mut end = 0;
        for record in &whole {
            let (from, to) = (record.offset as usize, record.end() as usize);
            assert!(from >= end && to <= bytes.len());
            assert!(bytes[from..to].starts_with(&record.bytes));
            assert!(!record.bytes.contains(&b'\n') && !lines::is_blank(&record.bytes));
            end = to;
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !lines::is_blank(line));
        assert!(whole.len() <= lines.count());
    }

    fn records<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Record> {
        let (mut lines, mut records) = (Lines::at(0), Vec::new());
        let mut pushed_bytes = 0;
        for piece in pieces {
            lines.push(piece, |record| records.push(record));
            pushed_bytes += piece.len() as u64;
            assert_eq!(lines.position(), pushed_bytes);
        }
        records.extend(lines.settle(|_| true));
        records
    }
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece_bytes, bytes) = input;
    tail::check(usize::from(piece_bytes) + 1, bytes);
});
