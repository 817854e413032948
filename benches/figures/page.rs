//! How fast the page is in Chromium, beside what the same browser and the same server do with less.
//!
//! `tests/browser/times.js` measures; figures of a browser without a screen are those of its processor alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::has;
use crate::server::binary;
use crate::table::{Row, Unit, median};

/// The figures of the script are in milliseconds.
const MILLISECONDS: f64 = 1e-3;

pub(crate) fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if let Some(missing) = missing(&folder) {
        eprint!("(no page: {missing} is missing, which `make test-page` fetches) ");
        return Vec::new();
    }
    let times = measure(&folder);
    let of = |name: &str| middle(&times[name]);
    vec![
        Row::new(
            "navigation → first rows painted",
            Unit::Time,
            of("firstRows"),
            "Chromium, a fresh profile each time, 1,500 lines; the peer is an answer of one event; median of 15 in turns",
        )
        .beside("JSON in the same browser", Some(of("emptyPage")))
        .at_most(0.300),
        Row::new(
            "append → row in the page",
            Unit::Time,
            of("row"),
            "a lone prompt after a quiet second; the peer reads the same event off the stream; median of 15",
        )
        .beside("the stream alone", Some(of("socket")))
        .at_most(0.050),
        Row::new(
            "longest task in a flood",
            Unit::Time,
            of("longestTask"),
            "processor time of the page while 10,000 lines come in 5 s; the peer makes 500 rows of plain text once",
        )
        .beside("500 bare rows", Some(of("bareTask")))
        .at_most(0.100),
    ]
}

fn missing(folder: &Path) -> Option<&'static str> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let needs = [
        ("node", has("node")),
        ("Chromium", has(&chromium)),
        ("playwright-core", folder.join("node_modules/playwright-core").exists()),
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
