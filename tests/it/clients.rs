//! Clients that others wrote, on the real binary: each connects, receives, sees the server killed and started again,
//! and goes on where it was, with nothing lost and nothing twice.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Frame, PATIENCE, Program, Stream, prompt, raw_line, wait_until};

/// A process that is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// `hint` is how to get the command where it is missing. Its stdout comes line by line.
    fn start(command: &mut Command, hint: &str) -> (Running, Receiver<String>) {
        let command = command.stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        (Running(child), lines)
    }
}

/// A client in another language that prints what it sees.
struct Script {
    process: Running,
    /// It ends by itself, with its children, when its stdin does.
    has_children: bool,
    lines: Receiver<String>,
    notes: Vec<String>,
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.process.0.stdin.take());
        if self.has_children && !thread::panicking() {
            wait_until("the client has ended", || self.process.0.try_wait().unwrap().is_some());
        }
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

impl Script {
    fn node(address: SocketAddr) -> Script {
        assert!(clients().join("node_modules/eventsource").is_dir(), "run tests/clients/setup");
        Script::start(Command::new("node").arg("eventsource.mjs"), address, "install Node.js")
    }

    fn chromium(address: SocketAddr) -> Script {
        let mut node = Command::new("node");
        let mut script = Script::start(node.arg("chromium.mjs"), address, "install Node.js");
        script.has_children = true;
        script
    }

    fn python(address: SocketAddr) -> Script {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/venv/bin/python");
        Script::start(Command::new(python).arg("follow.py"), address, "run tests/clients/setup")
    }

    fn start(command: &mut Command, address: SocketAddr, hint: &str) -> Script {
        command.arg(format!("http://{address}")).current_dir(clients());
        let (process, lines) = Running::start(command, hint);
        Script { process, has_children: false, lines, notes: Vec::new() }
    }

    /// What it says next, as `(what, value)`.
    #[track_caller]
    fn next(&mut self) -> (String, String) {
        let line = self.lines.recv_timeout(PATIENCE).expect("the client says something");
        let said: Value = serde_json::from_str(&line).unwrap();
        let (what, value) = said.as_object().unwrap().iter().next().unwrap();
        (what.clone(), value.as_str().unwrap().to_owned())
    }

    /// Fails unless these prompts come next, each once; notes may come between them.
    #[track_caller]
    fn expect(&mut self, prompts: &[&str]) {
        for wanted in prompts {
            let line = loop {
                match self.next() {
                    (what, note) if what == "note" => self.notes.push(note),
                    (what, line) if what == "line" => break line,
                    (what, line) => panic!("{what}: {line}"),
                }
            };
            assert_eq!(line, prompt(wanted).trim_end());
        }
    }

    #[track_caller]
    fn expect_note(&mut self, wanted: &str) {
        while !self.notes.iter().any(|note| note == wanted) {
            let (what, note) = self.next();
            assert_eq!(what, "note", "{note}");
            self.notes.push(note);
        }
        self.notes.clear();
    }
}

fn prompts(names: &[&str]) -> String {
    names.iter().map(|name| prompt(name)).collect()
}

/// Kills a program and starts another in its place; the lines are appended in between.
fn restart(program: Program, between: &[&str]) -> Program {
    let (address, dir) = (program.address, program.dir().to_owned());
    let temporary = program.kill_and_keep();
    crate::program::append(&dir.join("history.jsonl"), &prompts(between));
    let mut program = Program::start_on(&dir, &["--port", &address.port().to_string()]);
    program.keep(temporary);
    program
}

fn follows_over_a_restart(start: fn(SocketAddr) -> Script) {
    let program = Program::start_with(&prompts(&["a", "b"]), &[]);
    let mut script = start(program.address);
    script.expect(&["a", "b"]);
    script.expect_note("open");
    program.append(&prompts(&["c", "d"]));
    script.expect(&["c", "d"]);
    let program = restart(program, &["e", "f"]);
    program.append(&prompt("g"));
    script.expect(&["e", "f", "g"]);
    script.expect_note("stream.resync");
    program.append(&prompts(&["h", "i"]));
    script.expect(&["h", "i"]);
    assert_eq!(program.counter("resyncs"), 1, "told once");
}

#[test]
fn npm_eventsource_follows_over_a_restart() {
    follows_over_a_restart(Script::node);
}

#[test]
fn httpx_sse_follows_over_a_restart() {
    follows_over_a_restart(Script::python);
}

#[test]
fn chromium_follows_over_a_restart() {
    follows_over_a_restart(Script::chromium);
}

/// curl as an SSE client that is started again whenever it ends.
struct Curl {
    address: SocketAddr,
    process: Running,
    lines: Receiver<String>,
    last_id: Option<u64>,
}

