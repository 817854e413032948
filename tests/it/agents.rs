//! Agents as Claude Code runs them, played by a test: transcripts and entries of the registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Frame, PATIENCE, Program, Stream, append, wait_until};

pub(crate) const SESSION: &str = "0b6f3c52-aaaa-4a7e-9c11-3f1f0a2b000a";
pub(crate) const OTHER: &str = "0b6f3c52-bbbb-4a7e-9c11-3f1f0a2b000b";

/// The folder of the transcripts of sessions that start in `/home/demo/src/alpha`.
pub(crate) const SLUG: &str = "-home-demo-src-alpha";

/// The number of the next record, by which its uuid is made.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A line of a transcript.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) uuid: String,
    /// With its line end.
    pub(crate) line: String,
}

/// A record of a session with these keys beside the usual ones.
pub(crate) fn record(session: &str, keys: &str) -> Record {
    let number = NEXT.fetch_add(1, Relaxed);
    let uuid = format!("11111111-0000-4000-8000-{number:012}");
    let ts = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let line = format!(
        "{{\"parentUuid\":null,{keys},\"uuid\":\"{uuid}\",\"timestamp\":\"{ts}\",\
         \"cwd\":\"/home/demo/src/alpha\",\"sessionId\":\"{session}\",\"version\":\"2.1.289\",\
         \"gitBranch\":\"main\"}}\n"
    );
    Record { uuid, line }
}

impl Record {
    /// The same as of 50 hours ago.
    pub(crate) fn dated_back(mut self) -> Record {
        let at = self.line.find("\"timestamp\":\"").unwrap() + "\"timestamp\":\"".len();
        let end = at + self.line[at..].find('"').unwrap();
        let ts = Timestamp::now() - jiff::SignedDuration::from_hours(50);
        self.line.replace_range(at..end, &ts.to_string());
        self
    }
}

/// A prompt, which begins a turn.
pub(crate) fn asks(text: &str) -> Record {
    asks_in(SESSION, text)
}

pub(crate) fn asks_in(session: &str, text: &str) -> Record {
    let content = json!(text);
    record(session, &format!("\"type\":\"user\",\"message\":{{\"content\":{content}}}"))
}

/// Words of the assistant within a turn.
pub(crate) fn says(text: &str) -> Record {
    record(SESSION, &message(&json!({"type": "text", "text": text}), "null"))
}

/// The last words of a turn.
pub(crate) fn ends(text: &str) -> Record {
    record(SESSION, &message(&json!({"type": "text", "text": text}), "\"end_turn\""))
}

/// A call of a tool.
pub(crate) fn calls(id: &str, name: &str, input: &Value) -> Record {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": input});
    record(SESSION, &message(&block, "\"tool_use\""))
}

/// The result of a call.
pub(crate) fn results(id: &str, text: &str) -> Record {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": text});
    record(SESSION, &format!("\"type\":\"user\",\"message\":{{\"content\":[{block}]}}"))
}

/// The keys of an assistant's record.
pub(crate) fn message(block: &Value, stop_reason: &str) -> String {
    format!(
        "\"type\":\"assistant\",\"message\":{{\"model\":\"claude-opus-5\",\"content\":[{block}],\
         \"stop_reason\":{stop_reason}}}"
    )
}

pub(crate) fn lines(records: &[Record]) -> String {
    records.iter().map(|record| record.line.as_str()).collect()
}

/// A Claude directory.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// With a folder for transcripts that is empty.
    pub(crate) fn new() -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(home.path("projects").join(SLUG)).unwrap();
        fs::create_dir(home.path("sessions")).unwrap();
        home
    }

    /// With the transcript of [`SESSION`].
    pub(crate) fn with(records: &[Record]) -> Home {
        let home = Home::new();
        home.append(&lines(records));
        home
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The path of a session's transcript.
    pub(crate) fn transcript_of(&self, session: &str) -> PathBuf {
        self.path(&format!("projects/{SLUG}/{session}.jsonl"))
    }

    pub(crate) fn transcript(&self) -> PathBuf {
        self.transcript_of(SESSION)
    }

    pub(crate) fn append(&self, text: &str) {
        append(&self.transcript(), text);
    }

    pub(crate) fn start(&self, args: &[&str]) -> Program {
        Program::start_on(self.dir.path(), args)
    }

    /// Writes the entry of a process in the registry.
    pub(crate) fn enter(&self, agent: &Agent, status: &str, more: &str) {
        fs::write(self.entry(agent), agent.entry(status, more)).unwrap();
    }

    pub(crate) fn entry(&self, agent: &Agent) -> PathBuf {
        self.path(&format!("sessions/{}.json", agent.pid()))
    }
}

