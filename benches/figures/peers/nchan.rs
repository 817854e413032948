//! nginx with the module nchan and one channel: `/pub` and `/sub`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::free_port;
use crate::crowd::Crowd;
use crate::lines::MARKS_PER_EVENT;
use crate::process::{Peer, cpu, has, output_of, resident_bytes};

/// The module's path in Debian's `libnginx-mod-nchan`.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(crate) struct Nchan {
    pub(crate) process: Peer,
    publisher: TcpStream,
    subscribers: Crowd,
    alone_bytes: f64,
    _dir: TempDir,
}

impl Nchan {
    /// Returns nchan with so many subscribers and a full buffer.
    pub(crate) fn start(clients: usize) -> Option<Nchan> {
        if !has("nginx") || !Path::new(MODULE).exists() {
            return None;
        }
        let dir = tempfile::tempdir().expect("temporary files have a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        fs::write(dir.path().join("nginx.conf"), config(address)).expect("the folder is ours");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let process = Peer::start_on(&mut command, address);
        let mut publisher = TcpStream::connect(address).expect("nginx listens");
        publisher.set_nodelay(true).expect("the socket is open");
        for _ in 0..5 {
            post(&mut publisher, &vec![b' '; 1000], 200);
            read_answers(&mut publisher, 200);
        }
        let alone_bytes = resident_bytes(process.id());
        let subscribers = Crowd::connect(address, "/sub", clients);
        Some(Nchan { process, publisher, subscribers, alone_bytes, _dir: dir })
    }

    /// Publishes a message so many times, again when it has arrived, and returns nginx's CPU time.
    pub(crate) fn publish(&mut self, message: &[u8], batch: usize, times: usize) -> Duration {
        let before = cpu(self.process.id());
        for _ in 0..times {
            post(&mut self.publisher, message, batch);
            self.subscribers.wait_for(MARKS_PER_EVENT * batch);
            read_answers(&mut self.publisher, batch);
        }
        cpu(self.process.id()) - before
    }

    pub(crate) fn grown_bytes(&self) -> f64 {
        resident_bytes(self.process.id()) - self.alone_bytes
    }
}

/// Sends so many requests at once.
fn post(publisher: &mut TcpStream, message: &[u8], times: usize) {
    let length = message.len();
    let head = format!("POST /pub HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    let requests = [head.as_bytes(), message].concat().repeat(times);
    publisher.write_all(&requests).expect("nginx reads");
}

/// Reads the answers to so many requests: 201, or 202 without a subscriber.
fn read_answers(publisher: &mut TcpStream, times: usize) {
    let (mut answers, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while memchr::memmem::find_iter(&answers, b"HTTP/1.1 20").count() < times {
        let count = publisher.read(&mut buffer).expect("nginx answers");
        assert!(count > 0, "nginx closed the connection");
        answers.extend_from_slice(&buffer[..count]);
    }
}

fn config(address: SocketAddr) -> String {
    // As root, workers would become another user, who must not read the folder.
    let user = if output_of("id", &["-u"]) == "0" { "user root;" } else { "" };
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};"))
        .concat();
    format!(
        "load_module {MODULE}; {user} daemon off; pid nginx.pid; error_log stderr crit;
        worker_processes 1; events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 100000000; {paths}
            server {{
                listen {address} backlog=4096;
                location = /pub {{
                    nchan_publisher; nchan_channel_id figures; nchan_message_buffer_length 1000;
                }}
                location = /sub {{
                    nchan_subscriber eventsource; nchan_channel_id figures;
                    nchan_subscriber_first_message newest;
                }}
            }}
        }}"
    )
}
