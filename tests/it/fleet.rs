//! A fleet over a real `redis-server`: each event of a machine is in its stream once, whatever
//! fails on the way, and what is lost is told.

mod redis_server;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::redis_server::{Entry, Redis};
use crate::agents::{Agent, Home, SESSION, asks, calls, says};
use crate::program::{Client, Program, Stream, append, command, prompt, wait_until};
use crate::tools::{has, succeeds};

/// The name under which tests publish.
const ALPHA: &str = "alpha";

fn publish(redis: &Redis, machine: &str) -> [String; 4] {
    ["--publish".to_owned(), redis.url(), "--machine".to_owned(), machine.to_owned()]
}

/// Starts a program that publishes, on a history with these prompts.
fn publisher(redis: &Redis, prompts: &[&str], more: &[&str]) -> Program {
    let history: String = prompts.iter().map(|text| prompt(text)).collect();
    let args = publish(redis, ALPHA);
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Program::start_with(&history, &args)
}

fn again(program: Program, redis: &Redis, write: impl FnOnce(&Program)) -> Program {
    let dir = program.dir().to_owned();
    write(&program);
    let temporary = program.kill_and_keep();
    let args = publish(redis, ALPHA);
    let mut program = Program::start_on(&dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
    program.keep(temporary);
    program
}

fn fleet(program: &Program) -> Value {
    program.get("/healthz").json()["fleet"].clone()
}

#[track_caller]
fn wait_for_state(program: &Program, state: &str) {
    wait_until(&format!("the publisher is {state}"), || fleet(program)["state"] == state);
}

/// The texts of the prompts in a list of entries.
fn texts(entries: &[Entry]) -> Vec<String> {
    let lines = entries.iter().filter(|entry| entry.event_type == "history.append");
    lines.map(|line| line.data["summary"]["display"].as_str().unwrap().to_owned()).collect()
}

/// The kinds of the publisher's notices in a list of entries.
fn kinds(entries: &[Entry]) -> Vec<String> {
    let notices = entries.iter().filter(|entry| entry.event_type == "server.notice");
    let kinds = notices.map(|notice| notice.data["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind.starts_with("fleet.")).collect()
}

/// Waits until the stream has these prompts, each once and in this order.
#[track_caller]
fn wait_for_texts(redis: &Redis, wanted: &[&str]) -> Vec<Entry> {
    let last = wanted.last().unwrap();
    let mut entries = Vec::new();
    wait_until(&format!("`{last}` is in the stream"), || {
        entries = redis.entries(ALPHA);
        texts(&entries).last().is_some_and(|text| text == last)
    });
    assert_eq!(texts(&entries), wanted);
    assert!(entries.is_sorted_by(|one, other| one.id < other.id));
    entries
}

#[test]
fn each_event_is_in_the_stream_once_and_earlier_prompts_are_the_backlog() {
    let Some(redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &["a", "b"], &[]);
    let mut stream = program.stream("?types=history.append", &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("c"));
    program.append(&prompt("d"));
    let entries = wait_for_texts(&redis, &["c", "d"]);
    assert_eq!(kinds(&entries), ["fleet.publishing"]);
    let events: Vec<_> = (0..2).map(|_| stream.event()).collect();
    for (entry, event) in entries[1..].iter().zip(&events) {
        assert_eq!((Some(entry.id), &entry.data), (event.id, &event.json()["data"]));
        assert_eq!(entry.ts, event.json()["ts"]);
    }
    assert_eq!(entries[2].before, entries[1].id);
    assert_eq!(texts(&redis.backlog(ALPHA)), ["a", "b", "c", "d"]);
    let report = fleet(&program);
    assert_eq!((&report["role"], &report["machine"]), (&json!("publish"), &json!(ALPHA)));
    assert_eq!(report["redis"], format!("{}0", redis.url()));
}

#[test]
fn sessions_are_kept_as_they_are_and_records_are_not_published_by_default() {
    let Some(redis) = Redis::start(&[]) else { return };
    let home = Home::with(&[asks("add a retry"), calls("t", "Bash", &json!({"command": "ls"}))]);
    let agent = Agent::start();
    home.enter(&agent, "busy", "");
    let args = publish(&redis, ALPHA);
    let program = home.start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let state = |redis: &Redis| redis.sessions(ALPHA).remove(SESSION);
    wait_until("the session is published", || {
        state(&redis).is_some_and(|it| it["tools"][0]["name"] == "Bash" && it["isLive"] == true)
    });
    home.append(&says("done").line);
    wait_until("its text is published", || state(&redis).is_some_and(|it| it["text"] == "done"));
    let types: Vec<String> = redis.entries(ALPHA).into_iter().map(|it| it.event_type).collect();
    assert!(types.contains(&"session.changed".to_owned()), "{types:?}");
    assert!(!types.contains(&"transcript.append".to_owned()), "{types:?}");
    drop(agent);
    fs::remove_file(home.transcript()).unwrap();
    wait_until("the session is gone", || state(&redis).is_none());
    assert_eq!(program.get("/healthz").status, 200);
}

#[test]
fn types_can_be_chosen() {
    let Some(redis) = Redis::start(&[]) else { return };
    let home = Home::with(&[asks("go")]);
    let args = publish(&redis, ALPHA);
    let mut args: Vec<_> = args.iter().map(String::as_str).collect();
    args.extend(["--publish-types", "transcript.append"]);
    append(&home.path("history.jsonl"), &prompt("before"));
    let program = home.start(&args);
    wait_for_state(&program, "connected");
    crate::agents::wait_until_read(&program);
    program.append(&prompt("not this"));
    home.append(&says("hi").line);
    wait_until("the record is published", || {
        redis.entries(ALPHA).iter().any(|entry| entry.event_type == "transcript.append")
    });
    let entries = redis.entries(ALPHA);
    let types: Vec<&str> = entries.iter().map(|entry| entry.event_type.as_str()).collect();
    assert_eq!(types, ["server.notice", "transcript.append"]);
    assert_eq!(redis.backlog(ALPHA).len(), 0);
}

#[test]
fn a_redis_that_is_killed_and_comes_back_with_its_data_has_every_event_once() {
    let Some(mut redis) = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
    redis.kill();
    program.append(&prompt("b"));
    wait_for_state(&program, "unavailable");
    assert!(fleet(&program)["error"].is_string());
    program.append(&prompt("c"));
    wait_until("it keeps serving", || program.backlog_lines().len() == 3);
    redis.start_again();
    let entries = wait_for_texts(&redis, &["a", "b", "c"]);
    wait_for_state(&program, "connected");
    let kinds = kinds(&entries);
    assert_eq!(kinds[..2], ["fleet.publishing", "fleet.unavailable"], "it is told once");
    assert!(!kinds.contains(&"fleet.lost".to_owned()), "{kinds:?}");
}

#[test]
fn a_redis_that_comes_back_empty_gets_what_is_in_memory_and_the_loss_is_told() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &["old"], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
    redis.kill();
    program.append(&prompt("b"));
    redis.start_again();
    wait_for_texts(&redis, &["a", "b"]);
    assert_eq!(texts(&redis.backlog(ALPHA)), ["old", "a", "b"]);
    wait_until("the loss is told", || {
        kinds(&redis.entries(ALPHA)).contains(&"fleet.lost".to_owned())
    });
}

#[test]
fn events_that_leave_memory_while_redis_is_away_are_told_to_be_lost() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    redis.kill();
    program.append(&prompt("before"));
    // Of a file that appears, only the newest lines are read.
    wait_until("the file is read", || program.counter("lines") == 1);
    wait_for_state(&program, "unavailable");
    let many: String = (0..1500).map(|number| prompt(&format!("line {number}"))).collect();
    program.append(&many);
    wait_until("all are read", || program.counter("lines") == 1501);
    redis.start_again();
    wait_until("the last is published", || {
        texts(&redis.entries(ALPHA)).last().is_some_and(|text| text == "line 1499")
    });
    let entries = redis.entries(ALPHA);
    let published = texts(&entries);
    assert!(published.len() >= 990, "{}", published.len());
    let wanted: Vec<String> =
        (1500 - published.len()..1500).map(|number| format!("line {number}")).collect();
    assert_eq!(published, wanted, "what is in memory, without a gap");
    wait_until("the loss is told", || {
        kinds(&redis.entries(ALPHA)).contains(&"fleet.lost".to_owned())
    });
}

/// Stalls Redis, and checks that all that is written meanwhile is there once in the end.
fn check_stall(stall: Duration) {
    let Some(redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    redis.signal("STOP");
    let end = Instant::now() + stall;
    let mut texts = Vec::new();
    while Instant::now() < end {
        texts.push(format!("line {}", texts.len()));
        program.append(&prompt(texts.last().unwrap()));
        assert_eq!(program.get("/healthz").status, 200);
        std::thread::sleep(stall / 20);
    }
    redis.signal("CONT");
    let wanted: Vec<&str> = texts.iter().map(String::as_str).collect();
    wait_for_texts(&redis, &wanted);
}

#[test]
fn a_redis_that_stalls_for_a_moment_has_every_event_once() {
    check_stall(Duration::from_secs(2));
}

#[test]
#[ignore = "takes half a minute"]
fn a_redis_that_stalls_for_half_a_minute_has_every_event_once() {
    check_stall(Duration::from_secs(30));
}

#[test]
fn a_redis_that_is_full_leaves_no_event_out() {
    let Some(redis) = Redis::start(&["--maxmemory-policy", "noeviction"]) else { return };
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
    redis.config("maxmemory", "1");
    program.append(&prompt("b"));
    wait_for_state(&program, "unavailable");
    let error = fleet(&program)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("maxmemory"), "{error}");
    program.append(&prompt("c"));
    redis.config("maxmemory", "0");
    wait_for_texts(&redis, &["a", "b", "c"]);
}

#[test]
fn a_slow_link_delays_events_and_loses_none() {
    let Some(redis) = Redis::start(&[]) else { return };
    redis.slow_down(100_000);
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    let padding = "x".repeat(800);
    let texts: Vec<String> = (0..100).map(|number| format!("{number} {padding}")).collect();
    program.append(&texts.iter().map(|text| prompt(text)).collect::<String>());
    wait_for_texts(&redis, &texts.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_wrong_password_is_told_and_the_right_one_in_a_file_is_taken() {
    let Some(redis) = Redis::start(&["--requirepass", "right"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "wrong\n").unwrap();
    let more = ["--redis-password-file", file.to_str().unwrap()];
    let program = publisher(&redis, &[], &more);
    wait_for_state(&program, "unavailable");
    assert_eq!(fleet(&program)["error"], "the user name or the password is wrong");
    drop(program);
    fs::write(&file, "right\n").unwrap();
    let program = publisher(&redis, &[], &more);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
}

#[test]
fn a_user_that_may_not_add_entries_is_told_and_nothing_is_left_out_when_it_may() {
    let Some(redis) = Redis::start(&[]) else { return };
    redis.run(&["ACL", "SETUSER", "agent", "on", ">pw", "~claude-live:*", "+@all", "-xadd"]);
    let url = redis.url().replace("redis://", "redis://agent:pw@");
    let program = Program::start(&["--publish", &url, "--machine", ALPHA]);
    wait_for_state(&program, "unavailable");
    let error = fleet(&program)["error"].as_str().unwrap().to_lowercase();
    assert!(error.starts_with("redis refuses: "), "{error}");
    program.append(&prompt("a"));
    wait_until("it has tried three times", || redis.failed_scripts() >= 3);
    redis.run(&["ACL", "SETUSER", "agent", "+xadd"]);
    let entries = wait_for_texts(&redis, &["a"]);
    let times = kinds(&entries).iter().filter(|kind| *kind == "fleet.unavailable").count();
    assert_eq!(times, 1, "it is told once");
    let said = program.kill();
    assert!(said.contains("--redis-password-file") && !said.contains("pw@"), "{said}");
}

#[test]
fn a_publisher_that_is_killed_in_a_batch_goes_on_where_the_stream_ends() {
    let Some(redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &["old"], &[]);
    wait_for_state(&program, "connected");
    // More than ten batches: some are left when the first one is seen.
    let padding = "x".repeat(2000);
    let mut texts: Vec<String> = (0..600).map(|number| format!("{number} {padding}")).collect();
    redis.slow_down(1_000_000);
    program.append(&texts.iter().map(|text| prompt(text)).collect::<String>());
    wait_until("a part is published", || redis.entries(ALPHA).len() > 50);
    let program = again(program, &redis, |_| {});
    let published = self::texts(&redis.entries(ALPHA)).len();
    assert!(published < 600, "it was killed too late");
    redis.slow_down(0);
    // The lock of the run that was killed expires.
    wait_for_state(&program, "waiting");
    wait_for_state(&program, "connected");
    texts.push("after".to_owned());
    program.append(&prompt("after"));
    let wanted: Vec<&str> = texts.iter().map(String::as_str).collect();
    let entries = wait_for_texts(&redis, &wanted);
    assert_eq!(kinds(&entries), ["fleet.publishing", "fleet.publishing"]);
}

#[test]
fn a_restart_publishes_the_lines_that_were_written_meanwhile() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut program = publisher(&redis, &["old"], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
    succeeds(Command::new("kill").arg(program.child.id().to_string()));
    program.child.wait().unwrap();
    assert_eq!(redis.owner(ALPHA), None, "an orderly end gives the name back");
    let program = again(program, &redis, |program| program.append(&prompt("meanwhile")));
    program.append(&prompt("b"));
    wait_for_texts(&redis, &["a", "meanwhile", "b"]);
    assert_eq!(texts(&redis.backlog(ALPHA)), ["old", "a", "meanwhile", "b"]);
}

#[test]
fn the_second_publisher_under_a_name_is_refused_and_goes_on_serving() {
    let Some(redis) = Redis::start(&[]) else { return };
    let first = publisher(&redis, &[], &[]);
    wait_for_state(&first, "connected");
    let second = publisher(&redis, &["x"], &[]);
    wait_for_state(&second, "refused");
    let error = fleet(&second)["error"].as_str().unwrap().to_owned();
    let pid = first.child.id();
    assert!(error.contains(&format!("process {pid} ")) && error.contains("--machine"), "{error}");
    second.append(&prompt("not published"));
    first.append(&prompt("a"));
    wait_for_texts(&redis, &["a"]);
    wait_until("it serves", || second.backlog_lines().len() == 2);
    assert_eq!(fleet(&first)["state"], "connected");
}

#[test]
fn a_stream_with_ids_of_the_future_is_continued_above_them() {
    let Some(redis) = Redis::start(&[]) else { return };
    let future = "8999999999999999";
    redis.run(&[
        "XADD",
        "claude-live:events:alpha",
        &format!("{future}-0"),
        "type",
        "server.notice",
        "ts",
        "2026-01-01T12:00:00.000Z",
        "session",
        "",
        "before",
        "0-0",
        "data",
        "{}",
    ]);
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt("a"));
    let entries = wait_for_texts(&redis, &["a"]);
    assert_eq!(format!("{}", entries[0].id), future);
    assert!(entries.windows(2).all(|two| two[1].before == two[0].id), "{entries:?}");
}

#[test]
fn an_entry_has_at_most_1_mib() {
    let Some(redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &[], &[]);
    wait_for_state(&program, "connected");
    program.append(&prompt(&"é".repeat(400_000)));
    program.append(&prompt("next"));
    wait_until("both are published", || {
        texts(&redis.entries(ALPHA)).last().is_some_and(|text| text == "next")
    });
    let entries = redis.entries(ALPHA);
    let cut = &entries.iter().find(|entry| entry.data["offset"] == 0).unwrap().data;
    assert_eq!((&cut["truncated"], &cut["offset"]), (&json!(true), &json!(0)));
    assert!(cut["rawLine"].as_str().unwrap().len() <= 4096, "{cut}");
    assert!(cut["parseError"].as_str().unwrap().contains("1048576"), "{cut}");
    assert!(cut["summary"]["project"].is_string(), "{cut}");
}

#[test]
fn secrets_are_masked_where_that_is_asked_for() {
    let Some(redis) = Redis::start(&[]) else { return };
    let program = publisher(&redis, &["DB_PASSWORD=hunter22"], &["--mask-secrets"]);
    wait_for_state(&program, "connected");
    program.append(&prompt("password=hunter23 now"));
    let entries = wait_for_texts(&redis, &["password=•••• now"]);
    assert!(!format!("{entries:?}{:?}", redis.backlog(ALPHA)).contains("hunter2"));
    assert!(program.backlog(9).to_string().contains("hunter23"), "its own API has it");
}

/// Starts a program that shows the fleet.
fn viewer(redis: &Redis) -> Program {
    let mut start = command();
    start.args(["--from", &redis.url(), "--port", "0"]);
    Program::spawn(start, Path::new("/nowhere"))
}

/// Starts a program that publishes under a name, on a history with these prompts.
fn machine(redis: &Redis, name: &str, prompts: &[&str]) -> Program {
    let history: String = prompts.iter().map(|text| prompt(text)).collect();
    let args = publish(redis, name);
    let program = Program::start_with(&history, &args.each_ref().map(String::as_str));
    wait_for_state(&program, "connected");
    program
}

/// The machine and the text of each event of the history.
fn named(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events
        .iter()
        .map(|it| (text(&it["machine"]), text(&it["data"]["summary"]["display"])))
        .collect()
}

fn backlog(viewer: &Program) -> Vec<(String, String)> {
    let mut texts = named(viewer.backlog(1000)["events"].as_array().unwrap());
    texts.reverse();
    texts
}

/// The next prompts of a stream.
fn next(stream: &mut Stream, count: usize) -> Vec<(String, String)> {
    let mut events = Vec::new();
    while events.len() < count {
        let event = stream.event();
        if event.event == "history.append" {
            events.push(event.json());
        }
    }
    named(&events)
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(machine, text)| ((*machine).to_owned(), (*text).to_owned())).collect()
}

/// The machines of a viewer: name and whether it is silent.
fn machines(viewer: &Program) -> Vec<(String, bool)> {
    let sessions = viewer.get("/api/claude/sessions").json();
    let machines = sessions["machines"].as_array().unwrap();
    machines
        .iter()
        .map(|it| (it["name"].as_str().unwrap().to_owned(), it["isSilent"].as_bool().unwrap()))
        .collect()
}

#[track_caller]
fn wait_for_notice(stream: &mut Stream, kind: &str) -> Value {
    loop {
        let event = stream.event().json();
        if event["data"]["kind"] == kind {
            return event;
        }
    }
}

#[test]
fn a_machine_is_in_the_list_once_its_earlier_prompts_are_in_redis() {
    let Some(redis) = Redis::start(&[]) else { return };
    redis.slow_down(2_000_000);
    let texts: Vec<String> =
        (0..500).map(|number| format!("{number} {}", "x".repeat(2000))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let _program = publisher(&redis, &texts, &[]);
    wait_until("the machine is in the list", || redis.machines().contains(ALPHA));
    assert_eq!(self::texts(&redis.backlog(ALPHA)), texts);
}

#[test]
fn a_viewer_has_the_prompts_of_all_machines_and_new_ones_as_they_come() {
    let Some(redis) = Redis::start(&[]) else { return };
    let alpha = machine(&redis, ALPHA, &["a"]);
    let beta = machine(&redis, "beta", &["b"]);
    let viewer = viewer(&redis);
    assert_eq!(backlog(&viewer), pairs(&[(ALPHA, "a"), ("beta", "b")]));
    let since = viewer.backlog(1)["lastEventId"].as_u64().unwrap();
    let mut stream = viewer.stream(&format!("?since={since}"), &[]);
    alpha.append(&prompt("c"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "c")]));
    beta.append(&prompt("d"));
    assert_eq!(next(&mut stream, 1), pairs(&[("beta", "d")]));
    let gamma = machine(&redis, "gamma", &["e"]);
    wait_for_notice(&mut stream, "stream.resync");
    assert_eq!(backlog(&viewer).last(), pairs(&[("gamma", "e")]).first());
    gamma.append(&prompt("f"));
    assert_eq!(next(&mut stream, 1), pairs(&[("gamma", "f")]));
    let all = machines(&viewer);
    let heard = |name: &str| (name.to_owned(), false);
    assert_eq!(all, [heard(ALPHA), heard("beta"), heard("gamma")]);
    let report = fleet(&viewer);
    assert_eq!((&report["role"], &report["state"]), (&json!("from"), &json!("connected")));
    assert!(report["machines"][0]["heardAt"].is_string(), "{report}");
}

#[test]
fn the_same_session_on_two_machines_stays_two_and_records_are_on_their_machine() {
    let Some(redis) = Redis::start(&[]) else { return };
    let homes = [Home::with(&[asks("first")]), Home::with(&[asks("second")])];
    let programs = [("one", &homes[0]), ("two", &homes[1])]
        .map(|(name, home)| home.start(&publish(&redis, name).each_ref().map(String::as_str)));
    programs.iter().for_each(|program| wait_for_state(program, "connected"));
    let viewer = viewer(&redis);
    let mut sessions = Vec::new();
    wait_until("both are known", || {
        let answer = viewer.get("/api/claude/sessions").json();
        sessions = answer["sessions"].as_array().unwrap().clone();
        sessions.len() == 2
    });
    let mut known: Vec<_> = sessions
        .iter()
        .map(|it| (it["machine"].as_str().unwrap(), it["prompt"].as_str().unwrap()))
        .collect();
    known.sort_unstable();
    assert_eq!(known, [("one", "first"), ("two", "second")]);
    assert!(sessions.iter().all(|it| it["sessionId"] == SESSION), "{sessions:?}");
    let refused = viewer.get(&format!("/api/claude/sessions/{SESSION}/records"));
    assert_eq!((refused.status, refused.code()), (404, "other_machine".to_owned()));
    assert!(refused.text().contains("`one`") && refused.text().contains("`two`"));
    assert_eq!(viewer.get("/api/claude/live/backlog?before=9").code(), "other_machine");
    assert_eq!(viewer.get("/api/claude/usage").code(), "other_machine");
    let mut stream = viewer.stream("?types=session.changed,session.removed", &[]);
    fs::remove_file(homes[1].transcript()).unwrap();
    let removed = stream.event().json();
    assert_eq!(removed["type"], "session.removed");
    assert_eq!((&removed["machine"], &removed["data"]["machine"]), (&json!("two"), &json!("two")));
    let left = viewer.get("/api/claude/sessions").json();
    assert_eq!(left["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(left["sessions"][0]["machine"], "one");
}

#[test]
fn a_viewer_that_is_restarted_has_what_redis_holds() {
    let Some(redis) = Redis::start(&[]) else { return };
    let home = Home::with(&[asks("go")]);
    let agent = Agent::start();
    home.enter(&agent, "waiting", ",\"waitingFor\":\"permission prompt\"");
    let program = home.start(&publish(&redis, ALPHA).each_ref().map(String::as_str));
    wait_for_state(&program, "connected");
    let waits = |viewer: &Program| {
        let sessions = viewer.get("/api/claude/sessions").json();
        sessions["sessions"][0]["status"] == "waiting"
    };
    let first = viewer(&redis);
    wait_until("the session waits", || waits(&first));
    program.append(&prompt("a"));
    wait_until("the prompt is there", || backlog(&first) == pairs(&[(ALPHA, "a")]));
    let last = first.backlog(1)["lastEventId"].as_u64().unwrap();
    drop(first);
    program.append(&prompt("b"));
    wait_for_texts(&redis, &["a", "b"]);
    let second = viewer(&redis);
    assert_eq!(backlog(&second), pairs(&[(ALPHA, "a"), (ALPHA, "b")]));
    assert!(waits(&second), "the session's last event may be long ago");
    let mut stream = second.stream(&format!("?since={last}"), &[]);
    wait_for_notice(&mut stream, "stream.resync");
    program.append(&prompt("c"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "c")]));
}

#[test]
fn a_viewer_reads_on_after_redis_is_back_and_tells_of_the_break_once() {
    let args = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = Redis::start(&args) else { return };
    let alpha = machine(&redis, ALPHA, &["a"]);
    let viewer = viewer(&redis);
    let mut stream = viewer.stream("", &[]);
    alpha.append(&prompt("b"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "b")]));
    redis.kill();
    wait_for_notice(&mut stream, "fleet.unavailable");
    alpha.append(&prompt("c"));
    redis.start_again();
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "c")]));
    assert_eq!(backlog(&viewer).len(), 3);
}

