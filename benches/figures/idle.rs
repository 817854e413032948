//! What it costs to do nothing: everybody follows the same quiet file for a while.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::{append, lines};
use crate::peers::{Frontail, Nchan, TailToSocket};
use crate::process::{Process, own_thread_cpu};
use crate::server::{STREAM, Server, open_stream};
use crate::table::{Row, Unit};

/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(15);

/// How often the history is looked at while a stream is open.
const POLL: Duration = Duration::from_millis(20);

/// Until everybody has come to rest.
const SETTLING: Duration = Duration::from_secs(2);

pub(crate) fn rows() -> Vec<Row> {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let history = dir.path().join("history.jsonl");
    append(&history, &lines(1000));
    let alone = Server::start(dir.path(), &[]);
    let streaming = Server::start(dir.path(), &[]);
    let _stream = open_stream(streaming.address, STREAM);
    let tail = TailToSocket::start(&history);
    let frontail = Frontail::start(&history);
    let _socket = frontail.as_ref().map(Frontail::subscribe);
    let nchan = Nchan::start();
    let _subscriber = nchan.as_ref().map(|nchan| open_stream(nchan.address, "/sub"));
    thread::sleep(SETTLING);

    let processes = [
        Some(&alone.process),
        Some(&streaming.process),
        Some(&tail.process),
        frontail.as_ref().map(|frontail| &frontail.process),
        nchan.as_ref().map(|nchan| &nchan.process),
    ];
    let before = processes.map(|process| process.map(Process::cpu));
    let bare = thread::spawn(move || bare_poll(&history));
    thread::sleep(QUIET);
    let mut shares = [None; 5];
    for (index, process) in processes.into_iter().enumerate() {
        let spent = process.zip(before[index]).map(|(process, before)| process.cpu() - before);
        shares[index] = spent.map(|spent| spent.as_secs_f64() / QUIET.as_secs_f64());
    }
    let bare = bare.join().expect("the history is there").as_secs_f64() / QUIET.as_secs_f64();
    let memory = processes.map(|process| process.map(Process::resident_bytes));
    let row = |figure: &str, unit, values: [Option<f64>; 5], index: usize, how| {
        Row::new(figure, unit, values[index].expect("it is ours"), how)
            .beside("tail -F", values[2])
            .beside("frontail", values[3])
            .beside("nchan", values[4])
    };
    let share = "CPU time over 15 s of silence, of one core; each peer with one client";
    let size = "`VmRSS` with 1000 lines in the history; each peer with one client, its child processes included";
    vec![
        row("idle CPU, no stream open", Unit::Share, shares, 0, share).at_most(0.001),
        row("idle CPU, a stream open", Unit::Share, shares, 1, share)
            .beside("stat every 20 ms", Some(bare))
            .at_most(0.003),
        row("idle memory, a stream open", Unit::Bytes, memory, 1, size).at_most(5e6),
    ]
}

/// What the system takes for polling alone: CPU time of a thread that looks at a file as often as we do, and does nothing else.
fn bare_poll(path: &Path) -> Duration {
    let (start, before) = (Instant::now(), own_thread_cpu());
    while start.elapsed() < QUIET {
        fs::metadata(path).expect("the history is there");
        thread::sleep(POLL);
    }
    own_thread_cpu() - before
}
