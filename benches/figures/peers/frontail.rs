//! frontail, the best known way from a file to a browser: Node.js, `tail` and socket.io.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::free_port;
use crate::lines::target_dir;
use crate::process::{Process, wait_until};
use crate::server::{connect, open_stream};

pub(crate) struct Frontail {
    pub(crate) process: Process,
    port: u16,
    /// Where it may keep what it wants to remember.
    _home: TempDir,
}

impl Frontail {
    pub(crate) fn start(file: &Path) -> Option<Frontail> {
        let program = program().is_file().then(program)?;
        let (home, port) = (tempfile::tempdir().ok()?, free_port());
        let mut command = Command::new("node");
        command.arg(program).args([
            "--disable-usage-stats",
            "--host",
            "127.0.0.1",
            "--number",
            "0",
        ]);
        command.args(["--port", &port.to_string()]).arg(file).env("HOME", home.path());
        let process = Process::start(&mut command);
        process.wait_for_port(port);
        Some(Frontail { process, port, _home: home })
    }

    /// A WebSocket on which the file's lines arrive.
    pub(crate) fn subscribe(&self) -> TcpStream {
        let mut socket = connect(([127, 0, 0, 1], self.port).into());
        let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13";
        let upgrade = format!(
            "GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"
        );
        socket.write_all(upgrade.as_bytes()).expect("the request fits into the socket");
        let namespace = self.namespace();
        socket.write_all(&frame(&format!("40/{namespace},"))).expect("frontail reads");
        // The first that a member of the namespace gets are the options.
        read_until(&mut socket, b"options:no-indent");
        socket
    }

    /// The name under which the page asks for the file.
    fn namespace(&self) -> String {
        let mut page = String::new();
        let mut socket = open_stream(([127, 0, 0, 1], self.port).into(), "/");
        wait_until("frontail's page names its namespace", || {
            let mut block = [0; 4096];
            let count = socket.read(&mut block).expect("the page comes in time");
            page.push_str(&String::from_utf8_lossy(&block[..count]));
            page.contains("path: '")
        });
        let (_, rest) = page.split_once("io.connect('/").expect("the page connects");
        rest.split('\'').next().expect("a split has a first part").to_owned()
    }
}

fn program() -> PathBuf {
    target_dir().join("node_modules/frontail/bin/frontail")
}

/// A text frame of a client; the mask of zeros leaves the text as it is.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("the text is short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

fn read_until(socket: &mut TcpStream, wanted: &[u8]) {
    let mut seen = Vec::new();
    let mut block = [0; 4096];
    while memchr::memmem::find(&seen, wanted).is_none() {
        let count = socket.read(&mut block).expect("frontail answers in time");
        assert!(count > 0, "frontail closed the connection");
        seen.extend_from_slice(&block[..count]);
    }
}
