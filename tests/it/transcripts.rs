//! What happens to transcripts, as a client sees it: each record once, and the state that the files
//! have in the end.

use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::agents::{
    Agent, Follower, Home, OTHER, Record, SESSION, SLUG, asks, asks_in, calls, ends, lines,
    message, record, replace, results, says, session, wait_until_read,
};
use crate::program::{Program, append, command_of, wait_until};
use crate::tools::copy_program;

const HOUR: Duration = Duration::from_secs(3600);

fn several(count: usize) -> Vec<Record> {
    (0..count).map(|number| says(&format!("number {number}"))).collect()
}

fn refs(records: &[Record]) -> Vec<&Record> {
    records.iter().collect()
}

#[test]
fn records_that_were_there_at_the_start_are_not_published() {
    let unknown = "{\"type\":\"never-seen-before\",\"payload\":1}\n".to_owned();
    let home = Home::with(&[asks("go"), Record { uuid: String::new(), line: unknown }]);
    let program = home.start(&[]);
    wait_until_read(&program);
    assert_eq!(program.counter("eventsPublished"), 1, "the state of the session");
    assert_eq!(session(&program, SESSION).unwrap()["records"], 2);
}

#[test]
fn projects_that_come_later_and_a_new_folder_are_found() {
    let home = Home::with(&[asks("go")]);
    fs::rename(home.path("projects"), home.path("kept")).unwrap();
    let program = home.start(&[]);
    let mut stream = program.stream("?types=transcript.append,server.error", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    fs::rename(home.path("kept"), home.path("projects")).unwrap();
    wait_until_read(&program);
    let elsewhere = home.path("projects/-home-demo-src-beta");
    fs::create_dir(&elsewhere).unwrap();
    let records = [asks_in(OTHER, "new"), asks_in(OTHER, "and more")];
    append(&elsewhere.join(format!("{OTHER}.jsonl")), &lines(&records));
    for record in &records {
        assert_eq!(stream.event().json()["data"]["uuid"], record.uuid.as_str());
    }
}

#[test]
fn projects_that_are_replaced_are_followed_with_each_record_once() {
    let mut follower = Follower::start();
    let projects = follower.home.path("projects");
    let known = fs::read_to_string(follower.home.transcript()).unwrap();
    let (more, fresh) = (several(3), follower.home.path("fresh"));
    fs::create_dir_all(fresh.join(SLUG)).unwrap();
    let transcript = fresh.join(SLUG).join(format!("{SESSION}.jsonl"));
    fs::write(transcript, known + &lines(&more)).unwrap();
    // At once: a directory that is gone for two polls takes its sessions with it.
    fs::rename(&projects, follower.home.path("old")).unwrap();
    fs::rename(&fresh, &projects).unwrap();
    follower.expect(&refs(&more));
    follower.check();
}

#[test]
fn projects_that_give_way_to_a_file_are_an_error_once_and_go_on_when_they_are_back() {
    let mut follower = Follower::start();
    let (projects, kept) = (follower.home.path("projects"), follower.home.path("kept"));
    fs::rename(&projects, &kept).unwrap();
    fs::write(&projects, "").unwrap();
    let path = json!(projects.to_str().unwrap());
    let (mut errors, meanwhile) = (Vec::new(), says("meanwhile"));
    loop {
        let (event, data) = follower.next_of_any();
        let is_append = event == "transcript.append";
        if is_append {
            assert_eq!(data["uuid"], meanwhile.uuid.as_str());
            break;
        }
        let is_of_root = event == "server.error" && data["path"] == path;
        errors.push((event, data));
        if is_of_root {
            fs::remove_file(&projects).unwrap();
            append(&kept.join(SLUG).join(format!("{SESSION}.jsonl")), &meanwhile.line);
            fs::rename(&kept, &projects).unwrap();
        }
    }
    let mut seen = HashSet::new();
    let is_first =
        |(event, data): &(String, Value)| seen.insert((event.clone(), data["path"].to_string()));
    assert!(errors.iter().all(is_first), "{errors:?}");
    follower.check();
    let health = || follower.program.get("/healthz").json();
    wait_until("no error is left", || health()["errors"] == json!([]));
}

/// Starts the program as a user who may not read everything.
fn start_as_nobody(home: &Home) -> Program {
    let root = home.path("");
    fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
    // A copy that everybody may run: the build's folder may be closed to others.
    let binary = home.path("claude-live");
    copy_program(env!("CARGO_BIN_EXE_claude-live"), &binary);
    let mut command = command_of(&binary);
    command.args(["--port", "0", "--claude"]).arg(&root).current_dir("/");
    if rustix::process::getuid().is_root() {
        command.uid(65534).gid(65534);
    }
    Program::spawn(command, &root)
}

#[test]
fn folders_that_may_not_be_read_are_errors_once_and_lose_nothing() {
    let home = Home::with(&[asks("go")]);
    let program = start_as_nobody(&home);
    wait_until_read(&program);
    let mut stream = program.stream("?types=transcript.append,server.error,server.notice", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    let folder = home.path("projects").join(SLUG);
    let mut file = OpenOptions::new().append(true).open(home.transcript()).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
    let error = stream.event().json()["data"].clone();
    assert_eq!(error["kind"], "transcripts.unreadable", "{error}");
    let meanwhile = says("meanwhile");
    file.write_all(meanwhile.line.as_bytes()).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let (mut notices, mut uuids) = (Vec::new(), Vec::new());
    while uuids.is_empty() || notices.is_empty() {
        let frame = stream.event();
        match frame.event.as_str() {
            "transcript.append" => uuids.push(frame.json()["data"]["uuid"].clone()),
            "server.notice" => notices.push(frame.json()["data"]["kind"].clone()),
            _ => assert_eq!(frame.json()["data"]["kind"], "transcripts.unreadable"),
        }
    }
    assert_eq!((&uuids[0], &notices[0]), (&json!(meanwhile.uuid), &json!("source.recovered")));
    wait_until("no error is left", || program.get("/healthz").json()["errors"] == json!([]));
}

#[test]
fn a_transcript_that_is_deleted_while_hot_takes_its_session_with_it_and_can_come_back() {
    let mut follower = Follower::start();
    let old = fs::read_to_string(follower.home.transcript()).unwrap();
    fs::remove_file(follower.home.transcript()).unwrap();
    let removed = follower.next("session.removed").json()["data"].clone();
    assert_eq!(removed, json!({"sessionId": SESSION, "reason": "deleted"}));
    assert_eq!(session(&follower.program, SESSION), None);
    let records = follower.program.get(&format!("/api/claude/sessions/{SESSION}/records"));
    assert_eq!((records.status, &*records.code()), (404, "unknown_session"));
    let more = says("it is back");
    follower.home.append(&(old + &more.line));
    follower.expect(&[&more]);
    follower.check();
}

#[test]
fn a_cold_transcript_is_shown_when_it_is_asked_for_and_goes_when_it_is_deleted() {
    let home = Home::with(&[asks("go")]);
    let old = home.transcript_of(OTHER);
    append(&old, &asks_in(OTHER, "long ago").dated_back().line);
    let file = OpenOptions::new().append(true).open(&old).unwrap();
    file.set_modified(SystemTime::now() - 50 * HOUR).unwrap();
    let mut follower = Follower::on(home);
    let is_listed = |follower: &Follower, hours: u32| {
        let list = follower.program.get(&format!("/api/claude/sessions?hours={hours}")).json();
        list["sessions"].as_array().unwrap().iter().any(|it| it["sessionId"] == OTHER)
    };
    assert!(!is_listed(&follower, 24));
    wait_until("it is listed", || is_listed(&follower, 100));
    fs::remove_file(&old).unwrap();
    let removed = follower.next("session.removed").json()["data"].clone();
    assert_eq!(removed, json!({"sessionId": OTHER, "reason": "deleted"}));
    assert!(!is_listed(&follower, 100));
}

#[test]
fn a_cold_session_that_is_resumed_shows_only_what_is_new() {
    let home = Home::with(&[asks("long ago").dated_back()]);
    let file = OpenOptions::new().append(true).open(home.transcript()).unwrap();
    file.set_modified(SystemTime::now() - 50 * HOUR).unwrap();
    append(&home.transcript_of(OTHER), &asks_in(OTHER, "today").line);
    let program = home.start(&[]);
    wait_until("the other session is read", || session(&program, OTHER).is_some());
    let mut stream = program.stream("?types=transcript.append", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    let agent = Agent::start();
    home.enter(&agent, "busy", "");
    let new = says("resumed");
    home.append(&new.line);
    assert_eq!(stream.event().json()["data"]["uuid"], new.uuid.as_str());
    wait_until("it is alive", || {
        session(&program, SESSION).is_some_and(|it| it["isLive"] == true && it["text"] == "resumed")
    });
}

#[test]
fn a_transcript_that_moves_to_another_folder_while_hot_is_the_same_session() {
    let mut follower = Follower::start();
    let before = says("unread when it moves");
    follower.home.append(&before.line);
    let moved = follower.home.path("projects/-home-demo-src-gamma");
    fs::create_dir(&moved).unwrap();
    let path = moved.join(format!("{SESSION}.jsonl"));
    fs::rename(follower.home.transcript(), &path).unwrap();
    let relocated =
        "{\"type\":\"relocated\",\"relocatedCwd\":\"/home/demo/src/gamma\",\"sessionId\":\"";
    append(&path, &format!("{relocated}{SESSION}\"}}\n"));
    let after = several(3);
    append(&path, &lines(&after));
    follower.expect(&[&[&before], &refs(&after)[..]].concat());
    let last = says("the last");
    append(&path, &last.line);
    follower.expect(&[&last]);
    follower.check_state();
    let records = format!("/api/claude/sessions/{SESSION}/records?limit=1");
    wait_until("its records are read from there", || {
        follower.program.get(&records).json()["records"][0]["data"]["uuid"] == last.uuid.as_str()
    });
}

#[test]
fn a_transcript_that_is_truncated_goes_on_behind_what_is_left() {
    let mut follower = Follower::start();
    let records = several(5);
    follower.home.append(&lines(&records));
    follower.expect(&refs(&records));
    let file = OpenOptions::new().write(true).open(follower.home.transcript()).unwrap();
    let kept = fs::metadata(follower.home.transcript()).unwrap().len()
        - (lines(&records[2..]).len() + 10) as u64;
    file.set_len(kept).unwrap();
    follower.check();
}

#[test]
fn a_tombstone_rewrites_the_tail_and_only_new_records_come() {
    let mut follower = Follower::start();
    let records = several(6);
    follower.home.append(&lines(&records));
    follower.expect(&refs(&records));
    let text = fs::read_to_string(follower.home.transcript()).unwrap();
    let at = text.find(&records[2].line).unwrap();
    // As Claude Code removes a message: the file is cut before it, and its tail is written again.
    let file = OpenOptions::new().write(true).open(follower.home.transcript()).unwrap();
    file.set_len(at as u64).unwrap();
    file.write_all_at(lines(&records[3..]).as_bytes(), at as u64).unwrap();
    follower.check();
}

#[test]
fn a_transcript_that_is_rewritten_in_place_shows_what_is_new_in_it() {
    let mut follower = Follower::start();
    let records = several(4);
    follower.home.append(&lines(&records));
    follower.expect(&refs(&records));
    let other = several(4);
    let text = fs::read_to_string(follower.home.transcript()).unwrap();
    let text = text.replace(&lines(&records[2..]), &lines(&other[2..]));
    let file = OpenOptions::new().write(true).open(follower.home.transcript()).unwrap();
    file.write_all_at(text.as_bytes(), 0).unwrap();
    follower.expect(&refs(&other[2..]));
    follower.check();
}

#[test]
fn a_transcript_that_is_replaced_by_a_fork_of_itself_goes_on() {
    let mut follower = Follower::start();
    let records = several(4);
    follower.home.append(&lines(&records));
    follower.expect(&refs(&records));
    let text = fs::read_to_string(follower.home.transcript()).unwrap();
    let more = several(2);
    replace(&follower.home.transcript(), &(text.clone() + &lines(&more)));
    follower.expect(&refs(&more));
    // A fork that leaves records out at its beginning, and has others at its end.
    let fork = several(2);
    let text = text.replace(&records[0].line, "") + &lines(&fork);
    replace(&follower.home.transcript(), &text);
    follower.expect(&refs(&fork));
    follower.check();
}

#[test]
fn a_transcript_behind_a_link_is_followed() {
    let home = Home::new();
    let real = home.path("real.jsonl");
    append(&real, &asks("go").line);
    symlink(&real, home.transcript()).unwrap();
    let mut follower = Follower::on(home);
    let records = several(3);
    append(&real, &lines(&records));
    follower.expect(&refs(&records));
    follower.check();
}

/// A record of a subagent.
fn of_agent(id: &str, text: &str) -> Record {
    let block = json!({"type": "text", "text": text});
    record(
        SESSION,
        &format!("\"isSidechain\":true,\"agentId\":\"{id}\",{}", message(&block, "null")),
    )
}

#[test]
fn subagents_are_found_in_their_folder_and_beside_the_transcript_and_compactions_are_none() {
    let mut follower = Follower::start();
    let input = json!({"description": "Find callers", "subagent_type": "Explore", "prompt": "x"});
    follower.write(&calls("toolu_a", "Agent", &input));
    let folder = follower.home.path(&format!("projects/{SLUG}/{SESSION}/subagents"));
    fs::create_dir_all(&folder).unwrap();
    let meta = json!({"agentType": "Explore", "description": "d", "toolUseId": "toolu_a"});
    fs::write(folder.join("agent-a1.meta.json"), meta.to_string()).unwrap();
    append(&folder.join("agent-acompact-1.jsonl"), &of_agent("acompact-1", "no agent").line);
    let old = follower.home.path(&format!("projects/{SLUG}/agent-b2.jsonl"));
    for (path, id) in [(folder.join("agent-a1.jsonl"), "a1"), (old, "b2")] {
        for text in ["one", "two"] {
            let record = of_agent(id, text);
            append(&path, &record.line);
            let data = follower.next("transcript.append").json()["data"].clone();
            assert_eq!((&data["uuid"], &data["agentId"]), (&json!(record.uuid), &json!(id)));
        }
    }
    wait_until("both are shown", || {
        let state = session(&follower.program, SESSION).unwrap();
        let mut ids: Vec<_> = state["agents"].as_array().unwrap().iter().collect();
        ids.sort_by_key(|it| it["agentId"].to_string());
        ids.iter().map(|it| &it["agentId"]).eq([&json!("a1"), &json!("b2")])
            && ids[0]["type"] == "Explore"
    });
    follower.write(&results("toolu_a", "found"));
    follower.write(&ends("done"));
    follower.check();
    let records = |query: &str| {
        let path = format!("/api/claude/sessions/{SESSION}/records?{query}");
        follower.program.get(&path)
    };
    assert_eq!(records("agent=a1").json()["records"].as_array().unwrap().len(), 2);
    assert_eq!(records("agent=acompact-1").code(), "unknown_agent");
}

#[test]
fn lines_that_are_cut_glued_and_full_of_nuls_lose_no_whole_record() {
    let mut follower = Follower::start();
    let (half, whole) = (says("cut"), says("glued to half a record"));
    follower.home.append(&half.line[..half.line.len() / 2]);
    follower.home.append(&whole.line);
    follower.expect(&[&whole]);
    let pair = several(2);
    follower.home.append(&format!("{}{}", pair[0].line.trim_end(), pair[1].line));
    follower.expect(&refs(&pair));
    // Without its line end a record is published as soon as it is whole.
    let first = says("no end");
    follower.home.append(first.line.trim_end());
    follower.expect(&[&first]);
    let (second, nuls) = (says("on the same line"), says("behind nuls"));
    follower.home.append(&second.line);
    follower.expect(&[&second]);
    follower.home.append(&format!("{}{}", "\0".repeat(9000), nuls.line));
    follower.expect(&[&nuls]);
    follower.home.append("not json\n[1]\n{\"no\":\"type\"}\n\n\r\n");
    follower.check();
    let state = session(&follower.program, SESSION).unwrap();
    assert_eq!(state["malformed"], 4);
}

#[test]
fn lines_of_megabytes_are_read_and_one_of_20_mb_is_passed_over() {
    let mut follower = Follower::start();
    let large = results("toolu_1", &"x".repeat(5 << 20));
    follower.write(&large);
    let data = follower.program.get(&format!("/api/claude/sessions/{SESSION}/records?limit=1"));
    let offset = data.json()["records"][0]["data"]["offset"].as_u64().unwrap();
    let path = format!("/api/claude/sessions/{SESSION}/records/{offset}");
    assert_eq!(follower.program.get(&path).text(), large.line.trim_end());
    let at = fs::metadata(follower.home.transcript()).unwrap().len();
    follower.home.append(&results("toolu_2", &"x".repeat(20 << 20)).line);
    follower.check();
    let state = session(&follower.program, SESSION).unwrap();
    assert_eq!(state["malformed"], 1);
    let answer = follower.program.get(&format!("/api/claude/sessions/{SESSION}/records/{at}"));
    assert_eq!((answer.status, &*answer.code()), (404, "no_record"));
}

#[test]
fn two_writers_that_interleave_lose_nothing() {
    let mut follower = Follower::start();
    let (one, other) = (several(300), several(300));
    let writers: Vec<_> = [one.clone(), other.clone()]
        .map(|records| {
            let path = follower.home.transcript();
            thread::spawn(move || records.iter().for_each(|it| append(&path, &it.line)))
        })
        .into();
    let mut uuids: Vec<_> = (0..600)
        .map(|_| follower.next("transcript.append").json()["data"]["uuid"].clone())
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut wanted: Vec<_> = one.iter().chain(&other).map(|it| json!(it.uuid)).collect();
    uuids.sort_by_key(Value::to_string);
    wanted.sort_by_key(Value::to_string);
    assert_eq!(uuids, wanted);
    follower.check();
}

#[test]
fn with_few_descriptors_every_session_is_followed_and_clients_are_served() {
    const SESSIONS: usize = 60;
    let home = Home::with(&[asks("go")]);
    let id = |number: usize| format!("0b6f3c52-cccc-4a7e-9c11-{number:012}");
    for number in 0..SESSIONS {
        append(&home.transcript_of(&id(number)), &asks_in(&id(number), "go").line);
    }
    let mut command = command_of("prlimit");
    command.args(["--nofile=48:48", env!("CARGO_BIN_EXE_claude-live"), "--port", "0"]);
    command.arg("--claude").arg(home.path(""));
    let program = Program::spawn(command, &home.path(""));
    let shown = || {
        let list = program.get("/api/claude/sessions").json();
        list["sessions"].as_array().unwrap().len()
    };
    wait_until("every session is shown", || shown() == SESSIONS + 1);
    let mut stream = program.stream("?types=transcript.append,server.error", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    let mut wanted = Vec::new();
    for number in 0..SESSIONS {
        let record = asks_in(&id(number), "more");
        append(&home.transcript_of(&id(number)), &record.line);
        wanted.push(record.uuid);
    }
    let mut uuids = Vec::new();
    while uuids.len() < SESSIONS {
        let frame = stream.event();
        assert_eq!(frame.event, "transcript.append", "{}", frame.data);
        uuids.push(frame.json()["data"]["uuid"].as_str().unwrap().to_owned());
    }
    uuids.sort();
    assert_eq!(uuids, wanted);
    assert_eq!(shown(), SESSIONS + 1, "a connection of its own");
}
