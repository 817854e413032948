//! The fold and the status, record by record.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::formats::prices::Prices;
use crate::formats::status::{Entry, EntryStatus};
use crate::formats::transcript::{Part, each_part};

const START: i64 = 1_790_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn fold(session: &mut Session, agent_id: Option<&str>, line: &Value) {
    each_part(line.to_string().as_bytes(), |part| match part {
        Part::Record(record) => session.record(agent_id, &record),
        Part::Malformed => session.malformed(agent_id),
    });
}

static PRICES: LazyLock<Arc<Prices>> = LazyLock::new(|| Arc::new(Prices::built_in()));

fn new() -> Session {
    Session::new("s", Arc::clone(&PRICES))
}

fn session(lines: &[Value]) -> Session {
    let mut session = new();
    lines.iter().for_each(|line| fold(&mut session, None, line));
    session
}

fn files(written: i64) -> Files<'static> {
    Files { written_at: at(written), path: Some("projects/-p/s.jsonl"), bytes: 1000 }
}

fn shown(session: &Session, liveness: &Liveness, now: i64) -> Value {
    let view = session.view(liveness, files(100), at(now));
    assert!(view.json.get().len() <= 4096, "{}", view.json.get().len());
    serde_json::from_str(view.json.get()).unwrap()
}

fn seen(session: &Session) -> Value {
    shown(session, &Liveness::Unknown, 101)
}

/// `status` and its source.
fn status(session: &Session) -> String {
    let seen = seen(session);
    format!("{} {}", seen["status"].as_str().unwrap(), seen["statusFrom"].as_str().unwrap())
}

// Records.

