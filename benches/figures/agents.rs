//! Sessions and transcripts: starting on a large tree, reading it, following it, and a page of
//! records.

mod live;
mod pages;
mod read;
mod template;
mod tree;
pub(crate) mod usage;

use std::time::Duration;

use crate::program::{Program, wait_for};
use crate::server::start;
use crate::table::Row;
use tree::Tree;

const SESSIONS: &str = "/api/claude/sessions";

/// The longest that a busy machine may take to read a tree.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Vec<Row> {
    let tree = Tree::create();
    let mut rows = read::rows(&tree);
    rows.extend(live::rows(&tree));
    drop(tree);
    rows.extend(pages::rows());
    rows
}

/// Starts the program on a tree and waits until the last 24 hours are read.
fn start_on(tree: &Tree) -> Program {
    let program = start(tree.path(), &[]);
    wait_until_read(&program, &format!("{SESSIONS}?limit=1"), tree.recent.len());
    program
}

/// Waits until so many transcripts are read, those that the request asks for.
fn wait_until_read(program: &Program, target: &str, files: usize) {
    wait_for(PATIENCE, "the transcripts are read", || {
        let reading = &program.get(target).json()["reading"];
        let count = |key: &str| reading[key].as_u64().unwrap_or_default() as usize;
        count("files") >= files && count("files") == count("done")
    });
}
