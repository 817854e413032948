//! What agents do, as a client sees it: the status of sessions, from their files and processes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agents::{
    Agent, Follower, Home, OTHER, Record, SESSION, SLUG, asks, asks_in, calls, ends, results, says,
    session,
};
use crate::program::{Client, Program, command, command_of, prompt, wait_until};
use crate::tools::has;

/// Appends a record, whose block is of this kind, and returns the state that follows.
#[track_caller]
fn after(
    follower: &mut Follower,
    record: &Record,
    kind: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    follower.home.append(&record.line);
    let data = follower.next("transcript.append").json()["data"].clone();
    assert_eq!((&data["uuid"], &data["sessionId"]), (&json!(record.uuid), &json!(SESSION)));
    assert_eq!(data["blocks"][0]["kind"], kind, "{data}");
    let state = follower.until(holds);
    assert_eq!(session(&follower.program, SESSION), Some(state.clone()), "the list is as new");
    state
}

#[test]
fn status_and_open_tools_follow_a_session_that_is_written_line_by_line() {
    let mut follower = Follower::on(Home::with(&[ends("before")]));
    let mut write = |record: Record, kind: &str, holds: fn(&Value) -> bool| {
        after(&mut follower, &record, kind, holds)
    };
    let state = write(asks("run the tests"), "prompt", |it| it["status"] == "working");
    assert_eq!((&state["prompt"], &state["tools"]), (&json!("run the tests"), &json!([])));
    assert_eq!((&state["statusFrom"], &state["isLive"]), (&json!("transcript"), &json!(false)));
    let call = calls("toolu_1", "Bash", &json!({"command": "cargo test -q"}));
    let state = write(call, "tool_use", |it| it["tools"] != json!([]));
    let tool = &state["tools"][0];
    assert_eq!((&tool["name"], &tool["input"]), (&json!("Bash"), &json!("cargo test -q")));
    assert!(tool["since"].is_string() && state["status"] == "working", "{state}");
    let state = write(results("toolu_1", "ok"), "tool_result", |it| it["tools"] == json!([]));
    assert_eq!(state["status"], "working");
    let question = json!({"questions": [{"question": "Which colour?\nreally"}]});
    let call = calls("toolu_2", "AskUserQuestion", &question);
    let state = write(call, "question", |it| it["status"] == "waiting");
    assert_eq!(state["question"], "Which colour?");
    let state = write(results("toolu_2", "red"), "tool_result", |it| it["status"] == "working");
    assert!(state["question"].is_null(), "{state}");
    let state = write(ends("It is red."), "text", |it| it["status"] == "idle");
    assert_eq!((&state["text"], &state["turns"]), (&json!("It is red."), &json!(1)));
    follower.check();
}

/// Does something, and returns how long it takes until the session has a status.
fn time(follower: &mut Follower, status: &str, change: impl FnOnce(&Home)) -> Duration {
    let start = Instant::now();
    change(&follower.home);
    follower.until(|state| state["status"] == status);
    start.elapsed()
}

#[test]
fn each_change_of_the_registry_is_on_the_stream_soon() {
    let mut follower = Follower::on(Home::with(&[ends("before")]));
    let mut times = Vec::new();
    let mut agent = Agent::start();
    for _ in 0..4 {
        for (entry, status) in [("busy", "working"), ("waiting", "waiting"), ("idle", "idle")] {
            let more = r#","waitingFor":"permission prompt""#;
            times.push(time(&mut follower, status, |home| home.enter(&agent, entry, more)));
            let state = session(&follower.program, SESSION).unwrap();
            assert_eq!(
                (&state["statusFrom"], &state["isLive"]),
                (&json!("registry"), &json!(true))
            );
            let waiting_for = (entry == "waiting").then_some("permission prompt");
            assert_eq!(state["waitingFor"].as_str(), waiting_for, "of any other status it is old");
        }
    }
    times.sort();
    let killed = time(&mut follower, "ended", |_| agent.kill());
    eprintln!("median {:?}, longest {:?}, killed {killed:?}", times[6], times[11]);
    let state = session(&follower.program, SESSION).unwrap();
    assert_eq!((&state["statusFrom"], &state["isLive"]), (&json!("silence"), &json!(false)));
    assert!(state["pid"].is_null(), "{state}");
}

#[test]
fn an_exit_that_removes_the_entry_ends_the_session_and_closes_its_tools() {
    let mut follower = Follower::on(Home::with(&[asks("go")]));
    let agent = Agent::start();
    follower.home.enter(&agent, "busy", "");
    follower.until(|state| state["isLive"] == true);
    follower.write(&calls("toolu_1", "Bash", &json!({"command": "sleep 100"})));
    follower.until(|state| state["tools"][0]["name"] == "Bash");
    fs::remove_file(follower.home.entry(&agent)).unwrap();
    let state = follower.until(|state| state["status"] == "ended");
    assert_eq!(state["tools"], json!([]), "a call that a crash left open");
}

