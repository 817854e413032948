//! A process that plays a running session: it lives, so that the liveness that is shown is real.
//!
//! It is a shell that reads a pipe of which this program holds the other end. If the program is
//! killed, the kernel closes that end, and the shell ends by itself.
//! Invariant: nothing is written to the pipe.

use std::io;
use std::process::{Child, Command, Stdio};

/// Waits for the end of the pipe.
const SCRIPT: &str = "while read -r _; do :; done";

/// The name of the child in a list of processes.
const NAME: &str = "claude-live-demo-session";

/// The running child; ended on drop.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts the child.
    ///
    /// # Errors
    ///
    /// `sh` is not found, or the system cannot start another process.
    pub(super) fn start() -> io::Result<Process> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, NAME]).current_dir("/").stdin(Stdio::piped());
        // Not inherited: a program that reads our output to its end would wait for the child.
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Process { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the start in clock ticks since boot, as the registry has it on Linux; absent on
    /// other systems.
    pub(super) fn started_at(&self) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name in parentheses may contain anything. The start is the 20th field after it:
        // proc_pid_stat(5).
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(19).map(str::to_owned)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only if the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::process::{self, look_up};

    #[test]
    fn it_runs_until_it_is_dropped_and_started_when_the_registry_says() {
        let process = Process::start().unwrap();
        let (pid, started_at) = (process.pid(), process.started_at());
        assert_eq!(started_at.is_some(), cfg!(target_os = "linux"));
        assert_eq!(look_up(pid), process::Process::Running { started_at });
        drop(process);
        assert_eq!(look_up(pid), process::Process::Absent);
    }

    #[test]
    fn the_end_of_the_pipe_alone_ends_it() {
        let mut process = Process::start().unwrap();
        drop(process.child.stdin.take());
        assert!(process.child.wait().unwrap().success());
    }
}