/// A process that runs a session; killed on drop.
pub(crate) struct Agent {
    child: Child,
    start: String,
}

impl Agent {
    pub(crate) fn start() -> Agent {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        // The 22nd field, of which the second is a name in parentheses: proc_pid_stat(5).
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
        Agent { child, start }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The entry of [`SESSION`] for this process.
    pub(crate) fn entry(&self, status: &str, more: &str) -> String {
        let (pid, start) = (self.pid(), &self.start);
        format!(
            "{{\"pid\":{pid},\"sessionId\":\"{SESSION}\",\"cwd\":\"/home/demo/src/alpha\",\
             \"procStart\":\"{start}\",\"version\":\"2.1.289\",\"status\":\"{status}\"{more}}}"
        )
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The state of a session as the list has it; absent if it is not in the list.
pub(crate) fn session(program: &Program, id: &str) -> Option<Value> {
    let list = program.get("/api/claude/sessions").json();
    list["sessions"].as_array().unwrap().iter().find(|it| it["sessionId"] == id).cloned()
}

/// Waits until everything that was there at the start is read, and [`SESSION`] is shown.
pub(crate) fn wait_until_read(program: &Program) {
    wait_until("the session is shown", || session(program, SESSION).is_some());
}

/// The program on a home with [`SESSION`], and a stream of records and sessions.
pub(crate) struct Follower {
    pub(crate) home: Home,
    pub(crate) program: Program,
    pub(crate) stream: Stream,
}

impl Follower {
    pub(crate) fn on(home: Home) -> Follower {
        let program = home.start(&[]);
        wait_until_read(&program);
        let stream = program
            .stream("?types=transcript.append,session.changed,session.removed,server.error", &[]);
        let mut follower = Follower { home, program, stream };
        assert_eq!(follower.stream.frame().unwrap().retry, Some(2000));
        follower
    }

    /// On a turn that has begun.
    pub(crate) fn start() -> Follower {
        Follower::on(Home::with(&[asks("first"), says("second"), says("third")]))
    }

    /// Appends a record, and waits for it as the next one.
    #[track_caller]
    pub(crate) fn write(&mut self, record: &Record) {
        self.home.append(&record.line);
        self.expect(&[record]);
    }

    /// These records come next, in this order, and no other.
    #[track_caller]
    pub(crate) fn expect(&mut self, records: &[&Record]) {
        for record in records {
            let frame = self.next("transcript.append");
            let uuid = frame.json()["data"]["uuid"].clone();
            assert_eq!(uuid, record.uuid.as_str(), "for {} came {}", record.line, frame.data);
        }
    }

    /// The next event, as its type and its data.
    #[track_caller]
    pub(crate) fn next_of_any(&mut self) -> (String, Value) {
        let frame = self.stream.event();
        let data = frame.json()["data"].clone();
        (frame.event, data)
    }

    /// The next event of a type. Until then only the state of sessions changes.
    #[track_caller]
    pub(crate) fn next(&mut self, event: &str) -> Frame {
        loop {
            let frame = self.stream.event();
            if frame.event == event {
                return frame;
            }
            assert_eq!(frame.event, "session.changed", "{}", frame.data);
        }
    }

    /// Waits for a state of [`SESSION`].
    #[track_caller]
    pub(crate) fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let state = self.next("session.changed").json()["data"].clone();
            if state["sessionId"] == SESSION && holds(&state) {
                return state;
            }
            assert!(start.elapsed() < PATIENCE, "the last state is {state}");
        }
    }

    /// Nothing else comes, and the state is that of a program which reads the files at once.
    #[track_caller]
    pub(crate) fn check(&mut self) {
        self.write(&says("the last"));
        self.check_state();
    }

    #[track_caller]
    pub(crate) fn check_state(&self) {
        let fresh = self.home.start(&[]);
        let start = Instant::now();
        let mut states = (None, None);
        while states.0.is_none() || states.0 != states.1 {
            assert!(start.elapsed() < PATIENCE, "the states stay different: {states:#?}");
            states = (lasting_state(&self.program), lasting_state(&fresh));
        }
    }
}

/// The state of [`SESSION`] without what depends on when the program started.
fn lasting_state(program: &Program) -> Option<Value> {
    let mut state = session(program, SESSION)?;
    if state["statusFrom"] == "silence" {
        state["since"] = Value::Null;
    }
    Some(state)
}

/// Puts a file in place of another.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}
