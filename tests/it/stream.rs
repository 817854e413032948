use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{Client, Frame, Program, Stream, append, command, prompt, raw_line};
use crate::tools::has;

#[test]
fn it_opens_at_once_with_retry_and_its_headers() {
    let program = Program::start_with(&prompt("old"), &[]);
    let start = Instant::now();
    let mut stream = program.stream("", &[]);
    let current = program.backlog(1)["lastEventId"].as_u64();
    let opening = stream.frame().unwrap();
    assert_eq!(opening, Frame { retry: Some(2000), id: current, ..Frame::default() });
    assert!(start.elapsed() < Duration::from_secs(1));
    let headers = &stream.head.headers;
    assert_eq!((stream.head.status, headers["content-type"].as_str()), (200, "text/event-stream"));
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["cache-control"], "no-store, no-transform");
}

#[test]
fn an_append_arrives_within_200_ms_as_event_id_and_data() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    // The first line may come from before the stream was open; the second is timed.
    program.append(&prompt("warm"));
    while raw_line(&stream.event().json()) != prompt("warm").trim_end() {}
    let start = Instant::now();
    program.append(&prompt("new"));
    let frame = stream.event();
    assert!(start.elapsed() < Duration::from_millis(200), "took {:?}", start.elapsed());
    assert_eq!(frame.event, "history.append");
    let json = frame.json();
    assert_eq!((json["id"].as_u64(), &json["type"]), (frame.id, &json!("history.append")));
    assert_eq!(json["data"]["summary"]["display"], "new");
}

#[test]
fn events_arrive_one_by_one_as_they_are_written() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = program.stream("", &[]);
    for number in 0..20 {
        let line = prompt(&format!("number {number}"));
        program.append(&line);
        assert_eq!(stream.lines(1), [line.trim_end()]);
    }
}

#[test]
fn backlog_and_stream_together_have_every_event_once() {
    let program = Program::start_with(&prompt("before"), &[]);
    let last_id = program.backlog(200)["lastEventId"].as_u64().unwrap();
    program.append(&prompt("between"));
    let mut stream = program.stream(&format!("?since={last_id}"), &[]);
    program.append(&prompt("after"));
    assert_eq!(stream.lines(2), [prompt("between").trim_end(), prompt("after").trim_end()]);
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_was_and_the_header_wins() {
    let program = Program::start_with(&prompt("0"), &[]);
    let mut stream = program.stream("", &[]);
    for number in 1..4 {
        program.append(&prompt(&number.to_string()));
    }
    let ids: Vec<_> = (0..3).map(|_| stream.event().id.unwrap()).collect();
    drop(stream);
    let mut stream =
        program.stream(&format!("?since={}", ids[2]), &[&format!("Last-Event-ID: {}", ids[0])]);
    assert_eq!(stream.lines(2), [prompt("2").trim_end(), prompt("3").trim_end()]);
}

#[test]
fn a_client_that_loses_its_connection_before_the_first_event_misses_nothing() {
    let program = Program::start_with(&prompt("old"), &[]);
    let id = program.stream("", &[]).frame().unwrap().id.unwrap();
    program.append(&prompt("meanwhile"));
    let mut stream = program.stream("", &[&format!("Last-Event-ID: {id}")]);
    assert_eq!(stream.frame(), Some(Frame { retry: Some(2000), ..Frame::default() }));
    assert_eq!(stream.lines(1), [prompt("meanwhile").trim_end()]);
}

#[test]
fn where_it_cannot_go_on_it_says_so_once_and_is_live() {
    let program = Program::start_with(&prompt("old"), &[]);
    let current = program.backlog(1)["lastEventId"].as_u64().unwrap();
    for since in ["0", "17", "9999999999999999", "99999999999999999999999"] {
        let mut stream = program.stream(&format!("?since={since}"), &[]);
        let notice = stream.event();
        assert_eq!(notice.event, "server.notice");
        assert_eq!(notice.json()["data"]["kind"], "stream.resync");
        assert!(notice.id >= Some(current), "{since}");
        assert_eq!(notice.json()["data"]["currentId"].as_u64(), notice.id);
        program.append(&prompt("live"));
        assert_eq!(stream.lines(1), [prompt("live").trim_end()]);
    }
    assert_eq!(program.counter("resyncs"), 4);
}

#[test]
fn what_is_no_id_is_a_400() {
    let program = Program::start(&[]);
    for (query, header) in [
        ("?since=x", "X: y"),
        ("?since=", "X: y"),
        ("?since=-1", "X: y"),
        ("", "Last-Event-ID: 1.5"),
        ("?since=1", "Last-Event-ID: "),
    ] {
        let response = program.request("GET", &format!("/api/claude/stream{query}"), &[header]);
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "bad_id"),
            "{query} {header}"
        );
    }
}

