//! Tokens and cost, as a client and the command line see them.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agents::{Home, OTHER, Record, SESSION, SLUG, asks, lines, record};
use crate::program::{Program, Response, append, command, wait_until};
use crate::tools::{has, succeeds};

/// A record of a response with so many tokens of output, 10 of input and 1000 from the cache.
fn responds(session: &str, id: &str, output: u64) -> Record {
    responds_by("claude-opus-5", session, id, output)
}

fn responds_by(model: &str, session: &str, id: &str, output: u64) -> Record {
    let message = json!({
        "model": model, "id": id, "role": "assistant", "content": [{"type": "text", "text": "x"}],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 1000, "output_tokens": output},
    });
    let keys = format!("\"type\":\"assistant\",\"message\":{message},\"requestId\":\"req_{id}\"");
    record(session, &keys)
}

/// What `claude-opus-5` costs for such a response, in US dollars.
fn cost(output: u64) -> f64 {
    (10 * 5_000_000 + 1000 * 500_000 + u128::from(output) * 25_000_000) as f64 / 1e12
}

fn today() -> String {
    Timestamp::now().to_string()[..10].to_owned()
}

/// Two sessions of which one has a subagent and the other a copy of the first.
fn home() -> Home {
    let first = [asks("go"), responds(SESSION, "m1", 1), responds(SESSION, "m1", 100)];
    let home = Home::with(&first);
    append(&home.transcript_of(OTHER), &lines(&first));
    append(&home.transcript_of(OTHER), &responds(OTHER, "m2", 20).line);
    let subagents = home.path(&format!("projects/{SLUG}/{SESSION}/subagents"));
    fs::create_dir_all(&subagents).unwrap();
    append(&subagents.join("agent-a1.jsonl"), &responds(SESSION, "m3", 3).line);
    append(&subagents.join("agent-acompact-a2.jsonl"), &responds(SESSION, "m4", 4).line);
    home
}

/// Waits until everything is read, and returns the answer.
fn whole(program: &Program, query: &str) -> Value {
    let mut answer = Value::Null;
    wait_until("the transcripts are read", || {
        answer = program.get(&format!("/api/claude/usage{query}")).json();
        let reading = &answer["reading"];
        assert!(reading["done"].as_u64() <= reading["files"].as_u64(), "{reading}");
        answer["partial"] == false
    });
    assert_eq!(answer["reading"]["done"], answer["reading"]["files"]);
    answer
}

fn output(answer: &Value) -> u64 {
    answer["total"]["output"].as_u64().unwrap()
}

#[test]
fn the_sums_of_all_files_are_told_and_follow_what_is_written() {
    let home = home();
    let program = home.start(&[]);
    let answer = whole(&program, "?by=day,session");
    let row = |session: &str, responses: u64, output: u64, usd: f64| {
        json!({"day": today(), "sessionId": session, "responses": responses,
            "input": 10 * responses, "output": output, "cacheRead": 1000 * responses,
            "cacheWrite": 0, "costUsd": usd})
    };
    let usd = |outputs: &[u64]| {
        let sum: f64 = outputs.iter().map(|output| cost(*output) * 1e12).sum();
        sum / 1e12
    };
    let mut first = row(SESSION, 3, 107, usd(&[100, 3, 4]));
    first["subagents"] = json!({"responses": 1, "input": 10, "output": 3, "cacheRead": 1000,
        "cacheWrite": 0, "costUsd": cost(3)});
    let wanted = json!({"days": 30, "tz": "UTC", "by": ["day", "session"],
        "reading": {"files": 4, "done": 4}, "partial": false, "unpriced": [],
        "total": {"responses": 4, "input": 40, "output": 127, "cacheRead": 4000, "cacheWrite": 0,
            "costUsd": usd(&[100, 20, 3, 4])},
        "rows": [first, row(OTHER, 1, 20, cost(20))]});
    assert_eq!(answer, wanted);

    home.append(&responds(SESSION, "m5", 1000).line);
    wait_until("a response of now counts", || output(&whole(&program, "")) == 1127);
    append(&home.transcript_of("new-session"), &responds("new-session", "m6", 10_000).line);
    wait_until("a new file counts", || output(&whole(&program, "")) == 11_127);
    fs::remove_file(home.transcript()).unwrap();
    wait_until("a file that is gone does not", || output(&whole(&program, "")) == 10_127);
    let answer = whole(&program, "?by=session");
    let rows = answer["rows"].as_array().unwrap();
    let other = rows.iter().find(|row| row["sessionId"] == OTHER).unwrap();
    assert_eq!(other["responses"], 2, "its copy of m1 counts");
}

