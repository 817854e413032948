//! The files that the program prints: units, completions, the manual page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Program, command, command_of};
use crate::tools::{check, copy_program, has, succeeds};

fn printed(args: &[&str]) -> String {
    succeeds(command().args(args))
}

/// A folder with a file that contains the program's output.
fn file(name: &str, args: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, printed(args)).unwrap();
    (dir, file)
}

/// A copy of the program at a path with a space, and the file that starts it.
fn service(kind: &str) -> (TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("my tools/claude-live");
    fs::create_dir(program.parent().unwrap()).unwrap();
    // By another process: one that a test starts meanwhile would hold this one's file open for
    // writing, and then it cannot be run.
    succeeds(command_of("cp").arg(env!("CARGO_BIN_EXE_claude-live")).arg(&program));
    let printed = succeeds(command_of(&program).args(["--print-service", kind]));
    (dir, program, printed)
}

#[test]
fn systemd_accepts_the_unit() {
    let (dir, _program, printed) = service("systemd");
    if has("systemd-analyze") {
        let unit = dir.path().join("claude-live.service");
        fs::write(&unit, printed).unwrap();
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["verify", "--user"]).arg(&unit).env("XDG_RUNTIME_DIR", dir.path());
        let output = analyze.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        // The machine's other units may have faults of their own.
        assert!(!stderr.contains("claude-live.service"), "{stderr}");
    }
}

#[test]
fn the_unit_starts_a_program_at_a_path_with_a_space() {
    let (_dir, program, unit) = service("systemd");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    // A shell parses this line as systemd does: its characters mean the same to both.
    let mut shell = command_of("sh");
    let claude = tempfile::tempdir().unwrap();
    shell.args(["-c", &format!("exec {line} --port 0")]).env("CLAUDE_CONFIG_DIR", claude.path());
    let started = Program::spawn(shell, claude.path());
    let executable = fs::read_link(format!("/proc/{}/exe", started.child.id())).unwrap();
    assert_eq!(executable, program);
}

#[test]
fn the_property_list_starts_a_program_at_a_path_with_a_space() {
    let (dir, program, printed) = service("launchd");
    if has("python3") {
        let list = dir.path().join("claude-live.plist");
        fs::write(&list, printed).unwrap();
        let script =
            "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
        let list: Value = serde_json::from_str(&check("python3", &["-c", script], &list)).unwrap();
        assert_eq!(list["ProgramArguments"], serde_json::json!([program.to_str().unwrap()]));
        assert_eq!(list["RunAtLoad"], true);
    }
}

#[test]
fn a_path_that_a_unit_cannot_contain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("100%-claude-live");
    copy_program(env!("CARGO_BIN_EXE_claude-live"), &program);
    let output = command_of(&program).args(["--print-service", "systemd"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write the path `") && stderr.contains("100%-"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn bash_completes_options_and_their_values() {
    if !has("bash") {
        return;
    }
    let (dir, script) = file("completions", &["--print-completions", "bash"]);
    fs::create_dir(dir.path().join("a folder")).unwrap();
    let complete = |words: &[&str]| {
        let script = format!(
            "source {}; cd {}; COMP_WORDS=(claude-live {}); COMP_CWORD={}; _claude_live; printf '%s|' \"${{COMPREPLY[@]}}\"",
            script.display(),
            dir.path().display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len()
        );
        succeeds(Command::new("bash").args(["-c", &script]))
    };
    assert_eq!(complete(&["--po"]), "--poll|--port|");
    assert_eq!(complete(&["us"]), "usage|");
    assert_eq!(complete(&["--print-service", "s"]), "systemd|");
    assert_eq!(complete(&["--claude", "a"]), "a folder|");
    assert_eq!(complete(&["--port", ""]), "|");
}

#[test]
fn zsh_and_fish_can_read_their_completions() {
    for (shell, args) in [("zsh", &["-n"][..]), ("fish", &["--no-execute"][..])] {
        let (_dir, script) = file("completions", &["--print-completions", shell]);
        if has(shell) {
            check(shell, args, &script);
        }
    }
}

#[test]
fn the_manual_page_contains_the_help() {
    let (_dir, page) = file("claude-live.1", &["--print-man"]);
    if !has("groff") {
        return;
    }
    let text = |file: &Path| check("groff", &["-Tascii", "-P-cbou", "-man", "-ww"], file);
    let words = |text: &str| {
        // Lines are broken elsewhere, and at dashes too.
        text.split_whitespace().collect::<String>()
    };
    let page = words(&text(&page));
    for line in printed(&["--help"]).lines().filter(|line| !line.starts_with("Usage")) {
        assert!(page.contains(&words(line)), "{line}");
    }
}