#[test]
fn http_1_0_gets_frames_up_to_the_connections_end() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut client = Client::connect(program.address);
    client.send("GET /api/claude/stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut stream = Stream::after_request(client);
    assert!(stream.head.status_line.starts_with("HTTP/1.0 200"));
    assert!(!stream.head.headers.contains_key("transfer-encoding"));
    assert!(!stream.head.headers.contains_key("content-length"));
    assert_eq!(stream.head.headers["connection"], "close");
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    program.append(&prompt("new"));
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
}

#[test]
fn a_history_that_shrinks_is_a_reset_and_what_is_gone_leaves_the_backlog() {
    let program = Program::start_with(&(prompt("one") + &prompt("two") + &prompt("three")), &[]);
    let mut stream = program.stream("", &[]);
    std::fs::write(program.history(), prompt("one") + &prompt("three")).unwrap();
    let notice = stream.event();
    let data = &notice.json()["data"];
    assert_eq!((&data["kind"], &data["reason"]), (&json!("history.reset"), &json!("truncated")));
    assert_eq!(program.backlog_lines(), [prompt("three").trim_end(), prompt("one").trim_end()]);
    program.append(&prompt("four"));
    assert_eq!(stream.lines(1), [prompt("four").trim_end()]);
    assert_eq!(program.counter("resets"), 1);
}

#[test]
fn watched_files_are_reported_when_they_come_change_and_go() {
    let program = Program::start(&["--watch", "notes.txt"]);
    let mut stream = program.stream("", &[]);
    let mut check = |path: &str, change: &str, size: Option<u64>| {
        let frame = stream.event();
        let data = &frame.json()["data"];
        assert_eq!(frame.event, "file.changed");
        assert_eq!((&data["path"], &data["change"]), (&json!(path), &json!(change)));
        assert_eq!(data["size"].as_u64(), size);
        assert_eq!(data["mtime"].is_string(), size.is_some());
    };
    let stats = program.dir().join("stats-cache.json");
    std::fs::write(&stats, "{}").unwrap();
    check("stats-cache.json", "created", Some(2));
    std::fs::write(&stats, "{\"version\":1}").unwrap();
    check("stats-cache.json", "modified", Some(13));
    std::fs::remove_file(&stats).unwrap();
    check("stats-cache.json", "removed", None);
    std::fs::create_dir(program.dir().join("state")).unwrap();
    std::fs::write(program.dir().join("state/component-registry.json"), "[]").unwrap();
    check("state/component-registry.json", "created", Some(2));
    std::fs::write(program.dir().join("notes.txt"), "x").unwrap();
    check("notes.txt", "created", Some(1));
}

#[test]
fn an_idle_stream_pings() {
    let program = Program::start(&[]);
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    let start = Instant::now();
    let ping = stream.frame().unwrap();
    assert_eq!((ping.event.as_str(), ping.id), ("ping", None));
    assert!(ping.json()["ts"].is_string());
    assert!((14..17).contains(&start.elapsed().as_secs()), "after {:?}", start.elapsed());
}

/// Starts the program with the clock put forward or back, by faketime's library: its command stops
/// at a semaphore that a killed program of the same process id left behind.
fn start_at(dir: &Path, offset: &str) -> Program {
    let mut command = command();
    command.args(["--port", "0", "--claude"]).arg(dir);
    command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1");
    command.env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let program = Program::spawn(command, dir);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.child.id())).unwrap();
    assert!(maps.contains("libfaketime"), "install faketime");
    program
}

#[test]
fn a_clock_set_back_over_a_restart_makes_clients_read_the_backlog_again() {
    if !has("faketime") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("history.jsonl"), &prompt("old"));
    let id = start_at(dir.path(), "+0").backlog(1)["lastEventId"].as_u64().unwrap();
    let program = start_at(dir.path(), "-3600s");
    let mut stream = program.stream("", &[&format!("Last-Event-ID: {id}")]);
    let notice = stream.event();
    assert_eq!(notice.json()["data"]["kind"], "stream.resync");
    assert!(notice.id.unwrap() < id);
    program.append(&prompt("new"));
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
    drop(program);
    let later = start_at(dir.path(), "+3600s").backlog(1)["lastEventId"].as_u64().unwrap();
    assert!(later > id, "ids increase with the clock");
}

#[test]
fn a_client_of_http_1_1_that_wants_the_connection_closed_gets_chunks_and_is_told_so() {
    let program = Program::start_with(&prompt("old"), &[]);
    let mut stream = program.stream("", &["Connection: close"]);
    assert_eq!(stream.head.headers["connection"], "close");
    assert_eq!(stream.head.headers["transfer-encoding"], "chunked");
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    program.append(&prompt("new"));
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
}
