//! Records of a transcript in the shapes and proportions in which Claude Code 2.1 writes them.
//!
//! A few megabytes are made once from `records.jsonl`. Each file is a cut of them with its own
//! session, directory and time, so that a gigabyte takes about a second.

use std::fs::File;
use std::io::Write;

use memchr::memmem;

/// A prompt, a thought, a tool call, its result, an attachment, last words, the end of a turn and
/// a title.
const RECORDS: &str = include_str!("records.jsonl");

/// Placeholders of the records, as long as what replaces them in each file.
const SESSION: &str = "00000000-0000-4000-8000-000000000000";
const CWD: &str = "/home/demo/src/p##";
pub(super) const MINUTE: &str = "2000-01-01T00:00";

/// The placeholder of a file's number, which makes its responses different from those of others.
const FILE: &str = "######";

const TEMPLATE_BYTES: usize = 4_000_000;

/// Tool calls in a turn.
const TURN: usize = 12;

/// The average size of a tool's result, which a transcript has twice.
const RESULT_BYTES: f64 = 4000.0;

const MIN_FILE_BYTES: f64 = 8e3;
const MAX_FILE_BYTES: f64 = 1.8e6;

const WORDS: &str = "the quick brown fox jumps over lazy dog fn main let mut value = \
    self.parse(input)?; return Err(error) \\\"quoted\\\" path/to/file.rs \\n";

const TOOLS: [(&str, &str); 4] = [
    ("Bash", r#"{"command":"cargo test --lib parse","description":"Run tests"}"#),
    ("Read", r#"{"file_path":"/home/demo/src/alpha/src/lib.rs"}"#),
    ("Edit", r#"{"file_path":"/home/demo/src/lib.rs","old_string":"@TEXT","new_string":"@TEXT"}"#),
    ("Grep", r#"{"pattern":"parse\\(","path":"src"}"#),
];

pub(super) struct Template {
    text: Vec<u8>,
    /// Where records begin.
    starts: Vec<usize>,
}

/// What a file's records have in common.
pub(super) struct Values<'a> {
    pub(super) session_id: &'a str,
    pub(super) cwd: &'a str,
    /// A time that begins with the date, the hour and the minute.
    pub(super) time: &'a str,
}

impl Template {
    pub(super) fn new(is_agent: bool) -> Template {
        let records = match is_agent {
            true => RECORDS.replace(":false,\"type\"", ":true,\"agentId\":\"a000001\",\"type\""),
            false => RECORDS.to_owned(),
        };
        let (mut text, mut numbers) = (String::new(), Numbers::new());
        for number in 0.. {
            if text.len() >= TEMPLATE_BYTES {
                break;
            }
            text += &records_of_call(&records, number, &mut numbers);
        }
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        let starts = std::iter::once(0).chain(ends).filter(|start| *start < text.len()).collect();
        Template { text: text.into_bytes(), starts }
    }

    /// Writes records until there are so many bytes, and returns how many there are. `number` tells
    /// with which record it begins.
    pub(super) fn write(&self, file: &mut File, bytes: usize, number: usize, its: &Values) -> u64 {
        let mut start = self.starts[number * 7919 % self.starts.len()];
        let mut written = 0;
        while written < bytes {
            let wanted = (start + bytes - written).min(self.text.len());
            let rest = memchr::memchr(b'\n', &self.text[wanted - 1..]);
            let end = wanted + rest.expect("the template ends with a line end");
            let mut text = self.text[start..end].to_vec();
            replace(&mut text, SESSION, its.session_id);
            replace(&mut text, CWD, its.cwd);
            replace(&mut text, MINUTE, &its.time[..MINUTE.len()]);
            replace(&mut text, FILE, &format!("{number:06}"));
            file.write_all(&text).expect("there is room");
            written += text.len();
            start = 0;
        }
        written as u64
    }
}

fn replace(text: &mut [u8], from: &str, to: &str) {
    let places: Vec<usize> = memmem::find_iter(text, from).collect();
    for place in places {
        text[place..place + from.len()].copy_from_slice(to.as_bytes());
    }
}

/// Returns what a tool call leads to, with the beginning and the end of a turn around it.
fn records_of_call(records: &str, number: usize, numbers: &mut Numbers) -> String {
    let (is_first, is_last) = (number.is_multiple_of(TURN), number % TURN == TURN - 1);
    let has_attachment = number.is_multiple_of(3);
    let has = [is_first, true, true, true, has_attachment, is_last, is_last, is_last];
    let (tool, input) = TOOLS[number % TOOLS.len()];
    let mut text = String::new();
    for (record, _) in records.lines().zip(has).filter(|(_, has)| *has) {
        let is_result = record.contains("toolUseResult");
        let size = if is_result { RESULT_BYTES * -(1.0 - numbers.share()).ln() } else { 300.0 };
        let record = record.replace("@TOOL", tool).replace("@INPUT", input);
        let record = record.replace("@TEXT", &numbers.words(size as usize + 50));
        text += &record.replace("@NUMBER", &format!("{number:012}"));
        text.push('\n');
    }
    text
}

/// Returns a record of a live session, of which a client reads the text.
pub(super) fn record_of(text: &str) -> String {
    let record = RECORDS.lines().nth(5).expect("the sixth has text");
    record.replace("@TEXT", text).replace("@NUMBER", &format!("{:012}", text.len())) + "\n"
}

/// Pseudo-random numbers, the same in each run: a linear congruential generator.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new() -> Numbers {
        Numbers(13)
    }

    /// Returns a number from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as f64 / f64::from(1u32 << 31)
    }

    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + (self.share() * (high - low) as f64) as u64
    }

    /// Returns the size of a file. Small ones are frequent; the average is a third of a megabyte.
    pub(super) fn size(&mut self) -> usize {
        (MIN_FILE_BYTES * (MAX_FILE_BYTES / MIN_FILE_BYTES).powf(self.share())) as usize
    }

    /// Returns words of about so many bytes, as they are in a JSON string.
    fn words(&mut self, bytes: usize) -> String {
        let words: Vec<&str> = WORDS.split(' ').collect();
        let mut text = String::new();
        while text.len() < bytes {
            text += words[self.between(0, words.len() as u64) as usize];
            text.push(' ');
        }
        text
    }
}
