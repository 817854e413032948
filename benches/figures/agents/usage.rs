//! Tokens and cost of all transcripts: how long it takes to count them, and how soon a response is
//! counted that an agent has just written.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::PATIENCE;
use super::template::{MINUTE, record_of};
use super::tree::Tree;
use crate::lines::kept_dir;
use crate::process::{has, peak_bytes};
use crate::program::{Program, append, wait_for};
use crate::server::{binary, start};
use crate::table::{Row, in_turns, median, percentile, seconds, size, time};

/// Rounds of what takes a second.
const LONG_ROUNDS: usize = 5;

const ANSWERS: usize = 51;
const RESPONSES: usize = 30;

/// The pause between two requests of a client that waits, and between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);

const ENDPOINT: &str = "/api/claude/usage";
const HEALTH: &str = "/healthz";
const EVERYTHING: &str = "/api/claude/usage?days=3650&by=day,project,model,session";

const CAT: &str = "cat of the same files";
const JQ: &str = "jq of one field";
const CCUSAGE: &str = "ccusage";

pub(crate) fn rows() -> Vec<Row> {
    let tree = Tree::create();
    let mut rows = vec![cpu_row(&tree), memory_row(&tree)];
    rows.extend(server_rows(&tree));
    rows
}

/// The command that counts everything.
fn ours(tree: &Tree) -> Command {
    let mut command = Command::new(binary());
    command.args(["usage", "--json", "--days", "3650", "--claude"]).arg(tree.path());
    command
}

/// The same of ccusage, if it is installed.
fn ccusage(tree: &Tree) -> Option<Command> {
    let program = kept_dir().join("node_modules/@ccusage/ccusage-linux-x64/bin/ccusage");
    let mut command = program.exists().then(|| Command::new(program))?;
    command.args(["claude", "daily", "--offline", "--json"]);
    command.env("CLAUDE_CONFIG_DIR", tree.path());
    Some(command)
}

fn cpu_row(tree: &Tree) -> Row {
    let projects = tree.path().join("projects");
    let recent = tree.recent.clone();
    let [[ours], [cat], [jq], [ccusage]] = in_turns(
        LONG_ROUNDS,
        [
            &mut || [cpu_of(&ours(tree))],
            &mut || [cpu_of(&over(&["cat"], std::slice::from_ref(&projects)))],
            &mut || match has("jq") {
                true => [cpu_of(&over(&["jq", ".message.usage.output_tokens"], &recent))],
                false => [0.0],
            },
            &mut || [ccusage(tree).map_or(0.0, |command| cpu_of(&command))],
        ],
    );
    let jq = jq * tree.bytes as f64 / tree.recent_bytes as f64;
    let is_there = |value: f64| (value > 0.0).then_some(value);
    let method = "CPU time of `claude-live usage`, files in the page cache; median of 5; jq reads \
        a tenth, and ten times its time is given";
    Row::new("tokens and cost of 1 GB", time, ours, method)
        .beside(CAT, cat)
        .beside(JQ, is_there(jq))
        .beside(CCUSAGE, is_there(ccusage))
        .at_most(0.7)
        .at_most_times(0.5, CCUSAGE)
}

fn memory_row(tree: &Tree) -> Row {
    let method = "`VmHWM` of `claude-live usage` as it was last seen, every 5 ms";
    Row::new("peak memory of that", size, peak_of(&mut ours(tree)), method)
        .beside(CCUSAGE, ccusage(tree).map(|mut command| peak_of(&mut command)))
        .at_most(48e6)
}

/// Returns a command that runs another over the transcripts in files and directories.
fn over(command: &[&str], paths: &[PathBuf]) -> Command {
    let script = "find \"${@:3}\" -name '*.jsonl' -print0 | xargs -0 $1 $2";
    let mut shell = Command::new("bash");
    let argument = command.get(1).copied().unwrap_or_default();
    shell.args(["-c", script, "bash", command[0], argument]).args(paths);
    shell
}

/// Returns the CPU time of a process and its children, which it has to wait for.
fn cpu_of(command: &Command) -> f64 {
    let script = "TIMEFORMAT='%3U %3S'; time \"$@\" >/dev/null 2>&1";
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "bash"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = shell.output().expect("bash is installed");
    assert!(output.status.success(), "{command:?} failed");
    let times = String::from_utf8_lossy(&output.stderr).into_owned();
    times.split_whitespace().map(|time| time.parse::<f64>().expect("bash prints seconds")).sum()
}

/// Returns the most memory that a process was seen to have held.
fn peak_of(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).spawn().expect("the program is installed");
    let mut peak = 0.0_f64;
    while child.try_wait().expect("the process is our child").is_none() {
        // A process that has ended has none.
        peak = peak.max(peak_bytes(child.id()));
        thread::sleep(PAUSE);
    }
    peak
}

fn server_rows(tree: &Tree) -> Vec<Row> {
    let program = start(tree.path(), &[]);
    wait_for(PATIENCE, "the tokens are counted", || usage(&program)["partial"] == false);
    let [[answer], [everything], [health]] = in_turns(
        ANSWERS,
        [
            &mut || [answer_time(&program, ENDPOINT)],
            &mut || [answer_time(&program, EVERYTHING)],
            &mut || [answer_time(&program, HEALTH)],
        ],
    );
    let times = times_until_counted(&program, &tree.live[0].transcript);
    let peak = peak_bytes(program.child.id());
    let written = |figure, value| {
        let method = "30 responses of a live session, each as soon as the last is in the sums";
        Row::new(figure, time, value, method).at_most(1.0)
    };
    vec![
        Row::new("usage of 30 days, once counted", time, answer, "whole answer; median of 51")
            .beside("of all days, by all four columns", everything)
            .beside("`/healthz`", health)
            .at_most(0.005),
        written("response → sums, median", median(&times)),
        written("response → sums, longest", percentile(&times, 1.0)),
        Row::new("peak memory of the server", size, peak, "`VmHWM` after all of the above"),
    ]
}

fn usage(program: &Program) -> serde_json::Value {
    program.get(ENDPOINT).json()
}

fn answer_time(program: &Program, target: &str) -> f64 {
    seconds(|| assert!(program.get(target).body.len() > 200, "there are sums"))
}

/// Returns the time from each response on disk to an answer that has it.
fn times_until_counted(program: &Program, transcript: &Path) -> Vec<f64> {
    let responses = || usage(program)["total"]["responses"].as_u64();
    let mut times = Vec::new();
    for number in 0..RESPONSES {
        let before = responses();
        let start = Instant::now();
        // Its id is made of the length of its text.
        let record = record_of(&"x".repeat(1000 + number));
        let now = Timestamp::now().to_string();
        append(transcript, &record.replace(MINUTE, &now[..MINUTE.len()]));
        wait_for(PATIENCE, "the response is counted", || responses() > before);
        times.push(start.elapsed().as_secs_f64());
        // The next one comes at another moment between two polls.
        thread::sleep(PAUSE * (number as u32 % 7));
    }
    times
}
