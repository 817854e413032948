//! Live sessions: how soon a client receives what they do, and the cost while they do nothing.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::start_on;
use super::template::record_of;
use super::tree::Tree;
use crate::idle::bare_poll;
use crate::latency::{Follower, sample};
use crate::lines::MARK;
use crate::peers::TailToSocket;
use crate::process::cpu;
use crate::program::append;
use crate::server::{STREAM, open_stream};
use crate::table::{Row, median, percentile, share, time};

/// Every directory is scanned about every 5 s, and every file once a minute.
const SILENCE: Duration = Duration::from_secs(60);

/// The time until the programs have come to rest.
const SETTLING: Duration = Duration::from_secs(2);

const STATUS_CHANGES: usize = 60;

/// The pause between two changes of a status becomes up to 100 ms longer, in steps that come to
/// every moment between two polls of the registry.
const PAUSE: Duration = Duration::from_millis(50);
const POLL_MILLIS: usize = 100;
const STEP_MILLIS: usize = 37;

pub(super) fn rows(tree: &Tree) -> Vec<Row> {
    let mut rows = idle_rows(tree);
    rows.extend(append_rows(tree));
    rows.extend(status_rows(tree));
    rows
}

fn idle_rows(tree: &Tree) -> Vec<Row> {
    let programs = [start_on(tree), start_on(tree)];
    let _stream = open_stream(programs[1].address, STREAM);
    thread::sleep(SETTLING);
    let spent = || programs.each_ref().map(|program| cpu(program.child.id()).as_secs_f64());
    let before = spent();
    let transcripts: Vec<PathBuf> = tree.live.iter().map(|it| it.transcript.clone()).collect();
    let bare = thread::spawn(move || bare_poll(&transcripts, SILENCE));
    thread::sleep(SILENCE);
    let after = spent();
    let shares = [0, 1].map(|at| (after[at] - before[at]) / SILENCE.as_secs_f64());
    let bare = bare.join().expect("the files exist").as_secs_f64() / SILENCE.as_secs_f64();
    let row = |figure, at: usize| {
        let method = "CPU time over 60 s of silence, of one core; 3,000 transcripts, 10 live";
        Row::new(figure, share, shares[at], method).beside("stat of 10 files every 20 ms", bare)
    };
    vec![
        row("idle CPU with ten live sessions, no stream", 0).at_most(0.0015),
        row("idle CPU with ten live sessions, a stream", 1).at_most(0.005),
    ]
}

fn append_rows(tree: &Tree) -> Vec<Row> {
    let program = start_on(tree);
    let transcript = &tree.live[0].transcript;
    let tail = TailToSocket::start(transcript);
    let stream = open_stream(program.address, &format!("{STREAM}?types=transcript.append"));
    let socket = tail.socket.try_clone().expect("a socket can be shared");
    let mut followers = [Follower::new(stream, 1), Follower::new(socket, 1)];
    let text = |number| format!("{} {number}", char::from(MARK));
    sample(&mut followers, |number| append(transcript, &record_of(&text(number))));
    let row = |name: &str, of: &dyn Fn(&[f64]) -> f64| {
        let method = "300 records of a live session at all moments between two polls";
        let figure = format!("record → `transcript.append`, {name}");
        Row::new(figure, time, of(&followers[0].times), method)
            .beside("tail -F to a socket", of(&followers[1].times))
    };
    let p99 = |times: &[f64]| percentile(times, 0.99);
    vec![row("median", &median).at_most(0.015), row("p99", &p99).at_most(0.035)]
}

fn status_rows(tree: &Tree) -> Vec<Row> {
    let program = start_on(tree);
    let live = &tree.live[1];
    let mut stream = program.stream("?types=session.changed", &[]);
    let mut times = Vec::new();
    for number in 0..STATUS_CHANGES {
        let millis = number * STEP_MILLIS % POLL_MILLIS;
        thread::sleep(PAUSE + Duration::from_millis(millis as u64));
        let (written, wanted) = [("waiting", "waiting"), ("busy", "working")][number % 2];
        let start = Instant::now();
        live.set_status(written);
        loop {
            let data = &stream.event().json()["data"];
            if data["sessionId"] == live.session_id.as_str() && data["status"] == wanted {
                break;
            }
        }
        times.push(start.elapsed().as_secs_f64());
    }
    let row = |name: &str, value| {
        let figure = format!("registry → `session.changed`, {name}");
        Row::new(figure, time, value, "60 changes of a status, at all moments between two polls")
    };
    vec![row("median", median(&times)), row("longest", percentile(&times, 1.0)).at_most(0.300)]
}
