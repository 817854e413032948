//! The figures: claude-live beside its peers, measured in the same run, as one Markdown table.
//!
//! `make bench` runs all of it, `make bench ARGS="latency idle"` only what is named. Peers that are not installed (see
//! `benches/peers.sh`) leave their cells at "not installed". Runs of the two are interleaved and the median is taken, so that
//! a machine with other work still gives ratios that can be repeated.
//!
//! Invariant: every byte that travels stays on loopback, and every process that is started is ended.

mod backlog;
mod crowd;
mod fan_out;
mod footprint;
mod idle;
mod ingest;
mod latency;
mod lines;
mod machine;
mod page;
mod peers;
mod process;
mod requests;
mod server;
mod table;

use std::env;
use std::time::Instant;

use table::Row;

/// A group of rows, and the name that asks for it.
type Group = (&'static str, fn() -> Vec<Row>);

const GROUPS: [Group; 8] = [
    ("footprint", footprint::rows),
    ("latency", latency::rows),
    ("fan-out", fan_out::rows),
    ("backlog", backlog::rows),
    ("ingest", ingest::rows),
    ("idle", idle::rows),
    ("requests", requests::rows),
    ("page", page::rows),
];

fn main() {
    // Cargo passes `--bench`.
    let asked: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|name| GROUPS.iter().all(|group| group.0 != **name)) {
        eprintln!("no figures are called `{unknown}`; there are {:?}", GROUPS.map(|group| group.0));
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
    table::print(&machine::description(), &rows);
}
