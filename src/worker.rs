//! Named threads that repeat a step: the only loop of ours that has a clock and sleeps.
//!
//! Dropping a [`Worker`] ends its sleep and waits for the thread. An [`Alarm`] tells `main` of a
//! thread that ends unexpectedly.

use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::wake::{self, Wake, Waker};

/// The largest result of [`slack_of`].
const MAX_SLACK: Duration = Duration::from_millis(5);

/// A thread that is stopped and joined on drop.
pub(crate) struct Worker {
    /// Absent while it is dropped.
    waker: Option<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// Sends a thread's name when the thread ends, also by a panic.
pub(crate) struct Alarm {
    pub(crate) name: &'static str,
    pub(crate) sender: Sender<&'static str>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // A full or closed channel means that `main` is already ending.
        let _ = self.sender.try_send(self.name);
    }
}

/// Calls `step` in a loop with the time since the start and sleeps for the duration that it
/// returns. Linux may extend each sleep by a quarter, 5 ms at most, so that it wakes an idle
/// processor less often.
///
/// # Errors
///
/// The system cannot start a thread.
pub(crate) fn spawn(
    alarm: Alarm,
    mut step: impl FnMut(Duration) -> Duration + Send + 'static,
) -> io::Result<Worker> {
    let (token, sleeper) = wake::channel();
    let thread = thread::Builder::new().name(alarm.name.to_owned()).spawn(move || {
        let _rings_at_the_end = alarm;
        let start = Instant::now();
        let mut slack = Duration::ZERO;
        loop {
            let pause = step(start.elapsed());
            let wanted = slack_of(pause);
            if wanted != slack {
                set_slack(wanted);
                slack = wanted;
            }
            if sleeper.sleep_until(Instant::now() + pause) == Wake::Closed {
                return;
            }
        }
    })?;
    let waker = Waker::new(token, thread.thread().clone());
    Ok(Worker { waker: Some(waker), thread: Some(thread) })
}

/// Returns how much longer a sleep may take than asked for, so that the system can end it together
/// with others.
fn slack_of(pause: Duration) -> Duration {
    (pause / 4).min(MAX_SLACK)
}

/// Sets the slack of this thread's later sleeps, see `PR_SET_TIMERSLACK` in
/// <https://man7.org/linux/man-pages/man2/prctl.2.html>.
#[cfg(target_os = "linux")]
fn set_slack(slack: Duration) {
    // Zero restores the default. A refusal only means that sleeps stay exact.
    let nanos = NonZeroU64::new(slack.as_nanos() as u64);
    let _ = rustix::thread::set_current_timer_slack(nanos);
}

#[cfg(not(target_os = "linux"))]
fn set_slack(_: Duration) {}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.waker.take());
        if let Some(thread) = self.thread.take() {
            // A step that panicked has already reported it on stderr.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    fn alarm() -> (Alarm, Receiver<&'static str>) {
        let (sender, receiver) = bounded(1);
        (Alarm { name: "test", sender }, receiver)
    }

    #[test]
    fn a_step_that_panics_rings_the_alarm() {
        let (alarm, rung) = alarm();
        let _worker = spawn(alarm, |_| panic!("on purpose")).unwrap();
        assert_eq!(rung.recv_timeout(Duration::from_secs(5)), Ok("test"));
    }

    #[test]
    fn a_worker_repeats_its_step_and_drop_interrupts_its_sleep() {
        let (sender, steps) = bounded(16);
        let worker = spawn(alarm().0, move |now| {
            sender.send(now).unwrap();
            if now.is_zero() { Duration::ZERO } else { Duration::from_secs(3600) }
        })
        .unwrap();
        let first = steps.recv_timeout(Duration::from_secs(5)).unwrap();
        drop(worker);
        assert!(steps.iter().all(|later| later >= first));
    }

    #[test]
    fn a_sleep_may_take_a_quarter_longer_and_at_most_5_ms() {
        let millis = |pause: u64| slack_of(Duration::from_millis(pause));
        assert_eq!(millis(0), Duration::ZERO);
        assert_eq!(millis(1), Duration::from_micros(250));
        assert_eq!(millis(20), Duration::from_millis(5));
        assert_eq!(millis(500), Duration::from_millis(5));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_slack_follows_the_pause() {
        let (sender, slacks) = bounded(16);
        let mut pauses = [1, 20, 0].map(Duration::from_millis).into_iter();
        let _worker = spawn(alarm().0, move |_| {
            sender.send(rustix::thread::current_timer_slack().unwrap()).unwrap();
            pauses.next().unwrap_or(Duration::from_secs(3600))
        })
        .unwrap();
        let next = || slacks.recv_timeout(Duration::from_secs(5)).unwrap();
        let usual = next();
        assert_eq!([next(), next(), next()], [250_000, 5_000_000, usual]);
    }
}