fn record(seconds: i64, record_type: &str, more: Value) -> Value {
    let mut record = json!({
        "type": record_type, "timestamp": at(seconds).to_string(), "uuid": "u", "sessionId": "s",
        "cwd": "/home/demo/src/alpha", "gitBranch": "main", "version": "2.1.289",
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

fn prompt(seconds: i64, text: &str) -> Value {
    record(seconds, "user", json!({ "message": { "content": text } }))
}

fn answer(seconds: i64, id: &str, block: Value, stop_reason: Value) -> Value {
    let usage = json!({ "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 1000 });
    let message = json!({
        "id": id, "model": "claude-opus-5", "content": [block], "stop_reason": stop_reason,
        "usage": usage,
    });
    record(seconds, "assistant", json!({ "requestId": id, "message": message }))
}

fn says(seconds: i64, id: &str, text: &str) -> Value {
    answer(seconds, id, json!({ "type": "text", "text": text }), Value::Null)
}

fn ends(seconds: i64, id: &str, text: &str) -> Value {
    answer(seconds, id, json!({ "type": "text", "text": text }), json!("end_turn"))
}

fn uses(seconds: i64, id: &str, name: &str, input: Value) -> Value {
    let block = json!({ "type": "tool_use", "id": id, "name": name, "input": input });
    answer(seconds, id, block, json!("tool_use"))
}

fn bash(seconds: i64, id: &str) -> Value {
    uses(seconds, id, "Bash", json!({ "command": "cargo test -q" }))
}

fn result(seconds: i64, id: &str, more: Value) -> Value {
    let block = json!({ "type": "tool_result", "tool_use_id": id, "content": "ok" });
    let mut fields = json!({ "message": { "content": [block] } });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record(seconds, "user", fields)
}

fn turn_end(seconds: i64, pending: u64) -> Value {
    let more = json!({
        "subtype": "turn_duration", "durationMs": 100, "pendingBackgroundAgentCount": pending,
    });
    record(seconds, "system", more)
}

fn alive(status: Option<EntryStatus>) -> Liveness {
    alive_since(-5, status)
}

fn alive_since(start: i64, status: Option<EntryStatus>) -> Liveness {
    Liveness::Alive(Box::new(Entry {
        session_id: "s".into(),
        pid: Some(7),
        proc_start: None,
        pid_domain: None,
        cwd: Some("/from/the/registry".into()),
        version: None,
        entrypoint: None,
        started_at: Some(at(start)),
        status,
        since: Some(at(50)),
    }))
}

#[test]
fn a_turn_runs_from_the_prompt_to_the_end_of_the_answer() {
    let mut lines = vec![prompt(0, "run the tests")];
    assert_eq!(status(&session(&lines)), "working transcript");
    lines.push(says(1, "m1", "I will"));
    lines.push(bash(2, "t1"));
    let seen_now = seen(&session(&lines));
    assert_eq!((&seen_now["status"], &seen_now["since"]), (&json!("working"), &json!(printed(0))));
    assert_eq!(
        seen_now["tools"],
        json!([{ "id": "t1", "name": "Bash", "input": "cargo test -q", "since": printed(2),
            "agentId": null }])
    );
    lines.push(result(9, "t1", json!({})));
    assert_eq!(seen(&session(&lines))["tools"], json!([]));
    assert_eq!(status(&session(&lines)), "working transcript");
    lines.push(ends(10, "m2", "All tests pass."));
    let seen_now = seen(&session(&lines));
    assert_eq!((&seen_now["status"], &seen_now["since"]), (&json!("idle"), &json!(printed(10))));
    assert_eq!(seen_now["text"], "All tests pass.");
    let next = seen(&session(&[&lines[..], &[prompt(12, "and now?")]].concat()));
    assert_eq!((&next["prompt"], &next["text"]), (&json!("and now?"), &Value::Null));
    assert_eq!((&seen_now["prompt"], &seen_now["turns"]), (&json!("run the tests"), &json!(1)));
    lines.push(turn_end(11, 0));
    assert_eq!(seen(&session(&lines))["since"], printed(10));
}

fn printed(seconds: i64) -> String {
    crate::event::print_time(at(seconds))
}

#[test]
fn the_whole_state_of_a_small_session_is_this() {
    let lines = [
        prompt(0, "fix it"),
        record(1, "ai-title", json!({ "aiTitle": "Fix failing test" })),
        uses(
            2,
            "t1",
            "TodoWrite",
            json!({ "todos": [
            { "content": "Find", "status": "completed", "activeForm": "Finding" },
            { "content": "Fix", "status": "in_progress", "activeForm": "Fixing" },
        ] }),
        ),
        result(3, "t1", json!({})),
        bash(4, "t2"),
    ];
    assert_eq!(
        shown(&session(&lines), &Liveness::Unknown, 101),
        json!({
            "sessionId": "s", "title": "Fix failing test", "project": "/home/demo/src/alpha",
            "gitBranch": "main", "version": "2.1.289", "status": "working",
            "statusFrom": "transcript", "since": printed(0), "isLive": false,
            "model": "claude-opus-5", "prompt": "fix it", "promptAt": printed(0), "queued": 0,
            "tools": [{ "id": "t2", "name": "Bash", "input": "cargo test -q",
                        "since": printed(4), "agentId": null }],
            "agents": [], "todos": { "done": 1, "total": 2, "active": "Fixing" }, "denied": 0,
            "context": { "tokens": 1015 }, "costUsd": 0.00135,
            "tokens": { "input": 20, "output": 10, "cacheRead": 2000, "cacheWrite": 0 },
            "turns": 1, "compactions": 0, "startedAt": printed(0), "lastAt": printed(4),
            "path": "projects/-p/s.jsonl", "bytes": 1000, "records": 5, "malformed": 0,
        })
    );
}

#[test]
fn a_question_waits_for_the_user_also_where_the_registry_says_idle() {
    let question = json!({ "questions": [{ "question": "Which database?\nPick one." }] });
    let mut lines = vec![prompt(0, "x"), uses(5, "q", "AskUserQuestion", question)];
    for liveness in [Liveness::Unknown, alive(Some(EntryStatus::Idle)), alive(None)] {
        let seen = shown(&session(&lines), &liveness, 101);
        assert_eq!(
            (&seen["status"], &seen["question"]),
            (&json!("waiting"), &json!("Which database?"))
        );
        assert_eq!(
            (&seen["statusFrom"], &seen["since"]),
            (&json!("transcript"), &json!(printed(5)))
        );
    }
    let busy = shown(&session(&lines), &alive(Some(EntryStatus::Busy)), 101);
    assert_eq!((&busy["status"], &busy["question"]), (&json!("working"), &Value::Null));
    lines.push(result(8, "q", json!({})));
    assert_eq!(status(&session(&lines)), "working transcript");
    let plan = [prompt(0, "x"), uses(5, "p", "ExitPlanMode", json!({ "plan": "# The plan\n1." }))];
    assert_eq!(seen(&session(&plan))["question"], "# The plan");
}

#[test]
fn the_registry_is_trusted_before_the_transcript() {
    let working = session(&[prompt(0, "x"), bash(1, "t")]);
    let waiting = EntryStatus::Waiting { waiting_for: Some("permission prompt".into()) };
    let seen = |status| {
        let seen = shown(&working, &alive(status), 101);
        assert_eq!((&seen["isLive"], &seen["pid"]), (&json!(true), &json!(7)));
        (seen["status"].clone(), seen["waitingFor"].clone(), seen["statusFrom"].clone())
    };
    let (registry, none) = (json!("registry"), Value::Null);
    let permission = json!("permission prompt");
    assert_eq!(seen(Some(waiting)), (json!("waiting"), permission, registry.clone()));
    assert_eq!(seen(Some(EntryStatus::Busy)), (json!("working"), none.clone(), registry.clone()));
    assert_eq!(seen(Some(EntryStatus::Idle)), (json!("idle"), none.clone(), registry));
    assert_eq!(seen(None), (json!("working"), none, json!("transcript")));
    let shell = shown(&working, &alive(Some(EntryStatus::Shell)), 101);
    assert_eq!((&shell["status"], &shell["shell"]), (&json!("idle"), &json!(true)));
    // However long nothing is written: a long tool call writes nothing.
    assert_eq!(shown(&working, &alive(None), 100_000)["status"], "working");
    let empty = shown(&new(), &alive(Some(EntryStatus::Busy)), 101);
    assert_eq!(
        (&empty["project"], &empty["status"]),
        (&json!("/from/the/registry"), &json!("working"))
    );
}

#[test]
fn without_a_process_silence_ends_a_session_whatever_is_open() {
    let open = session(&[prompt(0, "x"), bash(100, "t")]);
    let at_minute = |minutes: i64| shown(&open, &Liveness::Unknown, 100 + 60 * minutes);
    assert_eq!(at_minute(9)["status"], "working");
    let ended = at_minute(10);
    assert_eq!((&ended["status"], &ended["statusFrom"]), (&json!("ended"), &json!("silence")));
    assert_eq!((&ended["since"], &ended["tools"]), (&json!(printed(100)), &json!([])));
    assert_eq!(ended["endedMidTurn"], true);
    let idle = session(&[prompt(0, "x"), ends(1, "m", "done")]);
    let rested = shown(&idle, &Liveness::Unknown, 10_000);
    assert_eq!((&rested["status"], &rested["endedMidTurn"]), (&json!("ended"), &Value::Null));
    let gone = |since| shown(&open, &Liveness::Gone { since: at(since) }, 160);
    assert_eq!(
        (&gone(150)["status"], &gone(150)["since"]),
        (&json!("ended"), &json!(printed(150)))
    );
    assert_eq!(gone(99)["status"], "working", "it was written to after the process had gone");
}

#[test]
fn a_state_record_does_not_revive_a_session_that_has_ended() {
    let title = json!({ "type": "custom-title", "customTitle": "renamed", "sessionId": "s" });
    let written = |lines: &[Value], liveness: &Liveness, seconds: i64| {
        let mut session = session(lines);
        fold(&mut session, None, &title);
        let view = session.view(liveness, files(seconds), at(seconds + 1));
        (view.status, view.since)
    };
    let open = [prompt(0, "x"), bash(1, "t")];
    let gone = Liveness::Gone { since: at(50) };
    assert_eq!(written(&open, &Liveness::Unknown, 3600), (Status::Ended, Some(at(1))));
    assert_eq!(written(&open, &gone, 60), (Status::Ended, Some(at(50))));
    assert_eq!(written(&open, &Liveness::Unknown, 599), (Status::Working, Some(at(0))));
    let went_on = [&open[..], &[result(55, "t", json!({}))]].concat();
    assert_eq!(written(&went_on, &gone, 60).0, Status::Working);
    let mut timeless = result(0, "t", json!({}));
    timeless.as_object_mut().unwrap().remove("timestamp");
    let timeless = [&open[..], &[timeless]].concat();
    assert_eq!(written(&timeless, &Liveness::Unknown, 3600).0, Status::Working);
    let sidechain = record(3590, "assistant", json!({ "isSidechain": true }));
    let progress = record(3590, "progress", json!({ "data": { "type": "bash_progress" } }));
    for sign in [sidechain, progress] {
        let at_work = [&open[..], &[sign]].concat();
        assert_eq!(written(&at_work, &Liveness::Unknown, 3600).0, Status::Working);
    }
}

#[test]
fn a_subagent_at_work_keeps_a_session_from_ending() {
    let mut session = session(&[prompt(0, "x"), starts_agent(1, "t1")]);
    session.agent_meta("a0", AgentMeta::default());
    let status = |session: &Session| session.view(&Liveness::Unknown, files(3600), at(3601)).status;
    assert_eq!(status(&session), Status::Ended, "a subagent without a record is no sign");
    fold(&mut session, Some("a1"), &bash(3590, "t2"));
    assert_eq!(status(&session), Status::Working);
}

#[test]
fn interruptions_and_errors_end_the_turn_unless_it_is_tried_again() {
    let turn = [prompt(0, "x"), bash(1, "t")];
    let with = |line: Value| session(&[&turn[..], &[line]].concat());
    let interrupted = json!({ "message": { "content": [{ "type": "text", "text": "[Request interrupted by user for tool use]" }] } });
    let stopped = with(record(2, "user", interrupted));
    assert_eq!(
        (status(&stopped).as_str(), &seen(&stopped)["tools"]),
        ("idle transcript", &json!([]))
    );
    let error = json!({ "isApiErrorMessage": true, "message": { "model": "<synthetic>", "content": [{ "type": "text", "text": "API Error: Overloaded" }] } });
    let failed = with(record(2, "assistant", error));
    assert_eq!(status(&failed), "idle transcript");
    assert_eq!(
        seen(&failed)["errors"],
        json!({ "count": 1, "last": "API Error: Overloaded", "at": printed(2) })
    );
    assert_eq!(seen(&failed)["tokens"]["output"], 5, "an error has no tokens");
    let retried = json!({ "subtype": "api_error", "error": "Overloaded", "retryInMs": 500 });
    assert_eq!(status(&with(record(2, "system", retried))), "working transcript");
}

#[test]
fn state_and_injected_context_are_no_activity() {
    let mut lines = vec![prompt(0, "x"), ends(1, "m", "done")];
    let before = seen(&session(&lines));
    for line in [
        record(50, "last-prompt", json!({ "lastPrompt": "x" })),
        record(51, "mode", json!({ "mode": "plan" })),
        record(52, "user", json!({ "isMeta": true, "message": { "content": "reminder" } })),
        record(53, "attachment", json!({ "attachment": { "type": "skill_listing" } })),
        record(54, "progress", json!({ "data": { "type": "hook_progress" } })),
        record(55, "file-history-snapshot", json!({})),
    ] {
        lines.push(line);
    }
    let after = seen(&session(&lines));
    for key in ["status", "since", "lastAt", "turns", "text", "prompt"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(after["records"], 8);
}

#[test]
fn the_most_trusted_title_wins_and_of_one_source_the_last() {
    let mut lines = vec![prompt(0, "the first prompt"), prompt(9, "another")];
    let title = |lines: &[Value]| seen(&session(lines))["title"].clone();
    assert_eq!(title(&lines), "the first prompt");
    for (record_type, key, text) in [
        ("custom-title", "customTitle", "mine"),
        ("ai-title", "aiTitle", "old"),
        ("ai-title", "aiTitle", "new"),
        ("agent-name", "agentName", "agent"),
        ("summary", "summary", "summary"),
    ] {
        lines.push(record(1, record_type, json!({ key: text })));
    }
    assert_eq!(title(&lines), "mine");
    lines.push(record(1, "custom-title", json!({ "customTitle": "" })));
    assert_eq!(title(&lines), "new");
}

#[test]
fn prompts_wait_in_the_queue_until_they_are_delivered_or_taken_back() {
    let queue = |operation: &str, content: &str| {
        let mut fields = json!({ "operation": operation });
        if !content.is_empty() {
            fields["content"] = json!(content);
        }
        record(3, "queue-operation", fields)
    };
    let queued = |lines: &[Value]| seen(&session(lines))["queued"].as_u64().unwrap();
    let mut lines = vec![prompt(0, "x"), queue("enqueue", "one"), queue("enqueue", "two")];
    lines.push(queue("enqueue", "<task-notification><task-id>b</task-id>"));
    assert_eq!(queued(&lines), 2);
    let delivered = json!({ "attachment": { "type": "queued_command", "prompt": "one" } });
    assert_eq!(queued(&[&lines[..], &[record(4, "attachment", delivered)]].concat()), 1);
    let delivered = json!({ "promptSource": "queued", "message": { "content": "two" } });
    let later = session(&[&lines[..], &[bash(4, "t"), record(5, "user", delivered)]].concat());
    assert_eq!(
        (seen(&later)["queued"].clone(), seen(&later)["turns"].clone()),
        (json!(1), json!(1))
    );
    assert_eq!(seen(&later)["tools"].as_array().unwrap().len(), 1, "the turn goes on");
    assert_eq!(queued(&[&lines[..], &[queue("remove", "two")]].concat()), 1);
    assert_eq!(queued(&[&lines[..], &[queue("dequeue", "")]].concat()), 1);
    assert_eq!(queued(&[&lines[..], &[queue("popAll", "")]].concat()), 0);
    let twice = [prompt(0, "x"), queue("enqueue", "go on"), queue("enqueue", "go on")];
    let deliver = |n: usize| {
        let text = json!({ "promptSource": "queued", "message": { "content": "go on" } });
        vec![[queue("dequeue", ""), record(5, "user", text)]; n].concat()
    };
    assert_eq!([0, 1, 2].map(|n| queued(&[&twice[..], &deliver(n)].concat())), [2, 1, 0]);
}

#[test]
fn a_record_is_one_prompt_whatever_is_attached_to_it() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let attached = |kind: &str| json!({ "type": kind, "source": { "media_type": "image/png" } });
    let (image, document) = (attached("image"), attached("document"));
    for (content, wanted) in [
        (json!([text("what is this?"), image, image]), "what is this?"),
        (json!([image, text("what is this?")]), "what is this?"),
        (json!([document, image]), "[document]"),
    ] {
        let line = record(0, "user", json!({ "message": { "content": content } }));
        let seen = seen(&session(&[line]));
        assert_eq!((&seen["turns"], &seen["prompt"]), (&json!(1), &json!(wanted)));
        assert_eq!(seen["title"], wanted);
    }
}

#[test]
fn denials_are_those_of_rules_and_of_the_user() {
    let denied = |kind: &str| {
        let lines =
            [prompt(0, "x"), bash(1, "t"), result(2, "t", json!({ "toolDenialKind": kind }))];
        seen(&session(&lines))["denied"].clone()
    };
    assert_eq!(
        ["permission-rule", "user-rejected", "cancelled"].map(denied),
        [json!(1), json!(1), json!(0)]
    );
}

#[test]
fn a_response_counts_once_with_its_largest_output() {
    let part = |output: u64| {
        let usage = json!({ "input_tokens": 3, "output_tokens": output });
        let message = json!({ "id": "m", "model": "x", "content": [], "usage": usage });
        record(1, "assistant", json!({ "requestId": "r", "message": message }))
    };
    let tokens = |lines: &[Value]| seen(&session(lines))["tokens"]["output"].clone();
    for order in [[1, 1, 412], [412, 1, 1], [1, 412, 1]] {
        assert_eq!(tokens(&order.map(part)), 412);
    }
    let mut session = session(&[part(5)]);
    fold(&mut session, Some("a"), &part(5));
    assert_eq!(seen(&session)["tokens"]["output"], 5, "a subagent's copy of it");
}

#[test]
fn the_context_and_the_model_are_those_of_the_main_chain_and_a_known_window_is_shown() {
    let reminder =
        json!({ "attachment": { "type": "total_tokens_reminder", "used": 9, "total": 200_000 } });
    let mut session =
        session(&[prompt(0, "x"), says(1, "m", "y"), record(2, "attachment", reminder)]);
    fold(&mut session, Some("a"), &says(3, "m2", "other"));
    assert_eq!(seen(&session)["context"], json!({ "tokens": 1015, "window": 200_000 }));
    let old = record(
        4,
        "assistant",
        json!({ "isSidechain": true, "message": { "id": "z", "model": "claude-haiku-4-5", "content": [], "usage": { "input_tokens": 9, "output_tokens": 9 } } }),
    );
    fold(&mut session, None, &old);
    assert_eq!(seen(&session)["context"]["tokens"], 1015);
    assert_eq!(seen(&session)["model"], "claude-opus-5");
}

#[test]
fn after_a_compaction_the_context_is_what_it_left() {
    let boundary = |meta| {
        record(2, "system", json!({ "subtype": "compact_boundary", "compactMetadata": meta }))
    };
    let context = |meta| seen(&session(&[says(1, "m", "y"), boundary(meta)]))["context"].clone();
    assert_eq!(context(json!({ "preTokens": 1015, "postTokens": 210 })), json!({ "tokens": 210 }));
    assert_eq!(context(json!({ "preTokens": 1015 })), Value::Null);
}

#[test]
fn compactions_and_malformed_lines_are_counted() {
    let boundary = json!({ "subtype": "compact_boundary", "compactMetadata": { "preTokens": 5 } });
    let mut session = session(&[prompt(0, "x"), record(1, "system", boundary)]);
    each_part(b"{\"type\":", |part| {
        assert!(matches!(part, Part::Malformed));
        session.malformed(None);
    });
    let seen = seen(&session);
    assert_eq!(
        (&seen["compactions"], &seen["malformed"], &seen["records"]),
        (&json!(1), &json!(1), &json!(2))
    );
}

// Subagents.

fn starts_agent(seconds: i64, id: &str) -> Value {
    let input = json!({ "description": "Find callers", "prompt": "…", "subagent_type": "Explore" });
    uses(seconds, id, "Agent", input)
}

fn agents(session: &Session) -> Value {
    seen(session)["agents"].clone()
}

#[test]
fn a_subagent_is_joined_by_its_tool_use_else_by_its_id() {
    let mut lines = vec![prompt(0, "x"), starts_agent(1, "t1"), starts_agent(2, "t2")];
    let mut with_files = session(&lines);
    for (id, tool_use_id) in [("a1", "t1"), ("a2", "t2")] {
        let meta = AgentMeta {
            agent_type: Some("Explore".into()),
            description: Some(format!("of {id}")),
            tool_use_id: Some(tool_use_id.into()),
        };
        with_files.agent_meta(id, meta);
        fold(&mut with_files, Some(id), &prompt(3, "the task"));
        fold(&mut with_files, Some(id), &uses(4, "g", "Grep", json!({ "pattern": "parse\\(" })));
    }
    assert_eq!(
        agents(&with_files)[0],
        json!({ "agentId": "a2", "toolUseId": "t2", "type": "Explore", "description": "of a2",
                "status": "running", "since": printed(2), "tools": 1, "tokens": 1015, "tool": "Grep parse\\(" })
    );
    assert_eq!(agents(&with_files).as_array().unwrap().len(), 2);
    assert_eq!(
        seen(&with_files)["tools"][2],
        json!({ "id": "g", "name": "Grep", "input": "parse\\(", "since": printed(4),
            "agentId": "a1" })
    );
    let done = json!({ "toolUseResult": { "status": "completed", "agentId": "a1", "totalTokens": 51230, "totalToolUseCount": 4 } });
    lines.push(result(9, "t1", done));
    let mut by_id = session(&lines);
    fold(&mut by_id, Some("a1"), &prompt(3, "the task"));
    let shown = agents(&by_id);
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(
        shown[1],
        json!({ "agentId": "a1", "toolUseId": "t1", "type": "Explore", "description": "Find callers",
                "status": "done", "since": printed(1), "tools": 4, "tokens": 51230 })
    );
    assert_eq!((&shown[0]["status"], &shown[0]["agentId"]), (&json!("running"), &Value::Null));
}

#[test]
fn subagents_in_the_background_keep_a_session_at_work_until_they_end() {
    let launched = json!({ "toolUseResult": { "status": "async_launched", "agentId": "a1" } });
    let lines = [
        prompt(0, "x"),
        starts_agent(1, "t1"),
        result(2, "t1", launched),
        ends(3, "m", "ok"),
        turn_end(4, 1),
    ];
    let running = session(&lines);
    assert_eq!(status(&running), "working transcript");
    assert_eq!(agents(&running)[0]["status"], "running");
    let ended = |line: Value| session(&[&lines[..], &[line]].concat());
    let text = "<task-notification><task-id>a1</task-id><status>completed</status><summary>done</summary></task-notification>";
    let queued =
        ended(record(9, "queue-operation", json!({ "operation": "enqueue", "content": text })));
    assert_eq!(
        (status(&queued).as_str(), &agents(&queued)[0]["status"]),
        ("idle transcript", &json!("done"))
    );
    let heard = ended(record(
        9,
        "user",
        json!({ "origin": { "kind": "task-notification" }, "message": { "content": text } }),
    ));
    assert_eq!(
        (status(&heard).as_str(), &agents(&heard)[0]["status"]),
        ("working transcript", &json!("done"))
    );
    let mut by_its_file = session(&lines);
    fold(&mut by_its_file, Some("a1"), &prompt(3, "task"));
    assert_eq!(status(&by_its_file), "working transcript");
    fold(&mut by_its_file, Some("a1"), &ends(8, "m9", "found"));
    assert_eq!(status(&by_its_file), "idle transcript");
    assert_eq!(status(&session(&[prompt(0, "x"), turn_end(1, 2)])), "working transcript");
    let ended = shown(&running, &Liveness::Unknown, 10_000);
    assert_eq!(
        (&ended["status"], &ended["agents"][0]["status"]),
        (&json!("ended"), &json!("stopped"))
    );
}

#[test]
fn a_subagent_is_done_also_when_the_news_of_its_end_comes_after_the_turn() {
    let launched = json!({ "toolUseResult": { "status": "async_launched", "agentId": "a1" } });
    let text = "<task-notification><task-id>a1</task-id><status>completed</status>";
    let origin = json!({ "kind": "task-notification" });
    let news = json!({ "origin": origin, "message": { "content": text } });
    let lines = [
        prompt(0, "x"),
        starts_agent(1, "t1"),
        result(2, "t1", launched),
        starts_agent(2, "t2"),
        result(
            2,
            "t2",
            json!({ "toolUseResult": { "status": "async_launched", "agentId": "a2" } }),
        ),
        turn_end(4, 0),
        record(5, "user", news),
    ];
    let agents = agents(&session(&lines));
    let statuses = [&agents[0]["status"], &agents[1]["status"]];
    assert_eq!(statuses, ["stopped", "done"], "of the newer one there was no news");
}

#[test]
fn a_fork_has_none_of_the_calls_that_it_copied() {
    let done = json!({ "toolUseResult": { "status": "completed", "agentId": "a0" } });
    let context = [
        prompt(0, "x"),
        starts_agent(1, "t0"),
        result(2, "t0", done),
        bash(3, "b"),
        starts_agent(3, "t1"),
    ];
    let mut session = session(&context);
    let meta = AgentMeta { tool_use_id: Some("t1".into()), ..AgentMeta::default() };
    session.agent_meta("f1", meta);
    context.iter().for_each(|line| fold(&mut session, Some("f1"), line));
    let task = json!({ "message": { "content": [
        { "type": "tool_result", "tool_use_id": "t1", "content": "ok" },
        { "type": "text", "text": "<fork-boilerplate>You are a fork.</fork-boilerplate>task" },
    ] } });
    fold(&mut session, Some("f1"), &record(4, "user", task));
    fold(&mut session, Some("f1"), &bash(5, "c"));
    let shown = agents(&session);
    assert_eq!((&shown[0]["agentId"], &shown[0]["tools"]), (&json!("f1"), &json!(1)));
    assert_eq!((&shown[1]["toolUseId"], &shown[2]), (&json!("t0"), &Value::Null));
    let tools = seen(&session)["tools"].clone();
    let ids: Vec<&Value> = tools.as_array().unwrap().iter().map(|tool| &tool["id"]).collect();
    assert_eq!(ids, ["b", "t1", "c"]);
}

#[test]
fn a_subagent_that_asks_makes_the_session_wait() {
    let mut session = session(&[prompt(0, "x"), starts_agent(1, "t1")]);
    let question = json!({ "questions": [{ "question": "Delete it?" }] });
    fold(&mut session, Some("a1"), &prompt(2, "task"));
    fold(&mut session, Some("a1"), &uses(3, "q", "AskUserQuestion", question));
    assert_eq!(
        (status(&session).as_str(), &seen(&session)["question"]),
        ("waiting transcript", &json!("Delete it?"))
    );
}

#[test]
fn what_a_stopped_subagent_left_open_is_neither_a_question_nor_at_work() {
    let interrupted = json!({ "interruptedMessageId": "m", "message": { "content": [{ "type": "text", "text": "[Request interrupted by user]" }] } });
    let cancelled = json!({ "toolDenialKind": "cancelled", "message": { "content": [
        { "type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": "no" }] } });
    for stop in [record(9, "user", interrupted), prompt(9, "next"), result(9, "t1", cancelled)] {
        let mut session = session(&[prompt(0, "x"), starts_agent(1, "t1")]);
        let meta = AgentMeta { tool_use_id: Some("t1".into()), ..AgentMeta::default() };
        session.agent_meta("a1", meta);
        fold(&mut session, Some("a1"), &prompt(2, "task"));
        fold(&mut session, Some("a1"), &bash(3, "b"));
        fold(&mut session, Some("a1"), &uses(3, "p", "ExitPlanMode", json!({ "plan": "plan" })));
        assert_eq!(status(&session), "waiting transcript");
        fold(&mut session, None, &stop);
        let idle = shown(&session, &alive(Some(EntryStatus::Idle)), 101);
        assert_eq!((&idle["status"], &idle["tools"]), (&json!("idle"), &json!([])), "{stop}");
        assert_ne!(status(&session), "waiting transcript");
    }
}

#[test]
fn what_a_crash_left_open_is_not_open_in_the_next_process() {
    let question = json!({ "questions": [{ "question": "Which?" }] });
    let later = json!({ "operation": "enqueue", "content": "later" });
    let lines = [
        prompt(0, "x"),
        starts_agent(1, "t1"),
        bash(1, "b"),
        uses(2, "q", "AskUserQuestion", question),
        record(3, "queue-operation", later.clone()),
    ];
    let mut crashed = session(&lines);
    fold(&mut crashed, Some("a1"), &prompt(2, "task"));
    fold(&mut crashed, Some("a1"), &bash(3, "c"));
    let before = shown(&crashed, &alive(None), 101);
    assert_eq!((&before["status"], &before["queued"]), (&json!("waiting"), &json!(1)));
    assert_eq!(before["tools"].as_array().unwrap().len(), 4);
    for entry_status in [None, Some(EntryStatus::Idle)] {
        let next = shown(&crashed, &alive_since(60, entry_status), 101);
        assert_eq!((&next["status"], &next["tools"]), (&json!("idle"), &json!([])));
        assert_eq!((&next["queued"], &next["question"]), (&json!(0), &Value::Null));
        assert_eq!(next["agents"][0]["status"], "stopped");
        assert_eq!(next["agents"][1]["status"], "stopped");
    }
    let resumed = [prompt(70, "go on"), bash(71, "d"), record(72, "queue-operation", later)];
    resumed.iter().for_each(|line| fold(&mut crashed, None, line));
    let next = shown(&crashed, &alive_since(60, None), 101);
    assert_eq!((&next["status"], &next["queued"]), (&json!("working"), &json!(1)));
    assert_eq!((&next["tools"][0]["id"], &next["tools"][1]), (&json!("d"), &Value::Null));
}

#[test]
fn subagents_in_the_background_end_with_their_process() {
    let launched = json!({ "toolUseResult": { "status": "async_launched", "agentId": "a1" } });
    let lines = [prompt(0, "x"), starts_agent(1, "t1"), result(2, "t1", launched), turn_end(4, 1)];
    let left = session(&lines);
    let seen = |start: i64| shown(&left, &alive_since(start, None), 101);
    assert_eq!((&seen(0)["status"], &seen(0)["since"]), (&json!("working"), &json!(printed(4))));
    assert_eq!((&seen(60)["status"], &seen(60)["since"]), (&json!("idle"), &json!(printed(4))));
    assert_eq!(seen(60)["agents"][0]["status"], "stopped");
}

// Properties.

/// A record by number, on a session that uses the tools 0 to 3.
fn any_record() -> impl Strategy<Value = Value> {
    let tool = 0..4_u8;
    let id = |n: u8| format!("t{n}");
    let seconds = 0..90_i64;
    prop_oneof![
        2 => seconds.clone().prop_map(|s| prompt(s, "prompt")),
        3 => (seconds.clone(), tool.clone()).prop_map(move |(s, n)| bash(s, &id(n))),
        3 => (seconds.clone(), tool.clone()).prop_map(move |(s, n)| result(s, &id(n), json!({}))),
        1 => (seconds.clone(), tool.clone()).prop_map(move |(s, n)| starts_agent(s, &id(n))),
        1 => (seconds.clone(), tool).prop_map(move |(s, n)| {
            let launched = json!({ "status": "async_launched", "agentId": "a" });
            result(s, &id(n), json!({ "toolUseResult": launched }))
        }),
        2 => seconds.clone().prop_map(|s| says(s, "m1", "text")),
        1 => seconds.clone().prop_map(|s| ends(s, "m2", "end")),
        1 => (seconds.clone(), 0..2_u64).prop_map(|(s, pending)| turn_end(s, pending)),
        1 => seconds.clone().prop_map(|s| record(s, "ai-title", json!({ "aiTitle": "title" }))),
        1 => seconds.clone().prop_map(|s| {
            record(s, "queue-operation", json!({ "operation": "enqueue", "content": "later" }))
        }),
        1 => seconds.prop_map(|s| record(s, "of-next-month", json!({ "x": [1, 2] }))),
    ]
}

fn file(records: &[Value]) -> Vec<u8> {
    records.iter().flat_map(|record| format!("{record}\n").into_bytes()).collect()
}

/// Folds a file that is read in pieces of these sizes.
fn fold_in_pieces(file: &[u8], sizes: &[usize]) -> Value {
    let mut session = new();
    let (mut pending, mut rest) = (Vec::new(), file);
    for size in sizes.iter().cycle() {
        let (piece, left) = rest.split_at((*size).min(rest.len()));
        rest = left;
        pending.extend_from_slice(piece);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            each_part(&line[..end], |part| match part {
                Part::Record(record) => session.record(None, &record),
                Part::Malformed => session.malformed(None),
            });
            // Looking at it changes nothing.
            seen(&session);
        }
        if rest.is_empty() {
            return seen(&session);
        }
    }
    unreachable!("there is a size")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_folded_in_any_cut_or_again_gives_the_same_state(
        records in prop::collection::vec(any_record(), 0..40),
        sizes in prop::collection::vec(1..400_usize, 1..5),
    ) {
        let file = file(&records);
        let whole = fold_in_pieces(&file, &[usize::MAX]);
        prop_assert_eq!(&whole, &fold_in_pieces(&file, &sizes));
        prop_assert_eq!(whole, seen(&session(&records)));
    }

    #[test]
    fn whenever_a_tools_result_comes_it_leaves_no_open_tool(
        before in prop::collection::vec(any_record(), 0..10),
        later in prop::collection::vec(0..5_u8, 0..6),
        place in any::<prop::sample::Index>(),
    ) {
        let mut later: Vec<Value> = later
            .into_iter()
            .map(|kind| match kind {
                0 => says(50, "m7", "text"),
                1 => ends(51, "m8", "end"),
                2 => turn_end(52, 0),
                3 => prompt(53, "next"),
                _ => record(54, "ai-title", json!({ "aiTitle": "title" })),
            })
            .collect();
        let at = place.index(later.len() + 1);
        later.insert(at, result(60, "last", json!({})));
        let records = [&before[..], &[prompt(40, "go"), bash(41, "last")], &later].concat();
        let tools = seen(&session(&records))["tools"].clone();
        prop_assert_eq!(tools, json!([]));
    }

    #[test]
    fn whatever_is_folded_it_fits_and_ends_in_silence(
        records in prop::collection::vec(any_record(), 0..60),
        text in any::<String>(),
    ) {
        let mut session = session(&records);
        for n in 0..30 {
            let text = text.repeat(40);
            let input = json!({ "command": text });
            fold(&mut session, None, &uses(70, &format!("x{n}"), &text, input));
            fold(&mut session, Some(&format!("agent-{n}")), &prompt(71, &text));
        }
        seen(&session);
        let late = shown(&session, &Liveness::Unknown, 100 + 600);
        prop_assert_eq!(&late["status"], "ended");
        let gone = Liveness::Gone { since: at(100) + SignedDuration::from_secs(1) };
        prop_assert_eq!(&shown(&session, &gone, 102)["status"], "ended");
    }
}
