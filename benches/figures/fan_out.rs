//! What an event to many streams costs, beside bare writes of the same bytes and beside nginx with nchan.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crowd::Crowd;
use crate::lines::{MARK, append, line, lines, marked_line};
use crate::machine::max_open_files;
use crate::peers::{Bare, Nchan};
use crate::server::{BACKLOG, STREAM, Server};
use crate::table::{Row, Unit, median, seconds};

/// Clients that listen.
const SIZES: [usize; 4] = [1, 100, 400, 1000];

/// Times that each way of delivery is measured, in turns.
const ROUNDS: usize = 5;

/// Events that are published in a round, each when the one before has arrived everywhere.
const SINGLES: usize = 20;

/// Events that are published at once.
const BURST: usize = 200;

/// Open files of the bench beside those of the clients: three for each client, two of them for the bare writes.
const SPARE_FILES: usize = 100;

pub(crate) fn rows() -> Vec<Row> {
    let (fitting, rest): (Vec<_>, Vec<_>) =
        SIZES.into_iter().partition(|size| size * 4 + SPARE_FILES <= max_open_files());
    for size in rest {
        eprint!("(no fan-out to {size}: too few open files are allowed, see `ulimit -n`) ");
    }
    fitting.into_iter().flat_map(measure).collect()
}

/// CPU time and wall time of one delivery after the other.
#[derive(Default)]
struct Costs {
    cpu: Vec<Duration>,
    wall: Vec<Duration>,
}

fn measure(clients: usize) -> Vec<Row> {
    let mut ours = Ours::start(clients);
    let (bare, mut bare_crowd) = Bare::connect(clients);
    let mut nchan = Nchan::start().map(|nchan| Listened::to(nchan, clients));
    let frame = ours.frame();
    let payload = payload(&frame);
    let mut rows = Vec::new();
    for (name, batch, times) in [("one at a time", 1, SINGLES), ("a burst of 200", BURST, 1)] {
        let [mut our_costs, mut bare_costs, mut nchan_costs] = <[Costs; 3]>::default();
        for _ in 0..ROUNDS {
            our_costs.add(times * batch, || ours.publish(batch, times));
            bare_costs.add(times * batch, || {
                (0..times).map(|_| bare.publish(&frame, batch, &mut bare_crowd)).sum()
            });
            if let Some(nchan) = &mut nchan {
                nchan_costs.add(times * batch, || nchan.publish(payload, batch, times));
            }
        }
        rows.extend(cost_rows(
            clients,
            name,
            &our_costs,
            &bare_costs,
            nchan.is_some().then_some(&nchan_costs),
        ));
    }
    // A few pages more or less would be all that one stream shows.
    if clients > 1 {
        rows.push(memory_row(clients, &ours, nchan.as_ref()));
    }
    rows
}

impl Costs {
    /// Measures what publishes so many events and returns its CPU time.
    fn add(&mut self, events: usize, publish: impl FnOnce() -> Duration) {
        let start = Instant::now();
        let cpu = publish();
        self.wall.push(start.elapsed() / events as u32);
        self.cpu.push(cpu / events as u32);
    }
}

fn cost_rows(
    clients: usize,
    name: &str,
    ours: &Costs,
    bare: &Costs,
    nchan: Option<&Costs>,
) -> [Row; 2] {
    let a_delivery = |costs: &Costs| median(&seconds(&costs.cpu)) / clients as f64;
    let an_event = |costs: &Costs| median(&seconds(&costs.wall));
    let cpu = Row::new(
        format!("fan-out to {clients}, {name}: CPU a delivery"),
        Unit::Time,
        a_delivery(ours),
        "CPU time of the whole process, `--poll 1`, over deliveries; bare: the writing thread's",
    );
    let wall = Row::new(
        format!("fan-out to {clients}, {name}: wall an event"),
        Unit::Time,
        an_event(ours),
        "from the append (POST, first write) to the last byte at the last client, over events",
    );
    let beside = |row: Row, of: &dyn Fn(&Costs) -> f64| {
        row.beside("bare writes", Some(of(bare))).beside("nchan", nchan.map(of))
    };
    let cpu = beside(cpu, &a_delivery);
    let wall = beside(wall, &an_event);
    // One client alone pays for the poll and the parsing, and is no fan-out.
    if clients == 1 {
        return [cpu, wall];
    }
    [
        cpu.at_most_times(3.0, "bare writes").at_most_times(0.5, "nchan"),
        wall.at_most_times(0.5, "nchan"),
    ]
}

