//! On what the figures were taken, and what the machine allows.

use std::fs;
use std::process::Command;
use std::thread;

/// Date, processor, kernel and compiler on one line.
pub(crate) fn description() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "claude-live {} on {}: {cores} cores of {}, {}, {}, load average {} at the end.",
        env!("CARGO_PKG_VERSION"),
        said("date", &["+%Y-%m-%d"]),
        model.unwrap_or("unknown make"),
        said("uname", &["-sr"]),
        said("rustc", &["--version"]),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// How many files a process may have open.
pub(crate) fn max_open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

/// What a command prints, or nothing without the command.
pub(crate) fn said(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).trim_end().to_owned()
}

/// Whether a command is on the path.
pub(crate) fn has(command: &str) -> bool {
    !said("sh", &["-c", &format!("command -v {command}")]).is_empty()
}
