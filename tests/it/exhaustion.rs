//! The program runs out of descriptors, threads or places.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::process::{held, processor_time};
use crate::program::{
    Client, Program, command, command_of, prompt, wait_until, wait_until_at_rest,
};
use crate::tools::{copy_program, skip};

/// A user without processes, so that all its threads are the program's.
const UNUSED_USER: &str = "61234";

fn set_limit(program: &Program, limit: &str) {
    let pid = program.child.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap().success());
}

/// Fails if the program uses more than a tenth of a core over a second.
#[track_caller]
fn check_is_calm(program: &Program) {
    wait_until_at_rest(program);
    let before = processor_time(program.child.id());
    thread::sleep(Duration::from_secs(1));
    let used = processor_time(program.child.id()) - before;
    assert!(used < Duration::from_millis(100), "{used:?} of a second");
}

fn ask(program: &Program) -> Client {
    let mut client = Client::connect(program.address);
    client.ask("GET", "/healthz", &[]);
    client
}

#[test]
fn without_descriptors_it_waits_calmly_keeps_following_and_recovers() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    set_limit(&program, "--nofile=48:48");
    let mut crowd: Vec<_> = (0..60).map(|_| ask(&program)).collect();
    wait_until("no descriptor is left", || held(program.child.id()).descriptors >= 48);
    check_is_calm(&program);
    for number in 0..5 {
        let line = prompt(&number.to_string());
        program.append(&line);
        assert_eq!(stream.lines(1), [line.trim_end()]);
    }
    let mut waiting = crowd.split_off(55);
    drop(crowd);
    for client in &mut waiting {
        assert_eq!(client.response(false).status, 200, "waiting clients are answered");
    }
    assert_eq!(program.get("/").status, 200);
    assert_eq!(program.counter("resets"), 0);
}

#[test]
fn a_history_that_is_replaced_without_descriptors_is_followed_once_there_are_some() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    set_limit(&program, "--nofile=32:32");
    let crowd: Vec<_> = (0..40).map(|_| ask(&program)).collect();
    wait_until("no descriptor is left", || held(program.child.id()).descriptors >= 32);
    let other = program.dir().join("other");
    fs::write(&other, prompt("new")).unwrap();
    fs::rename(&other, program.history()).unwrap();
    let fault = stream.event();
    assert_eq!(fault.event, "server.error", "{}", fault.data);
    assert_eq!(fault.json()["data"]["kind"], "history.unreadable");
    check_is_calm(&program);
    drop(crowd);
    let kinds = [stream.event(), stream.event()].map(|event| event.json()["data"]["kind"].clone());
    assert_eq!(kinds, ["source.recovered", "history.reset"]);
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
    wait_until("the file is whole again", || program.backlog_lines() == [prompt("new").trim_end()]);
}

fn limited(limit: &str, dir: &Path) -> Program {
    let mut limited = command_of("prlimit");
    limited.arg(limit).arg(command().get_program());
    limited.args(["--port", "0", "--claude"]).arg(dir);
    Program::spawn(limited, dir)
}

#[test]
fn with_few_descriptors_it_takes_as_many_connections_as_there_are_places() {
    let dir = tempfile::tempdir().unwrap();
    let program = limited("--nofile=48:48", dir.path());
    let mut clients: Vec<_> = (0..40).map(|_| ask(&program)).collect();
    let answers: Vec<_> = clients.iter_mut().map(|client| client.response(false).status).collect();
    let served = answers.iter().filter(|status| **status == 200).count();
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert_eq!(served, 9);
    drop(clients);
    wait_until("there is a place again", || program.get("/").status == 200);
    assert!(program.kill().contains("the limit on open files allows 9 connections, not 512"));
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_limit() {
    let dir = tempfile::tempdir().unwrap();
    let program = limited("--nofile=48:4000", dir.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["4000", "4000"]);
}

#[test]
fn without_threads_it_refuses_at_once_stays_calm_and_recovers() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    if !is_root {
        skip("root's privileges");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let binary = place.path().join("claude-live");
    copy_program(command().get_program(), &binary);
    for path in [place.path(), &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    check_without_threads(&binary, place.path());
}

fn check_without_threads(binary: &Path, dir: &Path) {
    fs::write(dir.join("history.jsonl"), prompt("old")).unwrap();
    let mut limited = command_of("setpriv");
    limited
        .args(["--reuid", UNUSED_USER, "--clear-groups", "prlimit", "--nproc=16:16"])
        .arg(binary);
    limited.args(["--port", "0", "--claude"]).arg(dir);
    let program = Program::spawn(limited, dir);
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.head.status, 200);
    let mut crowd: Vec<_> = (0..40).map(|_| ask(&program)).collect();
    let answers: Vec<_> = crowd.iter_mut().map(|client| client.response(false).status).collect();
    assert_eq!(held(program.child.id()).threads, 16);
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert!(answers.contains(&200) && answers.contains(&503), "{answers:?}");
    check_is_calm(&program);
    program.append(&prompt("new"));
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
    drop(crowd);
    wait_until("there is a thread again", || program.get("/").status == 200);
    assert_eq!(program.kill().matches("panicked").count(), 0);
}

#[test]
fn a_full_stream_refuses_head_as_it_refuses_get() {
    let program = Program::start(&["--max-connections", "8"]);
    let head = |client: &mut Client| {
        client.ask("HEAD", "/api/claude/stream", &[]);
        client.head()
    };
    let mut client = Client::connect(program.address);
    for _ in 0..8 {
        assert_eq!(head(&mut client).status, 200, "HEAD keeps no place");
    }
    let streams: Vec<_> = (0..6).map(|_| program.stream("", &[])).collect();
    assert!(streams.iter().all(|stream| stream.head.status == 200));
    let refused = head(&mut client);
    assert_eq!(refused.status, 503);
    assert_eq!((&*refused.headers["retry-after"], &*refused.headers["connection"]), ("2", "close"));
    assert_eq!(client.rest(), b"", "an answer to HEAD has no body");
    assert_eq!(program.counter("refusedConnections"), 1);
    drop(streams);
    wait_until("a stream has a place again", || {
        head(&mut Client::connect(program.address)).status == 200
    });
}
