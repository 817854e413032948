//! The documents agree with the program and the Makefile.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::agents::{Agent, Home, asks, calls, wait_until_read};
use crate::program::{command, wait_until, wait_until_at_rest};
use crate::tools::{has, succeeds};

const MAX_README_LINES: usize = 150;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_readme_repeats_the_help_verbatim() {
    let help = succeeds(command().arg("--help"));
    assert!(
        read("README.md").contains(&format!("```text\n{help}```\n")),
        "copy `claude-live --help` into the README"
    );
}

#[test]
fn the_readme_has_a_reason_for_every_dependency() {
    let manifest = read("Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
    let readme = read("README.md");
    let (_, table) = readme.split_once("\n## Dependencies\n").unwrap();
    for line in dependencies.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(' ').next().unwrap();
        let has_row =
            table.lines().any(|row| row.starts_with('|') && row.contains(&format!("`{name}`")));
        assert!(has_row, "add `{name}` to the README's table");
    }
}

#[test]
fn the_readme_has_at_most_150_lines_that_are_not_folded_away() {
    let (mut lines, mut is_folded) = (0, false);
    for line in read("README.md").lines() {
        is_folded |= line == "<details>";
        lines += usize::from(!is_folded);
        is_folded &= line != "</details>";
    }
    assert!(lines <= MAX_README_LINES, "{lines} lines; move details to `src/cli/man.txt`");
}

/// Returns the code blocks of the README in a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let fence = format!("\n```{language}\n");
    let blocks = readme.split(&fence).skip(1);
    blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned() + "\n").collect()
}

#[test]
fn the_alert_of_the_readme_fires_after_five_minutes() {
    if !has("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yml"), &blocks("yaml")[0]).unwrap();
    let alert = |minutes: u32, alerts: &str| {
        format!(
            "      - eval_time: {minutes}m\n        alertname: AgentWaits\n        \
             exp_alerts: {alerts}\n"
        )
    };
    let fires = "[{exp_annotations: {summary: an agent has waited for 6m 0s}}]";
    let test = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    \
         input_series:\n      - series: claude_live_waiting_since_timestamp_seconds\n        \
         values: 0x6 _x10\n    alert_rule_test:\n{}{}{}",
        alert(4, "[]"),
        alert(6, fires),
        alert(12, "[]"),
    );
    fs::write(dir.path().join("test.yml"), test).unwrap();
    let printed = succeeds(
        Command::new("promtool").args(["test", "rules", "test.yml"]).current_dir(dir.path()),
    );
    assert!(printed.contains("SUCCESS"), "{printed}");
}

#[test]
fn the_recipes_of_the_readme_tell_what_agents_do() {
    if !(has("curl") && has("jq")) {
        return;
    }
    let home = Home::with(&[asks("add a retry"), calls("t", "Bash", &json!({"command": "ls"}))]);
    let agent = Agent::start();
    home.enter(&agent, "busy", "");
    let program = home.start(&[]);
    wait_until_read(&program);
    let recipes =
        blocks("sh").pop().unwrap().replace("127.0.0.1:8080", &program.address.to_string());
    let recipes: Vec<&str> = recipes.split("\ncurl ").collect();
    let [waiting, doing, bell] = recipes[..] else { panic!("{recipes:?}") };
    let [doing, bell] = [doing, bell].map(|recipe| format!("curl {recipe}"));
    let run = |script: &str| succeeds(Command::new("bash").args(["-ec", script]));
    assert_eq!(run(waiting), "");
    assert_eq!(run(&doing), "working\tadd a retry\tBash ls\n");

    let mut bell = Command::new("timeout")
        .args(["30", "bash", "-c", &bell])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_until("the recipe's stream is open", || program.counter("subscribers") == 1);
    wait_until_at_rest(&program);
    home.enter(&agent, "waiting", ",\"waitingFor\":\"permission prompt\"");
    let mut rung = String::new();
    BufReader::new(bell.stdout.take().unwrap()).read_line(&mut rung).unwrap();
    assert!(rung.starts_with('\u{7}') && rung.ends_with(" add a retry\n"), "{rung:?}");
    let line = run(waiting);
    assert!(line.ends_with(" add a retry: permission prompt\n"), "{line}");
    let group = format!("-{}", bell.id());
    succeeds(Command::new("kill").args(["--", &group]));
    bell.wait().unwrap();
}

#[test]
fn make_help_lists_every_verb_that_a_document_names() {
    let help = succeeds(Command::new("make").arg("help").current_dir(env!("CARGO_MANIFEST_DIR")));
    let listed: BTreeSet<_> = help.lines().filter_map(|line| line.split(' ').next()).collect();
    let documents = read("README.md") + &read("benches/README.md");
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let named: BTreeSet<_> = documents
        .split(&['`', '\n'])
        .filter_map(|code| code.strip_prefix("make "))
        .map(|verb| verb.split(|letter| !is_word(letter)).next().unwrap())
        .collect();
    assert!(named.contains("run") && named.contains("test"), "{named:?}");
    assert!(named.is_subset(&listed), "`make help` lacks some of {named:?}:\n{help}");
}
