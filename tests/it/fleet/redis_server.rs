//! A `redis-server` of a test's own, behind a link that can be slow.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use redis::{Client, Connection};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::wait_until;
use crate::tools::{has, succeeds};

/// A running server; killed on drop.
pub(crate) struct Redis {
    dir: TempDir,
    args: Vec<String>,
    child: Option<Child>,
    link: SocketAddr,
    /// 0: as many as there are.
    bytes_per_second: Arc<AtomicU64>,
}

/// An entry of a machine's stream.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) event_type: String,
    pub(crate) ts: String,
    /// The id of the entry before it.
    pub(crate) before: u64,
    pub(crate) data: Value,
}

impl Redis {
    /// With these options beside the usual ones; nothing if no server is installed.
    pub(crate) fn start(args: &[&str]) -> Option<Redis> {
        if !has("redis-server") {
            return None;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut redis = Redis {
            dir: tempfile::tempdir().unwrap(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            child: None,
            link: listener.local_addr().unwrap(),
            bytes_per_second: Arc::default(),
        };
        let (socket, speed) = (redis.socket(), Arc::clone(&redis.bytes_per_second));
        thread::spawn(move || {
            for client in listener.incoming() {
                link(client.unwrap(), socket.clone(), &speed);
            }
        });
        redis.start_again();
        Some(redis)
    }

    pub(crate) fn start_again(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.dir.path())
            .args(&self.args)
            .stdout(Stdio::from(log))
            .spawn()
            .unwrap();
        self.child = Some(child);
        wait_until("redis-server answers", || {
            self.try_connect().is_some_and(|mut it| redis::cmd("PING").exec(&mut it).is_ok())
        });
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        succeeds(Command::new("kill").args(["-s", signal, &pid]));
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// The address of the link.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.link)
    }

    /// Lets clients of the link send so many bytes a second; 0: as many as they have.
    pub(crate) fn slow_down(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Relaxed);
    }

    fn try_connect(&self) -> Option<Connection> {
        let is_password = self.args.iter().position(|arg| arg == "--requirepass");
        let password = is_password.map(|at| format!("?pass={}", self.args[at + 1]));
        let url = format!("unix://{}{}", self.socket().display(), password.unwrap_or_default());
        Client::open(url).unwrap().get_connection().ok()
    }

    pub(crate) fn run(&self, command: &[&str]) {
        let mut redis = self.try_connect().unwrap();
        redis::cmd(command[0]).arg(&command[1..]).exec(&mut redis).unwrap();
    }

    pub(crate) fn config(&self, name: &str, value: &str) {
        self.run(&["CONFIG", "SET", name, value]);
    }

    /// The token of the publisher that has a machine's name.
    pub(crate) fn owner(&self, machine: &str) -> Option<String> {
        let mut redis = self.try_connect().unwrap();
        redis::cmd("GET").arg(format!("claude-live:publisher:{machine}")).query(&mut redis).unwrap()
    }

    /// How many scripts have failed.
    pub(crate) fn failed_scripts(&self) -> u64 {
        let mut redis = self.try_connect().unwrap();
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).unwrap();
        let eval = stats.lines().find(|line| line.starts_with("cmdstat_eval:")).unwrap();
        eval.rsplit_once("failed_calls=").unwrap().1.parse().unwrap()
    }

    /// The machines that a viewer finds.
    pub(crate) fn machines(&self) -> BTreeSet<String> {
        let mut redis = self.try_connect().unwrap();
        redis::cmd("HKEYS").arg("claude-live:machines").query(&mut redis).unwrap()
    }

    /// The stream of a machine.
    pub(crate) fn entries(&self, machine: &str) -> Vec<Entry> {
        self.range(&format!("claude-live:events:{machine}"))
    }

    /// The newest prompts of a machine.
    pub(crate) fn backlog(&self, machine: &str) -> Vec<Entry> {
        self.range(&format!("claude-live:backlog:{machine}"))
    }

    fn range(&self, key: &str) -> Vec<Entry> {
        let mut redis = self.try_connect().unwrap();
        let entries: Vec<(String, BTreeMap<String, String>)> =
            redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut redis).unwrap();
        let number = |id: &str| id.strip_suffix("-0").unwrap().parse().unwrap();
        let field = |fields: &BTreeMap<String, String>, name| fields.get(name).cloned();
        let entry = |(id, fields): (String, BTreeMap<String, String>)| Entry {
            id: number(&id),
            event_type: field(&fields, "type").unwrap_or_else(|| "history.append".to_owned()),
            ts: fields["ts"].clone(),
            before: field(&fields, "before").map(|id| number(&id)).unwrap_or_default(),
            data: serde_json::from_str(&fields["data"]).unwrap(),
        };
        entries.into_iter().map(entry).collect()
    }

    /// The sessions of a machine by their ids.
    pub(crate) fn sessions(&self, machine: &str) -> BTreeMap<String, Value> {
        let mut redis = self.try_connect().unwrap();
        let key = format!("claude-live:sessions:{machine}");
        let sessions: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(key).query(&mut redis).unwrap();
        let data = |text: &str| serde_json::from_str(text.splitn(3, ' ').last().unwrap()).unwrap();
        sessions.into_iter().map(|(id, text)| (id, data(&text))).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Passes on what a client and the server say, until one of them ends.
fn link(client: TcpStream, socket: PathBuf, speed: &Arc<AtomicU64>) {
    // Without a server the client's connection ends.
    let Ok(server) = UnixStream::connect(socket) else { return };
    let (client_copy, server_copy) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let speed = Arc::clone(speed);
    thread::spawn(move || {
        pass_on(&client, &server, &speed);
        _ = server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        pass_on(&server_copy, &client_copy, &AtomicU64::new(0));
        _ = client_copy.shutdown(Shutdown::Both);
    });
}

fn pass_on(mut from: impl Read, mut to: impl Write, bytes_per_second: &AtomicU64) {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if let speed @ 1.. = bytes_per_second.load(Relaxed) {
            thread::sleep(Duration::from_secs_f64(count as f64 / speed as f64));
        }
        if to.write_all(&piece[..count]).is_err() {
            return;
        }
    }
}
