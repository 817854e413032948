//! What the program says on stderr while it runs: one line a change of state, as `TIME LEVEL MESSAGE`.
//!
//! Invariant: never the text of a prompt, only paths, addresses, numbers and the system's errors; and always one line,
//! whatever a path contains. A stderr that nobody reads any more stops nothing: what it would not take at once is not said.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::print_time;

/// Whether `--quiet` was given; one for the process, as stderr is.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves out what is as it should be.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Something is as it should be.
pub(crate) fn info(message: impl Display) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        print("info", message);
    }
}

/// Something is not as it should be, and the program goes on.
pub(crate) fn warn(message: impl Display) {
    print("warn", message);
}

/// Why the program ends: as programs do, with its name instead of a time.
pub(crate) fn fail(error: impl Display) {
    write(&format!("claude-live: {}", OneLine(error)));
}

fn print(level: &str, message: impl Display) {
    write(&Line { time: Timestamp::now(), level, message }.to_string());
}

fn write(line: &str) {
    let mut stderr = io::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    // A full pipe and a terminal that was stopped would have whoever writes wait until somebody reads.
    if poll(&mut ready, Some(&Timespec::default())) != Ok(0) {
        // There is nowhere else to say that nobody listens.
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

/// With control characters written as Rust writes them.
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
