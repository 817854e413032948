//! What the program prints to be installed: units, completions, the manual page.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Program, command, command_of};
use crate::tools::{check, has, succeeds};

fn printed(args: &[&str]) -> String {
    succeeds(command().args(args))
}

/// A folder with a file of what the program prints.
fn file(name: &str, args: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, printed(args)).unwrap();
    (dir, file)
}

/// Arguments with everything in them that units, shells and XML have a meaning for.
const AWKWARD: [&str; 4] = ["--claude", "/tmp/a b/100% <$HOME> & \"it's\" \\ü", "--port", "0"];

#[test]
fn systemd_takes_the_unit() {
    let (dir, unit) =
        file("claude-live.service", &[&AWKWARD[..], &["--print-service", "systemd"]].concat());
    if has("systemd-analyze") {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["verify", "--user"]).arg(&unit).env("XDG_RUNTIME_DIR", dir.path());
        let output = analyze.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        // It says what it thinks of the machine's other units too.
        assert!(!said.contains("claude-live.service"), "{said}");
    }
}

#[test]
fn the_property_list_starts_the_program_with_the_same_arguments() {
    let (_dir, list) =
        file("claude-live.plist", &[&AWKWARD[..], &["--print-service=launchd"]].concat());
    if has("python3") {
        let script =
            "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
        let list: Value = serde_json::from_str(&check("python3", &["-c", script], &list)).unwrap();
        let words = list["ProgramArguments"].as_array().unwrap();
        let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
        let claude = format!("--claude={}", AWKWARD[1]);
        assert_eq!(words, [env!("CARGO_BIN_EXE_claude-live"), &claude, "--port=0"]);
        assert_eq!((&list["RunAtLoad"], &list["Umask"]), (&true.into(), &63.into()));
    }
}

#[test]
fn the_words_of_the_unit_start_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let claude = dir.path().join("it's here");
    fs::create_dir(&claude).unwrap();
    let args = ["--claude", claude.to_str().unwrap(), "--port=0", "--print-service", "systemd"];
    let unit = printed(&args);
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    // A shell reads this line as systemd does: nothing in it is special to the one but not to the other.
    let mut shell = command_of("sh");
    shell.args(["-c", &format!("exec {line}")]);
    let program = Program::spawn(shell, &claude);
    assert_eq!(program.get("/healthz").json()["claudeDir"], claude.to_str().unwrap());
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
fn the_manual_page_says_what_the_help_says() {
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
