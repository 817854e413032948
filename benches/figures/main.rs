//! The figures of claude-live beside those of other programs, measured in the same run and printed
//! as a Markdown table.
//!
//! `make bench` prints all of them, `make bench ARGS="latency idle"` some. A peer that is not
//! installed (see `benches/peers.sh`) is shown as such. Alternatives are measured in turns and the
//! median counts: on a busy machine ratios can be repeated where times cannot. To add a figure,
//! write a file with `rows()` and name it in `GROUPS`.
//!
//! Invariant: uses loopback only, and ends every process that it starts.

mod agents;
mod backlog;
mod crowd;
mod fan_out;
#[cfg(feature = "fleet")]
mod fleet;
mod footprint;
mod idle;
mod ingest;
mod latency;
mod lines;
mod page;
mod peers;
mod process;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../../tests/it/program.rs"]
mod program;
mod server;
mod table;

use std::env;
use std::time::Instant;

use table::Row;

/// A name for the command line, and its rows of the table.
type Group = (&'static str, fn() -> Vec<Row>);

const GROUPS: &[Group] = &[
    ("footprint", footprint::rows),
    ("latency", latency::rows),
    ("fan-out", fan_out::rows),
    ("backlog", backlog::rows),
    ("ingest", ingest::rows),
    ("idle", idle::rows),
    ("agents", agents::rows),
    ("usage", agents::usage::rows),
    ("page", page::rows),
    #[cfg(feature = "fleet")]
    ("fleet", fleet::rows),
];

fn main() {
    // Cargo passes `--bench`.
    let asked: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|name| GROUPS.iter().all(|group| group.0 != **name)) {
        let names: Vec<&str> = GROUPS.iter().map(|group| group.0).collect();
        eprintln!("no group is called `{unknown}`; use some of {names:?}");
        std::process::exit(2);
    }
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            let start = Instant::now();
            eprint!("{name} … ");
            rows.extend(measure());
            eprintln!("{:.0} s", start.elapsed().as_secs_f64());
        }
    }
    table::print(&rows);
}
