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

const SMALL_BYTES: u64 = 1_000_000;
const LARGE_BYTES: u64 = 1_000_000_000;

/// Lines of the history on which the leanest peer known takes 11 ms.
const KNOWN_LINES: usize = 20_000;

pub(crate) fn rows() -> Vec<Row> {
    let (small, large) = (big_dir(SMALL_BYTES), big_dir(LARGE_BYTES));
    let whole = large.join("history.jsonl");
    vec![
        running_row("1 MB", &small),
        running_row("1 GB", &large),
        known_row(),
        start_row("1 MB", &small, None, None),
        start_row("1 GB", &large, Some(start_time(&small)), Some(read_whole(&whole))),
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
        median(&seconds(&ours)),
        "connection, request and whole answer; the peers with the start of their processes; median of 21",
    );
    row.beside("tail -n 200 \\| tac", Some(median(&seconds(&tails))))
        .beside("and jq over it", (!jqs.is_empty()).then(|| median(&seconds(&jqs))))
}

fn known_row() -> Row {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    crate::lines::append(&dir.path().join("history.jsonl"), &lines(KNOWN_LINES));
    start_row("20,000 lines", dir.path(), None, None).at_most(0.008)
}

/// From the start of the process to the last byte of the first backlog.
fn start_row(name: &str, dir: &Path, small: Option<f64>, whole: Option<f64>) -> Row {
    let history = dir.join("history.jsonl");
    let [mut ours, mut tails] = <[Vec<Duration>; 2]>::default();
    for _ in 0..ROUNDS {
        ours.push(first_backlog(dir));
        tails.push(time(|| shell("tail -n 200 \"$0\" | tac", &history)));
    }
    let mut row = Row::new(
        format!("start-up to the first backlog, {name}"),
        Unit::Time,
        median(&seconds(&ours)),
        "from `exec` to the last byte of the answer, file in the page cache; median of 21",
    )
    .beside("tail -n 200 \\| tac", Some(median(&seconds(&tails))));
    if let Some(small) = small {
        row = row.beside("the same on 1 MB", Some(small)).at_most_times(1.5, "the same on 1 MB");
    }
    if let Some(whole) = whole {
        row = row
            .beside("reading the whole file", Some(whole))
            .at_most_times(1.0, "reading the whole file");
    }
    row
}

fn start_time(dir: &Path) -> f64 {
    let times: Vec<_> = (0..ROUNDS).map(|_| first_backlog(dir)).collect();
    median(&seconds(&times))
}

fn first_backlog(dir: &Path) -> Duration {
    let start = Instant::now();
    let server = Server::start(dir, &[]);
    assert!(server.get(BACKLOG).len() > 10_000, "the backlog is full");
    start.elapsed()
}

fn read_whole(path: &Path) -> f64 {
    let mut block = vec![0; 1 << 20];
    let time = time(|| {
        let mut file = File::open(path).expect("the history is there");
        while file.read(&mut block).expect("the history can be read") > 0 {}
    });
    time.as_secs_f64()
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
