//! The start on a tree of transcripts, and how long it takes to read them.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use super::tree::Tree;
use super::{SESSIONS, start_on, wait_until_read};
use crate::backlog::shell;
use crate::process::{has, own_cpu, resident_bytes, thread_cpu};
use crate::program::{PATIENCE, wait_for};
use crate::server::{BACKLOG, start};
use crate::table::{Row, in_turns, seconds, size, throughput, time};

const ROUNDS: usize = 21;

/// Rounds of what takes a second.
const LONG_ROUNDS: usize = 5;

const THREAD: &str = "tail";
const EVERYTHING: &str = "/api/claude/sessions?hours=100000&limit=1";
const WITHOUT: &str = "`--no-transcripts`";

pub(super) fn rows(tree: &Tree) -> Vec<Row> {
    let mut rows = start_rows(tree);
    rows.extend(live_rows(tree));
    rows.push(recent_row(tree));
    rows.extend(everything_rows(tree));
    rows
}

fn start_rows(tree: &Tree) -> Vec<Row> {
    let [ours, without] = in_turns(
        ROUNDS,
        [&mut || first_answers(tree, &[]), &mut || first_answers(tree, &["--no-transcripts"])],
    );
    let row = |figure, at: usize, method| {
        let row = Row::new(figure, time, ours[at], method).beside(WITHOUT, without[at]);
        row.at_most_above(0.002, WITHOUT)
    };
    vec![
        row("start to the address, 3,000 transcripts", 0, "from `exec`; 1 GB; median of 21"),
        row(
            "start to the first backlog, 3,000 transcripts",
            1,
            "from `exec` to the last byte of the answer; median of 21",
        ),
    ]
}

/// Returns the time to the address and to the backlog.
fn first_answers(tree: &Tree, args: &[&str]) -> [f64; 2] {
    let start_time = Instant::now();
    let program = start(tree.path(), args);
    let address = start_time.elapsed();
    assert!(program.get(BACKLOG).body.len() > 10_000, "the backlog is full");
    [address, start_time.elapsed()].map(|time| time.as_secs_f64())
}

fn live_rows(tree: &Tree) -> Vec<Row> {
    let find = || {
        let script = "find \"$0\" -printf '%T@ %s %p\\n'";
        seconds(|| _ = shell(script, &tree.path().join("projects")))
    };
    let [ours, [find, _]] = in_turns(ROUNDS, [&mut || live_sessions(tree), &mut || [find(), 0.0]]);
    let peer = "find -printf of the tree";
    vec![
        Row::new("start to ten live sessions", time, ours[0], "with their status; median of 21")
            .beside(peer, find)
            .at_most(0.050),
        Row::new("and their transcripts read", time, ours[1], "each has a model; median of 21")
            .beside(peer, find)
            .at_most(0.050),
    ]
}

/// Returns the time until the live sessions are listed, and until they are read.
fn live_sessions(tree: &Tree) -> [f64; 2] {
    let start_time = Instant::now();
    let program = start(tree.path(), &[]);
    let [mut listed, mut read] = [None; 2];
    wait_for(PATIENCE, "the live sessions are read", || {
        let list = program.get(SESSIONS).json();
        let sessions = list["sessions"].as_array().expect("there is a list");
        let live = || sessions.iter().filter(|session| session["isLive"] == true);
        let wanted = tree.live.len();
        let now = start_time.elapsed().as_secs_f64();
        listed = listed.or((live().count() == wanted).then_some(now));
        let is_read = live().filter(|session| session["model"].is_string()).count() == wanted;
        read = is_read.then_some(now);
        is_read
    });
    [listed, read].map(|time| time.expect("it was waited for"))
}

fn recent_row(tree: &Tree) -> Row {
    let list = tree.recent.iter().map(|path| format!("{}\n", path.display())).collect::<String>();
    let file = NamedTempFile::new().expect("temporary files have a folder");
    fs::write(&file, list).expect("the file is ours");
    let [[ours], [cat], [jq]] = in_turns(
        LONG_ROUNDS,
        [
            &mut || {
                let mut program = None;
                [seconds(|| _ = program.insert(start_on(tree)))]
            },
            &mut || [shell("xargs --arg-file=\"$0\" cat", file.path())],
            &mut || match has("jq") {
                true => [shell("xargs --arg-file=\"$0\" jq .type", file.path())],
                false => [0.0],
            },
        ],
    );
    Row::new("start to the last 24 hours read", time, ours, "100 MB of 300 files; median of 5")
        .beside("cat of the same files", cat)
        .beside("jq of one field", has("jq").then_some(jq))
        .at_most(0.300)
}

fn everything_rows(tree: &Tree) -> Vec<Row> {
    let program = start_on(tree);
    let pid = program.child.id();
    let recent_bytes = resident_bytes(pid);
    let before = thread_cpu(pid, THREAD);
    wait_until_read(&program, EVERYTHING, tree.files);
    let spent = thread_cpu(pid, THREAD) - before;
    program.get(&EVERYTHING.replace("limit=1", "limit=1000"));
    let all_bytes = resident_bytes(pid);
    let rest = (tree.bytes - tree.recent_bytes) as f64;
    let bare = bare_parse(&tree.recent).as_secs_f64();
    let method = "900 MB of older transcripts, over the CPU time of the thread `tail`";
    vec![
        Row::new("folding", throughput, rest / spent.as_secs_f64(), method)
            .beside("a serde struct that borrows", tree.recent_bytes as f64 / bare)
            .at_least(600e6),
        Row::new("memory, 24 hours of sessions", size, recent_bytes, "`VmRSS`; 100 MB were read")
            .at_most(16e6),
        Row::new(
            "memory, all sessions",
            size,
            all_bytes,
            "`VmRSS` after the answer to `?hours=100000`; 1 GB was read",
        )
        .at_most(40e6),
    ]
}

/// The fields of a record that a session's state needs as a rule.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a str>,
    #[serde(borrow)]
    timestamp: Option<&'a str>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<&'a str>,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Returns the CPU time of a thread that reads these files and parses each line.
fn bare_parse(files: &[PathBuf]) -> Duration {
    let before = own_cpu();
    let (mut bytes, mut text) = (0, Vec::new());
    for file in files {
        text.clear();
        let mut file = File::open(file).expect("the file exists");
        file.read_to_end(&mut text).expect("the file can be read");
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let record: Record = serde_json::from_slice(line).expect("the line is a record");
            let message = record.message.as_ref();
            let content = message.map_or("", |message| message.content.get());
            let usage = message.and_then(|message| message.usage).map_or("", RawValue::get);
            let texts = [record.kind, record.timestamp, message.and_then(|message| message.model)];
            bytes += texts.into_iter().flatten().map(str::len).sum::<usize>();
            bytes += content.len() + usage.len();
        }
    }
    assert!(std::hint::black_box(bytes) > 0, "the files have records");
    own_cpu() - before
}
