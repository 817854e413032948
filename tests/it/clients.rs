//! Clients and proxies of other projects on the real binary: each connects, receives, sees the
//! server killed and started again, and resumes, with nothing lost and nothing received twice.

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
use crate::tools::{find, skip};

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
    /// Starts a command, whose stdout is received line by line.
    fn start(command: &mut Command) -> (Running, Receiver<String>) {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
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

/// Returns node, if it is installed and npm's packages are fetched.
fn node() -> Option<PathBuf> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_modules/eventsource");
    if !packages.is_dir() {
        skip("packages from npm");
        return None;
    }
    find("node")
}

/// A client of `tests/clients` that prints each thing it notices as a line of JSON.
struct Script {
    process: Running,
    /// Ends when its stdin does; a killed one would leave its browser behind.
    ends_itself: bool,
    lines: Receiver<String>,
    notes: Vec<String>,
}

impl Drop for Script {
    /// Closes the client's stdin, at which one with a browser ends it, and waits for its end.
    fn drop(&mut self) {
        drop(self.process.0.stdin.take());
        if self.ends_itself && !thread::panicking() {
            wait_until("the client has ended", || self.process.0.try_wait().unwrap().is_some());
        }
    }
}

impl Script {
    fn start(interpreter: &Path, script: &str, address: SocketAddr) -> Script {
        let mut command = Command::new(interpreter);
        command.arg(script).arg(format!("http://{address}"));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"));
        let (process, lines) = Running::start(&mut command);
        Script { process, ends_itself: script == "chromium.mjs", lines, notes: Vec::new() }
    }

    /// Returns the next thing that the client notices, as `(kind, value)`.
    #[track_caller]
    fn next(&mut self) -> (String, String) {
        let line = self.lines.recv_timeout(PATIENCE).expect("the client prints a line");
        let noticed: Value = serde_json::from_str(&line).unwrap();
        let (kind, value) = noticed.as_object().unwrap().iter().next().unwrap();
        (kind.clone(), value.as_str().unwrap().to_owned())
    }

    /// Fails unless these prompts come next, each once; notes may come between them.
    #[track_caller]
    fn expect(&mut self, prompts: &[&str]) {
        for wanted in prompts {
            let line = loop {
                match self.next() {
                    (kind, note) if kind == "note" => self.notes.push(note),
                    (kind, line) if kind == "line" => break line,
                    (kind, line) => panic!("{kind}: {line}"),
                }
            };
            assert_eq!(line, prompt(wanted).trim_end());
        }
    }

    #[track_caller]
    fn expect_note(&mut self, wanted: &str) {
        while !self.notes.iter().any(|note| note == wanted) {
            let (kind, note) = self.next();
            assert_eq!(kind, "note", "{note}");
            self.notes.push(note);
        }
        self.notes.clear();
    }
}

fn prompts(names: &[&str]) -> String {
    names.iter().map(|name| prompt(name)).collect()
}

/// Kills a program, appends the lines, and starts another at the same address.
fn restart(program: Program, between: &[&str]) -> Program {
    let (address, dir) = (program.address, program.dir().to_owned());
    let temporary = program.kill_and_keep();
    crate::program::append(&dir.join("history.jsonl"), &prompts(between));
    let mut program = Program::start_on(&dir, &["--port", &address.port().to_string()]);
    program.keep(temporary);
    program
}

fn check_over_a_restart(interpreter: &Path, script: &str) {
    let program = Program::start_with(&prompts(&["a", "b"]), &[]);
    let mut script = Script::start(interpreter, script, program.address);
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
    if let Some(node) = node() {
        check_over_a_restart(&node, "eventsource.mjs");
    }
}

#[test]
fn httpx_sse_follows_over_a_restart() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("venv/bin/python");
    if python.is_file() {
        check_over_a_restart(&python, "follow.py");
    } else {
        skip("packages from PyPI");
    }
}

#[test]
fn chromium_follows_over_a_restart() {
    if let (Some(node), Some(_)) = (node(), find("chromium")) {
        check_over_a_restart(&node, "chromium.mjs");
    }
}

/// curl as an SSE client, started again for each connection.
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
        let (process, lines) = Running::start(&mut command);
        Curl { address, process, lines, last_id }
    }

    fn reconnect(&mut self) {
        *self = Curl::start(self.address, self.last_id);
    }

    #[track_caller]
    fn frame(&mut self) -> Frame {
        let mut text = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("curl prints a line");
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
fn curl_resumes_after_its_last_id_and_learns_of_a_restart() {
    if find("curl").is_none() {
        return;
    }
    let program = Program::start_with(&prompt("a"), &[]);
    let mut curl = Curl::start(program.address, None);
    assert_eq!(curl.frame().retry, Some(2000));
    program.append(&prompts(&["b", "c"]));
    curl.expect(&["b", "c"]);
    curl.process.0.kill().unwrap();
    program.append(&prompts(&["d", "e"]));
    curl.reconnect();
    assert_eq!(curl.frame().retry, Some(2000));
    curl.expect(&["d", "e"]);
    let program = restart(program, &["f"]);
    wait_until("curl has ended", || curl.process.0.try_wait().unwrap().is_some());
    curl.reconnect();
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

/// nginx as a proxy with its defaults: HTTP/1.0 to the upstream, answers buffered.
struct Nginx {
    program: PathBuf,
    address: SocketAddr,
    dir: tempfile::TempDir,
    process: Running,
}

impl Nginx {
    /// Returns a proxy of the upstream, if nginx is installed.
    fn start(upstream: SocketAddr) -> Option<Nginx> {
        let program = find("nginx")?;
        let dir = tempfile::tempdir().unwrap();
        // nginx does not tell which port it was given: this one was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let config = format!(
            "worker_processes 1; error_log stderr; pid nginx.pid;
             events {{ worker_connections 64; }}
             http {{ access_log off; {temporary}
                 server {{ listen {address}; location / {{ proxy_pass http://{upstream}; }} }}
             }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let process = Nginx::spawn(&program, dir.path(), address);
        Some(Nginx { program, address, dir, process })
    }

    fn spawn(program: &Path, dir: &Path, address: SocketAddr) -> Running {
        let mut command = Command::new(program);
        command.arg("-p").arg(dir).args(["-e", "stderr", "-c", "nginx.conf"]);
        command.args(["-g", "daemon off; master_process off;"]).stderr(Stdio::null());
        let (process, _) = Running::start(&mut command);
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        process
    }

    /// Breaks every connection through it.
    fn restart(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.process = Nginx::spawn(&self.program, self.dir.path(), self.address);
    }
}

#[test]
fn nginx_with_its_defaults_passes_events_on_within_200_ms() {
    let program = Program::start_with(&prompt("old"), &[]);
    let Some(nginx) = Nginx::start(program.address) else { return };
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
fn behind_nginx_a_broken_connection_resumes_with_nothing_lost_and_nothing_twice() {
    let Some(node) = node() else { return };
    let program = Program::start_with(&prompt("a"), &[]);
    let Some(mut nginx) = Nginx::start(program.address) else { return };
    let mut script = Script::start(&node, "eventsource.mjs", nginx.address);
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