#[test]
fn a_pid_that_another_process_has_since_does_not_live() {
    let mut follower = Follower::on(Home::with(&[asks("go")]));
    let agent = Agent::start();
    let reused = agent.entry("busy", "").replace("\"procStart\":\"", "\"procStart\":\"1");
    fs::write(follower.home.entry(&agent), reused).unwrap();
    let state = follower.until(|state| state["status"] == "ended");
    assert_eq!(state["isLive"], false);
    follower.home.enter(&agent, "busy", "");
    follower.until(|state| state["isLive"] == true && state["status"] == "working");
}

#[test]
fn half_an_entry_keeps_the_last_one() {
    let mut follower = Follower::on(Home::with(&[ends("before")]));
    let agent = Agent::start();
    follower.home.enter(&agent, "busy", "");
    follower.until(|state| state["statusFrom"] == "registry");
    let whole = agent.entry("waiting", "");
    for length in [whole.len() - 1, whole.len() / 2, 0] {
        fs::write(follower.home.entry(&agent), &whole[..length]).unwrap();
        // Two words of the assistant, more than the time between two looks apart.
        for text in ["one", "two"] {
            let started_at = Instant::now();
            follower.write(&says(text));
            let state = follower.until(|state| state["text"] == text);
            assert_eq!((&state["status"], &state["isLive"]), (&json!("working"), &json!(true)));
            while started_at.elapsed() < Duration::from_millis(150) {
                assert_eq!(session(&follower.program, SESSION).unwrap()["status"], "working");
            }
        }
    }
    fs::write(follower.home.entry(&agent), whole).unwrap();
    follower.until(|state| state["status"] == "waiting");
}

#[test]
fn an_entry_of_2025_proves_that_the_session_lives_and_no_more() {
    let mut follower = Follower::on(Home::with(&[ends("before")]));
    let agent = Agent::start();
    let entry = json!({"session_id": SESSION, "cwd": "/home/demo/old"});
    let path = follower.home.path(&format!("sessions/pid-{}.json", agent.pid()));
    fs::write(path, entry.to_string()).unwrap();
    let state = follower.until(|state| state["isLive"] == true);
    assert_eq!((&state["status"], &state["statusFrom"]), (&json!("idle"), &json!("transcript")));
    assert_eq!(state["pid"], agent.pid());
}

#[test]
fn a_session_is_shown_before_it_has_a_transcript_and_its_first_record_is_published() {
    let home = Home::with(&[ends("another session")]);
    let agent = Agent::start();
    let mut follower = Follower::on(home);
    let entry = agent.entry("busy", "").replace(SESSION, OTHER);
    fs::write(follower.home.entry(&agent), entry).unwrap();
    let state = loop {
        let state = follower.next("session.changed").json()["data"].clone();
        if state["sessionId"] == OTHER {
            break state;
        }
    };
    assert_eq!((&state["status"], &state["bytes"]), (&json!("working"), &json!(0)));
    let first = asks_in(OTHER, "first");
    fs::write(follower.home.transcript_of(OTHER), &first.line).unwrap();
    follower.expect(&[&first]);
    wait_until("the prompt is shown", || {
        session(&follower.program, OTHER).is_some_and(|state| state["prompt"] == "first")
    });
}

/// The program under strace, without arguments beside the directory.
fn traced(home: &Home, trace: &Path, args: &[&str]) -> Program {
    let mut strace = command_of("strace");
    strace.args(["--daemonize=grandchild", "--follow-forks", "--trace=%file", "--output"]);
    strace.arg(trace).arg(command().get_program()).args(["--port", "0"]).args(args);
    strace.arg("--claude").arg(home.path(""));
    Program::spawn(strace, &home.path(""))
}

/// Ends the program, and returns the paths that its calls named, below the Claude directory.
fn paths(program: Program, home: &Home, trace: &Path) -> Vec<String> {
    drop(program);
    let read = || fs::read_to_string(trace).unwrap();
    wait_until("strace has written the end", || read().contains("+++ killed by SIGKILL"));
    let root = home.path("");
    let inside = |line: &str| {
        let path = Path::new(line.split('"').nth(1)?);
        let call = line.split_once(' ')?.1.trim_start().split('(').next()?;
        let below = path.strip_prefix(&root).ok()?.display();
        let is_to_read = line.contains("O_RDONLY") && !line.contains("O_CREAT");
        assert!(is_to_read || !call.starts_with("open"), "{line}");
        Some(format!("{} {below}", if call.starts_with("open") { "open" } else { "look" }))
    };
    read().lines().filter_map(inside).collect()
}

