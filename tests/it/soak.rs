//! Abuse and normal use mixed for a while: afterwards the program holds what it held before.
//!
//! `CLAUDE_LIVE_SOAK_SECONDS` sets how long, 30 by default.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Held, held, processor_time};
use crate::program::{Program, prompt, wait_until};

/// How much more memory may be held at the end than after the first tenth: what allocators keep for
/// later.
const MAX_EXTRA_KB: u64 = 8 * 1024;

/// Clients of each kind at a time.
const CLIENTS: usize = 4;

/// What a client of each kind sends, and how many bytes of the answer it reads before it goes.
const KINDS: [(&[u8], usize); 12] = [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", usize::MAX),
    (b"GET /api/claude/live/backlog?limit=1000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", usize::MAX),
    (b"GET /api/claude/live/backlog?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n", usize::MAX),
    (b"GET /api/claude/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", 2_000),
    (b"GET /api/claude/stream?since=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 300),
    (b"GET /api/claude/stream HTTP/1.0\r\n\r\n", 1),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", usize::MAX),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", usize::MAX),
    (b"GET / HTTP/1.1\r\nHo", 0),
    (b"", 0),
    (&[b'x'; 100_000], usize::MAX),
];

/// One client's visit; whatever happens to it is part of the mix.
fn visit(address: SocketAddr, request: &[u8], read_bytes: usize) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(request)?;
    let (mut block, mut count_bytes) = ([0; 4096], 0);
    while count_bytes < read_bytes {
        match socket.read(&mut block)? {
            0 => break,
            count => count_bytes += count,
        }
    }
    Ok(())
}

/// How long is asked for, else `usual`.
pub(crate) fn duration(usual: Duration) -> Duration {
    let asked = std::env::var("CLAUDE_LIVE_SOAK_SECONDS").ok();
    asked.map_or(usual, |seconds| Duration::from_secs(seconds.parse().unwrap()))
}

/// Runs the mix and returns how many visits there were.
fn run_mix(program: &Program, time: Duration) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let visits = Arc::new(AtomicU64::new(0));
    let address = program.address;
    let clients: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| [kind; CLIENTS])
        .map(|(request, read_bytes)| {
            let (stop, visits) = (Arc::clone(&stop), Arc::clone(&visits));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A refused or reset client is one of the many.
                    let _ = visit(address, request, *read_bytes);
                    visits.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            })
        })
        .collect();
    write_history(program, Instant::now() + time);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    visits.load(Ordering::Relaxed)
}

/// Appends 100 lines a second, and now and then cuts, replaces and removes the file.
fn write_history(program: &Program, end: Instant) {
    for number in 0_u64.. {
        if Instant::now() >= end {
            // The file may be removed just now.
            return program.append(&prompt("the last"));
        }
        let line = prompt(&format!("{number} {}", "words ".repeat(50)));
        match number % 500 {
            100 => fs::write(program.history(), &line).unwrap(),
            200 => {
                let other = program.dir().join("other");
                fs::write(&other, &line).unwrap();
                fs::rename(other, program.history()).unwrap();
            }
            300 => fs::remove_file(program.history()).unwrap(),
            _ => program.append(&line),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What the program holds when the last client is gone.
fn at_rest(program: &Program) -> Held {
    let pid = program.child.id();
    wait_until("the last client is gone", || {
        let held = held(pid);
        held.threads == 5 && program.counter("connections") == 1
    });
    // The connection that asked is gone too, and former files of the history are let go after 5 s.
    let start = Instant::now();
    let mut least = held(pid);
    while start.elapsed() < Duration::from_secs(7) {
        thread::sleep(Duration::from_millis(50));
        let now = held(pid);
        // A thread goes a moment after its socket.
        if now.threads + now.descriptors < least.threads + least.descriptors {
            least = now;
        }
    }
    least
}

#[test]
fn after_abuse_and_use_it_holds_what_it_held_before() {
    let program = Program::start_with(&prompt("old"), &[]);
    let pid = program.child.id();
    let time = duration(Duration::from_secs(30));
    let mut visits = run_mix(&program, time / 10);
    let before = at_rest(&program);
    let start = Instant::now();
    visits += run_mix(&program, time * 9 / 10);
    let (took, used) = (start.elapsed(), processor_time(pid));
    let after = at_rest(&program);
    eprintln!(
        "{visits} visits in {took:?}, {used:?} of processor time; {before:?} before, {after:?} after"
    );
    assert_eq!((after.threads, after.descriptors), (before.threads, before.descriptors));
    assert!(after.memory_kb < before.memory_kb + MAX_EXTRA_KB, "{before:?} {after:?}");
    assert!(visits > 100 * time.as_secs(), "{visits} visits");
    assert_eq!(program.get("/").status, 200);
    assert_eq!(program.kill().matches("panicked").count(), 0);
}