impl Curl {
    fn start(address: SocketAddr, last_id: Option<u64>) -> Curl {
        let mut command = Command::new("curl");
        command.args(["--no-buffer", "--silent", "--fail", "--noproxy", "*"]);
        if let Some(id) = last_id {
            command.args(["--header", &format!("Last-Event-ID: {id}")]);
        }
        command.arg(format!("http://{address}/api/claude/stream"));
        let (process, lines) = Running::start(&mut command, "install curl");
        Curl { address, process, lines, last_id }
    }

    fn again(&mut self) {
        *self = Curl::start(self.address, self.last_id);
    }

    #[track_caller]
    fn frame(&mut self) -> Frame {
        let mut text = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("curl prints something");
            if line.is_empty() {
                break;
            }
            text += &line;
            text.push('\n');
        }
        let frame = crate::program::parse(&text);
        self.last_id = frame.id.or(self.last_id);
        frame
    }

    #[track_caller]
    fn expect(&mut self, prompts: &[&str]) {
        for wanted in prompts {
            let frame = self.frame();
            assert_eq!(frame.event, "history.append", "{frame:?}");
            assert_eq!(raw_line(&frame.json()), prompt(wanted).trim_end());
        }
    }
}

#[test]
fn curl_resumes_where_it_was_and_is_told_of_a_restart() {
    let program = Program::start_with(&prompt("a"), &[]);
    let mut curl = Curl::start(program.address, None);
    assert_eq!(curl.frame().retry, Some(2000));
    program.append(&prompts(&["b", "c"]));
    curl.expect(&["b", "c"]);
    curl.process.0.kill().unwrap();
    program.append(&prompts(&["d", "e"]));
    curl.again();
    assert_eq!(curl.frame().retry, Some(2000));
    curl.expect(&["d", "e"]);
    let program = restart(program, &["f"]);
    wait_until("curl has ended", || curl.process.0.try_wait().unwrap().is_some());
    curl.again();
    assert_eq!(curl.frame().retry, Some(2000));
    let notice = curl.frame();
    assert_eq!(notice.json()["data"]["kind"], "stream.resync");
    assert_eq!(
        program.backlog_lines(),
        ["f", "e", "d", "c", "b", "a"].map(|name| prompt(name).trim_end().to_owned())
    );
    program.append(&prompt("g"));
    curl.expect(&["g"]);
}

/// nginx with its defaults in front of a program: HTTP/1.0 to the upstream, answers buffered.
struct Nginx {
    address: SocketAddr,
    dir: tempfile::TempDir,
    process: Running,
}

impl Nginx {
    fn start(upstream: SocketAddr) -> Nginx {
        let dir = tempfile::tempdir().unwrap();
        // nginx cannot be asked which port it was given: this one was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let config = format!(
            "worker_processes 1;\nerror_log stderr;\npid nginx.pid;\nevents {{ worker_connections 64; }}\n\
             http {{\naccess_log off;\n{temporary}server {{ listen {address}; location / {{ proxy_pass http://{upstream}; }} }}\n}}\n"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let process = Nginx::spawn(dir.path(), address);
        Nginx { address, dir, process }
    }

    fn spawn(dir: &Path, address: SocketAddr) -> Running {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).args([
            "-e",
            "stderr",
            "-c",
            "nginx.conf",
            "-g",
            "daemon off; master_process off;",
        ]);
        // Debian has it where only root's `PATH` leads.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        command.env("PATH", path).stderr(Stdio::null());
        let (process, _) = Running::start(&mut command, "install nginx");
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        process
    }

    /// Breaks every connection through it.
    fn restart(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.process = Nginx::spawn(self.dir.path(), self.address);
    }
}

#[test]
fn nginx_with_its_defaults_passes_events_on_within_200_ms() {
    let program = Program::start_with(&prompt("old"), &[]);
    let nginx = Nginx::start(program.address);
    let mut stream = Stream::open(nginx.address, "", &[]);
    assert_eq!(stream.head.headers["content-type"], "text/event-stream");
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    program.append(&prompt("warm"));
    stream.lines(1);
    for name in ["1", "2", "3"] {
        let start = Instant::now();
        program.append(&prompt(name));
        assert_eq!(stream.lines(1), [prompt(name).trim_end()]);
        assert!(start.elapsed() < Duration::from_millis(200), "took {:?}", start.elapsed());
    }
}

#[test]
fn behind_nginx_a_connection_that_breaks_is_resumed_with_nothing_lost_and_nothing_twice() {
    let program = Program::start_with(&prompt("a"), &[]);
    let mut nginx = Nginx::start(program.address);
    let mut script = Script::node(nginx.address);
    script.expect(&["a"]);
    script.expect_note("open");
    program.append(&prompt("b"));
    script.expect(&["b"]);
    nginx.restart();
    program.append(&prompts(&["c", "d"]));
    script.expect(&["c", "d"]);
    program.append(&prompt("e"));
    script.expect(&["e"]);
    assert_eq!(program.counter("resyncs"), 0);
    let program = restart(program, &["f"]);
    script.expect(&["f"]);
    script.expect_note("stream.resync");
    program.append(&prompt("g"));
    script.expect(&["g"]);
}
