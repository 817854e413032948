//! A fleet over a `redis-server` of the bench's own: publishing, the way to the viewer, and the
//! viewer with many machines. Measured where the feature `fleet` is built in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection};
use tempfile::TempDir;

use crate::lines::line;
use crate::process::{Peer, cpu, has, output_of, own_cpu, peak_bytes, thread_cpu};
use crate::program::{Program, append, command_of, wait_for, wait_until};
use crate::server::{binary, start};
use crate::table::{Row, Unit, share, size, time};

/// Lines of a burst; a stream keeps at least as many entries.
const BURST: usize = 50_000;

/// Of an entry of the burst.
const ENTRY_BYTES: usize = 800;

/// Prompts on their way, one after the other.
const PROMPTS: usize = 100;

const MACHINES: usize = 50;
const SESSIONS: usize = 1_000;
const EVENTS_PER_SECOND: usize = 2_000;
const VIEWER_TIME: Duration = Duration::from_secs(10);

pub(crate) fn rows() -> Vec<Row> {
    if !has("redis-server") {
        eprint!("redis-server is not installed … ");
        return Vec::new();
    }
    let mut rows = publisher_rows();
    rows.push(way_row());
    rows.extend(viewer_rows());
    rows
}

/// An entry of a stream: its id, and its fields, each behind its name.
type Entry = (String, Vec<Vec<u8>>);

/// A server on a free port.
struct Redis {
    dir: TempDir,
    port: u16,
    _server: Peer,
}

impl Redis {
    fn start() -> Redis {
        let dir = tempfile::tempdir().expect("temporary files have a folder");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("ports are free");
        let port = listener.local_addr().expect("a listener has an address").port();
        drop(listener);
        let mut command = Command::new("redis-server");
        command.args(["--save", "", "--port", &port.to_string(), "--dir"]).arg(dir.path());
        let server = Peer::start_on(&mut command, ([127, 0, 0, 1], port).into());
        Redis { dir, port, _server: server }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn connect(&self) -> Connection {
        let client = Client::open(self.url()).expect("the address is valid");
        client.get_connection().expect("redis-server listens")
    }
}

fn entries(redis: &mut Connection, machine: &str) -> usize {
    let key = format!("claude-live:events:{machine}");
    redis::cmd("XLEN").arg(key).query(redis).expect("it is a stream")
}

fn rate(per_second: f64) -> String {
    format!("{:.0}/s", per_second)
}

/// Starts a publisher on a history of one line, and waits until that is published.
fn publisher(redis: &Redis, dir: &Path) -> Program {
    append(&dir.join("history.jsonl"), &line(0));
    let args = ["--no-transcripts", "--publish", &redis.url(), "--machine", "bench"];
    let program = start(dir, &args);
    let mut connection = redis.connect();
    wait_until("the publisher is there", || entries(&mut connection, "bench") == 1);
    program
}

fn publisher_rows() -> Vec<Row> {
    let redis = Redis::start();
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    let program = publisher(&redis, dir.path());
    let mut connection = redis.connect();
    let pid = program.child.id();
    let before = thread_cpu(pid, "publish");
    let burst: String = (1..=BURST).map(line).collect();
    let start = Instant::now();
    append(&program.history(), &burst);
    let wanted = BURST + 1;
    wait_for(Duration::from_secs(60), "all is published", || {
        entries(&mut connection, "bench") >= wanted
    });
    let seconds = start.elapsed().as_secs_f64();
    let spent = (thread_cpu(pid, "publish") - before).as_secs_f64();
    let method = "50,000 lines appended at once, all of them entries in the end";
    let cpu_method = "CPU time of the publishing thread over that of `XADD` of the same bytes by \
                      the `redis` crate, in pipelines of 100";
    vec![
        Row::new("publishing a burst", rate as Unit, BURST as f64 / seconds, method)
            .beside("redis-benchmark XADD, pipelined", benchmark(&redis))
            .at_least(50_000.0),
        Row::new("an event to Redis, CPU", time, spent / BURST as f64, cpu_method)
            .beside("bare XADD", bare_xadd(&redis) / BURST as f64)
            .at_most_above(0.2 / 50_000.0, "bare XADD"),
    ]
}

/// Entries a second of `redis-benchmark`, of about the same size.
fn benchmark(redis: &Redis) -> Option<f64> {
    let (port, data) = (redis.port.to_string(), "x".repeat(ENTRY_BYTES));
    let benchmark = ["-p", &port, "-n", "100000", "-c", "1", "-P", "100", "--csv"];
    let entry = ["XADD", "peer", "*", "data", &data];
    let printed = output_of("redis-benchmark", &[&benchmark[..], &entry].concat());
    printed.lines().last()?.split("\",\"").nth(1)?.parse().ok()
}

/// Returns the CPU time of adding the same entries without anything else, in seconds.
fn bare_xadd(redis: &Redis) -> f64 {
    let mut connection = redis.connect();
    let key = "claude-live:events:bench";
    let entries: Vec<Entry> = redis::cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .query(&mut connection)
        .expect("it is there");
    let before = own_cpu();
    for batch in entries.chunks(100) {
        let mut pipeline = redis::pipe();
        for (id, fields) in batch {
            pipeline.cmd("XADD").arg("bare").arg("MAXLEN").arg("~").arg(100_000).arg(id);
            pipeline.arg(fields).ignore();
        }
        pipeline.exec(&mut connection).expect("redis-server runs");
    }
    (own_cpu() - before).as_secs_f64()
}

fn viewer(redis: &Redis) -> Program {
    let mut command = command_of(binary());
    command.args(["--port", "0", "--from", &redis.url()]);
    Program::spawn(command, &PathBuf::from("/nowhere"))
}

/// From the file of a machine to the stream of the viewer.
fn way_row() -> Row {
    let redis = Redis::start();
    let dir = tempfile::tempdir().expect("temporary files have a folder");
    let program = publisher(&redis, dir.path());
    let viewer = viewer(&redis);
    let mut stream = viewer.stream("?types=history.append", &[]);
    let mut times: Vec<Duration> = (0..PROMPTS)
        .map(|number| {
            // Not in step with the polls.
            thread::sleep(Duration::from_micros(20_000 + 7_300 * (number as u64 % 11)));
            let start = Instant::now();
            append(&program.history(), &line(number + 1));
            stream.event();
            start.elapsed()
        })
        .collect();
    times.sort();
    let method = "one prompt after the other, from the write to the frame; polls every 20 ms";
    Row::new(
        "a machine's file to the viewer's stream, median",
        time,
        seconds(times[PROMPTS / 2]),
        method,
    )
    .beside("XADD to a bare XREAD", bare_way(&redis))
    .at_most(0.030)
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// Returns the median time from an `XADD` to the answer of an `XREAD` that waits.
fn bare_way(redis: &Redis) -> f64 {
    let mut adds = redis.connect();
    let mut reads = redis.connect();
    let (sender, sent) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut last = "0".to_owned();
        let mut times = Vec::new();
        for start in sent {
            let read: Vec<(String, Vec<Entry>)> = redis::cmd("XREAD")
                .arg("BLOCK")
                .arg(5000)
                .arg("STREAMS")
                .arg("way")
                .arg(&last)
                .query(&mut reads)
                .expect("an entry comes");
            let start: Instant = start;
            times.push(start.elapsed());
            last.clone_from(&read[0].1.last().expect("there is one").0);
        }
        times
    });
    for number in 0..PROMPTS {
        thread::sleep(Duration::from_millis(5));
        sender.send(Instant::now()).expect("the reader waits");
        redis::cmd("XADD")
            .arg("way")
            .arg("*")
            .arg("data")
            .arg(line(number))
            .exec(&mut adds)
            .expect("redis-server runs");
    }
    drop(sender);
    let mut times = reader.join().expect("the reader ends");
    times.sort();
    seconds(times[PROMPTS / 2])
}