#[test]
fn a_viewer_reads_on_where_it_was_after_redis_is_back_without_its_data() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let alpha = machine(&redis, ALPHA, &["a"]);
    let viewer = viewer(&redis);
    let mut stream = viewer.stream("?types=history.append", &[]);
    alpha.append(&prompt("b"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "b")]));
    redis.kill();
    alpha.append(&prompt("c"));
    redis.start_again();
    alpha.append(&prompt("d"));
    assert_eq!(next(&mut stream, 2), pairs(&[(ALPHA, "c"), (ALPHA, "d")]), "and `b` once");
}

#[test]
fn entries_that_are_trimmed_before_they_are_read_are_told_of() {
    let Some(mut redis) = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let alpha = machine(&redis, ALPHA, &["a"]);
    let viewer = viewer(&redis);
    let mut stream = viewer.stream("", &[]);
    alpha.append(&prompt("b"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "b")]));
    succeeds(Command::new("kill").args(["-s", "STOP", &viewer.child.id().to_string()]));
    alpha.append(&prompt("c"));
    wait_for_texts(&redis, &["b", "c"]);
    // The viewer may have asked for it already.
    redis.kill();
    redis.start_again();
    wait_until("the publisher is back", || {
        alpha.append(&prompt("d"));
        texts(&redis.entries(ALPHA)).len() > 4
    });
    redis.run(&["XTRIM", "claude-live:events:alpha", "MAXLEN", "1"]);
    succeeds(Command::new("kill").args(["-s", "CONT", &viewer.child.id().to_string()]));
    let lost = wait_for_notice(&mut stream, "fleet.lost");
    assert_eq!(lost["data"]["machine"], ALPHA);
}

