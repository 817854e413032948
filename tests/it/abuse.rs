//! Clients that misbehave: they send too much, too slowly, nothing, or malformed requests.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::process::peak_memory_kb;
use crate::program::{Client, Program, Response, prompt, wait_until};

/// The bytes of an endless head, unless the server stops it.
const ENDLESS_BYTES: usize = 64 << 20;

/// The memory that an attack may cost.
const MAX_EXTRA_KB: u64 = 5 * 1024;

/// The memory that a hundred clients that do not read may cost; without sharing it would be 8 MB
/// each.
const MAX_STALLED_KB: u64 = 20 * 1024;

/// Sends an endless head and returns the answer.
fn flood(program: &Program, start: &str, block: &str) -> Response {
    let mut client = Client::connect(program.address);
    let mut writer = client.socket().try_clone().unwrap();
    let (start, block) = (start.to_owned(), block.repeat(64 * 1024 / block.len()));
    let flood = std::thread::spawn(move || {
        let mut sent_bytes = 0;
        let mut result = writer.write_all(start.as_bytes());
        while result.is_ok() && sent_bytes < ENDLESS_BYTES {
            result = writer.write_all(block.as_bytes());
            sent_bytes += block.len();
        }
        sent_bytes
    });
    let response = client.response(false);
    assert!(flood.join().unwrap() < ENDLESS_BYTES, "the server reads on without end");
    response
}

#[test]
fn endless_heads_are_refused_and_cost_no_memory() {
    let program = Program::start(&[]);
    program.get("/");
    let before = peak_memory_kb(program.child.id());
    for _ in 0..5 {
        for (start, block, status) in [
            ("GET / HTTP/1.1\r\nX: ", "x", 431),
            ("GET / HTTP/1.1\r\n", "x: y\r\n", 431),
            ("GET /", "x", 414),
            ("", "x", 414),
            ("", "\0", 400),
        ] {
            let response = flood(&program, start, block);
            assert_eq!(response.status, status, "{start}{block}");
            assert_eq!(response.headers["connection"], "close");
            assert!(!response.code().is_empty());
        }
    }
    let extra = peak_memory_kb(program.child.id()) - before;
    assert!(extra < MAX_EXTRA_KB, "{extra} KB more than before");
    assert_eq!(program.get("/").status, 200);
}

#[test]
fn clients_that_do_not_read_their_answers_cost_no_memory_and_are_disconnected() {
    let line = |number: usize| prompt(&format!("{number} {}", "x".repeat(6000)));
    let history: String = (0..1000).map(line).collect();
    let program = Program::start_with(&history, &[]);
    program.get("/");
    let before = peak_memory_kb(program.child.id());
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(program.address)).collect();
    for client in &mut clients {
        client.ask("GET", "/api/claude/live/backlog?limit=1000", &[]);
    }
    wait_until("all are being answered", || program.counter("connections") == 101);
    // The time depends on the system's buffers; an answer has 60 s at most.
    let start = Instant::now();
    while program.counter("connections") > 1 {
        assert!(start.elapsed() < Duration::from_secs(70), "they stay connected");
        std::thread::sleep(Duration::from_millis(500));
    }
    let extra = peak_memory_kb(program.child.id()) - before;
    assert!(extra < MAX_STALLED_KB, "{extra} KB more than before");
}

#[test]
fn large_heads_are_refused_with_the_right_status() {
    let program = Program::start(&[]);
    let check = |request: String, status: u16| {
        let mut client = Client::connect(program.address);
        client.send(request);
        assert_eq!(client.response(false).status, status);
        assert_eq!(client.rest(), b"");
    };
    let start = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    check(format!("{start}{}\r\n", "a: b\r\n".repeat(2000)), 431);
    check(format!("{start}{}\r\n", "a: b\r\n".repeat(101)), 431);
    check(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(40_000)), 414);
    check(format!("{start}X: {}\r\n\r\n", "x".repeat(16 * 1024)), 431);
    let mut client = Client::connect(program.address);
    client.send(format!("{start}Cookie: {}\r\n\r\n", "é=ü; ".repeat(2000)));
    assert_eq!(
        client.response(false).status,
        200,
        "cookies of other programs may contain any bytes"
    );
}

