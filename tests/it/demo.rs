//! `--demo`: the directory that it writes, the sessions in it, and the end of both.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, command, raw_line, wait_for, wait_until};

/// The program on a demo, and the demo's directory.
fn demo(temporary: impl AsRef<OsStr>) -> (Program, PathBuf) {
    let mut command = command();
    command.args(["--demo", "--port", "0"]).env("TMPDIR", temporary);
    let program = Program::spawn(command, Path::new(""));
    let dir = program.get("/healthz").json()["claudeDir"].as_str().unwrap().into();
    (program, dir)
}

fn kill(program: &Program, signal: &str) {
    let pid = program.child.id().to_string();
    assert!(
        Command::new("sh").args(["-c", "kill $0 $1", signal, &pid]).status().unwrap().success()
    );
}

/// The time within which a new user has seen everything.
const SOON: Duration = Duration::from_secs(10);

fn sessions(program: &Program) -> Vec<Value> {
    program.get("/api/claude/sessions").json()["sessions"].as_array().unwrap().clone()
}

/// Whether a process plays a session; one that has ended and is not waited for does not.
#[cfg(target_os = "linux")]
fn plays_session(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.contains("claude-live-demo-session"))
}

#[test]
fn it_follows_a_directory_that_keeps_being_written_to() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, dir) = demo(temporary.path());
    assert!(dir.starts_with(temporary.path()) && dir.join("history.jsonl").is_file());
    assert!(program.backlog_lines().len() >= 200);
    let mut stream = program.stream("", &[]);
    for _ in 0..3 {
        stream.event();
    }
}

#[test]
fn a_change_of_its_stats_lists_the_counts_that_grew() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, _) = demo(temporary.path());
    let mut stream = program.stream("", &[]);
    // The script updates the stats within its first 20 seconds.
    let changed = loop {
        let frame = stream.event();
        if frame.event == "file.changed" {
            break frame.json();
        }
    };
    assert_eq!(changed["data"]["path"], "stats-cache.json");
    let changes = changed["data"]["changes"].as_array().unwrap();
    let sessions = changes.iter().find(|change| change["path"] == "/totalSessions").unwrap();
    assert!(sessions["to"].as_u64() > sessions["from"].as_u64(), "{sessions}");
}

#[test]
fn its_folder_is_removed_however_the_program_ends() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let temporary = tempfile::tempdir().unwrap();
        let (program, dir) = demo(temporary.path());
        assert!(dir.is_dir());
        kill(&program, signal);
        wait_until("the demo's folder is removed", || !dir.exists());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_empty_tmpdir_means_the_usual_folder() {
    let (program, dir) = demo("");
    assert_eq!(dir.parent(), Some(Path::new("/tmp")));
    drop(program);
    wait_until("the demo's folder is removed", || !dir.exists());
}

#[test]
fn every_state_of_a_session_is_there_soon() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, _) = demo(temporary.path());
    let mut missing = Vec::new();
    wait_for(SOON, "every state is there", || {
        let sessions = sessions(&program);
        let is = |status: &str, is_so: fn(&Value) -> bool| {
            sessions.iter().any(|session| session["status"] == status && is_so(session))
        };
        missing.clear();
        for (name, is_there) in [
            ("permission", is("waiting", |it| it["waitingFor"] == "permission prompt")),
            ("question", is("waiting", |it| it["question"].is_string())),
            ("long tool call", is("working", |it| it["tools"][0]["name"] == "Bash")),
            ("subagent", is("working", |it| it["agents"][0]["status"] == "running")),
            ("subagent that is done", is("waiting", |it| it["agents"][0]["status"] == "done")),
            ("todos", is("waiting", |it| it["todos"]["active"].is_string())),
            ("error", is("working", |it| it["errors"]["last"].is_string())),
            ("idle", is("idle", |it| it["isLive"] == true)),
            ("shell", is("idle", |it| it["shell"] == true)),
            ("compaction", is("idle", |it| it["compactions"] == 1)),
            ("ended", is("ended", |it| it["isLive"] == false)),
        ] {
            missing.extend((!is_there).then_some(name));
        }
        missing.is_empty()
    });
}

