//! How the program ends when it is asked to.

use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::program::{Program, command, command_of, prompt, wait_until};
use crate::tools::{has, succeeds};

fn send(signal: &str, pid: u32) {
    succeeds(Command::new("sh").args(["-c", "kill $0 $1", signal, &pid.to_string()]));
}

fn exit_status(program: &mut Program) -> ExitStatus {
    let mut status = None;
    wait_until("the program has ended", || {
        status = program.child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

#[test]
fn a_signal_ends_streams_with_their_last_chunk_and_the_exit_code_is_0() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start_with(&prompt("old"), &[]);
        let mut streams: Vec<_> = (0..20).map(|_| program.stream("", &[])).collect();
        for stream in &mut streams {
            assert_eq!(stream.frame().unwrap().retry, Some(2000));
        }
        program.append(&prompt("last"));
        for stream in &mut streams {
            assert_eq!(stream.lines(1), [prompt("last").trim_end()]);
        }
        send(signal, program.child.id());
        for stream in &mut streams {
            // A connection that breaks off fails here: `None` is the chunk of size 0.
            assert_eq!(stream.frame(), None);
        }
        assert_eq!(exit_status(&mut program).code(), Some(0), "{signal}");
        let name = signal.replace('-', "SIG");
        assert!(program.kill().contains(&format!("info ending after {name}\n")));
    }
}

#[test]
fn a_client_that_does_not_read_delays_the_end_for_two_seconds_at_most() {
    let mut program = Program::start_with(&prompt("old"), &[]);
    let stalled = program.stream("", &[]);
    let large = prompt(&"x".repeat(900_000));
    for _ in 0..8 {
        program.append(&large);
    }
    wait_until("the lines are published", || program.counter("eventsPublished") == 8);
    send("-TERM", program.child.id());
    assert_eq!(exit_status(&mut program).code(), Some(0));
    drop(stalled);
}

#[test]
fn the_demo_removes_its_folder_and_ends_with_0() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = command();
    command.args(["--demo", "--port", "0"]).env("TMPDIR", temporary.path());
    let mut program = Program::spawn(command, temporary.path());
    send("-TERM", program.child.id());
    assert_eq!(exit_status(&mut program).code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

#[test]
fn process_1_of_a_container_hears_signals_too() {
    if !has("unshare") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = command_of("unshare");
    unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
    unshare.arg(env!("CARGO_BIN_EXE_claude-live")).args(["--port", "0", "--claude"]);
    let mut program = Program::spawn(with_arg(unshare, dir.path()), dir.path());
    let pid = child_of(program.child.id());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")));
    send("-TERM", pid);
    assert_eq!(exit_status(&mut program).code(), Some(0));
}

fn with_arg(mut command: Command, arg: &Path) -> Command {
    command.arg(arg);
    command
}
