//! nginx: as a hub of streams with nchan, and as the server of the same bytes out of files.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::free_port;
use crate::machine::has;
use crate::process::Process;
use crate::server::connect;

/// Where Debian's `libnginx-mod-nchan` puts the module.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// The answer to a message that was published begins so; 201 is with somebody to receive it.
const PUBLISHED: &[u8] = b"HTTP/1.1 20";

/// nginx and nchan with one channel: `/pub` and `/sub`.
pub(crate) struct Nchan {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    publisher: TcpStream,
    _dir: TempDir,
}

impl Nchan {
    pub(crate) fn start() -> Option<Nchan> {
        if !has("nginx") || !Path::new(NCHAN_MODULE).exists() {
            return None;
        }
        let locations = "
            location = /pub {
                nchan_publisher;
                nchan_channel_id figures;
                nchan_message_buffer_length 1000;
            }
            location = /sub {
                nchan_subscriber eventsource;
                nchan_channel_id figures;
                nchan_subscriber_first_message newest;
            }";
        let module = format!("load_module {NCHAN_MODULE};");
        let (process, address, dir) = start(&module, "1", locations);
        Some(Nchan { process, address, publisher: connect(address), _dir: dir })
    }

    /// Publishes a message so many times, one request each, all sent at once.
    pub(crate) fn publish(&mut self, message: &[u8], times: usize) {
        let head = format!(
            "POST /pub HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            message.len()
        );
        let requests = [head.as_bytes(), message].concat().repeat(times);
        self.publisher.write_all(&requests).expect("nginx reads");
    }

    /// Reads the answers to what was published.
    pub(crate) fn read_answers(&mut self, times: usize) {
        let mut answers = Vec::new();
        let mut block = [0; 16 * 1024];
        while memchr::memmem::find_iter(&answers, PUBLISHED).count() < times {
            let count = self.publisher.read(&mut block).expect("nginx answers in time");
            assert!(count > 0, "nginx closed the connection");
            answers.extend_from_slice(&block[..count]);
        }
    }
}

/// nginx with files.
pub(crate) struct StaticNginx {
    _process: Process,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl StaticNginx {
    /// Serves the two bodies under `/page` and `/backlog`, with a worker a core.
    pub(crate) fn start(page: &[u8], backlog: &[u8]) -> Option<StaticNginx> {
        if !has("nginx") {
            return None;
        }
        let (process, address, dir) = start("", "auto", "root .;");
        fs::write(dir.path().join("page"), page).ok()?;
        fs::write(dir.path().join("backlog"), backlog).ok()?;
        Some(StaticNginx { _process: process, address, _dir: dir })
    }
}

/// Starts nginx in a folder of its own.
fn start(module: &str, workers: &str, locations: &str) -> (Process, SocketAddr, TempDir) {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let port = free_port();
    // As root, workers would become another user, who may not look into the folder.
    let user = if crate::machine::said("id", &["-u"]) == "0" { "user root;" } else { "" };
    let config = format!(
        "{module}
        {user}
        daemon off;
        pid nginx.pid;
        error_log stderr crit;
        worker_processes {workers};
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            keepalive_requests 100000000;
            sendfile on;
            tcp_nopush on;
            open_file_cache max=16;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                {locations}
            }}
        }}"
    );
    fs::write(dir.path().join("nginx.conf"), config).expect("the folder is ours");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
    let process = Process::start(&mut command);
    process.wait_for_port(port);
    (process, ([127, 0, 0, 1], port).into(), dir)
}