#[test]
fn a_machine_that_falls_silent_is_told_of_and_its_sessions_are_not_at_work() {
    let Some(redis) = Redis::start(&[]) else { return };
    let home = Home::with(&[asks("go"), calls("t", "Bash", &json!({"command": "ls"}))]);
    let agent = Agent::start();
    home.enter(&agent, "busy", "");
    let program = home.start(&publish(&redis, ALPHA).each_ref().map(String::as_str));
    wait_for_state(&program, "connected");
    let viewer = viewer(&redis);
    let session = || viewer.get("/api/claude/sessions").json()["sessions"][0].clone();
    wait_until("it is at work", || {
        session()["status"] == "working" && session()["tools"][0]["name"] == "Bash"
    });
    let mut stream = viewer.stream("", &[]);
    let pid = program.child.id().to_string();
    succeeds(Command::new("kill").args(["-s", "STOP", &pid]));
    assert_eq!(wait_for_notice(&mut stream, "machine.silent")["data"]["machine"], ALPHA);
    assert_eq!(machines(&viewer), [(ALPHA.to_owned(), true)]);
    let silent = session();
    assert_eq!((&silent["status"], &silent["statusFrom"]), (&json!("ended"), &json!("machine")));
    assert_eq!((&silent["isLive"], &silent["tools"]), (&json!(false), &json!([])));
    let late = self::viewer(&redis);
    let sessions = late.get("/api/claude/sessions").json();
    assert_eq!(sessions["sessions"][0]["status"], "ended", "to a new viewer too");
    succeeds(Command::new("kill").args(["-s", "CONT", &pid]));
    wait_for_notice(&mut stream, "machine.heard");
    wait_until("it is at work again", || {
        session()["status"] == "working" && session()["tools"][0]["name"] == "Bash"
    });
    assert_eq!(machines(&viewer), [(ALPHA.to_owned(), false)]);
}

