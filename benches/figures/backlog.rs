//! The time to the newest 200 lines of a small and of a large history: from a running server, and
//! from a start.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::lines::{big_dir, lines};
use crate::process::has;
use crate::server::{BACKLOG, start};
use crate::table::{Row, in_turns, seconds, time};

const ROUNDS: usize = 21;

pub(crate) const TAIL: &str = "tail -n 200 \\| tac";
pub(crate) const TAIL_SCRIPT: &str = "tail -n 200 \"$0\" | tac";
const JQ_SCRIPT: &str =
    "tail -n 200 \"$0\" | tac | jq -c '{summary: {sessionId, project, display}, json: .}'";

pub(crate) fn rows() -> Vec<Row> {
    let small = tempfile::tempdir().expect("temporary files have a folder");
    fs::write(small.path().join("history.jsonl"), lines(20_000)).expect("the folder is ours");
    let large = big_dir(1_000_000_000);
    vec![running_row(&large), start_row(small.path()), large_start_row(small.path(), &large)]
}

fn running_row(dir: &Path) -> Row {
    let program = start(dir, &[]);
    let history = dir.join("history.jsonl");
    let [[ours], [tail], [jq]] = in_turns(
        ROUNDS,
        [
            &mut || [seconds(|| assert!(program.get(BACKLOG).body.len() > 10_000))],
            &mut || [shell(TAIL_SCRIPT, &history)],
            &mut || [if has("jq") { shell(JQ_SCRIPT, &history) } else { 0.0 }],
        ],
    );
    let method = "connection, request and whole answer; the peers start processes; median of 21";
    Row::new("backlog of 200 lines out of 1 GB", time, ours, method)
        .beside(TAIL, tail)
        .beside("and jq over it", has("jq").then_some(jq))
}

const START: &str =
    "from `exec` to the last byte of the answer, file in the page cache; median of 21";

fn start_row(dir: &Path) -> Row {
    let history = dir.join("history.jsonl");
    let [[ours], [tail]] =
        in_turns(ROUNDS, [&mut || [first_backlog(dir)], &mut || [shell(TAIL_SCRIPT, &history)]]);
    Row::new("start to the first backlog, 20,000 lines", time, ours, START)
        .beside(TAIL, tail)
        .at_most(0.004)
        .at_most_times(2.0, TAIL)
}

fn large_start_row(small: &Path, large: &Path) -> Row {
    let history = large.join("history.jsonl");
    let [[ours], [on_small], [tail]] = in_turns(
        ROUNDS,
        [&mut || [first_backlog(large)], &mut || [first_backlog(small)], &mut || {
            [shell(TAIL_SCRIPT, &history)]
        }],
    );
    Row::new("start to the first backlog, 1 GB", time, ours, START)
        .beside("the same on 20,000 lines", on_small)
        .beside(TAIL, tail)
        .at_most_times(1.5, "the same on 20,000 lines")
        .at_most_times(2.0, TAIL)
}

fn first_backlog(dir: &Path) -> f64 {
    let mut program = None;
    // Ends the program after the time is taken.
    seconds(|| {
        let started = program.insert(start(dir, &[]));
        assert!(started.get(BACKLOG).body.len() > 10_000, "the backlog is full");
    })
}

/// Runs a shell script with a file as `$0`, and returns how many seconds it takes.
pub(crate) fn shell(script: &str, file: &Path) -> f64 {
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(file).stdout(Stdio::null());
    seconds(|| assert!(command.status().expect("bash is installed").success(), "`{script}` failed"))
}
