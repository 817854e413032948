//! Clients that read slowly, stop reading, or are gone: what they cost, and that nobody else
//! notices.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::program::{
    PATIENCE, Program, Stream, command_of, prompt, raw_line, wait_for, wait_until,
    wait_until_at_rest,
};
use crate::tools::{has, skip, succeeds};

/// Bytes of a prompt of which a few dozen fill the system's buffers for a connection, whatever they
/// have grown to.
const LARGE_BYTES: usize = 250_000;

/// The program's write timeout.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// So many of them, twice in each event, that the buffers and then the ring are full of what a
/// client has not read.
const LARGE_PROMPTS: usize = 48;

/// What the whole program may take while clients stall; 20 MB is usual.
const MAX_RSS_KIB: u64 = 64 * 1024;

fn rss_kib(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn threads(program: &Program) -> usize {
    fs::read_dir(format!("/proc/{}/task", program.child.id())).unwrap().count()
}

/// A stream whose client does not read, but for its beginning.
fn stalled(program: &Program) -> Stream {
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    stream
}

#[test]
fn clients_that_stop_reading_are_dropped_and_cost_little_and_delay_nobody() {
    const STALLED: usize = 20;
    let program = Program::start_with(&prompt("old"), &[]);
    let mut reader = program.stream("", &[]);
    let threads_before = threads(&program);
    let stalled: Vec<_> = (0..STALLED).map(|_| stalled(&program)).collect();
    wait_until("all are there", || program.counter("subscribers") == STALLED as u64 + 1);
    let mut slowest = Duration::ZERO;
    for number in 0..LARGE_PROMPTS {
        let line = prompt(&format!("{number} {}", "x".repeat(LARGE_BYTES)));
        let start = Instant::now();
        program.append(&line);
        assert_eq!(reader.lines(1), [line.trim_end()]);
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < WRITE_TIME / 2, "one took {slowest:?}");
    let rss = rss_kib(&program);
    assert!(rss < MAX_RSS_KIB, "{rss} KiB");
    // A write that has put something into the buffers ends without an error; the next one does not.
    let patience = 2 * WRITE_TIME + PATIENCE;
    wait_for(patience, "they are dropped", || program.counter("droppedStreams") == STALLED as u64);
    // One is counted as dropped before it leaves.
    wait_until("their places are free", || program.counter("subscribers") == 1);
    wait_until("their threads end", || threads(&program) <= threads_before + 1);
    program.append(&prompt("still there"));
    assert_eq!(reader.lines(1), [prompt("still there").trim_end()]);
    drop(stalled);
}

#[test]
fn a_client_that_pauses_catches_up_from_the_ring() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = stalled(&program);
    let mut other = program.stream("", &[]);
    let lines: Vec<_> =
        (0..14).map(|number| prompt(&format!("{number} {}", "x".repeat(LARGE_BYTES)))).collect();
    for line in &lines {
        program.append(line);
        other.lines(1);
    }
    for line in &lines {
        assert_eq!(stream.lines(1), [line.trim_end()]);
    }
    assert_eq!((program.counter("resyncs"), program.counter("droppedStreams")), (0, 0));
}

#[test]
fn a_client_that_the_ring_has_left_behind_is_told_once_and_is_live_again() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut slow = stalled(&program);
    wait_until_at_rest(&program);
    let large = |number| prompt(&format!("{number} {}", "x".repeat(LARGE_BYTES)));
    program.append(&(0..LARGE_PROMPTS).map(large).collect::<String>());
    wait_until("all are published", || program.counter("eventsPublished") == LARGE_PROMPTS as u64);
    let newest = program.backlog(1)["lastEventId"].as_u64().unwrap();
    let mut last_id = None;
    loop {
        let frame = slow.event();
        let id = frame.id.unwrap();
        if frame.event == "server.notice" {
            assert_eq!(frame.json()["data"]["kind"], "stream.resync");
            assert_eq!(id, newest + 1, "with an id of its own");
            break;
        }
        assert!(last_id.is_none_or(|last_id| id == last_id + 1), "a hole without a word");
        last_id = Some(id);
    }
    program.append(&prompt("live"));
    assert_eq!(slow.lines(1), [prompt("live").trim_end()]);
    assert_eq!(program.counter("resyncs"), 1);
}

#[test]
fn a_client_that_is_gone_is_noticed_when_something_happens() {
    let program = Program::start_with(&prompt("old"), &[]);
    let streams: Vec<_> = (0..20).map(|_| stalled(&program)).collect();
    wait_until("all are there", || program.counter("subscribers") == 20);
    drop(streams);
    program.append(&prompt("news"));
    let start = Instant::now();
    wait_until("all are noticed", || program.counter("subscribers") == 0);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    wait_until("their connections end", || program.counter("connections") == 1);
    assert_eq!(program.counter("droppedStreams"), 0);
}

#[test]
fn a_client_that_is_gone_is_noticed_by_the_next_ping_at_the_latest() {
    let program = Program::start(&[]);
    let streams: Vec<_> = (0..3).map(|_| stalled(&program)).collect();
    // One has said more than a stream has a use for, and one only that it will say no more.
    let mut talker = stalled(&program);
    talker.client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let finished = stalled(&program);
    wait_until("all are there", || program.counter("subscribers") == 5);
    finished.client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    drop(streams);
    wait_until("the ping has come", || program.counter("subscribers") == 1);
    assert!(talker.frame().is_some(), "who is there stays");
}

