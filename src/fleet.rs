//! A fleet: the agents of many machines on one page, over one Redis.
//!
//! The publisher of each machine appends the hub's events to a stream of Redis; the viewer, in
//! `sources::machines`, reads the streams of all machines. A stream is trimmed, and busy agents
//! fill it within the hour, so Redis also has the newest prompts and the present state of each
//! session of a machine.
//!
//! Invariant: the only room that talks to Redis.
//! Known weakness: one server, not a cluster. Prompts that are purged from a machine's history stay
//! in Redis until newer ones displace them.

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod publisher;
mod secrets;

use std::io;
use std::mem;
use std::thread;
use std::time::Duration;

use crate::worker::Alarm;

/// The time between two signs of life of a publisher.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// The time after which a publisher that gives no sign of life may be replaced.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// A machine that reports nothing for this long is silent. Exceeds [`LOCK_TIME`], for which a
/// restart after a crash waits.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);

/// The hash with the time of each machine's last report, in milliseconds of Redis's clock.
pub(crate) const MACHINES: &str = "claude-live:machines";

/// The start of the keys of the streams.
pub(crate) const EVENTS: &str = "claude-live:events:";

/// The most characters of a machine's name.
const MAX_NAME_CHARS: usize = 64;

/// The keys of a machine.
pub(crate) struct Keys {
    /// The stream of events.
    pub(crate) events: String,
    /// The stream of the newest prompts.
    pub(crate) backlog: String,
    /// The hash of sessions: by id, the entry's id, the time and the data of the newest event.
    pub(crate) sessions: String,
    /// The token of the publisher.
    lock: String,
}

impl Keys {
    pub(crate) fn of(machine: &str) -> Keys {
        Keys {
            events: format!("{EVENTS}{machine}"),
            backlog: format!("claude-live:backlog:{machine}"),
            sessions: format!("claude-live:sessions:{machine}"),
            lock: format!("claude-live:publisher:{machine}"),
        }
    }
}

/// Whether a name may be one of a machine.
pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
    (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(is_allowed)
}

/// Runs a publisher or a viewer on a thread, which is not waited for at the end since Redis can
/// block it.
///
/// # Errors
///
/// The system cannot start a thread.
pub(crate) fn spawn(alarm: Alarm, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(alarm.name.to_owned()).spawn(move || {
        let rings_after_a_panic = alarm;
        run();
        // A publisher that is refused ends, and the program goes on.
        mem::forget(rings_after_a_panic);
    })?;
    Ok(())
}

/// The pauses between attempts: 1 s, doubled up to 30 s.
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    pub(crate) fn new() -> Backoff {
        Backoff(Backoff::FIRST)
    }

    pub(crate) fn reset(&mut self) {
        *self = Backoff::new();
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Backoff::LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_and_three_marks() {
        let longest = "x".repeat(64);
        for name in ["a", "build-1.example", "büro_2", &longest] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a:b", "a*", "a/b", "a\n", &(longest.clone() + "x")] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_start_again_after_a_success() {
        let mut backoff = Backoff::new();
        let seconds: Vec<u64> = (0..7).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next(), Backoff::FIRST);
    }
}
