//! The size of the binary, the number of packages in it, and its memory with the page open.

use std::fs;

use crate::lines::lines;
use crate::process::{output_of, resident_bytes};
use crate::server::{BACKLOG, STREAM, binary, open_stream, start};
use crate::table::{Row, count, size};

pub(crate) fn rows() -> Vec<Row> {
    let bytes = fs::metadata(binary()).expect("cargo has built it").len() as f64;
    let tree = ["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe"];
    let tree = output_of(env!("CARGO"), &tree);
    let mut packages: Vec<_> = tree.lines().collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.len() as f64;
    vec![
        Row::new("binary", size, bytes, "release, stripped, with the page").at_most(3.6e6),
        Row::new("packages", count, packages, "`cargo tree --edges normal`, itself included")
            .at_most(36.0),
        memory_row(),
    ]
}

fn memory_row() -> Row {
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    fs::write(dir.path().join("history.jsonl"), lines(20_000)).expect("the folder is ours");
    let program = start(dir.path(), &[]);
    let page = program.get("/");
    for file in page.text().split('"').filter(|part| part.starts_with("/static/")) {
        program.get(file);
    }
    program.get(BACKLOG);
    let _stream = open_stream(program.address, STREAM);
    let method = "`VmRSS` on 20,000 lines, after the page, its files and a backlog, with a stream";
    let bytes = resident_bytes(program.child.id());
    Row::new("memory with the page open", size, bytes, method).at_most(5e6)
}
