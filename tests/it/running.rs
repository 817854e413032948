//! What the program says and does beside serving: its log, the browser, the metrics.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::program::{Program, command, command_of, prompt, wait_until};
use crate::tools::{check, has};

/// Starts it, takes the history away and gives it back, and returns what was said.
fn said_over_a_removal(args: &[&str]) -> String {
    let program = Program::start_with(&prompt("a secret"), args);
    let moved = program.dir().join("moved");
    fs::rename(program.history(), &moved).unwrap();
    wait_until("it is missed", || program.counter("resets") == 1);
    let mut stream = program.stream("?since=1", &[]);
    assert_eq!(stream.event().json()["data"]["kind"], "stream.resync");
    fs::create_dir(program.history()).unwrap();
    wait_until("it is a fault", || stream.event().event == "server.error");
    fs::remove_dir(program.history()).unwrap();
    fs::rename(&moved, program.history()).unwrap();
    wait_until("it is back", || program.get("/healthz").json()["history"]["exists"] == true);
    program.kill()
}

#[test]
fn the_log_is_one_line_a_change_of_state_with_time_and_level() {
    let said = said_over_a_removal(&[]);
    let mut levels = Vec::new();
    for line in said.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        time.parse::<Timestamp>().unwrap();
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{line}");
        levels.push(rest.split_once(' ').unwrap().0);
    }
    assert!(said.contains(" info following `"), "{said}");
    assert!(said.contains(" info the history file was removed"), "{said}");
    assert_eq!(levels.iter().filter(|level| **level == "warn").count(), 1, "{said}");
    assert!(levels.len() < 10 && !said.contains("secret"), "{said}");
}

#[test]
fn a_quiet_program_says_only_what_is_wrong() {
    let said = said_over_a_removal(&["--quiet"]);
    assert_eq!(
        said.lines().filter(|line| !line.contains(" warn cannot read `")).count(),
        0,
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
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
fn a_browser_that_cannot_be_opened_keeps_nothing_from_running() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command();
    command.args(["--open", "--port=0", "--claude"]).arg(dir.path()).env("PATH", dir.path());
    let program = Program::spawn(command, dir.path());
    assert_eq!(program.get("/").status, 200);
}

#[test]
fn the_metrics_tell_what_the_health_report_tells() {
    let program = Program::start_with(&(prompt("one") + "broken\n"), &[]);
    program.append(&prompt("two"));
    wait_until("it is read", || program.counter("lines") == 3);
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
fn prometheus_finds_nothing_wrong_with_the_metrics() {
    let program = Program::start(&[]);
    if has("promtool") {
        let file = program.dir().join("metrics");
        fs::write(&file, program.get("/metrics").body).unwrap();
        let said = check("sh", &["-c", "promtool check metrics <\"$0\" 2>&1"], &file);
        assert_eq!(said, "");
    }
}

/// A FIFO that takes nothing more and that nobody reads, as long as what is returned lives.
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
fn a_stderr_that_takes_nothing_more_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let _fifo = full_fifo(&dir.path().join("full"));
    let mut command = command_of("sh");
    let script = "exec \"$0\" \"$@\" 2>\"$FULL\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_claude-live"), "--port=0", "--claude"]);
    command.arg(dir.path()).env("FULL", dir.path().join("full"));
    let program = Program::spawn(command, dir.path());
    let mut stream = program.stream("", &[]);
    fs::create_dir(program.history()).unwrap();
    wait_until("the fault is told", || stream.event().event == "server.error");
    fs::remove_dir(program.history()).unwrap();
    program.append(&prompt("later"));
    wait_until("the line is told", || stream.event().data.contains("later"));
}

#[test]
fn a_stderr_that_nobody_reads_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command_of("sh");
    let script = "exec \"$0\" \"$@\" 2>/dev/full";
    command.args(["-c", script, env!("CARGO_BIN_EXE_claude-live"), "--port=0", "--claude"]);
    command.arg(dir.path());
    let program = Program::spawn(command, dir.path());
    let mut stream = program.stream("?since=1", &[]);
    assert_eq!(stream.event().json()["data"]["kind"], "stream.resync");
    fs::create_dir(program.history()).unwrap();
    wait_until("the fault is told", || stream.event().event == "server.error");
    assert_eq!(program.get("/healthz").status, 200);
}