#[test]
fn days_zone_and_columns_are_those_that_were_asked_for() {
    let home = Home::with(&[
        responds(SESSION, "m1", 100).dated_back(),
        responds_by("claude-next", SESSION, "m2", 20),
    ]);
    let program = home.start(&[]);
    let answer = whole(&program, "?days=1&by=model,project");
    assert_eq!(answer["days"], 1);
    assert_eq!(answer["unpriced"], json!(["claude-next"]));
    let row = json!({"project": "/home/demo/src/alpha", "model": "claude-next", "responses": 1,
        "input": 10, "output": 20, "cacheRead": 1000, "cacheWrite": 0});
    assert_eq!(answer["rows"], json!([row]));
    for (query, zone) in [
        ("?tz=%2B05:30", "+05:30"),
        ("?tz=+05:30", "+05:30"),
        ("?tz=-03:00", "-03:00"),
        ("?tz=Z&days=99999", "UTC"),
    ] {
        let answer = whole(&program, query);
        assert_eq!((&answer["tz"], output(&answer)), (&json!(zone), 120), "{query}");
        assert_eq!(answer["rows"].as_array().unwrap().len(), 2, "{answer}");
    }
    let refused = |query: &str, code: &str, message: &str| {
        let answer = program.get(&format!("/api/claude/usage?{query}"));
        assert_eq!((answer.status, answer.code()), (400, code.to_owned()), "{query}");
        assert!(answer.text().contains(message), "{}", answer.text());
    };
    refused("days=0", "bad_days", "days `0`: expected a number of days");
    refused("days=x", "bad_days", "days `x`");
    refused("tz=Berlin", "bad_tz", "tz `Berlin`: expected `UTC` or an offset such as `+02:00`");
    refused("by=hour", "bad_by", "by `hour`: expected one or more of day, project, model, session");
}

