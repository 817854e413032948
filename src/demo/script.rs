//! Reads the demo's script, `script.jsonl`: one JSON object a line, to be edited by hand.
//!
//! A line with `at` is a step: at so many seconds from the start (below 0: before it) `text` is
//! written to `file`, as `how` says (`append`, the default; `replace`; `remove`), or the process
//! `process` starts or ends (`start`, `end`). A line with `template` holds values under that name,
//! which a line with `use` inherits. A step with `write`, a list of templates, is one step for each
//! of them, `after` so many seconds: values are looked up in the template first, then in the step.
//! A past step with `again` is played at each beginning of the script, others once. Any other line
//! is a remark. `{{NAME}}` in a value is replaced by the value NAME, or by:
//!
//! | placeholder | value |
//! |---|---|
//! | `{{ms -3m}}` | milliseconds since 1970, three minutes before the step (`s`, `m`, `h`, `d`) |
//! | `{{time -3m}}`, `{{date -1d}}` | the same as RFC 3339, UTC, and its date alone |
//! | `{{id NAME}}` | a UUID, the same for a NAME until the script begins again |
//! | `{{new NAME}}`, `{{last NAME}}` | another UUID for that NAME; the present one or null |
//! | `{{hex NAME}}`, `{{new-hex NAME}}` | the first 22 digits of that UUID, of another one |
//! | `{{count NAME 5 2}}` | a number of that NAME: 5, then 2 more at each use, in any template |
//! | `{{grow NAME 5 2}}` | the same, from 5 on again when the script begins again |
//! | `{{pick NAME}}` | the values of the list NAME in turn |
//! | `{{pid NAME}}`, `{{start NAME}}` | id and start of a process; 0 and null if it does not run |
//!
//! Placeholders can be nested. `"{{NAME}}"` as a whole JSON string becomes the value with its type,
//! which can be an object.
//! Invariant: pure but for random ids. A mistake in the script panics; the tests play all of it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

/// The values of a line by their keys, as JSON.
type Values = HashMap<&'static str, &'static RawValue>;

pub(super) struct Script {
    steps: Vec<Step>,
    templates: HashMap<&'static str, Values>,
}

pub(super) struct Step {
    /// From the start of the script; below 0: before it.
    pub(super) at_ms: i64,
    /// The template of the step's `write` that this is.
    part: Option<&'static str>,
    values: Values,
}

/// A change of one file or process.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    /// A path relative to the demo's folder, or the name of a process.
    pub(super) target: String,
    pub(super) action: Action,
}

#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Append(String),
    Replace(String),
    Remove,
    Start,
    End,
}

/// The ids and counts given out so far, and the processes that run.
#[derive(Default)]
pub(super) struct Names {
    ids: HashMap<String, String>,
    counts: HashMap<String, u64>,
    grown: HashMap<String, u64>,
    processes: HashMap<String, (u32, Option<String>)>,
}

impl Script {
    pub(super) fn parse(text: &'static str) -> Script {
        let (mut lines, mut templates) = (Vec::new(), HashMap::new());
        for line in text.lines() {
            let values: Values = parse(line);
            if let Some(at) = values.get("at") {
                lines.push((parse::<f64>(at.get()), values));
            } else if let Some(name) = values.get("template") {
                templates.insert(parse(name.get()), values);
            }
        }
        let mut script = Script { steps: Vec::new(), templates };
        for (at, values) in lines {
            script.add(at, None, &values);
        }
        script.steps.sort_by_key(|step| step.at_ms);
        script
    }

