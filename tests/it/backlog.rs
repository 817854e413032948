use serde_json::json;

use crate::program::{Program, prompt, raw_line, wait_until};

fn numbered(count: usize) -> String {
    (0..count).map(|number| prompt(&format!("prompt {number}"))).collect()
}

#[test]
fn it_has_the_newest_200_lines_first_by_default_and_up_to_1000_on_demand() {
    let program = Program::start_with(&numbered(1500), &[]);
    for (query, count) in
        [("", 200), ("?limit=5", 5), ("?limit=0", 1), ("?limit=9999", 1000), ("?limit=-3", 1)]
    {
        let backlog = program.get(&format!("/api/claude/live/backlog{query}")).json();
        let events = backlog["events"].as_array().unwrap();
        assert_eq!((events.len(), &backlog["limit"]), (count, &json!(count)), "{query}");
        let displays: Vec<_> =
            events.iter().map(|event| event["data"]["summary"]["display"].clone()).collect();
        let wanted: Vec<_> =
            (0..count).map(|index| json!(format!("prompt {}", 1499 - index))).collect();
        assert_eq!(displays, wanted);
        assert_eq!(backlog["lastEventId"], events[0]["id"]);
    }
}

#[test]
fn an_event_has_every_part_of_the_contract() {
    let line = "{\"sessionId\":\"s\", \"timestamp\":1787600000001,\"display\":\"x\",\"project\":\"/p\",\"future\":1.50}";
    let program = Program::start_with(&format!("skipped\n\n{line}\r\n"), &[]);
    let event = &program.backlog(1)["events"][0];
    assert_eq!(event["type"], "history.append");
    assert_eq!(event["ts"], "2026-08-24T19:33:20.001Z");
    assert_eq!(event["data"]["rawLine"], line);
    assert_eq!(event["data"]["offset"], "skipped\n\n".len());
    assert_eq!(
        event["data"]["summary"],
        json!({"sessionId": "s", "project": "/p", "display": "x"})
    );
    assert!(event["data"].get("parseError").is_none());
    let text = program.get("/api/claude/live/backlog?limit=1");
    assert!(text.text().contains(&format!("\"json\":{line},")), "byte for byte: {}", text.text());
    assert_eq!(text.headers["content-type"], "application/json");
    assert_eq!(text.headers["cache-control"], "no-store");
}

#[test]
fn a_line_that_is_no_object_says_where_and_why() {
    let program = Program::start_with("{\"display\":\"cut\n", &[]);
    let data = program.backlog(1)["events"][0]["data"].clone();
    assert_eq!(
        data,
        json!({"summary": {}, "rawLine": "{\"display\":\"cut", "offset": 0,
               "parseError": "EOF while parsing a string at line 1 column 15"})
    );
    assert_eq!(program.counter("parseErrors"), 1);
}

#[test]
fn a_limit_that_is_no_integer_is_a_400() {
    let program = Program::start(&[]);
    for bad in ["x", "", "1.5", "1e3"] {
        let response = program.get(&format!("/api/claude/live/backlog?limit={bad}"));
        assert_eq!((response.status, response.code().as_str()), (400, "bad_limit"), "{bad}");
        assert!(response.text().contains(&format!("`{bad}`")), "{}", response.text());
    }
}

#[test]
fn a_file_that_is_not_there_yet_is_an_empty_backlog_and_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("later/.claude");
    let program = Program::start_on(&dir, &[]);
    assert_eq!(program.backlog(10)["events"], json!([]));
    assert_eq!(program.get("/healthz").json()["history"]["exists"], false);
    let mut stream = program.stream("", &[]);
    std::fs::create_dir_all(&dir).unwrap();
    program.append(&prompt("first"));
    let found = stream.event();
    assert_eq!(
        (found.event.as_str(), &found.json()["data"]["kind"]),
        ("server.notice", &json!("history.found"))
    );
    assert_eq!(stream.lines(1), [prompt("first").trim_end()]);
    wait_until("the file is followed", || {
        program.get("/healthz").json()["history"]["followedSince"].is_string()
    });
}

#[test]
fn head_has_the_head_of_get_alone() {
    let program = Program::start_with(&numbered(3), &[]);
    for target in ["/", "/api/claude/live/backlog", "/static/live.js"] {
        let get = program.get(target);
        let head = program.request("HEAD", target, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for (name, value) in &get.headers {
            assert!(name == "date" || head.headers[name] == *value, "{name} of {target}");
        }
    }
}

#[test]
fn ids_grow_over_a_restart_and_the_offset_names_the_line() {
    let first = Program::start_with(&numbered(3), &[]);
    let before = first.backlog(3);
    let second = Program::start_on(first.dir(), &[]);
    let after = second.backlog(3);
    for index in 0..3 {
        let (old, new) = (&before["events"][index], &after["events"][index]);
        assert!(new["id"].as_u64() > before["lastEventId"].as_u64());
        assert_eq!(
            (&old["data"]["offset"], raw_line(old)),
            (&new["data"]["offset"], raw_line(new))
        );
    }
}

#[test]
fn older_lines_are_read_from_the_file_back_to_its_first() {
    let line = |number: usize| prompt(&format!("line {number}"));
    let all: String = (0..2500).map(line).collect();
    let program = Program::start_with(&all, &[]);
    let mut events = program.backlog(1000)["events"].as_array().unwrap().clone();
    let last_id = program.backlog(1)["lastEventId"].clone();
    let mut before = events.last().unwrap()["data"]["offset"].clone();
    while !before.is_null() {
        let target = format!("/api/claude/live/backlog?before={before}&limit=400");
        let page = program.get(&target).json();
        assert_eq!((&page["limit"], &page["lastEventId"]), (&400.into(), &last_id));
        let older = page["events"].as_array().unwrap();
        assert!(older.len() <= 400 && older.iter().all(|event| event.get("id").is_none()));
        assert!(older.iter().all(|event| event["type"] == "history.append"));
        events.extend(older.clone());
        before = page["before"].clone();
    }
    let lines: Vec<_> = events.iter().rev().map(|event| raw_line(event) + "\n").collect();
    assert_eq!(lines.concat(), all);
}

#[test]
fn a_bad_offset_is_a_400_and_a_missing_history_has_no_older_lines() {
    let program = Program::start(&[]);
    for bad in ["", "-1", "x", "1.5"] {
        let response = program.get(&format!("/api/claude/live/backlog?before={bad}"));
        assert_eq!((response.status, response.code().as_str()), (400, "bad_before"), "{bad}");
    }
    let page = program.get("/api/claude/live/backlog?before=99999999999999999999").json();
    assert_eq!((&page["events"], &page["before"]), (&json!([]), &json!(null)));
    std::fs::create_dir(program.history()).unwrap();
    let response = program.get("/api/claude/live/backlog?before=5");
    assert_eq!((response.status, response.code().as_str()), (503, "history_unreadable"));
    assert!(response.json()["error"]["message"].as_str().unwrap().contains("is a directory"));
}
