//! The connections and streams that may be open, and the permits for them.
//!
//! Each connection takes a file descriptor. Many systems allow a process 1024 of them and let it
//! ask for more, so the limit is raised as far as possible. There are as many permits as then fit.
//!
//! Invariant: a permit is released when it is dropped, by a panic too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::report::log;

/// Descriptors beside the connections': standard streams, the listener, the history with a
/// replacement and its last former files, `--static`, and one to accept a client that is turned
/// away at once.
const OTHER_DESCRIPTORS: u64 = 24;

/// The most transcripts that are open at the same time; a quarter of the descriptors at most.
const MAX_TRANSCRIPTS: u64 = 256;

/// Connections and clients being turned away, however few descriptors there are.
const MIN_PERMITS: u64 = 5;

/// Clients beyond the connections that get a thread of their own on which they are turned away, so
/// that they can read why. They take a quarter of the descriptors at most.
const MAX_TURNED_AWAY: usize = 64;

/// See the module.
pub(crate) struct Limiter {
    connections: Permits,
    streams: Permits,
    turned_away: Permits,
    refused: AtomicU64,
    transcripts: usize,
}

impl Limiter {
    /// Allows as many connections as wanted, or as many as the limit on open files has room for,
    /// and warns on stderr if that is fewer: those without a descriptor would wait and not be
    /// answered.
    pub(crate) fn new(wanted: usize) -> Limiter {
        let room = room(raised_limit());
        let connections = room.connections.min(wanted);
        if connections < wanted {
            log::warn(format_args!(
                "the limit on open files allows {connections} connections, not {wanted}; \
                 see `ulimit -H -n`"
            ));
        }
        Limiter {
            connections: Permits::new(connections),
            // The rest is for pages, which must load while all streams are taken.
            streams: Permits::new(connections * 3 / 4),
            turned_away: Permits::new(room.turned_away),
            refused: AtomicU64::new(0),
            transcripts: room.transcripts,
        }
    }

    /// Returns how many transcripts may be open, so that connections keep their descriptors.
    pub(crate) fn transcripts(&self) -> usize {
        self.transcripts
    }

    /// Acquires a permit for a connection, or counts it as refused.
    pub(crate) fn connection(&self) -> Option<Permit> {
        self.take_or_count(&self.connections)
    }

    /// Acquires a permit for a stream, or counts it as refused.
    pub(crate) fn stream(&self) -> Option<Permit> {
        self.take_or_count(&self.streams)
    }

    /// Acquires a permit for turning a client away.
    pub(crate) fn turned_away(&self) -> Option<Permit> {
        self.turned_away.take()
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.taken.load(Relaxed)
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.taken.load(Relaxed)
    }

    /// Connections and streams that got no permit, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn take_or_count(&self, permits: &Permits) -> Option<Permit> {
        let permit = permits.take();
        if permit.is_none() {
            self.refused.fetch_add(1, Relaxed);
        }
        permit
    }
}

/// A bounded number of permits.
struct Permits {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// Released on drop.
pub(crate) struct Permit {
    taken: Arc<AtomicUsize>,
}

impl Permits {
    fn new(max: usize) -> Permits {
        Permits { taken: Arc::default(), max }
    }

    fn take(&self) -> Option<Permit> {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Permit { taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

/// The limit on open files, after raising it as far as the system allows; `u64::MAX` without a
/// limit.
fn raised_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // Some systems have a lower bound of their own than the hard limit.
        Err(_) => current,
    };
    limit.unwrap_or(u64::MAX)
}

/// How many connections, clients being turned away and transcripts fit.
#[derive(Debug, PartialEq)]
struct Room {
    connections: usize,
    turned_away: usize,
    transcripts: usize,
}

fn room(descriptors: u64) -> Room {
    let transcripts = (descriptors / 4).min(MAX_TRANSCRIPTS);
    let left = descriptors.saturating_sub(OTHER_DESCRIPTORS + transcripts).max(MIN_PERMITS);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let turned_away = (left / 4).min(MAX_TURNED_AWAY);
    let transcripts = transcripts as usize;
    Room { connections: left - turned_away, turned_away, transcripts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_keep_their_descriptors() {
        let permits =
            |connections, turned_away, transcripts| Room { connections, turned_away, transcripts };
        assert_eq!(room(4096), permits(3752, 64, 256));
        assert_eq!(room(1024), permits(680, 64, 256));
        assert_eq!(room(48), permits(9, 3, 12));
        assert_eq!([room(24), room(0)], [permits(4, 1, 6), permits(4, 1, 0)]);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raised_limit(), before.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn permits_are_bounded_and_released_when_they_are_dropped() {
        let limiter = Limiter::new(4);
        let mut streams: Vec<_> = (0..3).map(|_| limiter.stream().expect("a permit")).collect();
        assert!(limiter.stream().is_none() && limiter.stream().is_none());
        assert_eq!((limiter.streams(), limiter.connections(), limiter.refused()), (3, 0, 2));
        streams.pop();
        assert!(limiter.stream().is_some());
        assert_eq!((limiter.streams(), limiter.refused()), (2, 2));
        let _connections: Vec<_> =
            (0..4).map(|_| limiter.connection().expect("a permit")).collect();
        assert!(limiter.connection().is_none());
        assert_eq!((limiter.connections(), limiter.refused()), (4, 3));
    }

    #[test]
    fn threads_that_acquire_permits_together_get_no_more_than_there_are() {
        let limiter = Limiter::new(8);
        let held: usize = std::thread::scope(|scope| {
            let take = || std::iter::from_fn(|| limiter.connection()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            let permits: Vec<_> =
                threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            permits.iter().map(Vec::len).sum()
        });
        assert_eq!((held, limiter.connections(), limiter.refused()), (8, 0, 8));
    }
}
