//! `tail -F` with a socket as its output.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::process::Peer;

pub(crate) struct TailToSocket {
    pub(crate) process: Peer,
    pub(crate) socket: TcpStream,
}

impl TailToSocket {
    /// Follows a file from its end.
    pub(crate) fn start(file: &Path) -> TailToSocket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let script = format!("exec tail -n 0 -F \"$0\" >/dev/tcp/127.0.0.1/{port}");
        let process = Peer::start(Command::new("bash").args(["-c", &script]).arg(file));
        let (socket, _) = listener.accept().expect("tail connects");
        TailToSocket { process, socket }
    }
}