    /// Adds a step, or those that it consists of.
    fn add(&mut self, at: f64, part: Option<&'static str>, values: &Values) {
        let own = part.map_or(values, |part| self.template(part));
        let Some(parts) = self.inherited(own, "write") else {
            let at_ms = (at * 1000.0).round() as i64;
            return self.steps.push(Step { at_ms, part, values: values.clone() });
        };
        for part in parse::<Vec<&'static str>>(parts) {
            let after = self.inherited(self.template(part), "after").map_or(0.0, parse);
            self.add(at + after, Some(part), values);
        }
    }

    /// The steps in the order in which they are due.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether a past step is played each time that the script begins.
    pub(super) fn is_again(&self, step: &Step) -> bool {
        self.find(step, "again").is_some()
    }

    /// Returns what a step changes at `now`.
    pub(super) fn change(&self, step: &Step, names: &mut Names, now: Timestamp) -> Change {
        let mut writer = Writer { script: self, step, names, now };
        let (target, action) = match self.find(step, "how").map(parse) {
            None | Some("append") => ("file", Action::Append(writer.text("text"))),
            Some("replace") => ("file", Action::Replace(writer.text("text"))),
            Some("remove") => ("file", Action::Remove),
            Some("start") => ("process", Action::Start),
            Some("end") => ("process", Action::End),
            Some(how) => panic!("how `{how}` in the script: expected one of its module"),
        };
        Change { target: writer.text(target), action }
    }

    fn template(&self, name: &str) -> &Values {
        self.templates.get(name).unwrap_or_else(|| panic!("no template `{name}` in the script"))
    }

    /// Finds a value of a step.
    fn find(&self, step: &Step, name: &str) -> Option<&'static str> {
        let part = step.part.and_then(|part| self.inherited(self.template(part), name));
        part.or_else(|| self.inherited(&step.values, name))
    }

    /// Finds a value of a line or of the templates that it inherits.
    fn inherited(&self, values: &Values, name: &str) -> Option<&'static str> {
        let mut values = values;
        loop {
            if let Some(value) = values.get(name) {
                return Some(value.get());
            }
            values = self.template(parse(values.get("use")?.get()));
        }
    }
}

impl Names {
    /// Forgets what lasts until the script begins again. Counts go on.
    pub(super) fn renew(&mut self) {
        self.ids.clear();
        self.grown.clear();
    }

    pub(super) fn started(&mut self, process: String, pid: u32, started_at: Option<String>) {
        self.processes.insert(process, (pid, started_at));
    }

    pub(super) fn ended(&mut self, process: &str) {
        self.processes.remove(process);
    }

    fn id(&mut self, name: &str) -> &str {
        self.ids.entry(name.to_owned()).or_insert_with(uuid)
    }
}

/// Fills in the placeholders of one step.
struct Writer<'a> {
    script: &'a Script,
    step: &'a Step,
    names: &'a mut Names,
    now: Timestamp,
}

