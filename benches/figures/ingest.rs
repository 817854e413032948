//! A large append: how fast it becomes events, and how much memory it takes.

use std::fs::File;
use std::io::{self, Seek};
use std::time::Duration;

use crate::backlog::shell;
use crate::lines::{big_dir, line};
use crate::process::{has, peak_bytes, thread_cpu};
use crate::program::{append, wait_for};
use crate::server::{BACKLOG, start};
use crate::table::{Row, size, throughput};

/// The longest that a slow machine may take to read it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Vec<Row> {
    let source = big_dir(200_000_000).join("history.jsonl");
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    let history = dir.path().join("history.jsonl");
    append(&history, &line(0));
    let program = start(dir.path(), &[]);
    let before = thread_cpu(program.child.id(), "tail");
    let mut to = File::options().append(true).open(&history).expect("the history is ours");
    let mut from = File::open(&source).expect("the lines are written");
    let bytes = io::copy(&mut from, &mut to).expect("the disk has room") as f64;
    let end = to.stream_position().expect("a file has a position");
    let is_read = || program.get("/healthz").json()["history"]["readBytes"].as_u64() == Some(end);
    wait_for(PATIENCE, "all of it is read", is_read);
    let spent = thread_cpu(program.child.id(), "tail") - before;
    let jq =
        has("jq").then(|| bytes / shell("jq -c '{display, project, sessionId}' \"$0\"", &source));
    let method =
        "200 MB appended at once, over the CPU time of the thread that reads and publishes";
    vec![
        Row::new("ingest", throughput, bytes / spent.as_secs_f64(), method)
            .beside("jq of three keys", jq)
            .beside("cat", bytes / shell("cat \"$0\"", &source))
            .at_least(100e6),
        Row::new("peak memory after that", size, peak_bytes(program.child.id()), "`VmHWM`")
            .at_most(40e6),
        start_row(),
    ]
}

fn start_row() -> Row {
    let program = start(&big_dir(1_000_000_000), &[]);
    program.get(BACKLOG);
    let bytes = peak_bytes(program.child.id());
    Row::new("peak memory after a start on 1 GB and a backlog", size, bytes, "`VmHWM`")
        .at_most(40e6)
}
