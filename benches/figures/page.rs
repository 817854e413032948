//! The page's times in Chromium, beside those of the same browser and server with less to do.
//!
//! `tests/browser/times.js` measures; figures of a browser without a screen are those of its
//! processor alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::has;
use crate::server::binary;
use crate::table::{Row, median, time};

/// The figures of the script are in milliseconds.
const MILLISECONDS: f64 = 1e-3;

pub(crate) fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if let Some(missing) = missing(&folder) {
        eprint!("(no page: {missing} is missing, which `tests/setup` installs) ");
        return Vec::new();
    }
    let times = measure(&folder);
    [live(&times), cards(&times), many_records(&times)].into_iter().flatten().collect()
}

fn live(times: &Value) -> Vec<Row> {
    let of = |name: &str| middle(&times[name]);
    vec![
        Row::new(
            "navigation → first rows painted",
            time,
            of("firstRows"),
            "Chromium, a fresh profile each time, 1,500 lines; the peer is an answer of one event; \
             median of 15 in turns",
        )
        .beside("JSON in the same browser", Some(of("emptyPage")))
        .at_most(0.300),
        Row::new(
            "append → row in the page",
            time,
            of("row"),
            "a lone prompt after a quiet second; the peer reads the event off the stream; \
             median of 15",
        )
        .beside("the stream alone", Some(of("socket")))
        .at_most(0.050),
        Row::new(
            "longest task in a flood",
            time,
            of("longestTask"),
            "processor time of the page while 10,000 lines come in 5 s; the peer makes 500 rows \
             of plain text once",
        )
        .beside("500 bare rows", Some(of("bareTask")))
        .at_most(0.100),
    ]
}

fn cards(times: &Value) -> Vec<Row> {
    let of = |name: &str| middle(&times[name]);
    vec![
        Row::new(
            "navigation → cards of 200 sessions painted",
            time,
            of("firstCards"),
            "the cards in view, by the address alone, one session with a process; median of 15 in \
             turns with the row above",
        )
        .beside("JSON in the same browser", Some(of("emptyPage")))
        .at_most(0.300),
        Row::new(
            "status on disk → on the card",
            time,
            of("status"),
            "the registry's entry is written again after a quiet second; median of 15",
        )
        .at_most(0.350),
        Row::new(
            "record on disk → on the card",
            time,
            of("record"),
            "an answer after a quiet second; median of 15",
        )
        .at_most(0.060),
    ]
}

fn many_records(times: &Value) -> Vec<Row> {
    let of = |name: &str| middle(&times[name]);
    let plain = |name: &str| times[name].as_f64().expect("the script prints a number");
    vec![
        Row::new(
            "a session of 80,000 records opens",
            time,
            of("opening"),
            "from the click to its newest rows painted; median of 7",
        )
        .at_most(0.300),
        Row::new(
            "longest task of scrolling back in it",
            time,
            of("scrollTask"),
            "processor time of the page over 40 pages of 100 records",
        )
        .beside("500 bare rows", Some(of("bareTask")))
        .at_most(0.100),
        Row::new(
            "longest task with 5,000 records a second",
            time,
            of("floodTask"),
            "processor time of a page without developer tools over 6 s; 100 sessions, one open",
        )
        .beside("500 bare rows", Some(of("bareTask")))
        .at_most(0.100),
        Row::new(
            "renders a second with them",
            decimal,
            plain("renders"),
            "changes of the open session's rows over 100,000 records in 20 s",
        )
        .at_most(1.1),
        Row::new(
            "heap after 100,000 records over that after 20,000",
            decimal,
            plain("heapGrowth"),
            "after a collection of garbage, the same page",
        )
        .at_most(1.3),
    ]
}

fn decimal(value: f64) -> String {
    format!("{value:.2}")
}

fn missing(folder: &Path) -> Option<&'static str> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let needs = [
        ("node", has("node")),
        ("Chromium", has(&chromium)),
        ("playwright-core", folder.join("../node_modules/playwright-core").exists()),
    ];
    needs.into_iter().find(|(_, is_there)| !is_there).map(|(name, _)| name)
}

fn measure(folder: &Path) -> Value {
    let mut command = Command::new("node");
    command.arg(folder.join("times.js")).env("CLAUDE_LIVE_BIN", whole(binary()));
    let output = command.output().expect("node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

fn whole(path: PathBuf) -> PathBuf {
    path.canonicalize().expect("the binary is built")
}

/// Seconds: the median of a list, or a figure alone.
fn middle(value: &Value) -> f64 {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let times: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
    median(&times) * MILLISECONDS
}
