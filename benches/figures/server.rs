//! The release binary of claude-live, and connections to it and to its peers.

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use crate::program::{Client, Program, command_of};

pub(crate) const STREAM: &str = "/api/claude/stream";

/// The backlog as the page requests it.
pub(crate) const BACKLOG: &str = "/api/claude/live/backlog?limit=200";

/// Returns `$CLAUDE_LIVE`, which `make bench` sets to the binary of `make dist`, or cargo's.
pub(crate) fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_claude-live");
    env::var_os("CLAUDE_LIVE").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// Starts the binary on a Claude directory and waits until it listens.
pub(crate) fn start(dir: &Path, args: &[&str]) -> Program {
    let mut command = command_of(binary());
    command.args(["--port", "0", "--claude"]).arg(dir).args(args);
    Program::spawn(command, dir)
}

/// Opens a connection on which a stream is left to read.
pub(crate) fn open_stream(address: SocketAddr, target: &str) -> TcpStream {
    let mut client = Client::connect(address);
    client.ask("GET", target, &["Accept: text/event-stream"]);
    assert_eq!(client.head().status, 200, "{target}");
    client.socket().try_clone().expect("a socket can be shared")
}