impl Writer<'_> {
    /// Returns a string value of the step.
    fn text(&mut self, name: &str) -> String {
        let text: String = parse(self.find(name));
        self.fill(&text)
    }

    fn find(&self, name: &str) -> &'static str {
        let value = self.script.find(self.step, name);
        value.unwrap_or_else(|| panic!("no value for `{name}` at {} ms", self.step.at_ms))
    }

    /// Fills in the placeholder that is closed first, which is an innermost one, then the next.
    fn fill(&mut self, template: &str) -> String {
        let (mut filled, mut value_end) = (String::new(), 0);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("}}") {
            rest = after;
            filled.push_str(before);
            // JSON alone can have two closing braces.
            let Some(start) = filled.rfind("{{") else {
                filled.push_str("}}");
                continue;
            };
            let placeholder = filled.split_off(start);
            if value_end > start {
                // That value was nested in this placeholder.
                value_end = 0;
            }
            let value = self.value(&placeholder["{{".len()..]);
            // The quote before it must not be the last character of another value.
            match (filled.get(value_end..), rest.strip_prefix('"')) {
                (Some(before), Some(after)) if before.ends_with('"') => {
                    filled.pop();
                    filled.push_str(&value);
                    rest = after;
                }
                _ => filled.push_str(without_quotes(&value)),
            }
            value_end = filled.len();
        }
        filled + rest
    }

    /// Returns the value of a placeholder as JSON.
    fn value(&mut self, placeholder: &str) -> String {
        let (name, words) = placeholder.split_once(' ').unwrap_or((placeholder, ""));
        match name {
            "ms" => self.time(words).as_millisecond().to_string(),
            "time" => format!("\"{:.3}\"", self.time(words)),
            "date" => format!("\"{}\"", &self.time(words).to_string()[.."2026-01-01".len()]),
            "id" | "new" | "last" | "hex" | "new-hex" => self.id(name, words),
            "count" => count(words, &mut self.names.counts).to_string(),
            "grow" => count(words, &mut self.names.grown).to_string(),
            "pick" => self.pick(words),
            "pid" => self.names.processes.get(words).map_or(0, |(pid, _)| *pid).to_string(),
            "start" => {
                let start = self.names.processes.get(words).and_then(|(_, start)| start.as_ref());
                start.map_or("null".to_owned(), |start| format!("\"{start}\""))
            }
            _ => self.fill(self.find(placeholder)),
        }
    }

    fn id(&mut self, kind: &str, name: &str) -> String {
        match kind {
            "last" if !self.names.ids.contains_key(name) => return "null".to_owned(),
            "new" | "new-hex" => _ = self.names.ids.remove(name),
            _ => {}
        }
        let id = self.names.id(name);
        if kind.ends_with("hex") {
            id.replace('-', "")[..22].to_owned()
        } else {
            format!("\"{id}\"")
        }
    }

    fn time(&self, offset: &str) -> Timestamp {
        if offset.is_empty() {
            return self.now;
        }
        let (number, unit) = offset.split_at(offset.len() - 1);
        let unit_seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => panic!("offset `{offset}` in the script: expected s, m, h or d at its end"),
        };
        self.now + SignedDuration::from_secs(parse::<i64>(number) * unit_seconds)
    }

    fn pick(&mut self, list: &str) -> String {
        let values: Vec<&RawValue> = parse(self.find(list));
        let at = count(&format!("{list} 0 1"), &mut self.names.counts) as usize;
        values[at % values.len()].get().to_owned()
    }
}

/// Returns the next number of a name, from `NAME FIRST STEP`.
fn count(words: &str, counts: &mut HashMap<String, u64>) -> u64 {
    let mut words = words.rsplitn(3, ' ');
    let (Some(step), Some(first), Some(name)) = (words.next(), words.next(), words.next()) else {
        panic!("a count in the script: expected a name, a first value and a step");
    };
    let count = counts.entry(name.to_owned());
    *count.and_modify(|count| *count += parse::<u64>(step)).or_insert_with(|| parse(first))
}

fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("`{json}` in the script: {error}"))
}

/// Returns the inside of a JSON string; any other value as it is.
fn without_quotes(json: &str) -> &str {
    json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(json)
}

