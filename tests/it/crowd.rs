//! Many clients at once.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Client, Program, Stream, prompt, wait_until};

/// Opens streams at the same instant. Returns them and how long the slowest waited for its first
/// bytes.
fn open_at_once(address: SocketAddr, count: usize) -> (Vec<Stream>, Duration) {
    let barrier = Arc::new(Barrier::new(count));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                let start = Instant::now();
                let mut stream = Stream::open(address, "", &[]);
                assert_eq!(stream.frame().unwrap().retry, Some(2000));
                (stream, start.elapsed())
            })
        })
        .collect();
    let opened: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let slowest = opened.iter().map(|(_, took)| *took).max().unwrap();
    (opened.into_iter().map(|(stream, _)| stream).collect(), slowest)
}

#[test]
fn streams_that_are_opened_at_the_same_instant_are_all_answered_within_a_second() {
    let program = Program::start_with(&prompt("old"), &[]);
    for count in [6, 60, 300] {
        let slowest = check_all_are_served(&program, count);
        assert!(slowest < Duration::from_secs(1), "one of {count} took {slowest:?}");
    }
}

/// Opens streams at the same instant, has one line reach them all, and returns how long the slowest
/// took to open.
fn check_all_are_served(program: &Program, count: usize) -> Duration {
    let (mut streams, slowest) = open_at_once(program.address, count);
    let line = prompt(&format!("for all {count}"));
    program.append(&line);
    for stream in &mut streams {
        assert_eq!(stream.lines(1), [line.trim_end()]);
    }
    drop(streams);
    wait_until("their places are free again", || program.counter("subscribers") == 0);
    slowest
}

#[test]
fn streams_take_three_quarters_and_pages_still_load() {
    let program = Program::start(&["--max-connections", "8"]);
    let streams: Vec<_> = (0..6).map(|_| program.stream("", &[])).collect();
    let mut page = Client::connect(program.address);
    for target in ["/", "/static/live.js", "/api/claude/live/backlog"] {
        page.ask("GET", target, &[]);
        assert_eq!(page.response(false).status, 200);
    }
    page.ask("GET", "/api/claude/stream", &[]);
    let refused = page.response(false);
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    assert_eq!(refused.headers["retry-after"], "2");
    drop(streams);
    wait_until("a stream has a place again", || {
        let mut client = Client::connect(program.address);
        client.ask("GET", "/api/claude/stream", &[]);
        client.head().status == 200
    });
}

#[test]
fn beyond_the_bound_a_client_is_told_at_once_and_when_to_come_back() {
    let program = Program::start(&["--max-connections", "4"]);
    let mut taken: Vec<_> = (0..4).map(|_| Client::connect(program.address)).collect();
    for client in &mut taken {
        client.ask("GET", "/", &[]);
        assert_eq!(client.response(false).status, 200);
    }
    for _ in 0..100 {
        // It need not even ask.
        let mut client = Client::connect(program.address);
        let refused = client.response(false);
        assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
        assert_eq!(refused.headers["retry-after"], "2");
        assert_eq!(client.rest(), b"");
    }
    taken[0].ask("GET", "/healthz", &[]);
    let counters = taken[0].response(false).json()["counters"].clone();
    assert!(counters["refusedConnections"].as_u64() >= Some(100), "{counters}");
    drop(taken);
    wait_until("there is a place again", || program.get("/").status == 200);
}

#[test]
fn clients_that_are_being_turned_away_take_nobodys_place() {
    let program = Program::start(&["--max-connections", "4"]);
    let taken: Vec<_> = (0..4).map(|_| Client::connect(program.address)).collect();
    let mut refused: Vec<_> = (0..10).map(|_| Client::connect(program.address)).collect();
    for client in &mut refused {
        assert_eq!(client.response(false).status, 503);
    }
    drop(taken);
    let start = Instant::now();
    wait_until("there is a place", || {
        let mut client = Client::connect(program.address);
        client.ask("GET", "/healthz", &["Connection: close"]);
        client.response(false).status == 200
    });
    assert!(start.elapsed() < Duration::from_millis(500), "after {:?}", start.elapsed());
}
