//! How many connections the process's limit on open files has room for, and how many more that are turned away.
//!
//! Many systems allow a process 1024 open files and let it ask for more; what it may ask for is asked for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::log;

/// Descriptors for everything that is no connection: standard streams, the listener, the history with what it was
/// replaced by and the newest of its former files, `--static`, and one to turn a client away with at once.
const OTHER_DESCRIPTORS: u64 = 24;

/// Connections at a time, with those turned away, however few descriptors there are.
const MIN_PLACES: u64 = 5;

/// Clients beyond the connections that get a thread to be turned away on, which lets them read why: a quarter of what there is
/// room for, and no more than these.
const MAX_TURNED_AWAY: usize = 64;

/// How many there may be at a time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) connections: usize,
    pub(crate) turned_away: usize,
}

/// The wanted number of connections, or as many as there is room for once the limit is raised; if that is fewer, stderr says so.
/// More would not be served but wait unanswered.
pub(crate) fn affordable(wanted: usize) -> Places {
    let all = Places { connections: wanted, turned_away: MAX_TURNED_AWAY };
    let places = raised_limit().map_or(all, room);
    let connections = places.connections.min(wanted);
    if connections < wanted {
        log::warn(format_args!(
            "the limit on open files has room for {connections} connections, not {wanted}: see `ulimit -H -n`"
        ));
    }
    Places { connections, ..places }
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

fn room(descriptors: u64) -> Places {
    let left = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(MIN_PLACES);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let turned_away = (left / 4).min(MAX_TURNED_AWAY);
    Places { connections: left - turned_away, turned_away }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_connection_keeps_its_descriptors() {
        let places = |connections, turned_away| Places { connections, turned_away };
        assert_eq!(room(1024), places(936, 64));
        assert_eq!(room(48), places(18, 6));
        assert_eq!([room(24), room(0)], [places(4, 1), places(4, 1)]);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raised_limit(), before.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