#[test]
fn a_malformed_request_gets_its_status_as_json_and_a_closed_connection() {
    let program = Program::start(&[]);
    let host = "Host: localhost\r\n";
    // It would be answered if the rest of a refused request or its body were read as the next one.
    let next = format!("GET /healthz HTTP/1.1\r\n{host}\r\n");
    let with = |headers: &str| format!("GET / HTTP/1.1\r\n{host}{headers}\r\n");
    let with_body = |method: &str| {
        format!("{method} / HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n", next.len())
    };
    for (request, status) in [
        ("GET /\r\n\r\n".to_owned(), 400),
        ("GET\r\n\r\n".to_owned(), 400),
        (format!("GET / \r\n{host}\r\n"), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (format!("GET / HTTP/3.0\r\n{host}\r\n"), 505),
        (format!("GET / http/1.1\r\n{host}\r\n"), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), 400),
        ("GET /\0 HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET /é HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1\n{host}\n"), 400),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("G(T / HTTP/1.1\r\n{host}\r\n"), 400),
        (with("no colon\r\n"), 400),
        (with("a : b\r\n"), 400),
        (with("a: b\r\n folded\r\n"), 400),
        (with("a: b\0c\r\n"), 400),
        (with("a: b\rc: d\r\n"), 400),
        (with("a: b\nc: d\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (with("Host: localhost\r\n"), 400),
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (with("Content-Length: +5\r\n"), 400),
        (with_body("GET"), 413),
        (with_body("POST"), 405),
        (with_body("PUT"), 405),
        (with_body("BREW"), 405),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), 405),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\n"), 413),
        (with("Expect: 100-continue\r\nContent-Length: 9\r\n"), 413),
    ] {
        let mut client = Client::connect(program.address);
        client.send(format!("{request}{next}"));
        let response = client.response(false);
        assert_eq!(response.status, status, "{request:?}: {}", response.text());
        assert_eq!(response.headers["content-type"], "application/json");
        assert_eq!(response.headers["connection"], "close");
        let allow = response.headers.get("allow").map(String::as_str);
        assert_eq!(allow, (status == 405).then_some("GET, HEAD"), "{request:?}");
        assert!(!response.code().is_empty());
        assert_eq!(client.rest(), b"", "{request:?}");
    }
    assert_eq!(program.get("/healthz").status, 200);
    assert_eq!(program.kill().matches("panicked").count(), 0);
}

#[test]
fn a_hundred_heads_that_drip_end_with_408_after_10_s_in_all() {
    let program = Program::start(&[]);
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(program.address)).collect();
    let start = Instant::now();
    let head = b"GET / HTTP/1.1\r\nHost: localhost\r\n";
    for (second, byte) in head.iter().enumerate().take(10) {
        let due = Duration::from_secs(second as u64);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        for client in &mut clients {
            client.send([*byte]);
        }
    }
    for client in &mut clients {
        let response = client.response(false);
        let took = start.elapsed();
        assert_eq!((response.status, response.code().as_str()), (408, "request_timeout"));
        assert!((9..13).contains(&took.as_secs()), "after {took:?}");
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(program.get("/").status, 200);
}

#[test]
fn a_connection_without_a_request_is_closed_after_30_s() {
    let program = Program::start(&[]);
    let start = Instant::now();
    let patient = || {
        let client = Client::connect(program.address);
        client.socket().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    };
    let (silent, mut kept, mut empty) = (patient(), patient(), patient());
    kept.ask("GET", "/healthz", &[]);
    assert_eq!(kept.response(false).status, 200);
    empty.send("\r\n");
    std::thread::sleep(Duration::from_secs(15));
    empty.send("\r\n");
    for mut client in [silent, kept, empty] {
        assert_eq!(client.rest(), b"", "closed without an answer");
        let took = start.elapsed();
        assert!((29..40).contains(&took.as_secs()), "after {took:?}");
    }
    wait_until("only the asking connection is left", || program.counter("connections") == 1);
}

#[test]
fn clients_that_disconnect_early_free_their_places() {
    let program = Program::start(&[]);
    for request in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        for _ in 0..50 {
            let mut client = Client::connect(program.address);
            client.send(request);
        }
    }
    for _ in 0..50 {
        drop(program.stream("", &[]));
    }
    wait_until("only the asking connection is left", || program.counter("connections") == 1);
    wait_until("no stream is left", || program.counter("subscribers") == 0);
}

#[test]
fn a_connection_goes_on_after_an_error_in_a_single_request() {
    let program = Program::start(&[]);
    let mut client = Client::connect(program.address);
    for (target, status) in [
        ("/nothing", 404),
        ("/api/claude/live/backlog?limit=x", 400),
        ("/api/claude/stream?since=x", 400),
        ("/healthz", 200),
    ] {
        client.ask("GET", target, &[]);
        assert_eq!(client.response(false).status, status);
    }
    client.ask("POST", "/", &[]);
    assert_eq!(client.response(false).status, 405);
    client.ask("GET", "http://localhost?x", &[]);
    assert_eq!(client.response(false).status, 200);
}
