//! The cost of events to many streams, beside bare writes of the same bytes and beside nginx with
//! nchan.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crowd::Crowd;
use crate::lines::{MARKS_PER_EVENT, lines, marked_line};
use crate::peers::{Bare, Nchan};
use crate::process::{cpu, resident_bytes};
use crate::program::{Program, append, wait_until};
use crate::server::{BACKLOG, STREAM, start};
use crate::table::{Row, in_turns, size, time};

/// Numbers of clients. Each needs four open files: the two ends of our stream, or of nchan's, and
/// of a bare connection.
const SIZES: [usize; 3] = [100, 400, 1000];

const ROUNDS: usize = 5;

/// The name of a mode, events that are published together, and how often in a round.
const MODES: [(&str, usize, usize); 2] = [("a lone event", 1, 20), ("a burst of 200", 200, 1)];

pub(crate) fn rows() -> Vec<Row> {
    SIZES.into_iter().flat_map(rows_of).collect()
}

fn rows_of(clients: usize) -> Vec<Row> {
    let mut ours = Ours::start(clients);
    let mut bare = Bare::connect(clients);
    let mut nchan = Nchan::start(clients);
    let frame = ours.frame();
    let payload = payload(&frame);
    let mut rows = Vec::new();
    for (mode, batch, times) in MODES {
        let a_delivery_and_event = |publish: &mut dyn FnMut() -> Duration| {
            let start = Instant::now();
            let cpu = publish().as_secs_f64();
            let events = (batch * times) as f64;
            [cpu / events / clients as f64, start.elapsed().as_secs_f64() / events]
        };
        let [ours, bare, theirs] = in_turns(
            ROUNDS,
            [
                &mut || a_delivery_and_event(&mut || ours.publish(batch, times)),
                &mut || a_delivery_and_event(&mut || bare.publish(&frame, batch, times)),
                &mut || match &mut nchan {
                    Some(nchan) => {
                        a_delivery_and_event(&mut || nchan.publish(payload, batch, times))
                    }
                    None => [0.0; 2],
                },
            ],
        );
        let row = |figure: &str, at: usize, method| {
            Row::new(format!("{mode} to {clients}: {figure}"), time, ours[at], method)
                .beside("bare writes", bare[at])
                .beside("nchan", nchan.is_some().then_some(theirs[at]))
        };
        let cpu = row("CPU a delivery", 0, "CPU time of the process, `--poll 1`, over deliveries");
        let wall =
            row("time an event", 1, "append (POST, first write) to the last client's last byte");
        rows.extend(match batch {
            1 => [cpu.at_most_times(4.0, "bare writes"), wall],
            _ => [cpu.at_most_times(0.2, "nchan"), wall.at_most_times(0.2, "nchan")],
        });
    }
    let a_stream = |bytes: f64| bytes / clients as f64;
    let method = "growth of resident memory from no stream to all, after the events above";
    let nchan = nchan.map(|nchan| a_stream(nchan.grown_bytes()));
    let row = Row::new(
        format!("memory a stream, {clients} open"),
        size,
        a_stream(ours.grown_bytes()),
        method,
    );
    rows.push(row.beside("nchan", nchan).at_most(24_000.0));
    rows
}

/// claude-live and its clients.
struct Ours {
    program: Program,
    crowd: Crowd,
    history: PathBuf,
    alone_bytes: f64,
    published: usize,
    _dir: TempDir,
}

impl Ours {
    fn start(clients: usize) -> Ours {
        let dir = tempfile::tempdir().expect("temporary files have a folder");
        let history = dir.path().join("history.jsonl");
        fs::write(&history, lines(3000)).expect("the folder is ours");
        let program = start(dir.path(), &["--poll", "1", "--max-connections", "2000"]);
        // Fills the rings, so that what grows later is the memory of the streams.
        append(&history, &(0..2000).map(marked_line).collect::<String>());
        wait_until("the lines are read", || program.counter("lines") >= 3000);
        program.get(BACKLOG);
        // The memory of a burst is released with the next poll.
        thread::sleep(Duration::from_millis(500));
        let alone_bytes = resident_bytes(program.child.id());
        let crowd = Crowd::connect(program.address, STREAM, clients);
        Ours { program, crowd, history, alone_bytes, published: 0, _dir: dir }
    }

    /// Returns the bytes of an event on the connection, as one chunk.
    fn frame(&mut self) -> Vec<u8> {
        self.publish(1, 1);
        let backlog = self.program.get("/api/claude/live/backlog?limit=1").body;
        let start = memchr::memmem::find(&backlog, b"[{").expect("it has an event") + 1;
        let event = &backlog[start..backlog.len() - b"]}".len()];
        let id = &event[br#"{"id":"#.len()..][..16];
        let frame = [b"event: history.append\nid: ", id, b"\ndata: ", event, b"\n\n"].concat();
        [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n"].concat()
    }

    /// Appends a batch of lines with one write, again when it has arrived, and returns the CPU time
    /// of the process.
    fn publish(&mut self, batch: usize, times: usize) -> Duration {
        let before = cpu(self.program.child.id());
        for _ in 0..times {
            let lines: String = (self.published..self.published + batch).map(marked_line).collect();
            append(&self.history, &lines);
            self.crowd.wait_for(MARKS_PER_EVENT * batch);
            self.published += batch;
        }
        cpu(self.program.child.id()) - before
    }

    fn grown_bytes(&self) -> f64 {
        resident_bytes(self.program.child.id()) - self.alone_bytes
    }
}

/// Returns the JSON in a frame.
fn payload(frame: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(frame, b"data: ").expect("a frame has data") + b"data: ".len();
    &frame[start..frame.len() - b"\n\n\r\n".len()]
}
