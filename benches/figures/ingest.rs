//! A large append: how fast it becomes events, and how much memory it takes.

use std::fs::File;
use std::io::{self, Seek};
use std::time::Instant;

use crate::backlog::shell;
use crate::lines::{append, big_dir, line};
use crate::machine::has;
use crate::process::wait_until;
use crate::server::{BACKLOG, Server};
use crate::table::{Row, Unit};

/// Bytes that are appended.
const SIZE_BYTES: u64 = 200_000_000;

const LARGE_BYTES: u64 = 1_000_000_000;

pub(crate) fn rows() -> Vec<Row> {
    let source = big_dir(SIZE_BYTES).join("history.jsonl");
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let history = dir.path().join("history.jsonl");
    append(&history, &line(0));
    let server = Server::start(dir.path(), &[]);
    let before = server.process.thread_cpu("tail");
    let mut to = File::options().append(true).open(&history).expect("the history is ours");
    let mut from = File::open(&source).expect("the lines are made");
    let size = io::copy(&mut from, &mut to).expect("there is room on the disk") as f64;
    let wanted = to.stream_position().expect("a file has a position");
    wait_until("all is read", || read_bytes(&server) == wanted);
    let spent = server.process.thread_cpu("tail") - before;
    let a_second = |script: &str| {
        let start = Instant::now();
        shell(script, &source);
        size / start.elapsed().as_secs_f64()
    };
    let jq = has("jq").then(|| a_second("jq -c '{display, project, sessionId}' \"$0\""));
    vec![
        Row::new(
            "ingest to events ready for the wire",
            Unit::Throughput,
            size / spent.as_secs_f64(),
            "200 MB appended in one go, over the CPU time of the thread that reads, parses and publishes",
        )
        .beside("jq of three keys", jq)
        .beside("cat", Some(a_second("cat \"$0\"")))
        .at_least(100e6),
        Row::new(
            "peak memory after that",
            Unit::Bytes,
            server.process.peak_bytes(),
            "`VmHWM`",
        )
        .at_most(40e6),
        peak_on_large_row(),
    ]
}

fn peak_on_large_row() -> Row {
    let server = Server::start(&big_dir(LARGE_BYTES), &[]);
    server.get(BACKLOG);
    Row::new(
        "peak memory after start-up on 1 GB and a backlog",
        Unit::Bytes,
        server.process.peak_bytes(),
        "`VmHWM`",
    )
    .at_most(40e6)
}

fn read_bytes(server: &Server) -> u64 {
    let health: serde_json::Value =
        serde_json::from_slice(&server.get("/healthz")).expect("it is JSON");
    health["history"]["readBytes"].as_u64().expect("it says how far it has read")
}