#[test]
fn what_is_there_together_is_written_together() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = stalled(&program);
    let count = 20;
    let lines: String = (0..count).map(|number| prompt(&number.to_string())).collect();
    assert!(lines.len() < 4096, "within a page of the file, which appears at once");
    // A stream that is still at its beginning could see a part of them.
    wait_until_at_rest(&program);
    program.append(&lines);
    let before = stream.chunks;
    assert_eq!(stream.lines(count).len(), count);
    assert_eq!(stream.chunks - before, 1, "one write for a burst");
}

#[test]
fn a_burst_larger_than_the_ring_arrives_whole() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut streams: Vec<_> = (0..5).map(|_| stalled(&program)).collect();
    wait_until("all are there", || program.counter("subscribers") == 5);
    let text: String = (0..5000).map(|number| prompt(&number.to_string())).collect();
    let threads: Vec<_> = streams
        .drain(..)
        .map(|mut stream| {
            std::thread::spawn(move || {
                for number in 0..5000 {
                    let frame = stream.event();
                    assert_eq!(frame.event, "history.append", "{}", frame.data);
                    let wanted = prompt(&number.to_string());
                    assert_eq!(raw_line(&frame.json()), wanted.trim_end());
                }
                stream.chunks
            })
        })
        .collect();
    program.append(&text);
    for thread in threads {
        let chunks = thread.join().unwrap();
        assert!(chunks < 500, "{chunks} writes for 5000 events");
    }
}

#[test]
fn clients_that_come_and_go_under_load_miss_and_repeat_nothing() {
    const CLIENTS: usize = 60;
    const LINES: usize = 2000;
    // Half of the ring: so far the slowest may be behind.
    const AHEAD: usize = 500;
    let program = Program::start_with(&prompt("start"), &[]);
    let address = program.address;
    let start_id = program.backlog(1)["lastEventId"].as_u64().unwrap();
    let progress: Arc<Vec<AtomicUsize>> =
        Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let progress = Arc::clone(&progress);
            std::thread::spawn(move || {
                let mut last_id = start_id;
                let mut next = 0;
                let end = Instant::now() + 3 * PATIENCE;
                while next < LINES {
                    assert!(Instant::now() < end, "client {client} is at {next}");
                    let header = format!("Last-Event-ID: {last_id}");
                    let mut stream = Stream::open(address, "", &[&header]);
                    // Each stays for another while.
                    for _ in 0..(LINES - next).min(17 + client * 7) {
                        let frame = stream.event();
                        let wanted = prompt(&next.to_string());
                        assert_eq!(frame.event, "history.append", "{next}: {}", frame.data);
                        assert_eq!(raw_line(&frame.json()), wanted.trim_end());
                        assert_eq!(frame.id, Some(last_id + 1));
                        last_id += 1;
                        next += 1;
                    }
                    progress[client].store(next, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in (0..LINES).step_by(10) {
        let lines: String =
            (number..number + 10).map(|number| prompt(&number.to_string())).collect();
        program.append(&lines);
        let slowest = || progress.iter().map(|next| next.load(Ordering::Relaxed)).min().unwrap();
        wait_until("nobody is far behind", || slowest() + AHEAD >= number);
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(program.counter("resyncs"), 0);
}

#[test]
fn clients_that_stall_in_a_huge_frame_do_not_keep_it_in_memory() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stalled_streams = Vec::new();
    let line = "\u{1}".repeat(1 << 20) + "\n";
    for number in 1..=20 {
        stalled_streams.push(stalled(&program));
        program.append(&line);
        wait_until("it is read", || program.counter("lines") == number + 1);
    }
    let rss = rss_kib(&program);
    assert!(rss < MAX_RSS_KIB, "{rss} KiB");
}

/// In a network of its own: a client with a stream is killed while nothing can be sent any more,
/// and the program's descriptors are counted until there is one less.
const VANISH: &str = r#"
ip link set lo up
"$0" --quiet --port 0 --claude "$1" >"$1/said" &
program=$!
trap 'kill $program' EXIT
wait_for() {
    for _ in $(seq 600); do "$@" 2>/dev/null && return; sleep 0.1; done
    exit 1
}
is_listening() { grep -q listening "$1/said"; }
wait_for is_listening "$1"
curl -sN "$(sed 's/listening on //' "$1/said")api/claude/stream" >"$1/stream" &
client=$!
wait_for test -s "$1/stream"
ip link set lo down
kill -9 $client
count() { ls /proc/$program/fd | wc -l; }
before=$(count)
is_less() { test $(count) -lt $before; }
wait_for is_less
echo gone
"#;

#[test]
fn a_client_that_vanishes_from_the_network_is_given_up_within_a_minute() {
    if !has("ip") || !has("curl") {
        return;
    }
    let unshare = || {
        let mut command = command_of("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    };
    if !unshare().arg("true").status().unwrap().success() {
        skip("network namespaces");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = unshare();
    command.args(["sh", "-c", VANISH, env!("CARGO_BIN_EXE_claude-live")]).arg(dir.path());
    assert_eq!(succeeds(&mut command), "gone\n");
}
