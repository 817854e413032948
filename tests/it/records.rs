//! Records of transcripts, as clients ask for them.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::agents::{Home, Record, SESSION, asks, says, wait_until_read};
use crate::program::{Client, Program, Response};
use crate::sessions::NAMES_OF_NO_SESSION;

fn path(query: &str) -> String {
    format!("/api/claude/sessions/{SESSION}/records{query}")
}

/// The program on a session with these records.
fn started(records: &[Record], args: &[&str]) -> (Home, Program) {
    let home = Home::with(records);
    let program = home.start(args);
    wait_until_read(&program);
    (home, program)
}

#[test]
fn pages_go_back_to_the_first_record_of_80000_and_have_each_once() {
    const RECORDS: usize = 80_000;
    let (home, mut text) = (Home::new(), String::new());
    for number in 0..RECORDS {
        let content = "x".repeat(number % 50);
        writeln!(
            text,
            "{{\"type\":\"user\",\"message\":{{\"content\":\"{content}\"}},\"uuid\":\"{number}\"}}"
        )
        .unwrap();
    }
    home.append(&text);
    let program = home.start(&[]);
    wait_until_read(&program);
    let (mut client, mut before) = (Client::connect(program.address), String::new());
    let mut next = RECORDS;
    loop {
        client.ask("GET", &path(&format!("?limit=1000{before}")), &[]);
        let page = client.response(false).json();
        assert_eq!((&page["sessionId"], &page["limit"]), (&json!(SESSION), &json!(1000)));
        for record in page["records"].as_array().unwrap() {
            next -= 1;
            assert_eq!(record["type"], "transcript.append");
            assert_eq!(record["data"]["uuid"], next.to_string());
        }
        let Some(offset) = page["before"].as_u64() else { break };
        before = format!("&before={offset}");
    }
    assert_eq!(next, 0);
    let middle = text.find("\"uuid\":\"40000\"").unwrap();
    let start = text[..middle].rfind('\n').unwrap() + 1;
    let line = text[start..].lines().next().unwrap();
    let answer = program.get(&path(&format!("/{start}")));
    assert_eq!((answer.status, answer.text()), (200, line));
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[test]
fn pages_have_readable_records_or_all() {
    let mut lines = String::new();
    let mode = "{\"type\":\"mode\",\"mode\":\"normal\"}\n";
    let mut wanted = Vec::new();
    for number in 0..30 {
        let record = says(&number.to_string());
        lines += &(mode.repeat(20) + &record.line);
        wanted.push(record.uuid);
    }
    let (_home, program) = started(&[Record { uuid: String::new(), line: lines }], &[]);
    let pages = |more: &str| {
        let (mut records, mut before) = (Vec::new(), String::new());
        loop {
            let page = program.get(&path(&format!("?limit=7{more}{before}"))).json();
            records.extend(page["records"].as_array().unwrap().clone());
            let Some(offset) = page["before"].as_u64() else { return records };
            before = format!("&before={offset}");
        }
    };
    let readable = pages("");
    assert!(readable.iter().map(|it| &it["data"]["uuid"]).eq(wanted.iter().rev()));
    let all = pages("&all=1");
    let offsets: HashSet<_> = all.iter().map(|it| it["data"]["offset"].as_u64()).collect();
    assert_eq!((all.len(), offsets.len()), (30 * 21, 30 * 21));
    assert!(all.iter().filter(|it| it["data"]["recordType"] == "mode").count() == 30 * 20);
}

#[test]
fn a_record_is_given_byte_for_byte_and_only_at_its_first_byte() {
    let odd = "{\"type\":\"user\", \"b\":1.50,\"a\":\"\\u00e9\",\"message\":{\"content\":\"é\"}}";
    let records = [asks("first"), Record { uuid: String::new(), line: format!("{odd}\n") }];
    let (home, program) = started(&records, &[]);
    let text = fs::read_to_string(home.transcript()).unwrap();
    let second = text.find(odd).unwrap();
    assert_eq!(program.get(&path("/0")).text(), records[0].line.trim_end());
    assert_eq!(program.get(&path(&format!("/{second}"))).text(), odd);
    let between = [1, second - 1, second + 1, text.len(), text.len() + 1, usize::MAX];
    let others = between.map(|offset| offset.to_string());
    let odd_numbers = ["-1", "x", "99999999999999999999999", "0x0", "+0", "%30%20"];
    for offset in others.iter().map(String::as_str).chain(odd_numbers) {
        let answer = program.get(&path(&format!("/{offset}")));
        assert_eq!((answer.status, &*answer.code()), (404, "no_record"), "{offset}");
    }
    let head = program.request("HEAD", &path("/0"), &[]);
    let length = records[0].line.trim_end().len().to_string();
    assert_eq!((head.status, &head.headers["content-length"]), (200, &length));
}

#[test]
fn errors_have_the_usual_form_and_name_the_value() {
    let (_home, program) = started(&[asks("go")], &[]);
    #[track_caller]
    fn check(answer: &Response, status: u16, code: &str, part: &str) {
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["code"]), (status, &json!(code)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(error.as_object().unwrap().keys().eq(["code", "message"]));
    }
    let get = |target: &str| program.get(target);
    check(&get("/api/claude/stream?types=a,b"), 400, "bad_type", "`a`");
    check(&get("/api/claude/stream?session="), 400, "bad_session", "``");
    check(&get("/api/claude/sessions?limit=x"), 400, "bad_limit", "`x`");
    check(&get("/api/claude/sessions?hours=0"), 400, "bad_hours", "`0`");
    check(&get(&path("?limit=1.5")), 400, "bad_limit", "`1.5`");
    check(&get(&path("?before=-1")), 400, "bad_before", "`-1`");
    check(&get(&path("?all=yes")), 400, "bad_all", "`yes`");
    check(&get(&path("?agent=a1")), 404, "unknown_agent", "`a1`");
    check(&get(&path("/0?agent=a1")), 404, "unknown_agent", "`a1`");
    check(&get(&path("/7")), 404, "no_record", "`7`");
    check(&get("/api/claude/sessions/x/records"), 404, "unknown_session", "`x`");
    check(&get("/api/claude/sessions/x/records/0"), 404, "unknown_session", "`x`");
    for other in ["", "/x", "/x/", "/x/records/0/0", "//records"] {
        let answer = get(&format!("/api/claude/sessions{other}/"));
        assert_eq!(answer.status, 404, "{other}");
    }
    check(&program.request("DELETE", &path(""), &[]), 405, "method_not_allowed", "DELETE");
}

#[test]
fn ids_that_look_like_paths_are_unknown() {
    let (_home, program) = started(&[asks("go")], &[]);
    for (id, status) in NAMES_OF_NO_SESSION {
        for target in [format!("{id}/records"), format!("{id}/records/0")] {
            let answer = program.get(&format!("/api/claude/sessions/{target}"));
            assert_eq!(answer.status, status, "{target}");
            assert!(!answer.text().contains("\"records\""), "{}", answer.text());
        }
        let answer = program.get(&path(&format!("?agent={id}")));
        assert_eq!(answer.code(), "unknown_agent", "{id}");
    }
    let long = "x".repeat(10_000);
    assert_eq!(program.get(&format!("/api/claude/sessions/{long}/records")).status, 414);
    assert_eq!(program.get(&path(&format!("?agent={long}"))).status, 414);
}

#[test]
fn sessions_and_records_are_guarded_as_everything_else() {
    let place = tempfile::tempdir().unwrap();
    let token = place.path().join("token");
    fs::write(&token, "s3cret-Token.1-that-is-long").unwrap();
    let home = Home::with(&[asks("private")]);
    let program = home.start(&["--token-file", token.to_str().unwrap()]);
    let own = program.address;
    let bearer = "Authorization: Bearer s3cret-Token.1-that-is-long\r\n";
    let status = |target: &str, headers: String| {
        let mut client = Client::connect(own);
        client.send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"));
        client.head().status
    };
    crate::program::wait_until("the session is known", || {
        status(&path(""), format!("Host: {own}\r\n{bearer}")) == 200
    });
    let stream = "/api/claude/stream?types=transcript.append".to_owned();
    for target in ["/api/claude/sessions".to_owned(), path(""), path("/0"), stream] {
        let check = |headers: String, wanted: u16| {
            assert_eq!(status(&target, headers.clone()), wanted, "{target} {headers}");
        };
        check(format!("Host: {own}\r\n{bearer}"), 200);
        check(format!("Host: {own}\r\n"), 401);
        check(format!("Host: rebound.example\r\n{bearer}"), 421);
        check(format!("Host: {own}\r\nOrigin: http://other.example\r\n{bearer}"), 403);
        check(format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\n{bearer}"), 403);
    }
}

#[test]
fn a_page_of_large_records_is_shorter_than_its_limit_and_goes_on() {
    let records: Vec<_> = (0..12).map(|_| says(&"x".repeat(1 << 20))).collect();
    let (_home, program) = started(&records, &[]);
    let (mut uuids, mut query) = (Vec::new(), String::new());
    loop {
        let page = program.get(&path(&query)).json();
        let records: &Vec<Value> = page["records"].as_array().unwrap();
        assert!(page.to_string().len() < records.len() * 4096 + 200, "blocks are cut");
        uuids.extend(records.iter().map(|it| it["data"]["uuid"].as_str().unwrap().to_owned()));
        let Some(offset) = page["before"].as_u64() else { break };
        query = format!("?before={offset}");
    }
    assert!(uuids.iter().eq(records.iter().rev().map(|it| &it.uuid)), "{uuids:?}");
}
