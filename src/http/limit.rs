//! How many connections the process's limit on open files has room for.
//!
//! Many systems allow a process 1024 open files and let it ask for more; what it may ask for is asked for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::log;

/// Descriptors for everything that is no connection: standard streams, the listener, the history with what it was
/// replaced by and the newest of its former files, `--static`, and some to turn clients away with.
const OTHER_DESCRIPTORS: u64 = 24;

/// Connections at a time, however few descriptors there are.
const MIN_CONNECTIONS: u64 = 4;

/// The wanted number of connections, or as many as there is room for once the limit is raised; if that is fewer, stderr says so.
/// More would not be served but wait unanswered.
pub(crate) fn affordable(wanted: usize) -> usize {
    let room = raised_limit().map_or(wanted, room);
    if room < wanted {
        log::warn(format_args!(
            "the limit on open files has room for {room} connections, not {wanted}: see `ulimit -H -n`"
        ));
    }
    wanted.min(room)
}

/// The limit on open files after it was raised as far as is allowed; `None` for no limit.
fn raised_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // Some systems have a ceiling of their own below the hard limit.
        Err(_) => current,
    }
}

fn room(descriptors: u64) -> usize {
    let room = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(MIN_CONNECTIONS);
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_connection_keeps_its_descriptors() {
        assert_eq!((room(1024), room(24), room(0)), (1000, 4, 4));
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raised_limit(), before.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