#[test]
fn a_client_that_accepts_csv_receives_rows_that_python_reads() {
    let home = home();
    append(&home.transcript(), &responds_by("claude \"x\", y", SESSION, "m7", 7).line);
    let program = home.start(&[]);
    let total = output(&whole(&program, ""));
    let csv = |query: &str| -> Response {
        let headers = ["Accept: application/json;q=0.5, text/csv"];
        program.request("GET", &format!("/api/claude/usage{query}"), &headers)
    };
    let answer = csv("?by=model,session");
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let head = "model,sessionId,responses,input,output,cacheRead,cacheWrite,costUsd,\
                subagentResponses,subagentCostUsd\n";
    assert!(answer.text().starts_with(head), "{}", answer.text());
    if has("python3") {
        let file = home.path("usage.csv");
        fs::write(&file, &answer.body).unwrap();
        let script = "import csv, json, sys; \
                      print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
        let rows = succeeds(Command::new("python3").args(["-c", script]).arg(&file));
        let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
        let sum: u64 =
            rows.iter().map(|row| row["output"].as_str().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!((rows.len(), sum), (3, total));
        let odd = rows.iter().find(|row| row["model"] == "claude \"x\", y").unwrap();
        assert_eq!((&odd["output"], &odd["costUsd"]), (&json!("7"), &json!("")));
    }
}

#[test]
fn the_metrics_have_tokens_and_cost_once_they_were_asked_for() {
    let home = home();
    let program = home.start(&[]);
    let metrics = || program.get("/metrics").text().to_owned();
    assert!(!metrics().contains("claude_live_tokens"), "a scrape has nothing read");
    whole(&program, "");
    let text = metrics();
    let tokens = "claude_live_tokens_total{model=\"claude-opus-5\",kind=\"output\"} 127\n";
    assert!(text.contains(tokens), "{text}");
    assert!(
        text.contains("claude_live_cost_usd_total{model=\"claude-opus-5\"} 0.005375\n"),
        "{text}"
    );
    if has("promtool") {
        let file = home.path("metrics");
        fs::write(&file, text).unwrap();
        let check = format!("promtool check metrics <{}", file.display());
        succeeds(Command::new("sh").args(["-c", &check]));
    }
}

#[test]
fn without_transcripts_there_are_no_sums() {
    let home = home();
    let program = home.start(&["--no-transcripts"]);
    let answer = program.get("/api/claude/usage");
    assert_eq!((answer.status, answer.code()), (404, "no_transcripts".to_owned()));
}

#[test]
fn a_session_has_its_cost_beside_the_one_that_claude_code_counts() {
    let cost_state = record(SESSION, "\"type\":\"cost-state\",\"totalCostUSD\":1.5");
    let home = Home::with(&[asks("go"), responds(SESSION, "m1", 100), cost_state]);
    let program = home.start(&[]);
    wait_until("the session is shown with its cost", || {
        let session = crate::agents::session(&program, SESSION);
        session.is_some_and(|it| it["costUsd"] == cost(100) && it["reportedCostUsd"] == 1.5)
    });
    let answer = whole(&program, "?by=session");
    let row = &answer["rows"][0];
    assert_eq!((&row["costUsd"], &row["reportedCostUsd"]), (&json!(cost(100)), &json!(1.5)));
}

fn usage(home: &Path, args: &[&str]) -> String {
    let mut command = command();
    succeeds(command.arg("usage").arg("--claude").arg(home).args(args))
}

#[test]
fn the_command_line_prints_the_same_sums() {
    let home = home();
    let dir = home.path("");
    let wanted = whole(&home.start(&[]), "?by=day,session");
    let printed = usage(&dir, &["--by", "day,session", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), wanted);
    let table = usage(&dir, &["--by=model"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "model          responses  input  output  cache read  cache write   cost",
            "claude-opus-5          4     40     127       4,000            0  $0.01",
            "total                  4     40     127       4,000            0  $0.01",
        ]
    );
    assert!(lines[4].starts_with("prices of 20"), "{table}");
    let prices = home.path("prices.json");
    let table = "{\"claude-opus-5\": {\"input_cost_per_token\": 1, \"output_cost_per_token\": 2}}";
    fs::write(&prices, table).unwrap();
    let with = |file: &Path| {
        let mut command = command();
        command.args(["usage", "--json", "--claude"]).arg(&dir).arg("--prices").arg(file);
        command.output().unwrap()
    };
    let report: Value = serde_json::from_slice(&with(&prices).stdout).unwrap();
    assert_eq!(report["total"]["costUsd"], 40.0 + 254.0 + 400.0);
    for (content, cause) in [("{}", "no entry has"), ("x", "expected value")] {
        fs::write(&prices, content).unwrap();
        let output = with(&prices);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.contains(&format!("/prices.json`: {cause}")), "{stderr}");
    }
}

#[test]
fn a_directory_without_transcripts_has_empty_sums_and_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let output = command().arg("usage").arg("--claude").arg(dir.path()).output().unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("/projects` is not a directory with transcripts"), "{stderr}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("total "), "{table}");
}

#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let output = command().args(["usage", "--claude", "/nonexistent"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert!(stderr.contains("`/nonexistent` is not a directory; expected the Claude"), "{stderr}");
}
