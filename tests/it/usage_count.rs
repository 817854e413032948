//! Tokens and cost beside an independent count.
//!
//! `tests/usage/trees.py` writes Claude directories with every kind of duplicate and damage, and
//! `tests/usage/count.py` counts them by the rules alone. Each test prints both counts; see them
//! with `cargo test --test it usage_count -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, command, wait_until};
use crate::tools::{has, succeeds};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/usage");
const BY: &str = "day,project,model,session";
const COLUMNS: [&str; 4] = ["day", "project", "model", "sessionId"];
const TOKENS: [&str; 5] = ["responses", "input", "output", "cacheRead", "cacheWrite"];
const TOTAL: &str = "total";
const SUBAGENTS: &str = "subagents";

/// Sums by the cells of their row: the columns, `total`, or the columns and `subagents`.
type Count = BTreeMap<Vec<String>, Sum>;

#[derive(Clone, Debug)]
struct Sum {
    tokens: [u64; TOKENS.len()],
    usd: Option<f64>,
}

/// Sums of the same tokens whose costs differ by rounding at most are equal.
impl PartialEq for Sum {
    fn eq(&self, other: &Sum) -> bool {
        let is_same_cost = match (self.usd, other.usd) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1e-9 * theirs.abs(),
            (ours, theirs) => ours == theirs,
        };
        self.tokens == other.tokens && is_same_cost
    }
}

impl Sum {
    fn of(sum: &Value) -> Sum {
        // The independent count has decimals throughout.
        let tokens = TOKENS.map(|kind| sum[kind].as_f64().unwrap_or_default() as u64);
        Sum { tokens, usd: sum["costUsd"].as_f64() }
    }
}

fn script(name: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg(format!("{SCRIPTS}/{name}"));
    python
}

fn prices() -> String {
    format!("{SCRIPTS}/prices.json")
}

/// Returns a generated Claude directory, the same for each seed.
fn tree(seed: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    succeeds(script("trees.py").arg(seed.to_string()).arg(dir.path()));
    dir
}

