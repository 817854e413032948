//! Counting: tables of records and the sums that they give, and the sums of any order of reading.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::query::By;
use super::*;
use crate::formats::transcript::each_counted;

const NOW: &str = "2026-03-10T12:00:00Z";

/// Prices in dollars for a million tokens: 1 of input, 10 of output, 0.1 read, 1.25 or 2 written.
fn prices() -> Arc<Prices> {
    let table = br#"{"claude-a": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-05},
        "claude-b": {"input_cost_per_token": 2e-06, "output_cost_per_token": 2e-05}}"#;
    Arc::new(Prices::parse(table).unwrap())
}

/// A file with the lines that it has, as a source reads it.
#[derive(Clone, Debug)]
struct Transcript {
    path: &'static str,
    session_id: Option<&'static str>,
    part: Part,
    lines: Vec<Value>,
}

fn main(session_id: &'static str, lines: &[Value]) -> Transcript {
    let lines = lines.to_vec();
    Transcript { path: session_id, session_id: Some(session_id), part: Part::Transcript, lines }
}

fn add(responses: &mut Responses, file: FileNo, offset: u64, line: &Value) {
    each_counted(line.to_string().as_bytes(), |counted| responses.add(file, offset, &counted));
}

fn read(files: &[Transcript]) -> Responses {
    let mut responses = Responses::new(prices());
    for file in files {
        let session_id = file.session_id.map(str::to_owned);
        let no = responses.add_file(file.path, Owner { session_id, part: file.part });
        for (offset, line) in file.lines.iter().enumerate() {
            add(&mut responses, no, offset as u64, line);
        }
    }
    responses
}

fn report(responses: &Responses, by: &str) -> Value {
    let by = By::parse(by).unwrap();
    let report = responses.report(
        &Query { by, ..Query::default() },
        NOW.parse().unwrap(),
        Progress { files: 1, done: 1, is_searching: false },
    );
    serde_json::from_slice(&report.json()).unwrap()
}

/// A record of the response `id` on the tenth of March, with as many output tokens.
fn record(id: &str, output: u64, more: Value) -> Value {
    let usage = json!({
        "input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100,
        "output_tokens": output,
    });
    let mut record = json!({
        "type": "assistant", "timestamp": "2026-03-10T08:00:00.000Z", "sessionId": "s",
        "cwd": "/p", "requestId": format!("req_{id}"), "uuid": "u",
        "message": {"id": id, "model": "claude-a", "usage": usage},
    });
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(inner) => {
                record[key].as_object_mut().unwrap().extend(inner.clone());
            }
            other => record[key] = other.clone(),
        }
    }
    record
}

fn at(hour: u32) -> Value {
    json!({"timestamp": format!("2026-03-10T{hour:02}:00:00.000Z")})
}

/// Responses and output tokens.
#[track_caller]
fn check(files: &[Transcript], wanted: (u64, u64)) {
    let total = &report(&read(files), "day")["total"];
    let count = |key: &str| total[key].as_u64().unwrap();
    assert_eq!((count("responses"), count("output")), wanted);
}

#[test]
fn the_largest_of_a_response_s_records_counts_once() {
    let lines = |outputs: &[u64]| -> Vec<Value> {
        outputs.iter().map(|output| record("m1", *output, json!({}))).collect()
    };
    check(&[main("s", &lines(&[7]))], (1, 7));
    check(&[main("s", &lines(&[1, 1, 7]))], (1, 7));
    check(&[main("s", &lines(&[7, 1]))], (1, 7));
    let between = [lines(&[1]), vec![record("m2", 5, json!({}))], lines(&[7])].concat();
    check(&[main("s", &between)], (2, 12));
    check(&[main("s", &lines(&[1, 7])), main("t", &lines(&[1]))], (1, 7));
    check(&[main("s", &lines(&[1])), main("t", &lines(&[1, 7]))], (1, 7));
}

