//! History lines as Claude Code writes them, in quantity.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Occurs once in a marked line and in no other, so that a reader counts events by counting a byte. (`~` would be the
/// length of many a WebSocket frame.)
pub(crate) const MARK: u8 = b'^';

/// What prompts are made of.
const WORDS: &str = "please look at the failing test in the uploader and add a retry with backoff before the queue is drained then explain why the old code lost the last item when two workers stopped at once ";

/// The line of a prompt; they are 190 to 540 bytes long, 365 on average.
pub(crate) fn line(number: usize) -> String {
    prompt(number, &WORDS.repeat(3)[..20 + number * 37 % 350])
}

/// A line of about 300 bytes with a [`MARK`].
pub(crate) fn marked_line(number: usize) -> String {
    prompt(number, &format!("{}{}", char::from(MARK), &WORDS[..130]))
}

fn prompt(number: usize, display: &str) -> String {
    let timestamp = 1_787_600_000_000 + number * 1000;
    format!(
        "{{\"display\":\"{display}\",\"pastedContents\":{{}},\"timestamp\":{timestamp},\"project\":\"/home/demo/src/alpha\",\"sessionId\":\"0b6f3c52-2222-4a7e-9c11-{number:012}\"}}\n"
    )
}

/// Many lines, as one text.
pub(crate) fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

/// A Claude directory whose history has so many bytes, made once and kept in the target directory.
pub(crate) fn big_dir(size_bytes: u64) -> PathBuf {
    let dir = target_dir().join(format!("history-{size_bytes}"));
    let history = dir.join("history.jsonl");
    if fs::metadata(&history).map_or(0, |meta| meta.len()) < size_bytes {
        fs::create_dir_all(&dir).expect("the target directory can be written");
        fill(&history, size_bytes);
    }
    dir
}

fn fill(path: &Path, size_bytes: u64) {
    let text = lines(10_000);
    let mut file = BufWriter::new(File::create(path).expect("the folder is ours"));
    let mut written_bytes = 0;
    while written_bytes < size_bytes {
        file.write_all(text.as_bytes()).expect("there is room on the disk");
        written_bytes += text.len() as u64;
    }
    file.flush().expect("there is room on the disk");
}

/// Where large files and peers are kept from one run to the next.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures")
}

/// Appends with one write.
pub(crate) fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the history can be written");
}
