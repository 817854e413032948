//! The log, opening the browser, and the metrics.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde_json::json;

use crate::agents::{Agent, Home, SESSION, asks, record, wait_until_read};
use crate::program::{Program, command, command_of, prompt, wait_until};
use crate::tools::{check, has};

/// Starts the program, removes the history and puts it back. Returns the log.
fn log_of_a_removal(args: &[&str]) -> String {
    let program = Program::start_with(&prompt("a secret"), args);
    let moved = program.dir().join("moved");
    fs::rename(program.history(), &moved).unwrap();
    wait_until("the removal is noticed", || program.counter("resets") == 1);
    let mut stream = program.stream("?since=1", &[]);
    assert_eq!(stream.event().json()["data"]["kind"], "stream.resync");
    fs::create_dir(program.history()).unwrap();
    wait_until("the fault is reported", || stream.event().event == "server.error");
    fs::remove_dir(program.history()).unwrap();
    fs::rename(&moved, program.history()).unwrap();
    wait_until("it is back", || program.get("/healthz").json()["history"]["exists"] == true);
    program.kill()
}

#[test]
fn the_log_is_one_line_a_change_of_state_with_time_and_level() {
    let log = log_of_a_removal(&[]);
    let mut levels = Vec::new();
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        time.parse::<Timestamp>().unwrap();
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{line}");
        levels.push(rest.split_once(' ').unwrap().0);
    }
    assert!(log.contains(" info following `"), "{log}");
    assert!(log.contains(" info the history file was removed"), "{log}");
    assert_eq!(levels.iter().filter(|level| **level == "warn").count(), 1, "{log}");
    assert!(levels.len() < 10 && !log.contains("secret"), "{log}");
}

#[test]
fn a_quiet_program_logs_only_warnings() {
    let log = log_of_a_removal(&["--quiet"]);
    assert_eq!(
        log.lines().filter(|line| !line.contains(" warn cannot read `")).count(),
        0,
        "{log}"
    );
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn the_browser_is_given_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let (opener, opened) = (dir.path().join("xdg-open"), dir.path().join("opened"));
    fs::write(
        &opener,
        format!("#!/bin/sh\necho \"$@\" >{0}.new; mv {0}.new {0}\n", opened.display()),
    )
    .unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(&opener, dir.path().join("open")).unwrap();
    let mut command = command();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    command.args(["--open", "--port=0", "--claude"]).arg(dir.path()).env("PATH", path);
    let program = Program::spawn(command, dir.path());
    wait_until("it is opened", || opened.exists());
    assert_eq!(fs::read_to_string(opened).unwrap(), format!("http://{}/\n", program.address));
}

#[test]
fn the_program_runs_without_a_browser_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command();
    command.args(["--open", "--port=0", "--claude"]).arg(dir.path()).env("PATH", dir.path());
    let program = Program::spawn(command, dir.path());
    assert_eq!(program.get("/").status, 200);
}