fn memory_row(clients: usize, ours: &Ours, nchan: Option<&Listened>) -> Row {
    let a_client = |bytes: f64| bytes / clients as f64;
    let row = Row::new(
        format!("memory a stream, {clients} open"),
        Unit::Bytes,
        a_client(ours.server.process.resident_bytes() - ours.alone_bytes),
        "growth of resident memory from no stream to all at rest after the events above, over streams",
    );
    let row = row.beside("nchan", nchan.map(|nchan| a_client(nchan.grown_bytes())));
    row.at_most(24_000.0)
}

/// claude-live and its clients.
struct Ours {
    server: Server,
    crowd: Crowd,
    history: PathBuf,
    alone_bytes: f64,
    published: usize,
    _dir: TempDir,
}

impl Ours {
    fn start(clients: usize) -> Ours {
        let dir = tempfile::tempdir().expect("there is a folder for temporary files");
        let history = dir.path().join("history.jsonl");
        // The rings are full, so that what is measured later is the streams' memory and not the rings'.
        let marked: String = (0..1000).map(line).chain((0..2000).map(marked_line)).collect();
        append(&history, &marked);
        let server = Server::start(dir.path(), &["--poll", "1", "--max-connections", "2000"]);
        append(&history, &lines(2000));
        let seen = || server.counter("lines") >= 3000;
        crate::process::wait_until("the lines are read", seen);
        server.get(BACKLOG);
        // What a burst has taken is given back with the next poll.
        thread::sleep(Duration::from_millis(500));
        let alone_bytes = server.process.resident_bytes();
        let crowd = Crowd::connect(server.address, STREAM, clients);
        Ours { server, crowd, history, alone_bytes, published: 0, _dir: dir }
    }

    /// The bytes of an event as they come over the connection, chunk and all.
    fn frame(&mut self) -> Vec<u8> {
        append(&self.history, &marked_line(0));
        self.crowd.wait_for(MARKS);
        let mut backlog = self.server.get("/api/claude/live/backlog?limit=1");
        backlog.drain(..memchr::memmem::find(&backlog, b"[{").expect("it has events") + 1);
        backlog.truncate(backlog.len() - b"]}".len());
        let id = &backlog[br#"{"id":"#.len()..][..16];
        let frame = [b"event: history.append\nid: ", id, b"\ndata: ", &backlog, b"\n\n"].concat();
        let size = format!("{:x}\r\n", frame.len());
        [size.as_bytes(), &frame, b"\r\n"].concat()
    }

    /// Appends so many lines with one write, so many times, each when the ones before have arrived; returns the CPU time.
    fn publish(&mut self, batch: usize, times: usize) -> Duration {
        let start = self.server.process.cpu();
        for _ in 0..times {
            let lines: String = (self.published..self.published + batch).map(marked_line).collect();
            append(&self.history, &lines);
            self.crowd.wait_for(MARKS * batch);
            self.published += batch;
        }
        self.server.process.cpu() - start
    }
}

/// A marked line's marks in its event: in `summary`, `rawLine` and `json`.
const MARKS: usize = 3;

/// The JSON in a frame.
fn payload(frame: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(frame, b"data: ").expect("a frame has data") + b"data: ".len();
    &frame[start..frame.len() - b"\n\n\r\n".len()]
}

/// nchan and its clients.
struct Listened {
    nchan: Nchan,
    crowd: Crowd,
    alone_bytes: f64,
}

impl Listened {
    fn to(mut nchan: Nchan, clients: usize) -> Listened {
        // The channel's buffer is full, as our rings are.
        for _ in 0..5 {
            nchan.publish(&vec![b' '; 1000], 200);
            nchan.read_answers(200);
        }
        let alone_bytes = nchan.process.resident_bytes();
        let crowd = Crowd::connect(nchan.address, "/sub", clients);
        Listened { nchan, crowd, alone_bytes }
    }

    fn publish(&mut self, message: &[u8], batch: usize, times: usize) -> Duration {
        let marks = memchr::memchr_iter(MARK, message).count();
        let start = self.nchan.process.cpu();
        for _ in 0..times {
            self.nchan.publish(message, batch);
            self.crowd.wait_for(marks * batch);
            self.nchan.read_answers(batch);
        }
        self.nchan.process.cpu() - start
    }

    fn grown_bytes(&self) -> f64 {
        self.nchan.process.resident_bytes() - self.alone_bytes
    }
}
