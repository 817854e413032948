//! Whether a process runs, and since when, by the operating system.
//!
//! A process id can be used again, so the start of the process is compared too where the system has
//! it (`/proc` on Linux).
//! Invariant: sends no signal that a process receives.
//! Known weakness: on other systems a new process with an old id is taken for the old one.

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io::Read;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The state of a process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Absent,
    Running {
        /// In clock ticks since boot, as `/proc/PID/stat` prints it; absent on other systems.
        started_at: Option<String>,
    },
}

/// Looks a process id up. A process that has ended and is not waited for yet is absent.
pub(crate) fn look_up(pid: u32) -> Process {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Process::Absent;
    };
    // A process of another user may not be signalled, and runs.
    if !matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM)) {
        return Process::Absent;
    }
    look_at_start(pid)
}

#[cfg(target_os = "linux")]
fn look_at_start(pid: Pid) -> Process {
    // One read is enough: the file has some 300 bytes.
    let mut stat = [0; 2048];
    let len = File::open(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .and_then(|mut file| file.read(&mut stat));
    let Ok(len) = len else { return Process::Running { started_at: None } };
    let stat = String::from_utf8_lossy(&stat[..len]);
    // The name in parentheses may contain anything. State and start are the 1st and the 20th field
    // after it: proc_pid_stat(5).
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    match fields.first() {
        Some(&("Z" | "X")) => Process::Absent,
        _ => Process::Running { started_at: fields.get(19).map(|start| (*start).to_owned()) },
    }
}

#[cfg(not(target_os = "linux"))]
fn look_at_start(_: Pid) -> Process {
    Process::Running { started_at: None }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_runs_until_it_ends() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let running = look_up(pid);
        assert!(matches!(&running, Process::Running { .. }));
        assert_eq!(look_up(pid), running, "a start does not change");
        // Not this process: both can have started within one tick.
        #[cfg(target_os = "linux")]
        assert_ne!(look_up(1), running);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(look_up(pid), Process::Absent);
        assert_eq!(look_up(0), Process::Absent);
        assert_eq!(look_up(u32::MAX), Process::Absent);
        assert!(matches!(look_up(1), Process::Running { .. }), "of another user");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_not_waited_for_has_ended() {
        let mut child = Command::new("true").spawn().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while look_up(child.id()) != Process::Absent {
            assert!(std::time::Instant::now() < end);
        }
        child.wait().unwrap();
    }
}