#[test]
fn the_recipe_of_the_readme_shows_three_machines() {
    if !has("redis-server") {
        return;
    }
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, recipe) = readme.split_once("```sh\nredis-server ").unwrap();
    let (recipe, _) = recipe.split_once("```").unwrap();
    assert_eq!(recipe.lines().count(), 5);
    // A port that was free a moment ago, and any.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let recipe = recipe.replace("6390", &free.to_string()).replace("8080", "0");
    let binary = Path::new(env!("CARGO_BIN_EXE_claude-live")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), env::var("PATH").unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash")
        .args(["-ec", &format!("redis-server {recipe}")])
        .env("PATH", path)
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", shell.id());
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let viewer = lines.by_ref().take(4).find_map(|line| {
        let line = line.unwrap();
        let address = line.strip_prefix("listening on http://")?.trim_end_matches('/').to_owned();
        let address = address.parse().unwrap();
        (health(address)["fleet"]["role"] == "from").then_some(address)
    });
    let viewer = viewer.expect("one of the four is the viewer");
    wait_until("three machines are heard of", || {
        let machines = health(viewer)["fleet"]["machines"].clone();
        let names: Vec<_> = machines.as_array().unwrap().iter().map(|it| &it["name"]).collect();
        names == ["alpha", "beta", "gamma"]
    });
    succeeds(Command::new("kill").args(["--", &group]));
    shell.wait().unwrap();
}

