//! History lines as Claude Code writes them, in quantity.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Occurs once in a marked line and in no other, so that a reader counts lines by counting a byte.
pub(crate) const MARK: u8 = b'^';

/// An event has a marked line three times: in `summary`, `rawLine` and `json`.
pub(crate) const MARKS_PER_EVENT: usize = 3;

const WORDS: &str = "please look at the failing test in the uploader and add a retry with backoff \
    before the queue is drained then explain why the old code lost the last item when two \
    workers stopped at once ";

/// Returns a line of 190 to 540 bytes, 365 on average.
pub(crate) fn line(number: usize) -> String {
    prompt(number, &WORDS.repeat(3)[..20 + number * 37 % 350])
}

/// Returns a line of about 300 bytes with a [`MARK`].
pub(crate) fn marked_line(number: usize) -> String {
    prompt(number, &format!("{}{}", char::from(MARK), &WORDS[..130]))
}

fn prompt(number: usize, display: &str) -> String {
    let timestamp = 1_787_600_000_000 + number * 1000;
    let session = format!("0b6f3c52-2222-4a7e-9c11-{number:012}");
    format!(
        "{{\"display\":\"{display}\",\"pastedContents\":{{}},\"timestamp\":{timestamp},\
         \"project\":\"/home/demo/src/alpha\",\"sessionId\":\"{session}\"}}\n"
    )
}

/// Returns many lines as one text.
pub(crate) fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

/// Returns a Claude directory whose history has so many bytes; it is kept for later runs.
pub(crate) fn big_dir(bytes: u64) -> PathBuf {
    let dir = kept_dir().join(format!("history-{bytes}"));
    let history = dir.join("history.jsonl");
    if fs::metadata(&history).map_or(0, |meta| meta.len()) < bytes {
        fs::create_dir_all(&dir).expect("the target directory can be written");
        let mut file = BufWriter::new(File::create(history).expect("the folder is ours"));
        let text = lines(10_000);
        for _ in 0..bytes.div_ceil(text.len() as u64) {
            file.write_all(text.as_bytes()).expect("the disk has room");
        }
        file.flush().expect("the disk has room");
    }
    dir
}

/// Returns the folder for large files and peers.
pub(crate) fn kept_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures")
}
