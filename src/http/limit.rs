//! How many connections the process's limit on open files has room for.
//!
//! Known weakness: the limit is taken as it is. Raising it takes a system call that the standard library does not offer.

use std::fs;

/// Descriptors for everything that is no connection: standard streams, the listener, the history with what it was
/// replaced by and the newest of its former files, `--static`, and some to turn clients away with.
const OTHER_DESCRIPTORS: usize = 24;

/// Connections at a time, however few descriptors there are.
const MIN_CONNECTIONS: usize = 4;

/// The wanted number of connections, or as many as there is room for; then stderr says so. More would not be served but
/// wait unanswered.
pub(crate) fn affordable(wanted: usize) -> usize {
    // Linux alone tells; elsewhere the accept loop waits when descriptors run out.
    let Some(limit) =
        fs::read_to_string("/proc/self/limits").ok().and_then(|text| soft_limit(&text))
    else {
        return wanted;
    };
    let room = limit.saturating_sub(OTHER_DESCRIPTORS).max(MIN_CONNECTIONS);
    if room < wanted {
        eprintln!(
            "claude-live: the limit of {limit} open files has room for {room} connections, not {wanted}: raise it with `ulimit -n`"
        );
    }
    wanted.min(room)
}

/// The soft limit on open files; `None` for no limit.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number_of_its_line() {
        let text = "Limit        Soft Limit  Hard Limit  Units\nMax processes   127384  127384  processes\nMax open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(soft_limit(""), None);
    }
}