fn health(address: SocketAddr) -> Value {
    let mut client = Client::connect(address);
    client.ask("GET", "/healthz", &[]);
    client.response(false).json()
}

#[test]
fn the_permissions_that_the_readme_names_are_enough() {
    let Some(redis) = Redis::start(&[]) else { return };
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rules: Vec<&str> = readme.split('`').filter(|code| code.starts_with("+@conn")).collect();
    for (user, rules) in ["agent", "viewer"].iter().zip(&rules) {
        let start = ["ACL", "SETUSER", *user, "on", ">pw"];
        redis.run(&start.into_iter().chain(rules.split(' ')).collect::<Vec<_>>());
    }
    let url = |user: &str| redis.url().replace("redis://", &format!("redis://{user}:pw@"));
    let home = Home::with(&[asks("go")]);
    append(&home.path("history.jsonl"), &prompt("a"));
    let program = home.start(&["--publish", &url("agent"), "--machine", ALPHA]);
    wait_for_state(&program, "connected");
    program.append(&prompt("b"));
    wait_for_texts(&redis, &["b"]);
    wait_until("the session is published", || redis.sessions(ALPHA).contains_key(SESSION));
    fs::remove_file(home.transcript()).unwrap();
    wait_until("the session is removed", || {
        redis.entries(ALPHA).iter().any(|entry| entry.event_type == "session.removed")
    });
    let mut start = command();
    start.args(["--from", &url("viewer"), "--port", "0"]);
    let viewer = Program::spawn(start, Path::new("/nowhere"));
    let mut stream = viewer.stream("", &[]);
    program.append(&prompt("c"));
    assert_eq!(next(&mut stream, 1), pairs(&[(ALPHA, "c")]));
    assert_eq!(backlog(&viewer).len(), 3);
    succeeds(Command::new("kill").arg(program.child.id().to_string()));
    wait_until("the name is given back", || redis.owner(ALPHA).is_none());
}
