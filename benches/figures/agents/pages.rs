//! A page of records out of a small and of a large transcript.

use std::thread;
use std::time::Duration;

use super::SESSIONS;
use super::tree::Tree;
use crate::backlog::{TAIL, TAIL_SCRIPT, shell};
use crate::program::wait_until;
use crate::server::start;
use crate::table::{Row, in_turns, seconds, time};

const ROUNDS: usize = 51;
const SMALL_BYTES: usize = 1_000_000;
const LARGE_BYTES: usize = 300_000_000;
const SMALL: &str = "the same of 1 MB";

pub(super) fn rows() -> Vec<Row> {
    let mut tree = Tree::empty();
    let [(small, _), (large, transcript)] =
        [SMALL_BYTES, LARGE_BYTES].map(|bytes| tree.add_session(bytes));
    let program = start(tree.path(), &[]);
    let [small, large] = [small, large].map(|id| format!("{SESSIONS}/{id}/records?limit=200"));
    wait_until("the sessions are found", || program.get(&large).status == 200);
    let page = |target: &str| {
        // After a pause both find the processor alike.
        thread::sleep(Duration::from_millis(5));
        seconds(|| assert!(program.get(target).body.len() > 20_000, "the page is full"))
    };
    let [[ours], [small], [tail]] = in_turns(
        ROUNDS,
        [&mut || [page(&large)], &mut || [page(&small)], &mut || [shell(TAIL_SCRIPT, &transcript)]],
    );
    let method = "connection, request and whole answer, server running; median of 51";
    let row = Row::new("200 records of a transcript of 300 MB", time, ours, method)
        .beside(SMALL, small)
        .beside(TAIL, tail)
        .at_most_times(1.5, SMALL);
    vec![row]
}