/// Returns the files that have responses.
fn transcripts(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.join("projects")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let is_transcript = path.extension().is_some_and(|extension| extension == "jsonl");
            if path.is_dir() {
                dirs.push(path);
            } else if is_transcript {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Returns what the independent count finds, and the models without a price.
fn counted(dir: &Path, offset_minutes: i32) -> (Count, BTreeSet<String>) {
    let mut command = script("count.py");
    let printed = succeeds(command.arg(dir).arg(prices()).arg(offset_minutes.to_string()));
    let answer: Value = serde_json::from_str(&printed).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    let sums = rows.iter().map(|row| (texts(&row["row"]), Sum::of(row)));
    (sums.collect(), texts(&answer["unpriced"]).into_iter().collect())
}

/// Returns the same of an answer of claude-live.
fn told(answer: &Value) -> (Count, BTreeSet<String>) {
    assert_eq!(answer["partial"], false);
    let mut sums = Count::from([(vec![TOTAL.to_owned()], Sum::of(&answer["total"]))]);
    for row in answer["rows"].as_array().unwrap() {
        let mut cells = texts(&COLUMNS.map(|column| row[column].clone()).into());
        assert_eq!(sums.insert(cells.clone(), Sum::of(row)).map(|sum| sum.tokens), None, "{row}");
        if row[SUBAGENTS].is_object() {
            cells.push(SUBAGENTS.to_owned());
            sums.insert(cells, Sum::of(&row[SUBAGENTS]));
        }
    }
    (sums, texts(&answer["unpriced"]).into_iter().collect())
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Returns what `claude-live usage` prints.
fn printed(dir: &Path, offset: &str) -> Value {
    let mut command = command();
    command.args(["usage", "--json", "--days", "3650", "--by", BY, "--prices", &prices()]);
    let json = succeeds(command.arg(format!("--tz={offset}")).arg("--claude").arg(dir));
    serde_json::from_str(&json).unwrap()
}

#[expect(clippy::print_stdout, reason = "the table is the proof, and shown by a failure")]
#[track_caller]
fn check(title: &str, ours: (Count, BTreeSet<String>), counted: (Count, BTreeSet<String>)) {
    let total = vec![TOTAL.to_owned()];
    let cells: BTreeSet<_> = ours.0.keys().chain(counted.0.keys()).collect();
    println!("{title}: {} rows\n{:>12} {TOKENS:?} and US dollars", cells.len(), "");
    let mut differing = 0;
    for cells in cells {
        let (ours, theirs) = (ours.0.get(cells), counted.0.get(cells));
        let is_equal = ours == theirs;
        differing += usize::from(!is_equal);
        if !is_equal || *cells == total {
            println!("{}", cells.join(" | "));
            println!("{:>12} {ours:?}\n{:>12} {theirs:?}", "claude-live", "count.py");
        }
    }
    assert_eq!((differing, ours.1), (0, counted.1), "{title}");
}

#[test]
fn the_sums_of_generated_trees_are_those_of_an_independent_count() {
    if !has("python3") {
        return;
    }
    for (seed, minutes, offset) in [(1, 0, "UTC"), (2, 330, "+05:30"), (3, -480, "-08:00")] {
        let dir = tree(seed);
        let counted = counted(dir.path(), minutes);
        assert!(counted.0.len() > 100, "the tree has responses");
        let title = format!("tree {seed}, {offset}");
        check(&title, told(&printed(dir.path(), offset)), counted.clone());

        let program = Program::start_on(dir.path(), &["--prices", &prices()]);
        let target =
            format!("/api/claude/usage?days=3650&by={BY}&tz={}", offset.replace('+', "%2B"));
        let mut answer = Value::Null;
        wait_until("everything is read", || {
            answer = program.get(&target).json();
            answer["partial"] == false
        });
        check(&format!("{title}, endpoint"), told(&answer), counted);
        let csv = program.request("GET", &target, &["Accept: text/csv"]).body;
        check_csv(&answer, &csv);
    }
}

/// Checks that a CSV has the rows of the JSON, as Python reads it.
fn check_csv(answer: &Value, csv: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("usage.csv");
    fs::write(&file, csv).unwrap();
    let script = "import csv, json, sys; \
        print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')))))";
    let rows = succeeds(Command::new("python3").args(["-c", script]).arg(&file));
    let rows: Vec<BTreeMap<String, String>> = serde_json::from_str(&rows).unwrap();
    let number = |row: &BTreeMap<String, String>, column: &str| match row[column].as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap(),
    };
    let wanted = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), wanted.len());
    for (row, wanted) in rows.iter().zip(wanted) {
        for column in COLUMNS {
            assert_eq!(json!(row[column]), wanted[column], "{column} of {wanted}");
        }
        for column in TOKENS.into_iter().chain(["costUsd"]) {
            assert_eq!(number(row, column), wanted[column], "{column} of {wanted}");
        }
        assert_eq!(number(row, "subagentCostUsd"), wanted[SUBAGENTS]["costUsd"], "{wanted}");
    }
}

#[test]
fn neither_the_order_of_files_nor_copies_nor_cuts_change_the_sums_of_what_is_there() {
    if !has("python3") {
        return;
    }
    let dir = tree(4);
    let ours = || printed(dir.path(), "UTC");
    let before = ours();
    let files = transcripts(dir.path());
    for (at, file) in files.iter().enumerate() {
        // 17 has no divisor in common with the number of files, which gives another order.
        let age = Duration::from_secs((at * 17 % files.len()) as u64 * 60);
        File::options()
            .append(true)
            .open(file)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }
    assert_eq!(ours(), before, "in another order");

    let sessions =
        files.iter().filter(|file| file.parent().unwrap().parent().unwrap().ends_with("projects"));
    for (at, session) in sessions.enumerate() {
        let copy = session.with_file_name(format!("ffffffff-copy-{at}.jsonl"));
        fs::copy(session, copy).unwrap();
    }
    let copied = ours();
    assert_eq!(copied["total"], before["total"], "with a copy of each session");
    check("copies", told(&copied), counted(dir.path(), 0));

    for (at, file) in files.iter().enumerate() {
        let bytes = file.metadata().unwrap().len();
        let file = File::options().write(true).open(file).unwrap();
        file.set_len(bytes * (at as u64 % 10) / 10).unwrap();
    }
    check("cut files", told(&ours()), counted(dir.path(), 0));
}
