//! frontail, the best known way from a file to a browser: Node.js, `tail` and socket.io.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::free_port;
use crate::lines::kept_dir;
use crate::process::Peer;
use crate::program::Client;

pub(crate) struct Frontail {
    pub(crate) process: Peer,
    address: SocketAddr,
    /// Takes the settings that it stores.
    _home: TempDir,
}

impl Frontail {
    pub(crate) fn start(file: &Path) -> Option<Frontail> {
        let program = kept_dir().join("node_modules/frontail/bin/frontail");
        if !program.is_file() {
            return None;
        }
        let home = tempfile::tempdir().ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("node");
        command.arg(program).args(["--disable-usage-stats", "--host=127.0.0.1", "--number=0"]);
        command.args(["--port", &address.port().to_string()]).arg(file).env("HOME", home.path());
        let process = Peer::start_on(&mut command, address);
        Some(Frontail { process, address, _home: home })
    }

    /// Opens a WebSocket that receives the file's lines.
    pub(crate) fn subscribe(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).expect("frontail listens");
        let request = "GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: h\r\n\
            Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("frontail reads");
        let join = format!("40/{},", self.namespace());
        // A text frame of a client; its mask of zeros leaves the text as it is.
        let head = [0x81, 0x80 | join.len() as u8, 0, 0, 0, 0];
        socket.write_all(&[&head, join.as_bytes()].concat()).expect("frontail reads");
        // The options are the first message to a member of the namespace.
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(b"options:no-indent") {
            socket.read_exact(&mut byte).expect("frontail answers");
            seen.push(byte[0]);
        }
        socket
    }

    /// Returns the name by which the page asks for the file.
    fn namespace(&self) -> String {
        let mut client = Client::connect(self.address);
        client.ask("GET", "/", &["Connection: close"]);
        let page = String::from_utf8_lossy(&client.rest()).into_owned();
        let (_, rest) = page.split_once("io.connect('/").expect("the page connects");
        rest.split('\'').next().expect("a split has a first part").to_owned()
    }
}
