//! Starts the program, and speaks just enough HTTP to it: what is sent and received stays visible.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up; generous, since machines that run tests are
/// busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program itself, as [`command_of`] starts it, without arguments.
pub(crate) fn command() -> Command {
    command_of(env!("CARGO_BIN_EXE_claude-live"))
}

/// Some program, without the environment's Claude directory and temporary directory, which
/// claude-live inherits.
pub(crate) fn command_of(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in ["CLAUDE_CONFIG_DIR", "TMPDIR"] {
        command.env_remove(name);
    }
    command
}

/// A running program on a Claude directory of its own; killed on drop.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Absent when the caller gave the directory.
    temporary: Option<TempDir>,
    dir: PathBuf,
    stderr: Option<ChildStderr>,
}

impl Program {
    /// On an empty directory.
    pub(crate) fn start(args: &[&str]) -> Program {
        Program::start_with("", args)
    }

    /// On a directory with this `history.jsonl`.
    pub(crate) fn start_with(history: &str, args: &[&str]) -> Program {
        let temporary = tempfile::tempdir().unwrap();
        if !history.is_empty() {
            fs::write(temporary.path().join("history.jsonl"), history).unwrap();
        }
        let mut program = Program::start_on(temporary.path(), args);
        program.temporary = Some(temporary);
        program
    }

    /// On a directory of the caller's, which need not exist.
    pub(crate) fn start_on(dir: &Path, args: &[&str]) -> Program {
        let mut command = command();
        command.arg("--claude").arg(dir).args(args);
        if !args.iter().any(|arg| arg.starts_with("--port")) {
            command.args(["--port", "0"]);
        }
        Program::spawn(command, dir)
    }

    /// Runs a command that ends up as the program, and waits until it listens.
    pub(crate) fn spawn(mut command: Command, dir: &Path) -> Program {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut stderr = child.stderr.take();
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            let mut said = String::new();
            stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the program said `{line}` and `{said}`");
        };
        let address = address.strip_suffix('/').unwrap().parse().unwrap();
        Program { child, address, temporary: None, dir: dir.to_owned(), stderr }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.dir.join("history.jsonl")
    }

    /// Appends to the history, with one write.
    pub(crate) fn append(&self, text: &str) {
        append(&self.history(), text);
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        self.request("GET", target, &[])
    }

    pub(crate) fn request(&self, method: &str, target: &str, headers: &[&str]) -> Response {
        let mut client = Client::connect(self.address);
        client.ask(method, target, headers);
        client.response(method == "HEAD")
    }

    /// The backlog's whole document.
    pub(crate) fn backlog(&self, limit: usize) -> Value {
        self.get(&format!("/api/claude/live/backlog?limit={limit}")).json()
    }

    /// The raw lines of the backlog, newest first.
    pub(crate) fn backlog_lines(&self) -> Vec<String> {
        let backlog = self.backlog(1000);
        backlog["events"].as_array().unwrap().iter().map(raw_line).collect()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.get("/healthz").json()["counters"][name].as_u64().unwrap()
    }

    pub(crate) fn stream(&self, query: &str, headers: &[&str]) -> Stream {
        Stream::open(self.address, query, headers)
    }

    /// Kills the program and returns its directory, where that is temporary.
    pub(crate) fn kill_and_keep(mut self) -> Option<TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.temporary.take()
    }

    /// Takes over the directory of another.
    pub(crate) fn keep(&mut self, temporary: Option<TempDir>) {
        self.temporary = temporary;
    }

    /// Kills the program and returns what it had said on stderr.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut said = String::new();
        self.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        // It may have ended by itself, or have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let (true, Some(mut stderr)) = (thread::panicking(), self.stderr.take()) {
            let mut said = String::new();
            // Whatever it said before it ended is better than nothing.
            let _ = stderr.read_to_string(&mut said);
            eprintln!("the program said `{said}`; by itself it had ended: {ended:?}");
        }
    }
}

pub(crate) fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(crate) fn raw_line(event: &Value) -> String {
    event["data"]["rawLine"].as_str().unwrap().to_owned()
}

/// A history line as Claude Code writes it.
pub(crate) fn prompt(display: &str) -> String {
    format!(
        "{{\"display\":\"{display}\",\"pastedContents\":{{}},\"timestamp\":1787600000001,\"project\":\"/home/demo/src/alpha\",\"sessionId\":\"0b6f3c52-2222-4a7e-9c11-3f1f0a2b0002\"}}\n"
    )
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_for(PATIENCE, what, holds);
}

