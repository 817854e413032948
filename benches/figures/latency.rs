//! How long a line takes from the file to a client, with everybody following the same file at once.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::{MARK, append, line, marked_line};
use crate::peers::{Frontail, TailToSocket};
use crate::server::{STREAM, Server, open_stream};
use crate::table::{Row, Unit, median, percentile, seconds};

/// Lines that are timed.
const SAMPLES: usize = 300;

/// Between two lines: 15 ms and up to the longest time between two polls more, so that every moment between two polls has its turn.
const GAP: Duration = Duration::from_millis(15);
const GAP_SPREAD_MICROS: usize = 25_000;

/// A stride through the spread that comes to every part of it.
const GAP_STRIDE_MICROS: usize = 7_919;

/// How long a follower may take before its line counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn rows() -> Vec<Row> {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let history = dir.path().join("history.jsonl");
    append(&history, &line(0));
    let server = Server::start(dir.path(), &[]);
    let tail = TailToSocket::start(&history);
    let frontail = Frontail::start(&history);

    let mut followers = vec![
        Follower::new(open_stream(server.address, STREAM), 3),
        Follower::new(tail.socket.try_clone().expect("a socket can be shared"), 1),
    ];
    followers.extend(frontail.as_ref().map(|frontail| Follower::new(frontail.subscribe(), 1)));
    // The first line finds `tail` and frontail still on their way to the file.
    for number in 1..=SAMPLES {
        let micros = number * GAP_STRIDE_MICROS % GAP_SPREAD_MICROS;
        thread::sleep(GAP + Duration::from_micros(micros as u64));
        let written = Instant::now();
        append(&history, &marked_line(number));
        for follower in &mut followers {
            follower.wait(written);
        }
    }
    let of = |index: usize, what: &dyn Fn(&[f64]) -> f64| {
        followers.get(index).map(|follower| what(&seconds(&follower.times)))
    };
    let row = |name: &str, what: &dyn Fn(&[f64]) -> f64, bound: f64| {
        Row::new(
            format!("append → client, {name}"),
            Unit::Time,
            of(0, what).expect("the first is ours"),
            "300 lines at all moments between two polls, every follower on the same file at once",
        )
        .beside("tail -F to a socket", of(1, what))
        .beside("frontail", of(2, what))
        .at_most(bound)
    };
    vec![row("median", &median, 0.015), row("p99", &|times| percentile(times, 0.99), 0.030)]
}

/// A thread that reads from a socket and says when the next line is there as a whole.
struct Follower {
    arrivals: Receiver<Instant>,
    times: Vec<Duration>,
}

impl Follower {
    fn new(mut socket: TcpStream, marks_a_line: usize) -> Follower {
        let (sender, arrivals) = channel();
        // Ends when the process at the other end does.
        thread::spawn(move || {
            let mut block = vec![0; 64 * 1024];
            let mut marks = 0;
            while let Ok(count @ 1..) = socket.read(&mut block) {
                let now = Instant::now();
                marks += memchr::memchr_iter(MARK, &block[..count]).count();
                while marks >= marks_a_line {
                    marks -= marks_a_line;
                    if sender.send(now).is_err() {
                        return;
                    }
                }
            }
        });
        Follower { arrivals, times: Vec::new() }
    }

    fn wait(&mut self, written: Instant) {
        let arrival = self.arrivals.recv_timeout(PATIENCE).expect("no follower loses a line");
        let time = arrival.checked_duration_since(written);
        self.times.push(time.expect("nothing arrives before it is written"));
    }
}