#[test]
fn a_response_is_told_by_message_and_request() {
    let same = record("m1", 7, json!({}));
    let other_request = record("m1", 7, json!({"requestId": "req_other"}));
    let without_request = record("m1", 7, json!({"requestId": null}));
    check(&[main("s", &[same.clone(), other_request])], (2, 14));
    check(&[main("s", &[without_request.clone(), without_request, same])], (2, 14));
}

#[test]
fn a_record_without_a_message_id_counts_by_itself_and_its_copy_does_not() {
    let anonymous = |uuid: Value| {
        let mut record = record("m1", 7, json!({"uuid": uuid}));
        record["message"].as_object_mut().unwrap().remove("id");
        record
    };
    let lines = [anonymous(json!("u1")), anonymous(json!("u2"))];
    check(&[main("s", &lines)], (2, 14));
    check(&[main("s", &lines), main("t", &lines)], (2, 14));
    let nameless = [anonymous(Value::Null), anonymous(Value::Null)];
    check(&[main("s", &nameless)], (2, 14));
}

#[test]
fn what_is_no_response_does_not_count() {
    let lines = [
        record("m1", 7, json!({"message": {"model": "<synthetic>"}})),
        record("m2", 7, json!({"isApiErrorMessage": true})),
        record("m3", 7, json!({"type": "user"})),
        json!({"type": "assistant", "message": {"id": "m4", "model": "claude-a"}}),
        json!({"type": "user", "toolUseResult": {"usage": {"input_tokens": 1}}, "x": "assistant"}),
    ];
    check(&[main("s", &lines)], (0, 0));
}