#[test]
fn the_metrics_agree_with_the_health_report() {
    let program = Program::start_with(&(prompt("one") + "broken\n"), &["--no-transcripts"]);
    program.append(&prompt("two"));
    // A line is counted before it is published.
    wait_until("it is published", || program.counter("eventsPublished") == 1);
    assert_eq!(program.counter("lines"), 3);
    let health = program.get("/healthz").json();
    let answer = program.get("/metrics");
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = answer.text();
    for (name, wanted) in [
        ("lines_total", &health["counters"]["lines"]),
        ("parse_errors_total", &health["counters"]["parseErrors"]),
        ("events_published_total", &health["counters"]["eventsPublished"]),
        ("subscribers", &health["counters"]["subscribers"]),
        ("history_read_bytes", &health["history"]["readBytes"]),
    ] {
        let line = format!("\nclaude_live_{name} {wanted}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    let counters = health["counters"].as_object().unwrap().len();
    assert_eq!(metrics.matches("# TYPE").count(), counters + 5, "none is left out: {metrics}");
}

#[test]
fn the_metrics_of_sessions_agree_with_the_health_report() {
    let home = Home::with(&[asks("add a retry"), record(SESSION, "\"type\":\"unheard-of\"")]);
    let agent = Agent::start();
    home.enter(&agent, "waiting", ",\"waitingFor\":\"permission prompt\"");
    let program = home.start(&[]);
    wait_until_read(&program);
    let counts = json!({"waiting": 1, "working": 0, "idle": 0, "ended": 0});
    let transcripts = || program.get("/healthz").json()["transcripts"].clone();
    wait_until("the session is counted", || transcripts()["sessions"] == counts);
    let health = transcripts();
    assert_eq!((&health["sessions"], &health["records"]), (&counts, &json!(2)));
    assert_eq!(health["unknownTypes"], json!({"unheard-of": 1}));
    let since: Timestamp = health["waitingSince"].as_str().unwrap().parse().unwrap();
    let answer = program.get("/metrics");
    let metrics = answer.text();
    for line in [
        "sessions{status=\"waiting\"} 1".to_owned(),
        "records_total 2".to_owned(),
        "malformed_records_total 0".to_owned(),
        "unknown_records_total{type=\"unheard-of\"} 1".to_owned(),
        format!("transcripts{{class=\"hot\"}} {}", health["files"]["hot"]),
        format!("waiting_since_timestamp_seconds {}", since.as_millisecond() as f64 / 1e3),
    ] {
        assert!(metrics.contains(&format!("\nclaude_live_{line}\n")), "{line}\n{metrics}");
    }
}

#[test]
fn prometheus_finds_nothing_wrong_with_the_metrics() {
    let home = Home::with(&[asks("add a retry"), record(SESSION, "\"type\":\"unheard-of\"")]);
    let agent = Agent::start();
    home.enter(&agent, "waiting", "");
    let program = home.start(&[]);
    wait_until_read(&program);
    if has("promtool") {
        let file = program.dir().join("metrics");
        fs::write(&file, program.get("/metrics").body).unwrap();
        let log = check("sh", &["-c", "promtool check metrics <\"$0\" 2>&1"], &file);
        assert_eq!(log, "");
    }
}

/// A FIFO that is full and not read, as long as the returned file is open.
fn full_fifo(path: &Path) -> File {
    assert!(command_of("mkfifo").arg(path).status().unwrap().success());
    let flags = OFlags::NONBLOCK.bits() as i32;
    let mut fifo =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap();
    for block in [&[b'x'; 4096][..], b"x"] {
        while fifo.write(block).is_ok() {}
    }
    fifo
}

#[test]
fn a_full_stderr_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let _fifo = full_fifo(&dir.path().join("full"));
    let mut command = command_of("sh");
    let script = "exec \"$0\" \"$@\" 2>\"$FULL\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_claude-live"), "--port=0", "--claude"]);
    command.arg(dir.path()).env("FULL", dir.path().join("full"));
    let program = Program::spawn(command, dir.path());
    let mut stream = program.stream("", &[]);
    fs::create_dir(program.history()).unwrap();
    wait_until("the fault is sent", || stream.event().event == "server.error");
    fs::remove_dir(program.history()).unwrap();
    program.append(&prompt("later"));
    wait_until("the line is sent", || stream.event().data.contains("later"));
}

#[test]
fn a_stderr_that_fails_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command_of("sh");
    let script = "exec \"$0\" \"$@\" 2>/dev/full";
    command.args(["-c", script, env!("CARGO_BIN_EXE_claude-live"), "--port=0", "--claude"]);
    command.arg(dir.path());
    let program = Program::spawn(command, dir.path());
    let mut stream = program.stream("?since=1", &[]);
    assert_eq!(stream.event().json()["data"]["kind"], "stream.resync");
    fs::create_dir(program.history()).unwrap();
    wait_until("the fault is sent", || stream.event().event == "server.error");
    assert_eq!(program.get("/healthz").status, 200);
}
