//! Wakes a thread that sleeps: a channel of one token, which closes when nothing more will come.
//!
//! The thread parks instead of waiting in the channel, since a channel spins and yields the
//! processor several times before it sleeps: that costs an idle poll more than its work, and a
//! stream as much as its write.

use std::thread::{self, Thread};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Why [`Sleeper::sleep_until`] returned.
#[derive(Debug, PartialEq)]
pub(crate) enum Wake {
    Notified,
    TimedOut,
    /// The waker was dropped.
    Closed,
}

/// Returns both ends for the calling thread, which sleeps.
pub(crate) fn pair() -> (Waker, Sleeper) {
    let (token, sleeper) = channel();
    (Waker::new(token, thread::current()), sleeper)
}

/// Returns a sleeper for a thread that is yet to start, and the token for its [`Waker`].
pub(crate) fn channel() -> (Sender<()>, Sleeper) {
    let (sender, receiver) = bounded(1);
    (sender, Sleeper { token: receiver })
}

/// The end that wakes.
pub(crate) struct Waker {
    /// Absent while it is dropped.
    token: Option<Sender<()>>,
    thread: Thread,
}

impl Waker {
    pub(crate) fn new(token: Sender<()>, thread: Thread) -> Waker {
        Waker { token: Some(token), thread }
    }

    /// Wakes the sleeper, or keeps it from falling asleep the next time.
    pub(crate) fn wake(&self) {
        // A full channel says so already, and the thread is awake or about to be.
        if self.token.as_ref().is_some_and(|token| token.try_send(()).is_ok()) {
            self.thread.unpark();
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        drop(self.token.take());
        self.thread.unpark();
    }
}

/// The end that sleeps.
pub(crate) struct Sleeper {
    token: Receiver<()>,
}

impl Sleeper {
    #[cfg(test)]
    pub(crate) fn has_token(&self) -> bool {
        !self.token.is_empty()
    }

    pub(crate) fn sleep_until(&self, deadline: Instant) -> Wake {
        loop {
            match self.token.try_recv() {
                Ok(()) => return Wake::Notified,
                Err(TryRecvError::Disconnected) => return Wake::Closed,
                Err(TryRecvError::Empty) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wake::TimedOut;
            }
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleeper_wakes_when_it_is_notified_at_the_deadline_and_at_the_end() {
        let (waker, sleeper) = pair();
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(sleeper.sleep_until(Instant::now()), Wake::TimedOut);
        waker.wake();
        waker.wake();
        assert_eq!(sleeper.sleep_until(far), Wake::Notified);
        assert_eq!(sleeper.sleep_until(Instant::now()), Wake::TimedOut);
        let ends = [Wake::Notified, Wake::Closed];
        thread::scope(|scope| {
            scope.spawn(|| {
                waker.wake();
                drop(waker);
            });
            assert_eq!([sleeper.sleep_until(far), sleeper.sleep_until(far)], ends);
        });
    }
}
