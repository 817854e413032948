//! The time from the append of a line to its arrival at a client, with every follower on the same
//! file.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::lines::{MARK, MARKS_PER_EVENT, line, marked_line};
use crate::peers::{Frontail, TailToSocket};
use crate::program::{PATIENCE, append};
use crate::server::{STREAM, open_stream, start};
use crate::table::{Row, median, percentile, time};

const SAMPLES: usize = 300;

/// The shortest pause between two lines. They become up to a poll longer, in steps that come to
/// every moment between polls.
const PAUSE: Duration = Duration::from_millis(15);
const POLL_MICROS: usize = 25_000;
const STEP_MICROS: usize = 7_919;

pub(crate) fn rows() -> Vec<Row> {
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    let history = dir.path().join("history.jsonl");
    append(&history, &line(0));
    let program = start(dir.path(), &[]);
    let tail = TailToSocket::start(&history);
    let frontail = Frontail::start(&history);
    let mut followers = vec![
        Follower::new(open_stream(program.address, STREAM), MARKS_PER_EVENT),
        Follower::new(tail.socket.try_clone().expect("a socket can be shared"), 1),
    ];
    followers.extend(frontail.as_ref().map(|frontail| Follower::new(frontail.subscribe(), 1)));
    sample(&mut followers, |number| append(&history, &marked_line(number)));
    let row = |name: &str, of: &dyn Fn(&[f64]) -> f64| {
        let method = "300 lines at all moments between two polls, all followers on the same file";
        Row::new(format!("append → client, {name}"), time, of(&followers[0].times), method)
            .beside("tail -F to a socket", of(&followers[1].times))
            .beside("frontail", followers.get(2).map(|frontail| of(&frontail.times)))
    };
    let p99 = |times: &[f64]| percentile(times, 0.99);
    vec![row("median", &median).at_most(0.015), row("p99", &p99).at_most(0.030)]
}

/// Appends lines at all moments between two polls, each when the one before has arrived everywhere.
pub(crate) fn sample(followers: &mut [Follower], append: impl Fn(usize)) {
    for number in 1..=SAMPLES {
        let micros = number * STEP_MICROS % POLL_MICROS;
        thread::sleep(PAUSE + Duration::from_micros(micros as u64));
        let start = Instant::now();
        append(number);
        for follower in followers.iter_mut() {
            follower.wait(start);
        }
    }
}

/// A thread that reads a socket and reports when a line has arrived whole.
pub(crate) struct Follower {
    arrivals: Receiver<Instant>,
    pub(crate) times: Vec<f64>,
}

impl Follower {
    pub(crate) fn new(mut socket: TcpStream, marks_per_line: usize) -> Follower {
        let (sender, arrivals) = channel();
        // Ends with the process at the other end.
        thread::spawn(move || {
            let (mut buffer, mut marks) = (vec![0; 64 * 1024], 0);
            while let Ok(count @ 1..) = socket.read(&mut buffer) {
                marks += memchr::memchr_iter(MARK, &buffer[..count]).count();
                while marks >= marks_per_line {
                    marks -= marks_per_line;
                    if sender.send(Instant::now()).is_err() {
                        return;
                    }
                }
            }
        });
        Follower { arrivals, times: Vec::new() }
    }

    fn wait(&mut self, start: Instant) {
        let arrival = self.arrivals.recv_timeout(PATIENCE).expect("no follower loses a line");
        self.times.push((arrival - start).as_secs_f64());
    }
}