#[track_caller]
pub(crate) fn wait_for(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < patience, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until every thread of the program sleeps: what it was asked for is done then.
#[track_caller]
pub(crate) fn wait_until_at_rest(program: &Program) {
    let tasks = format!("/proc/{}/task", program.child.id());
    wait_until("every thread sleeps", || {
        fs::read_dir(&tasks).unwrap().all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat"));
            stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, it)| it.starts_with('S')))
        })
    });
}

/// A connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(socket) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[&str]) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    }

    /// The next response with a `Content-Length`.
    pub(crate) fn response(&mut self, is_head: bool) -> Response {
        let mut response = self.head();
        let length = if is_head { 0 } else { response.headers["content-length"].parse().unwrap() };
        response.body.resize(length, 0);
        self.reader.read_exact(&mut response.body).unwrap();
        response
    }

    pub(crate) fn head(&mut self) -> Response {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = HashMap::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let status = status.unwrap_or_else(|| panic!("no status in `{status_line}`"));
        Response { status, status_line, headers, body: Vec::new() }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// What comes until the server closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends a connection too; what came before it counts.
        let _ = self.reader.read_to_end(&mut rest);
        rest
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) status_line: String,
    /// By lower-case names.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A frame of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    pub(crate) event: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
    pub(crate) retry: Option<u64>,
}

impl Frame {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// An open stream, read frame by frame as it arrives.
pub(crate) struct Stream {
    pub(crate) client: Client,
    pub(crate) head: Response,
    /// Chunks that have arrived, each of which is one write of the server's.
    pub(crate) chunks: usize,
    is_chunked: bool,
    decoded: Vec<u8>,
}

impl Stream {
    pub(crate) fn open(address: SocketAddr, query: &str, headers: &[&str]) -> Stream {
        let mut client = Client::connect(address);
        client.ask("GET", &format!("/api/claude/stream{query}"), headers);
        Stream::after_request(client)
    }

    /// The stream that a request already sent on a connection asked for.
    pub(crate) fn after_request(mut client: Client) -> Stream {
        let head = client.head();
        let is_chunked =
            head.headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        Stream { client, head, chunks: 0, is_chunked, decoded: Vec::new() }
    }

    /// The next frame, pings and the `retry:` at the beginning included; `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.decoded, b"\n\n") {
                let text: Vec<u8> = self.decoded.drain(..end + 2).collect();
                return Some(parse(str::from_utf8(&text).unwrap()));
            }
            if !self.read_some() {
                return None;
            }
        }
    }

    fn read_some(&mut self) -> bool {
        if !self.is_chunked {
            let block = self.client.reader.fill_buf().unwrap();
            let count = block.len();
            self.decoded.extend_from_slice(block);
            self.client.reader.consume(count);
            return count > 0;
        }
        let line = self.client.line();
        if line.is_empty() {
            return false;
        }
        let size =
            usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size `{line}`"));
        let start = self.decoded.len();
        self.decoded.resize(start + size, 0);
        self.client.reader.read_exact(&mut self.decoded[start..]).unwrap();
        assert_eq!(self.client.line(), "", "a chunk ends with a line end");
        self.chunks += 1;
        size > 0
    }

    /// The next event, that is a frame with an id and data.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Frame {
        let start = Instant::now();
        loop {
            // Pings come for ever.
            assert!(start.elapsed() < 2 * PATIENCE, "no event came");
            let frame = self.frame().expect("the stream has ended");
            if frame.id.is_some() && !frame.data.is_empty() {
                return frame;
            }
        }
    }

    /// The raw lines of the next history events; fails at any other event.
    #[track_caller]
    pub(crate) fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let frame = self.event();
            assert_eq!(frame.event, "history.append", "{}", frame.data);
            lines.push(raw_line(&frame.json()));
        }
        lines
    }
}

pub(crate) fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("line `{line}`"));
        match name {
            "event" => frame.event = value.to_owned(),
            "id" => frame.id = Some(value.parse().unwrap()),
            "data" => frame.data = value.to_owned(),
            "retry" => frame.retry = Some(value.parse().unwrap()),
            other => panic!("field `{other}`"),
        }
    }
    frame
}
