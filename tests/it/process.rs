//! What the system knows of a running process.

use std::fs;
use std::time::Duration;

/// Clock ticks a second in `/proc/PID/stat`, the same on every Linux machine that is met.
const TICKS_PER_SECOND: u64 = 100;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) memory_kb: u64,
}

pub(crate) fn held(pid: u32) -> Held {
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    Held { threads: count("task"), descriptors: count("fd"), memory_kb: status(pid, "VmRSS") }
}

/// The most memory that the process ever held.
pub(crate) fn peak_memory_kb(pid: u32) -> u64 {
    status(pid, "VmHWM")
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time used since the start.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before `)` may hold anything; user and system time are the 12th and 13th field after
    // it.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}