#[test]
fn every_session_has_all_that_is_shown_of_one() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, _) = demo(temporary.path());
    let mut shown = Vec::new();
    wait_for(SOON, "the sessions are read", || {
        shown = sessions(&program);
        // A prompt takes the text before it away until it is answered, a second later.
        let is_whole = |it: &Value| it["records"].as_u64() > Some(0) && it["text"].is_string();
        shown.len() > 10 && shown.iter().all(is_whole)
    });
    for session in shown {
        for key in ["title", "project", "gitBranch", "version", "since", "model", "prompt", "text"]
        {
            assert!(session[key].as_str().is_some_and(|it| !it.is_empty()), "{key}: {session}");
        }
        assert_ne!(session["title"], session["prompt"]);
        assert!(session["context"]["tokens"].as_u64() < Some(200_000), "{session}");
        assert_eq!(session["context"]["window"], 200_000);
        assert!(session["tokens"]["cacheRead"].as_u64() > Some(0), "{session}");
        assert_eq!(session["pid"].is_u64(), session["isLive"] == true);
    }
}

#[test]
fn every_kind_of_block_is_there_and_no_record_is_unknown() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, _) = demo(temporary.path());
    let mut missing = HashSet::new();
    wait_for(SOON, "every kind is there", || {
        missing = HashSet::from(
            [
                "prompt",
                "text",
                "thinking",
                "tool_use",
                "tool_result",
                "question",
                "plan",
                "compaction",
                "error",
                "turn_end",
                "title",
                "notice",
            ]
            .map(Value::from),
        );
        for session in sessions(&program) {
            let id = session["sessionId"].as_str().unwrap();
            let path = format!("/api/claude/sessions/{id}/records?limit=1000&all=1");
            let page = program.get(&path).json();
            for record in page["records"].as_array().unwrap() {
                for block in record["data"]["blocks"].as_array().unwrap() {
                    missing.remove(&block["kind"]);
                    assert_ne!(block["kind"], "other", "{record}");
                }
            }
        }
        missing.is_empty()
    });
    let transcripts = &program.get("/healthz").json()["transcripts"];
    assert!(transcripts["records"].as_u64() > Some(500), "{transcripts}");
    assert_eq!(transcripts["malformed"], 0);
    assert_eq!(transcripts["unknownTypes"], serde_json::json!({}));
}

#[test]
fn a_prompt_of_the_history_is_in_the_transcript_of_its_session() {
    let temporary = tempfile::tempdir().unwrap();
    let (program, dir) = demo(temporary.path());
    let transcript = |session: &str| {
        let slugs = fs::read_dir(dir.join("projects")).unwrap();
        let paths = slugs.map(|slug| slug.unwrap().path().join(format!("{session}.jsonl")));
        paths.filter_map(|path| fs::read_to_string(path).ok()).collect::<String>()
    };
    let mut prompts: Vec<String> = program.backlog_lines();
    let mut stream = program.stream("?types=history.append", &[]);
    prompts.extend((0..3).map(|_| raw_line(&stream.event().json())));
    let mut checked = 0;
    for line in &prompts {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let (Some(session), display) = (line["sessionId"].as_str(), &line["display"]) else {
            continue;
        };
        if !display.as_str().unwrap().starts_with(['/', '!']) {
            checked += 1;
            let wanted = format!("\"content\":{display}");
            wait_until("it is in the transcript", || transcript(session).contains(&wanted));
        }
    }
    assert!(checked > 150, "{checked}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_of_a_session_remains_however_the_program_ends() {
    for signal in ["-TERM", "-KILL"] {
        let temporary = tempfile::tempdir().unwrap();
        let (program, _) = demo(temporary.path());
        let mut pids = Vec::new();
        wait_for(SOON, "sessions run", || {
            pids = sessions(&program).iter().filter_map(|it| it["pid"].as_u64()).collect();
            pids.len() >= 7
        });
        assert!(pids.iter().any(|pid| plays_session(*pid)));
        kill(&program, signal);
        wait_until("they have ended", || !pids.iter().any(|pid| plays_session(*pid)));
    }
}