/// Makes a random UUID: version 4, variant 1 (RFC 9562, 5.4).
fn uuid() -> String {
    let random = || RandomState::new().hash_one(());
    let high = random() & !0xf000 | 0x4000;
    let low = random() & (u64::MAX >> 2) | 1 << 63;
    let hex = format!("{high:016x}{low:016x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Component, Path};

    use serde_json::Value;

    use super::*;
    use crate::demo::SCRIPT;

    const HOUR_MS: i64 = 60 * 60 * 1000;

    fn start() -> Timestamp {
        "2026-03-02T00:30:00Z".parse().unwrap()
    }

    /// Plays the steps of a script once. Its processes have the ids 101, 102 and so on.
    fn play(script: &Script, names: &mut Names) -> Vec<Change> {
        let (mut changes, mut pids) = (Vec::new(), 101..);
        for step in script.steps() {
            let now = start() + SignedDuration::from_millis(step.at_ms);
            let change = script.change(step, names, now);
            match change.action {
                Action::Start => {
                    let pid = pids.next().unwrap();
                    names.started(change.target.clone(), pid, Some("7".to_owned()));
                }
                Action::End => names.ended(&change.target),
                _ => {}
            }
            changes.push(change);
        }
        changes
    }

    fn append(file: &str, text: impl Into<String>) -> Change {
        Change { target: file.into(), action: Action::Append(text.into()) }
    }

    #[track_caller]
    fn check(line: &'static str, wanted: &str) {
        let changes = play(&Script::parse(line), &mut Names::default());
        assert_eq!(changes, [append("f", wanted)]);
    }

    #[test]
    fn placeholders_are_replaced() {
        check(r#"{"at":0,"file":"f","text":"plain {\"a\":{}}\n"}"#, "plain {\"a\":{}}\n");
        check(r#"{"at":1,"file":"f","text":"{{ms}} {{ms -3m}}"}"#, "1772411401000 1772411221000");
        check(r#"{"at":0.25,"file":"f","text":"{{time}}"}"#, "2026-03-02T00:30:00.250Z");
        check(r#"{"at":0,"file":"f","text":"{{time -90s}}"}"#, "2026-03-02T00:28:30.000Z");
        check(r#"{"at":-3600,"file":"f","text":"{{time}}"}"#, "2026-03-01T23:30:00.000Z");
        check(r#"{"at":0,"file":"f","text":"{{date}} {{date -1h}}"}"#, "2026-03-02 2026-03-01");
        check(r#"{"at":0,"file":"f","text":"{{date -14d}}"}"#, "2026-02-16");
        check(r#"{"at":0,"file":"f","text":"{{count n 5 2}},{{count n 5 3}}"}"#, "5,8");
        check(r#"{"at":0,"file":"f","text":"<{{a}}>","a":"\"é\""}"#, r#"<\"é\">"#);
        check(
            r#"{"at":0,"file":"f","text":"{{grow {{key}} n {{ms}} 1}} {{grow x n 0 1}}","key":"x"}"#,
            "1772411400000 1772411400001",
        );
        check(r#"{"at":0,"file":"f","text":"{{last a}},{{pid p}},{{start p}}"}"#, "null,0,null");
        check(
            r#"{"at":0,"file":"f","text":"{{pick l}}{{pick l}}{{pick l}}","l":["é",{"a":{"b":2}}]}"#,
            r#"é{"a":{"b":2}}é"#,
        );
    }

    #[test]
    fn a_placeholder_that_is_a_whole_string_keeps_the_type_of_its_value() {
        check(
            concat!(
                r#"{"at":0,"file":"f","text":"{{line}}\n","line":{"t":"{{ms}}","s":"{{time}}","#,
                r#""a":"{{a}}","b":"{{a}}{{b}}","c":"{{b}}"},"a":"x \"y\"","b":{"n":[1]}}"#,
            ),
            concat!(
                r#"{"t":1772411400000,"s":"2026-03-02T00:30:00.000Z","a":"x \"y\"","#,
                r#""b":"x \"y\"{"n":[1]}","c":{"n":[1]}}"#,
                "\n"
            ),
        );
    }

    #[test]
    fn an_id_is_replaced_by_a_new_one_of_the_same_name() {
        let script = Script::parse(
            r#"{"at":0,"file":"f","text":"{{new a}} {{id a}} {{last a}} {{hex a}} {{new a}} {{new-hex a}}"}"#,
        );
        let Action::Append(text) = play(&script, &mut Names::default()).remove(0).action else {
            panic!()
        };
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[..2], words[1..3]);
        assert_eq!(words[3], &words[0].replace('-', "")[..22]);
        assert!(words[4] != words[0] && words[5] != words[3] && words[5].len() == 22, "{text}");
    }

    #[test]
    fn a_step_consists_of_the_templates_that_it_writes() {
        let script = Script::parse(
            r#"{"template":"both","write":["one","two"]}
{"template":"one","after":1.5,"text":"one {{x}} {{time}}\n","x":"own"}
{"template":"two","text":"two {{x}}\n"}
{"template":"process","how":"start","process":"{{x}}"}
{"template":"end","after":2,"how":"end","process":"{{x}}"}
{"at":1,"file":"f","write":["both","process","two","end"],"x":"the step's"}
{"at":2,"file":"f","text":"{{pid the step's}} {{start the step's}}\n"}"#,
        );
        let process = |action| Change { target: "the step's".to_owned(), action };
        let wanted = [
            append("f", "two the step's\n"),
            process(Action::Start),
            append("f", "two the step's\n"),
            append("f", "101 7\n"),
            append("f", "one own 2026-03-02T00:30:02.500Z\n"),
            process(Action::End),
        ];
        assert_eq!(play(&script, &mut Names::default()), wanted);
    }

    /// The form in which the script holds a session's files: record shapes in one template, one
    /// template for each session.
    #[test]
    fn templates_are_inherited_and_an_id_is_the_same_everywhere() {
        let script = Script::parse(concat!(
            r#"{"remark":"ignored"}"#,
            "\n",
            r#"{"template":"session","file":"projects/{{slug}}/{{session}}.jsonl","#,
            r#""text":"{{line}}\n","user":{"type":"user","sessionId":"{{session}}","#,
            r#""timestamp":"{{time -3m}}","message":"{{say}}"}}"#,
            r#"
{"template":"alpha","use":"session","slug":"-home-mira-alpha","session":"{{id alpha}}"}
{"at":-60,"use":"alpha","line":"{{user}}","say":{"content":"hi"}}
{"at":5,"use":"alpha","file":"sessions/1.json","how":"replace","text":"{{session}}"}
{"at":6,"file":"sessions/1.json","how":"remove"}"#,
        ));
        let mut names = Names::default();
        let changes = play(&script, &mut names);
        let id = &names.ids["alpha"];
        let record = format!(
            "{{\"type\":\"user\",\"sessionId\":\"{id}\",\"timestamp\":\"2026-03-02T00:26:00.000Z\",\
             \"message\":{{\"content\":\"hi\"}}}}\n"
        );
        let file = |action| Change { target: "sessions/1.json".into(), action };
        assert_eq!(
            changes,
            [
                append(&format!("projects/-home-mira-alpha/{id}.jsonl"), record),
                file(Action::Replace(id.clone())),
                file(Action::Remove),
            ]
        );
    }

    #[test]
    fn ids_are_new_once_they_are_renewed_and_counts_go_on() {
        let script = Script::parse(
            r#"{"at":0,"file":"f","text":"{{id a}} {{id a}} {{id b}} {{count n 1 1}}"}"#,
        );
        let mut names = Names::default();
        let words = |names: &mut Names| -> Vec<String> {
            let Action::Append(text) = play(&script, names).remove(0).action else { panic!() };
            text.split(' ').map(str::to_owned).collect()
        };
        let first = words(&mut names);
        assert!(first[0] == first[1] && first[0] != first[2] && first[3] == "1", "{first:?}");
        names.renew();
        let second = words(&mut names);
        assert!(first[0] != second[0] && second[3] == "2", "{second:?}");
    }

    #[test]
    fn a_uuid_has_its_form() {
        for _ in 0..100 {
            let uuid = uuid();
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid[14..].starts_with('4') && "89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    // The demo's own script.

    /// The content of the history after the script, and its lines that are one JSON object.
    fn history() -> (String, Vec<Value>) {
        let script = Script::parse(SCRIPT);
        let mut text = String::new();
        for change in play(&script, &mut Names::default()) {
            if let ("history.jsonl", Action::Append(more)) = (&change.target[..], change.action) {
                text.push_str(&more);
            }
        }
        let object = |line| serde_json::from_str(line).ok().filter(Value::is_object);
        let records = text.lines().filter_map(object).collect();
        (text, records)
    }

    /// The records of each transcript, by their paths.
    fn transcripts(changes: Vec<Change>) -> HashMap<String, Vec<Value>> {
        let mut transcripts: HashMap<String, Vec<Value>> = HashMap::new();
        for Change { target, action } in changes {
            let Action::Append(line) = action else { continue };
            if target.starts_with("projects/") {
                transcripts.entry(target).or_default().push(serde_json::from_str(&line).unwrap());
            }
        }
        transcripts
    }

    /// The blocks of a record of one type, such as `tool_use`.
    fn blocks<'a>(record: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let blocks = record["message"]["content"].as_array().into_iter().flatten();
        blocks.filter(move |block| block["type"] == kind)
    }

    fn display(record: &Value) -> &str {
        record["display"].as_str().unwrap()
    }

    /// Milliseconds since the start of the script.
    fn time(record: &Value) -> i64 {
        record["timestamp"].as_i64().unwrap() - start().as_millisecond()
    }

    #[test]
    fn every_line_of_the_script_can_be_played_again_and_again() {
        let script = Script::parse(SCRIPT);
        let mut names = Names::default();
        for _ in 0..2 {
            for change in play(&script, &mut names) {
                let mut parts = Path::new(&change.target).components();
                assert!(
                    parts.all(|part| matches!(part, Component::Normal(_))),
                    "{}",
                    change.target
                );
                if let Action::Append(text) | Action::Replace(text) = change.action {
                    assert!(!text.is_empty() && !text.contains("{{"), "{text}");
                }
            }
            names.renew();
        }
        let steps = script.steps();
        assert!(steps.is_sorted_by_key(|step| step.at_ms));
        assert!(steps[0].at_ms < -20 * HOUR_MS && steps.last().unwrap().at_ms > 10 * 60 * 1000);
        assert!(SCRIPT.len() < 200_000);
    }

    #[test]
    fn files_that_are_replaced_hold_one_json_object() {
        let script = Script::parse(SCRIPT);
        let mut replaced = 0;
        for change in play(&script, &mut Names::default()) {
            if let Action::Replace(text) = change.action {
                assert!(serde_json::from_str::<Value>(&text).unwrap().is_object(), "{text}");
                replaced += 1;
            }
        }
        assert!(replaced > 20, "{replaced}");
    }

    #[test]
    fn the_counts_end_yesterday_and_grow() {
        let script = Script::parse(SCRIPT);
        let mut names = Names::default();
        let mut stats: Vec<Value> = Vec::new();
        for change in (0..2).flat_map(|_| play(&script, &mut names)) {
            if let ("stats-cache.json", Action::Replace(text)) = (&change.target[..], change.action)
            {
                stats.push(serde_json::from_str(&text).unwrap());
            }
        }
        let last = stats.last().unwrap();
        assert_eq!(last["lastComputedDate"], "2026-03-01");
        assert_eq!(last["dailyActivity"][13]["date"], "2026-03-01");
        assert_eq!(last["dailyActivity"][0]["date"], "2026-02-16");
        for key in ["totalSessions", "totalMessages"] {
            let counts: Vec<u64> = stats.iter().map(|stats| stats[key].as_u64().unwrap()).collect();
            assert!(counts.is_sorted() && counts[0] < *counts.last().unwrap(), "{key} {counts:?}");
        }
    }

    #[test]
    fn a_line_is_a_record_of_claude_code_unless_its_step_is_marked_as_broken() {
        let (text, records) = history();
        let lines = text.lines().count();
        let script = Script::parse(SCRIPT);
        let broken = script.steps().iter().filter(|step| script.find(step, "broken").is_some());
        assert_eq!(lines - records.len(), broken.count());
        assert!((lines / 250..lines / 80).contains(&(lines - records.len())), "{lines}");
        for line in text.lines() {
            let Ok(values) = serde_json::from_str::<HashMap<&str, &RawValue>>(line) else {
                continue;
            };
            let value = |key| format!("\"{key}\":{}", values[key]);
            let mut fields =
                ["display", "pastedContents", "timestamp", "project"].map(value).to_vec();
            if values.contains_key("sessionId") {
                fields.push(value("sessionId"));
            }
            assert_eq!(line, format!("{{{}}}", fields.join(",")));
        }
    }

    #[test]
    fn the_past_fills_twenty_hours_and_most_of_the_last_one() {
        let (_, records) = history();
        let times: Vec<i64> = records.iter().map(time).filter(|&time| time < 0).collect();
        assert!(times.is_sorted() && times.len() > 200, "{}", times.len());
        assert!((-20 * HOUR_MS..-19 * HOUR_MS).contains(&times[0]), "{}", times[0]);
        let of_last_hour = times.iter().filter(|&&time| time > -HOUR_MS).count();
        assert!(of_last_hour > 40, "{of_last_hour}");
    }

    #[test]
    fn from_the_start_a_line_comes_every_second_or_two_with_bursts_and_pauses() {
        let (_, records) = history();
        let times: Vec<i64> = records.iter().map(time).filter(|&time| time > 0).collect();
        let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = pauses.iter().sum::<i64>() / pauses.len() as i64;
        assert!((1000..2000).contains(&mean), "{mean}");
        assert!(pauses.iter().all(|&pause| pause < 6000), "{pauses:?}");
        for range in [5..130, 900..2100, 2500..4000] {
            let count = pauses.iter().filter(|&&pause| range.contains(&pause)).count();
            assert!(count > pauses.len() / 20, "{range:?}: {count}");
        }
    }

    #[test]
    fn no_long_prompt_comes_twice_from_the_start_on() {
        let (_, records) = history();
        let mut seen = HashSet::new();
        for record in records.iter().filter(|record| time(record) > 0) {
            let text = display(record);
            assert!(text.chars().count() < 25 || seen.insert(text.to_owned()), "{text}");
        }
        assert!(seen.len() > 200, "{}", seen.len());
    }

    #[test]
    fn every_kind_of_prompt_is_shown() {
        let (_, records) = history();
        let live: Vec<&Value> = records.iter().filter(|record| time(record) > 0).collect();
        for sought in [
            "/compact ",
            "/model sonnet",
            "! cargo test -q",
            "sk-ant-api03-EXAMPLE",
            "<script>",
            "اكتب",
            "[Image #1]",
            "🎉",
            "\n",
        ] {
            assert!(live.iter().any(|record| display(record).contains(sought)), "{sought:?}");
        }
        for key in ["content", "contentHash"] {
            let has = |record: &&Value| record["pastedContents"]["1"].get(key).is_some();
            assert!(live.iter().any(has), "{key}");
        }
        assert!(live.iter().any(|record| record.get("sessionId").is_none()));
    }

    #[test]
    fn pastes_are_as_many_and_as_long_as_the_prompt_says() {
        for record in history().1 {
            let pastes = record["pastedContents"].as_object().unwrap();
            assert_eq!(pastes.len(), display(&record).matches("[Pasted text #").count());
            for (number, paste) in pastes {
                assert_eq!(paste["id"].to_string(), *number);
                if let Some(content) = paste["content"].as_str() {
                    let wanted =
                        format!("[Pasted text #{number} +{} lines]", content.lines().count());
                    assert!(display(&record).contains(&wanted), "{record}");
                }
            }
        }
    }

    #[test]
    fn sessions_come_and_go_and_stay_in_their_project() {
        let (_, records) = history();
        let mut projects: HashMap<&str, &str> = HashMap::new();
        let (mut live, mut turns, mut last) = (HashSet::new(), 0, "");
        for record in &records {
            let Some(session) = record["sessionId"].as_str() else { continue };
            let project = record["project"].as_str().unwrap();
            assert_eq!(*projects.entry(session).or_insert(project), project);
            turns += usize::from(last != session);
            last = session;
            if time(record) > 0 {
                live.insert(session);
            }
        }
        assert_eq!(projects.values().collect::<HashSet<_>>().len(), 6);
        assert!((10..40).contains(&live.len()), "{}", live.len());
        assert!((60..records.len() / 2).contains(&turns), "{turns}");
    }

    #[test]
    fn some_lines_are_written_in_two_parts() {
        let script = Script::parse(SCRIPT);
        let mut halves = 0;
        for change in play(&script, &mut Names::default()) {
            if let ("history.jsonl", Action::Append(text)) = (&change.target[..], change.action) {
                halves += usize::from(!text.ends_with('\n'));
            }
        }
        assert!(halves > 10, "{halves}");
        assert!(history().0.ends_with("}\n"));
    }

    #[test]
    fn records_form_a_chain_in_a_file_of_their_session() {
        let transcripts = transcripts(play(&Script::parse(SCRIPT), &mut Names::default()));
        assert!(transcripts.len() > 40, "{}", transcripts.len());
        let mut uuids = HashSet::new();
        for (path, records) in &transcripts {
            let mut last = &Value::Null;
            for record in records {
                let session = record["sessionId"].as_str().unwrap();
                let is_of_agent = record["isSidechain"] == true;
                assert!(
                    path.contains(session) && is_of_agent == path.contains("/subagents/agent-")
                );
                if record["uuid"].is_null() {
                    continue;
                }
                assert_eq!(&record["parentUuid"], last);
                last = &record["uuid"];
                assert!(uuids.insert(last.clone()), "{record}");
                let cwd = record["cwd"].as_str().unwrap();
                let slug: String = cwd
                    .chars()
                    .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
                    .collect();
                assert_eq!(path.split('/').nth(1), Some(&slug[..]));
            }
        }
    }

    #[test]
    fn every_call_of_a_tool_has_its_result_in_the_end() {
        let transcripts = transcripts(play(&Script::parse(SCRIPT), &mut Names::default()));
        let mut calls = 0;
        for (path, records) in &transcripts {
            let mut open = HashSet::new();
            for record in records {
                for block in blocks(record, "tool_use") {
                    calls += 1;
                    assert!(open.insert(block["id"].clone()), "{path}: {block}");
                }
                for block in blocks(record, "tool_result") {
                    assert!(open.remove(&block["tool_use_id"]), "{path}: {block}");
                }
            }
            assert!(open.is_empty(), "{path}: {open:?}");
        }
        assert!(calls > 100, "{calls}");
    }

    #[test]
    fn a_prompt_of_the_history_is_in_the_transcript_of_its_session() {
        let changes = play(&Script::parse(SCRIPT), &mut Names::default());
        let history: String = changes
            .iter()
            .filter_map(|change| match &change.action {
                Action::Append(text) if change.target == "history.jsonl" => Some(&text[..]),
                _ => None,
            })
            .collect();
        let mut said = HashSet::new();
        for record in transcripts(changes).into_values().flatten() {
            let text = record["message"]["content"].as_str().unwrap_or_default().to_owned();
            said.insert((record["sessionId"].as_str().unwrap().to_owned(), text));
        }
        let mut prompts = 0;
        for line in history.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let Some(session) = line["sessionId"].as_str() else { continue };
            let display = display(&line);
            if !display.starts_with(['/', '!']) {
                prompts += 1;
                assert!(said.contains(&(session.to_owned(), display.to_owned())), "{display}");
            }
        }
        assert!(prompts > 500, "{prompts}");
    }

    #[test]
    fn processes_run_while_the_registry_has_an_entry_and_end_with_the_script() {
        let (mut processes, mut entries, mut most) = (HashSet::new(), HashSet::new(), 0);
        for Change { target, action } in play(&Script::parse(SCRIPT), &mut Names::default()) {
            let is_entry = target.starts_with("sessions/");
            match action {
                Action::Start => assert!(processes.insert(target.clone()), "{target}"),
                Action::End => assert!(processes.remove(&target), "{target}"),
                Action::Replace(text) if is_entry => {
                    let entry: Value = serde_json::from_str(&text).unwrap();
                    assert!(processes.contains(entry["name"].as_str().unwrap()), "{entry}");
                    assert_eq!((&entry["procStart"], target.len()), (&"7".into(), 17), "{entry}");
                    entries.insert(target);
                }
                Action::Remove if is_entry => assert!(entries.remove(&target), "{target}"),
                _ => {}
            }
            most = most.max(processes.len());
        }
        assert!(processes.is_empty() && entries.is_empty(), "{processes:?} {entries:?}");
        assert!((8..16).contains(&most), "{most}");
    }
}
