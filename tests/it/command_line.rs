use std::net::TcpListener;
use std::process::Output;

use crate::program::{Program, command, prompt, wait_until};

fn run(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

#[track_caller]
fn check_fails(args: &[&str], code: i32, message: &str) {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(
        stderr.lines().filter(|line| line.contains(message)).count(),
        1,
        "one line: {stderr}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = run(&["--version"]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("claude-live {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = run(&["--help"]);
    assert!(help.status.success() && help.stderr.is_empty());
    assert!(help.stdout.starts_with(b"claude-live follows"));
}

#[test]
fn bad_arguments_exit_with_2_and_are_named() {
    check_fails(&["--port", "http"], 2, "--port `http`: expected a whole number from 0 to 65535");
    check_fails(&["--nonsense"], 2, "--nonsense");
    check_fails(&["--allow-host", "http://a/"], 2, "--allow-host `http://a/`: expected a host");
    check_fails(&["--print-service=systemd", "--open"], 2, "takes no other options");
    check_fails(&["--host", "0.0.0.0"], 2, "--token-file");
}

#[test]
fn a_port_in_use_exits_with_1_and_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check_fails(&["--port", &port, "--claude", "/nonexistent"], 1, &format!("port `{port}`"));
}

#[test]
fn a_missing_static_folder_or_token_file_exits_with_1() {
    check_fails(&["--port=0", "--static", "/nonexistent"], 1, "--static `/nonexistent`");
    check_fails(&["--port=0", "--token-file", "/nonexistent"], 1, "--token-file `/nonexistent`");
}

#[test]
fn an_endless_token_file_is_not_read_to_its_end() {
    check_fails(&["--port=0", "--token-file", "/dev/zero"], 1, "--token-file `/dev/zero`");
}

#[test]
fn the_environment_variable_names_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("history.jsonl"), "{\"display\":\"from the environment\"}\n")
        .unwrap();
    let mut command = command();
    command.env("CLAUDE_CONFIG_DIR", dir.path()).args(["--port", "0"]);
    let program = Program::spawn(command, dir.path());
    assert_eq!(program.backlog_lines(), ["{\"display\":\"from the environment\"}"]);
}

#[test]
fn stderr_names_the_directory_and_never_a_prompt() {
    let program = Program::start_with(&(prompt("a secret") + "broken secret\n"), &[]);
    program.append(&prompt("another secret"));
    wait_until("it is read", || program.backlog_lines().len() == 3);
    let dir = program.dir().to_string_lossy().into_owned();
    let stderr = program.kill();
    assert!(stderr.contains(&dir) && !stderr.contains("secret"), "{stderr}");
}

#[test]
fn a_stderr_that_is_full_changes_no_exit_code() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let status = command().arg("--nonsense").stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
