//! The cost of silence: every follower has the same file, which does not change for a while.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::lines;
use crate::peers::{Frontail, Nchan, TailToSocket};
use crate::process::{cpu, own_cpu, resident_bytes};
use crate::server::{STREAM, open_stream, start};
use crate::table::{Row, Unit, share, size};

const SILENCE: Duration = Duration::from_secs(15);

/// The program's poll interval with an open stream.
const POLL: Duration = Duration::from_millis(20);

/// The time until every process has come to rest.
const SETTLING: Duration = Duration::from_secs(2);

pub(crate) fn rows() -> Vec<Row> {
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    let history = dir.path().join("history.jsonl");
    fs::write(&history, lines(1000)).expect("the folder is ours");
    let (alone, streaming) = (start(dir.path(), &[]), start(dir.path(), &[]));
    let _stream = open_stream(streaming.address, STREAM);
    let tail = TailToSocket::start(&history);
    let frontail = Frontail::start(&history);
    let _socket = frontail.as_ref().map(Frontail::subscribe);
    let nchan = Nchan::start(1);
    thread::sleep(SETTLING);

    let pids = [
        Some(alone.child.id()),
        Some(streaming.child.id()),
        Some(tail.process.id()),
        frontail.as_ref().map(|frontail| frontail.process.id()),
        nchan.as_ref().map(|nchan| nchan.process.id()),
    ];
    let seconds = || pids.map(|pid| pid.map_or(0.0, |pid| cpu(pid).as_secs_f64()));
    let before = seconds();
    let bare = thread::spawn(move || bare_poll(&[history], SILENCE));
    thread::sleep(SILENCE);
    let after = seconds();
    let share_of = |at: usize| (after[at] - before[at]) / SILENCE.as_secs_f64();
    let shares = [0, 1, 2, 3, 4].map(|at| pids[at].map(|_| share_of(at)));
    let bare = bare.join().expect("the history exists").as_secs_f64() / SILENCE.as_secs_f64();
    let memory = pids.map(|pid| pid.map(resident_bytes));
    let row = |figure, unit: Unit, ours: Option<f64>, values: [Option<f64>; 5], method| {
        Row::new(figure, unit, ours.expect("both of ours run"), method)
            .beside("tail -F", values[2])
            .beside("frontail", values[3])
            .beside("nchan", values[4])
    };
    let by_time = "CPU time over 15 s of silence, of one core; each peer with one client";
    let by_size = "`VmRSS` with 1000 lines; each peer with one client, its children included";
    vec![
        row("idle CPU, no stream open", share, shares[0], shares, by_time).at_most(0.001),
        row("idle CPU, a stream open", share, shares[1], shares, by_time)
            .beside("stat every 20 ms", bare)
            .at_most(0.003),
        row("idle memory, a stream open", size, memory[1], memory, by_size).at_most(5e6),
    ]
}

/// Returns the CPU time of a thread that asks for the state of files as often as the program, and
/// does nothing else.
pub(crate) fn bare_poll(paths: &[PathBuf], duration: Duration) -> Duration {
    let (start, before) = (Instant::now(), own_cpu());
    while start.elapsed() < duration {
        for path in paths {
            fs::metadata(path).expect("the file exists");
        }
        thread::sleep(POLL);
    }
    own_cpu() - before
}
