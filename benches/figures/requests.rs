//! Requests a second on the page and the backlog, beside nginx with the same bytes in files.

use std::net::SocketAddr;

use crate::lines::{append, lines};
use crate::machine::{has, said};
use crate::peers::StaticNginx;
use crate::server::{BACKLOG, Server};
use crate::table::{Row, Unit, median};

/// Times that each is measured, in turns.
const ROUNDS: usize = 5;

/// One thread of wrk, 16 connections that stay open, two seconds.
const WRK: [&str; 6] = ["-t", "1", "-c", "16", "-d", "2"];

pub(crate) fn rows() -> Vec<Row> {
    if !has("wrk") {
        eprint!("(no requests: wrk is not installed) ");
        return Vec::new();
    }
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    append(&dir.path().join("history.jsonl"), &lines(1000));
    let server = Server::start(dir.path(), &[]);
    let nginx = StaticNginx::start(&server.get("/"), &server.get(BACKLOG));
    let row = |figure, target: &str, file: &str| {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(requests_a_second(server.address, target));
            theirs.extend(nginx.as_ref().map(|nginx| requests_a_second(nginx.address, file)));
        }
        let how =
            "wrk, 16 connections kept open, 2 s, median of 5 in turns; nginx with a worker a core";
        Row::new(figure, Unit::Rate, median(&ours), how)
            .beside("nginx", (!theirs.is_empty()).then(|| median(&theirs)))
    };
    vec![row("page", "/", "/page"), row("backlog of 200", BACKLOG, "/backlog")]
}

fn requests_a_second(address: SocketAddr, target: &str) -> f64 {
    let url = format!("http://{address}{target}");
    let report = said("wrk", &[&WRK[..], &[&url]].concat());
    assert!(!report.contains("Non-2xx"), "{report}");
    let line = report.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).expect("wrk reports a rate")
}