#[test]
fn a_row_has_the_tokens_and_their_cost() {
    let hour = json!({"message": {"usage": {
        "input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100,
        "output_tokens": 7, "cache_creation": {
            "ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}}}});
    let report = report(&read(&[main("s", &[record("m1", 7, hour)])]), "day");
    let sum = json!({"responses": 1, "input": 3, "output": 7, "cacheRead": 100, "cacheWrite": 20,
        "costUsd": (3.0 + 70.0 + 10.0 + 5.0 * 1.25 + 15.0 * 2.0) / 1e6});
    let mut row = sum.clone();
    row["day"] = json!("2026-03-10");
    let wanted = json!({"days": 30, "tz": "UTC", "by": ["day"],
        "reading": {"files": 1, "done": 1}, "partial": false, "unpriced": [],
        "total": sum, "rows": [row]});
    assert_eq!(report, wanted);
}

#[test]
fn a_model_without_a_price_has_tokens_and_is_named() {
    let model = |name: &str| json!({"message": {"model": name}});
    let lines = [
        record("m1", 7, model("claude-a")),
        record("m2", 7, model("claude-next")),
        record("m3", 7, json!({"message": {"model": null}})),
    ];
    let report = report(&read(&[main("s", &lines)]), "model");
    assert_eq!(report["unpriced"], json!(["claude-next", "unknown"]));
    let rows: Vec<_> = report["rows"].as_array().unwrap().iter().collect();
    let models: Vec<_> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["claude-a", "claude-next", "unknown"], "the dearest first");
    let costs = rows.iter().map(|row| row.get("costUsd").is_some());
    assert_eq!(costs.collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(report["total"]["costUsd"], rows[0]["costUsd"]);
    assert_eq!(report["total"]["output"], 21);
}

#[test]
fn a_copied_response_counts_where_it_is_first_in_time() {
    let original = record("m1", 7, at(8));
    let copied = record("m1", 7, at(9));
    let session = |files: &[Transcript]| {
        let rows = report(&read(files), "session")["rows"].clone();
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        rows[0]["sessionId"].as_str().unwrap().to_owned()
    };
    let of = |session_id, record: &Value| main(session_id, std::slice::from_ref(record));
    let files = [of("b", &copied), of("s", &original)];
    assert_eq!(session(&files), "s", "the earlier one");
    let files = [of("b", &original), of("s", &original)];
    assert_eq!(session(&files), "s", "at the same time the session that the record names");
    let files = [of("c", &original), of("b", &original)];
    assert_eq!(session(&files), "b", "else the first path");
}

#[test]
fn subagents_are_of_their_session_and_marked() {
    let sidechain = record("m3", 4, json!({"isSidechain": true}));
    let mut agent = main("s", &[record("m2", 2, json!({"cwd": "/p/below"}))]);
    (agent.path, agent.part) = ("s/subagents/agent-a", Part::Subagent);
    let mut compaction = main("s", &[record("m4", 8, json!({"isSidechain": true}))]);
    (compaction.path, compaction.part) = ("s/subagents/agent-acompact-a", Part::Compaction);
    let mut old = main("s", &[record("m5", 16, json!({}))]);
    (old.path, old.part, old.session_id) = ("agent-b", Part::Subagent, None);
    let files = [agent, compaction, old, main("s", &[record("m1", 1, json!({})), sidechain])];
    let report = report(&read(&files), "session,project");
    assert_eq!(report["rows"].as_array().unwrap().len(), 1, "{report}");
    let row = &report["rows"][0];
    assert_eq!((&row["sessionId"], &row["project"]), (&json!("s"), &json!("/p")));
    assert_eq!((&row["responses"], &row["output"]), (&json!(5), &json!(31)));
    let subagents = &row["subagents"];
    assert_eq!((&subagents["responses"], &subagents["output"]), (&json!(3), &json!(22)));
    assert!(subagents["costUsd"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_cost_that_claude_code_counts_is_beside_that_of_a_session() {
    let mut responses = Responses::new(prices());
    let owner = Owner { session_id: Some("s".to_owned()), part: Part::Transcript };
    let file = responses.add_file("s", owner);
    add(&mut responses, file, 0, &record("m1", 7, json!({})));
    responses.set_reported_cost(file, 1.5);
    assert_eq!(report(&responses, "session,project")["rows"][0]["reportedCostUsd"], 1.5);
    for by in ["day", "model", "session,day", "session,model"] {
        assert_eq!(report(&responses, by)["rows"][0].get("reportedCostUsd"), None, "{by}");
    }
    assert!(report(&responses, "day")["total"]["costUsd"].as_f64().unwrap() < 1.0);
}

#[test]
fn rows_are_of_the_days_that_are_asked_for_the_oldest_first() {
    let on = |day: &str| json!({"timestamp": format!("2026-03-{day}T23:30:00Z")});
    let lines: Vec<_> = ["10", "01", "09", "09"]
        .iter()
        .enumerate()
        .map(|(at, day)| record(&format!("m{at}"), 1, on(day)))
        .collect();
    let responses = read(&[main("s", &lines)]);
    let days = |days, zone: &str| {
        let query = Query { days, zone: query::Zone::parse(zone).unwrap(), ..Query::default() };
        let progress = Progress::default();
        let report = responses.report(&query, NOW.parse().unwrap(), progress);
        let report: Value = serde_json::from_slice(&report.json()).unwrap();
        let rows = report["rows"].as_array().unwrap().iter();
        let days = rows.map(|row| {
            format!("{} {}", row["day"].as_str().unwrap(), row["responses"].as_u64().unwrap())
        });
        days.collect::<Vec<_>>()
    };
    assert_eq!(days(30, "UTC"), ["2026-03-01 1", "2026-03-09 2", "2026-03-10 1"]);
    assert_eq!(days(2, "UTC"), ["2026-03-09 2", "2026-03-10 1"]);
    // A record of tomorrow is none of today's.
    assert_eq!(days(1, "+01:00"), ["2026-03-10 2"]);
    assert_eq!(days(query::MAX_DAYS, "+01:00").last().unwrap(), "2026-03-11 1");
    assert_eq!(days(9, "-01:00"), ["2026-03-09 2", "2026-03-10 1"]);
}

#[test]
fn a_record_without_a_time_has_that_of_the_one_before() {
    let lines = [record("m1", 1, at(8)), record("m2", 2, json!({"timestamp": null}))];
    check(&[main("s", &lines)], (2, 3));
}

#[test]
fn csv_has_a_line_for_each_row_and_quotes_what_needs_it() {
    let lines = [
        record("m1", 7, json!({"cwd": "/a, \"b\""})),
        record("m2", 2, json!({"isSidechain": true, "message": {"model": "claude-next"}})),
    ];
    let responses = read(&[main("s", &lines)]);
    let csv = |by| {
        let query = Query { by: By::parse(by).unwrap(), ..Query::default() };
        responses.report(&query, NOW.parse().unwrap(), Progress::default()).csv()
    };
    assert_eq!(
        csv("project,model"),
        "project,model,responses,input,output,cacheRead,cacheWrite,costUsd\n\
         \"/a, \"\"b\"\"\",claude-a,1,3,7,100,20,0.000108\n\
         \"/a, \"\"b\"\"\",claude-next,1,3,2,100,20,\n"
    );
    assert_eq!(
        csv("session"),
        "sessionId,responses,input,output,cacheRead,cacheWrite,costUsd,subagentResponses,\
         subagentCostUsd\ns,2,6,9,200,40,0.000108,1,\n"
    );
}

#[test]
fn a_table_has_columns_that_line_up_and_a_total() {
    let lines = [
        record("m1", 1_234_567, json!({})),
        record("m2", 2, json!({"message": {"model": "claude-\u{1b}[2J"}})),
    ];
    let responses = read(&[main("s", &lines)]);
    let query = Query { by: By::parse("day,model").unwrap(), ..Query::default() };
    let table = responses.report(&query, NOW.parse().unwrap(), Progress::default()).table();
    let wanted = "\
day         model        responses  input     output  cache read  cache write    cost
2026-03-10  claude-a             1      3  1,234,567         100           20  $12.35
2026-03-10  claude-\u{FFFD}[2J          1      3          2         100           20       -
total                            2      6  1,234,569         200           40  $12.35

no price, and not in the cost: claude-\u{FFFD}[2J
";
    assert_eq!(table, wanted);
}

// Any order of reading.

const PATHS: [&str; 4] = ["a", "b", "b/subagents/agent-1", "c"];

/// A record of one of a few responses, so that many are the same.
fn any_record() -> impl Strategy<Value = Value> {
    let model = prop_oneof![Just("claude-a"), Just("claude-b"), Just("<synthetic>")];
    (0..6_u8, 0..3_u8, 0..4_u64, model, 0..4_u32, 0..4_usize, any::<bool>()).prop_map(
        |(id, request, output, model, hour, session, is_sidechain)| {
            let mut record = record(&format!("m{id}"), output, at(hour));
            record["message"]["model"] = json!(model);
            record["requestId"] = json!(format!("r{}", request % 2));
            record["uuid"] = json!(format!("u{request}{hour}"));
            record["sessionId"] = json!(PATHS[session]);
            record["isSidechain"] = json!(is_sidechain);
            if id == 0 {
                record["message"].as_object_mut().unwrap().remove("id");
            }
            record
        },
    )
}

fn any_files() -> impl Strategy<Value = Vec<Transcript>> {
    let lines = || prop::collection::vec(any_record(), 0..12);
    (lines(), lines(), lines()).prop_map(|(a, b, agent)| {
        let mut subagent = main("b", &agent);
        (subagent.path, subagent.part) = (PATHS[2], Part::Subagent);
        // A fork: it begins with what it was forked from.
        let fork = main("c", &[&a[..], &b[..b.len() / 2]].concat());
        vec![main("a", &a), main("b", &b), subagent, fork]
    })
}

/// What happens to files: a line is read, or a file is gone, or it is read again.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    Remove(usize),
    Again(usize),
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let file = 0..4_usize;
    let step = prop_oneof![
        8 => file.clone().prop_map(Step::Read),
        1 => file.clone().prop_map(Step::Remove),
        1 => file.prop_map(Step::Again),
    ];
    prop::collection::vec(step, 0..80)
}

/// Files that are read line by line, each up to somewhere.
struct World {
    files: Vec<Transcript>,
    responses: Responses,
    read: BTreeMap<usize, (FileNo, usize)>,
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Read(file) => self.read(file),
            Step::Remove(file) => self.remove(file),
            Step::Again(file) => {
                let count = self.read.get(&file).map_or(0, |(_, count)| *count);
                self.remove(file);
                (0..count).for_each(|_| self.read(file));
            }
        }
    }

    fn read(&mut self, at: usize) {
        let file = &self.files[at];
        let (no, count) = self.read.entry(at).or_insert_with(|| {
            let session_id = file.session_id.map(str::to_owned);
            let owner = Owner { session_id, part: file.part };
            (self.responses.add_file(file.path, owner), 0)
        });
        if let Some(line) = file.lines.get(*count) {
            add(&mut self.responses, *no, *count as u64, line);
            *count += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some((no, _)) = self.read.remove(&at) {
            self.responses.remove(&[no]);
        }
    }

    /// The files as far as they are read, in another order.
    fn there(&self) -> Vec<Transcript> {
        let read = self.read.iter().rev();
        let there = read.map(|(at, (_, count))| {
            let file = self.files[*at].clone();
            Transcript { lines: file.lines[..*count].to_vec(), ..file }
        });
        there.collect()
    }
}

/// Responses, output tokens and output of sessions, counted as plainly as can be.
fn plain(files: &[Transcript]) -> (u64, u64) {
    let mut largest: BTreeMap<String, u64> = BTreeMap::new();
    for record in files.iter().flat_map(|file| &file.lines) {
        let message = &record["message"];
        if message["model"] == "<synthetic>" {
            continue;
        }
        let key = match &message["id"] {
            Value::Null => record["uuid"].to_string(),
            id => format!("{id} {}", record["requestId"]),
        };
        let output = message["usage"]["output_tokens"].as_u64().unwrap();
        let known = largest.entry(key).or_default();
        *known = output.max(*known);
    }
    (largest.len() as u64, largest.values().sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_are_those_of_the_records_that_are_there(
        files in any_files(),
        steps in any_steps(),
    ) {
        let responses = Responses::new(prices());
        let mut world = World { files, responses, read: BTreeMap::new() };
        for step in &steps {
            world.take(step);
        }
        let there = world.there();
        check(&there, plain(&there));
        let fresh = read(&there);
        for by in ["day", "session,project", "model", "day,project,model,session"] {
            prop_assert_eq!(report(&world.responses, by), report(&fresh, by), "{}", by);
        }
    }

    #[test]
    fn a_line_shows_the_same_tokens_to_both_parsers(record in any_record(), cut in 0..400_usize) {
        let line = record.to_string();
        let glued = format!("{}{line}", &line[..cut.min(line.len())]);
        for line in [line.clone(), glued, format!("\0\0{line}\0"), format!("{line}{line}")] {
            let mut quick = Vec::new();
            each_counted(line.as_bytes(), |it| {
                quick.push((it.response.usage, it.ts, it.uuid.map(|it| it.into_owned())));
            });
            let mut whole = Vec::new();
            crate::formats::transcript::each_part(line.as_bytes(), |part| {
                let crate::formats::transcript::Part::Record(record) = part else { return };
                let usage = record.response().and_then(|response| response.usage);
                if usage.is_some() {
                    whole.push((usage, record.ts, record.uuid().map(|it| it.into_owned())));
                }
            });
            prop_assert_eq!(&quick, &whole, "{}", line);
        }
    }
}
