//! What the program weighs: its file, its packages, and its memory with the page open.

use std::fs;

use crate::lines::{append, lines};
use crate::machine::said;
use crate::server::{BACKLOG, STREAM, Server, binary, open_stream};
use crate::table::{Row, Unit};

/// Lines of the history with the page open, as in the start-up row.
const LINES: usize = 20_000;

pub(crate) fn rows() -> Vec<Row> {
    let size = fs::metadata(binary()).expect("cargo has built it").len();
    let tree = said(
        env!("CARGO"),
        &["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe"],
    );
    let mut packages: Vec<_> = tree.lines().collect();
    packages.sort_unstable();
    packages.dedup();
    vec![
        Row::new("binary", Unit::Bytes, size as f64, "release, stripped, the page included")
            .at_most(2e6),
        Row::new(
            "packages",
            Unit::Count,
            packages.len() as f64,
            "`cargo tree --edges normal`, itself included",
        )
        .at_most(35.0),
        memory_row(),
    ]
}

fn memory_row() -> Row {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    append(&dir.path().join("history.jsonl"), &lines(LINES));
    let server = Server::start(dir.path(), &[]);
    let page = String::from_utf8(server.get("/")).expect("the page is text");
    for file in page.split('"').filter(|part| part.starts_with("/static/")) {
        server.get(file);
    }
    server.get(BACKLOG);
    let _stream = open_stream(server.address, STREAM);
    let how =
        "`VmRSS` on 20,000 lines after the page, its files, a backlog and with its stream open";
    Row::new("memory with the page open", Unit::Bytes, server.process.resident_bytes(), how)
        .at_most(5e6)
}
