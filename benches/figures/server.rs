//! The release binary of claude-live, running on a Claude directory.

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stream's path.
pub(crate) const STREAM: &str = "/api/claude/stream";

/// The path of the backlog as the page asks for it.
pub(crate) const BACKLOG: &str = "/api/claude/live/backlog?limit=200";

pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(claude_dir: &Path, args: &[&str]) -> Server {
        let mut command = Command::new(binary());
        command.args(["--port", "0", "--claude"]).arg(claude_dir).args(args);
        let (process, line) = Process::start_and_hear(&mut command);
        let address = line.trim_end().trim_end_matches('/').rsplit('/').next();
        let address = address.and_then(|address| address.parse().ok());
        Server { process, address: address.expect("the first line is the address") }
    }

    /// The body of an answer.
    pub(crate) fn get(&self, target: &str) -> Vec<u8> {
        get(self.address, target)
    }

    /// A counter of `/healthz`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let health: Value = serde_json::from_slice(&self.get("/healthz")).expect("it is JSON");
        health["counters"][name].as_u64().expect("the counter is there")
    }
}

/// What is measured: `$CLAUDE_LIVE`, which `make bench` sets to what `make dist` built, or what cargo built.
pub(crate) fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_claude-live");
    env::var_os("CLAUDE_LIVE").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// The head of a request; peers ask for the `Accept`.
pub(crate) fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*, text/event-stream\r\n\r\n")
}

/// The body of an answer that has a length, over a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> Vec<u8> {
    let mut socket = connect(address);
    socket.write_all(request(target).as_bytes()).expect("the request fits into the socket");
    let mut answer = Vec::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        let count = socket.read(&mut block).expect("the answer comes in time");
        assert!(count > 0, "the answer to {target} is cut off");
        answer.extend_from_slice(&block[..count]);
        if let Some(body) = whole_body(&answer) {
            return body.to_vec();
        }
    }
}

fn whole_body(answer: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = str::from_utf8(&answer[..end]).expect("a head is text");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let length: usize = length.parse().expect("a length is a number");
    answer[end + b"\r\n\r\n".len()..].get(..length)
}

/// A connection on which reads do not wait for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket.set_nodelay(true).expect("the socket is open");
    socket.set_read_timeout(Some(PATIENCE)).expect("the socket is open");
    socket
}

/// A connection whose answer has begun: what is left to read is a stream.
pub(crate) fn open_stream(address: SocketAddr, target: &str) -> TcpStream {
    let mut socket = connect(address);
    socket.write_all(request(target).as_bytes()).expect("the request fits into the socket");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).expect("the answer comes in time");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    socket
}