/// The state of a session as a machine publishes it.
fn session(id: &str, number: usize) -> String {
    let prompt = "run the tests and fix what fails ".repeat(8);
    format!(
        "{{\"sessionId\":\"{id}\",\"title\":\"Session {number}\",\
         \"project\":\"/home/demo/src/alpha\",\
         \"status\":\"working\",\"statusFrom\":\"registry\",\"isLive\":true,\"queued\":0,\
         \"prompt\":\"{prompt}\",\"text\":\"{prompt}\",\"tools\":[],\"agents\":[],\"denied\":0,\
         \"turns\":{number},\"compactions\":0,\"lastAt\":\"2026-11-25T12:00:00.000Z\",\
         \"records\":{number}}}"
    )
}

/// Many machines, whose sessions change all the time.
fn viewer_rows() -> Vec<Row> {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let mut id: u64 = 1_795_000_000_000_000;
    let mut publish = |connection: &mut Connection, from: usize, count: usize| {
        let mut pipeline = redis::pipe();
        for number in from..from + count {
            id += 1;
            let machine = format!("m{}", number % MACHINES);
            let session_id = format!("00000000-0000-4000-8000-{:012}", number % SESSIONS);
            pipeline.cmd("XADD").arg(format!("claude-live:events:{machine}"));
            pipeline.arg("MAXLEN").arg("~").arg(100_000).arg(format!("{id}-0"));
            pipeline.arg("type").arg("session.changed").arg("ts").arg("2026-11-25T12:00:00.000Z");
            pipeline.arg("session").arg(&session_id).arg("before").arg("0-0");
            pipeline.arg("data").arg(session(&session_id, number)).ignore();
        }
        let (seconds, _): (u64, u64) = redis::cmd("TIME").query(connection).expect("it is up");
        for machine in 0..MACHINES {
            pipeline.cmd("HSET").arg("claude-live:machines").arg(format!("m{machine}"));
            pipeline.arg(seconds * 1000).ignore();
        }
        pipeline.exec(connection).expect("redis-server runs");
    };
    publish(&mut connection, 0, SESSIONS);
    let viewer = viewer(&redis);
    let mut stream = viewer.stream("", &[]);
    publish(&mut connection, 0, SESSIONS);
    (0..SESSIONS).for_each(|_| _ = stream.event());
    drop(stream);
    let pid = viewer.child.id();
    let (before, start) = (cpu(pid), Instant::now());
    let mut sent = 0;
    while start.elapsed() < VIEWER_TIME {
        let due = (start.elapsed().as_secs_f64() * EVENTS_PER_SECOND as f64) as usize;
        publish(&mut connection, sent, due - sent);
        sent = due;
        thread::sleep(Duration::from_millis(5));
    }
    let part = seconds(cpu(pid) - before) / seconds(start.elapsed());
    let method =
        "50 machines, 1,000 sessions of 0.9 KB, 2,000 changes a second for 10 s, no client";
    let held = viewer.get("/api/claude/sessions?limit=1000").json();
    assert_eq!(
        held["sessions"].as_array().map(Vec::len),
        Some(SESSIONS),
        "of {}",
        redis.dir.path().display()
    );
    vec![
        Row::new("a viewer of 50 machines", share, part, method).at_most(0.30),
        Row::new("its memory", size, peak_bytes(pid), "`VmHWM`").at_most(60e6),
    ]
}
