//! The newest 200 lines of a small and of a large history: asked of a running server, and from a cold start.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lines::{big_dir, lines};
use crate::machine::has;
use crate::server::{BACKLOG, Server};
use crate::table::{Row, Unit, median, seconds};

/// Times that each is measured, in turns.
const ROUNDS: usize = 21;

/// Times that a gigabyte is read from beginning to end.
const WHOLE_ROUNDS: usize = 3;

const TAIL: &str = "tail -n 200 \\| tac";

const START: &str =
    "from `exec` to the last byte of the answer, file in the page cache; median of 21";

const SMALL_BYTES: u64 = 1_000_000;
const LARGE_BYTES: u64 = 1_000_000_000;

/// Lines of the history on which the leanest peer known takes 11 ms.
const KNOWN_LINES: usize = 20_000;

pub(crate) fn rows() -> Vec<Row> {
    let (small, large) = (big_dir(SMALL_BYTES), big_dir(LARGE_BYTES));
    vec![
        running_row("1 MB", &small),
        running_row("1 GB", &large),
        known_row(),
        start_row("1 MB", &small),
        large_start_row(&small, &large),
    ]
}

fn running_row(name: &str, dir: &Path) -> Row {
    let server = Server::start(dir, &[]);
    let history = dir.join("history.jsonl");
    let [mut ours, mut tails, mut jqs] = <[Vec<Duration>; 3]>::default();
    for _ in 0..ROUNDS {
        ours.push(time(|| assert!(server.get(BACKLOG).len() > 10_000)));
        tails.push(time(|| shell("tail -n 200 \"$0\" | tac", &history)));
        if has("jq") {
            jqs.push(time(|| {
                shell("tail -n 200 \"$0\" | tac | jq -c '{summary: {sessionId, project, display}, json: .}'", &history);
            }));
        }
    }
    let row = Row::new(
        format!("backlog of 200 out of {name}, server running"),
        Unit::Time,
        middle(&ours),
        "connection, request and whole answer; the peers with the start of their processes; median of 21",
    );
    row.beside(TAIL, Some(middle(&tails)))
        .beside("and jq over it", (!jqs.is_empty()).then(|| middle(&jqs)))
}

fn known_row() -> Row {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    crate::lines::append(&dir.path().join("history.jsonl"), &lines(KNOWN_LINES));
    start_row("20,000 lines", dir.path()).at_most(0.008)
}

/// From the start of the process to the last byte of the first backlog.
fn start_row(name: &str, dir: &Path) -> Row {
    let history = dir.join("history.jsonl");
    let [mut ours, mut tails] = <[Vec<Duration>; 2]>::default();
    for _ in 0..ROUNDS {
        ours.push(first_backlog(dir));
        tails.push(time(|| shell("tail -n 200 \"$0\" | tac", &history)));
    }
    Row::new(format!("start-up to the first backlog, {name}"), Unit::Time, middle(&ours), START)
        .beside(TAIL, Some(middle(&tails)))
}

/// The same for the large history, with the small one in turns.
fn large_start_row(small: &Path, large: &Path) -> Row {
    let history = large.join("history.jsonl");
    let [mut ours, mut smalls, mut tails, mut wholes] = <[Vec<Duration>; 4]>::default();
    for _ in 0..ROUNDS {
        ours.push(first_backlog(large));
        smalls.push(first_backlog(small));
        tails.push(time(|| shell("tail -n 200 \"$0\" | tac", &history)));
    }
    for _ in 0..WHOLE_ROUNDS {
        wholes.push(time(|| read_whole(&history)));
    }
    Row::new("start-up to the first backlog, 1 GB", Unit::Time, middle(&ours), START)
        .beside("the same on 1 MB", Some(middle(&smalls)))
        .beside(TAIL, Some(middle(&tails)))
        .beside("reading the whole file", Some(middle(&wholes)))
        .at_most_times(1.5, "the same on 1 MB")
        .at_most_times(1.0, TAIL)
}

fn middle(times: &[Duration]) -> f64 {
    median(&seconds(times))
}

fn first_backlog(dir: &Path) -> Duration {
    let start = Instant::now();
    let server = Server::start(dir, &[]);
    assert!(server.get(BACKLOG).len() > 10_000, "the backlog is full");
    start.elapsed()
}

fn read_whole(path: &Path) {
    let mut block = vec![0; 1 << 20];
    let mut file = File::open(path).expect("the history is there");
    while file.read(&mut block).expect("the history can be read") > 0 {}
}

fn time(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

/// Runs a line of shell with a file as `$0` and throws away what it prints.
pub(crate) fn shell(script: &str, file: &Path) {
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(file).stdout(Stdio::null());
    let status = command.status().expect("bash is installed");
    assert!(status.success(), "`{script}` failed");
}
