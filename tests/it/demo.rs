use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::program::{Program, command, wait_until};

fn demo(temporary: &std::path::Path) -> (Program, PathBuf) {
    let mut command = command();
    command.args(["--demo", "--port", "0"]).env("TMPDIR", temporary);
    let program = Program::spawn(command, temporary);
    let dir = program.get("/healthz").json()["claudeDir"].as_str().unwrap().into();
    (program, dir)
}

#[test]
fn it_follows_a_directory_that_keeps_being_written_to() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, dir) = demo(temporary.path());
    assert!(dir.starts_with(temporary.path()) && dir.join("history.jsonl").is_file());
    assert!(program.backlog_lines().len() >= 100);
    let mut stream = program.stream("", &[]);
    for _ in 0..3 {
        stream.event();
    }
}

#[test]
fn its_folder_goes_however_the_program_ends() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let temporary = tempfile::tempdir().unwrap();
        let (program, dir) = demo(temporary.path());
        assert!(dir.is_dir());
        let pid = program.child.id().to_string();
        let killed =
            Command::new("kill").args([signal, &pid]).stderr(Stdio::inherit()).status().unwrap();
        assert!(killed.success());
        wait_until("the demo's folder is gone", || !dir.exists());
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}