/// A home with files that are nobody's business.
fn home_with_secrets(agent: &Agent) -> Home {
    let home = Home::with(&[asks("go")]);
    let beside = home.path(&format!("projects/{SLUG}/{SESSION}"));
    for folder in [beside.join("tool-results"), beside.join("subagents")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(beside.join("tool-results/toolu_1.txt"), "spilled").unwrap();
    fs::write(beside.join("subagents/agent-acompact-1.jsonl"), says("no agent").line).unwrap();
    fs::write(home.path(&format!("projects/{SLUG}/sessions-index.json")), "{}").unwrap();
    for secret in ["settings.json", ".credentials.json"] {
        fs::write(home.path(secret), "secret").unwrap();
    }
    home.enter(agent, "busy", "");
    let key = home.path(&format!("sessions/{}.0123.key", agent.pid()));
    fs::write(&key, "secret").unwrap();
    let fifo = home.path(&format!("sessions/{}.4567.key", agent.pid()));
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    home
}

#[test]
fn transcripts_and_entries_are_opened_and_nothing_beside_them() {
    if !has("strace") {
        return;
    }
    let (agent, place) = (Agent::start(), tempfile::tempdir().unwrap());
    let (home, trace) = (home_with_secrets(&agent), place.path().join("trace"));
    let program = traced(&home, &trace, &[]);
    wait_until("the session is alive and read", || {
        session(&program, SESSION).is_some_and(|it| it["isLive"] == true && it["prompt"] == "go")
    });
    let mut client = Client::connect(program.address);
    for (id, status) in NAMES_OF_NO_SESSION {
        client.ask("GET", &format!("/api/claude/sessions/{id}/records?agent={id}"), &[]);
        assert_eq!(client.response(false).status, status, "{id}");
    }
    let mut opened: Vec<_> = paths(program, &home, &trace);
    assert!(!opened.iter().any(|path| path.contains("NEEDLE")), "{opened:?}");
    opened.retain(|path| path.starts_with("open "));
    opened.sort();
    opened.dedup();
    let transcript = format!("open projects/{SLUG}/{SESSION}.jsonl");
    let entry = format!("open sessions/{}.json", agent.pid());
    let folders = ["open projects".to_owned(), format!("open projects/{SLUG}")];
    let below = ["", "/subagents"].map(|it| format!("open projects/{SLUG}/{SESSION}{it}"));
    let known = [&[transcript, entry, "open sessions".to_owned()], &folders[..], &below].concat();
    let others: Vec<_> = opened.iter().filter(|path| !known.contains(path)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(known[..2].iter().all(|path| opened.contains(path)), "{opened:?}");
}

/// Names that could become a part of a path, and the status of the answer.
pub(crate) const NAMES_OF_NO_SESSION: [(&str, u16); 8] = [
    ("..", 404),
    ("../NEEDLE", 404),
    ("..%2fNEEDLE", 404),
    ("%2e%2e%2f%2e%2e%2fNEEDLE", 404),
    ("%2fNEEDLE", 404),
    ("NEEDLE%00", 404),
    ("NEEDLE", 404),
    ("-home-demo-src-alpha%2f0b6f3c52-aaaa-4a7e-9c11-3f1f0a2b000a", 404),
];

#[test]
fn without_transcripts_nothing_below_projects_and_sessions_is_looked_at() {
    if !has("strace") {
        return;
    }
    let (agent, place) = (Agent::start(), tempfile::tempdir().unwrap());
    let (home, trace) = (home_with_secrets(&agent), place.path().join("trace"));
    let program = traced(&home, &trace, &["--no-transcripts"]);
    let mut stream = program.stream("", &[]);
    home.append(&says("not followed").line);
    fs::write(program.history(), prompt("followed")).unwrap();
    assert_eq!(stream.event().json()["data"]["kind"], "history.found");
    assert_eq!(stream.lines(1), [prompt("followed").trim_end()]);
    let list = program.get("/api/claude/sessions").json();
    assert_eq!(list["sessions"], json!([]));
    assert!(list["reading"].is_null(), "{list}");
    let records = program.get(&format!("/api/claude/sessions/{SESSION}/records"));
    assert_eq!((records.status, &*records.code()), (404, "unknown_session"));
    let mut stream = program.stream("?types=transcript.append,session.changed", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    let paths = paths(program, &home, &trace);
    assert!(paths.iter().any(|path| path == "open history.jsonl"), "{paths:?}");
    let is_of_agents = |path: &&String| path.contains("projects") || path.contains("sessions");
    let of_agents: Vec<_> = paths.iter().filter(is_of_agents).collect();
    assert!(of_agents.is_empty(), "{of_agents:?}");
}
