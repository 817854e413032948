//! The log on stderr: one line for each change of state, as `TIME LEVEL MESSAGE`.
//!
//! Invariant: a message contains paths, addresses, numbers and system errors, never the text of a
//! prompt. It is a single line, whatever a path contains.
//! Known weakness: a line is dropped when writing it would block (full pipe, Ctrl-S), so that a
//! terminal cannot stop the program.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::print_time;

/// Whether `--quiet` was given. Global, as stderr is.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Drops the `info` lines from now on.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Logs a normal change of state.
pub(crate) fn info(message: impl Display) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        print("info", message);
    }
}

/// Logs a fault that does not stop the program.
pub(crate) fn warn(message: impl Display) {
    print("warn", message);
}

/// Prints why the program ends, with its name in place of the time, as command-line programs do.
pub(crate) fn fail(error: impl Display) {
    write(&format!("claude-live: {}", OneLine(error)));
}

fn print(level: &str, message: impl Display) {
    write(&Line { time: Timestamp::now(), level, message }.to_string());
}

fn write(line: &str) {
    let mut stderr = io::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    // Writing to a full pipe or a stopped terminal would block.
    if poll(&mut ready, Some(&Timespec::default())) != Ok(0) {
        // There is no other place to report that stderr is closed.
        let _ = stderr.write_all(format!("{line}\n").as_bytes());
    }
}

struct Line<'a, M> {
    time: Timestamp,
    level: &'a str,
    message: M,
}

impl<M: Display> Display for Line<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {} {}", print_time(self.time), self.level, OneLine(&self.message))
    }
}

/// A message with its control characters escaped as in Rust.
struct OneLine<M>(M);

impl<M: Display> Display for OneLine<M> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                control if control.is_control() => write!(f, "{}", control.escape_default())?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_time_a_level_and_no_line_end_of_its_own() {
        let line = Line { time: Timestamp::UNIX_EPOCH, level: "warn", message: "`/a\nb\u{1b}[1m`" };
        assert_eq!(line.to_string(), "1970-01-01T00:00:00.000Z warn `/a\\nb\\u{1b}[1m`");
    }
}
