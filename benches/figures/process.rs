//! A process that is measured from outside, by what the kernel says under `/proc`, and ended on drop.
//!
//! CPU time is read from `schedstat`, in nanoseconds; threads that have ended are missing from it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at whether a process has started or ended.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command that says nothing.
    pub(crate) fn start(command: &mut Command) -> Process {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process { child: child.spawn().expect("the command is installed") }
    }

    /// Starts a command and waits for its first line on stdout.
    pub(crate) fn start_and_hear(command: &mut Command) -> (Process, String) {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().expect("the command is installed");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the pipe can be read");
        (Process { child }, line)
    }

    /// Waits until somebody listens on a port of loopback.
    pub(crate) fn wait_for_port(&self, port: u16) {
        wait_until("the peer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// CPU time of all threads of the process and of its children.
    pub(crate) fn cpu(&self) -> Duration {
        self.family().into_iter().flat_map(tasks).map(|task| cpu(&task)).sum()
    }

    /// CPU time of the thread with this name.
    pub(crate) fn thread_cpu(&self, name: &str) -> Duration {
        let is_it = |task: &String| {
            fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        tasks(self.child.id()).filter(is_it).map(|task| cpu(&task)).sum()
    }

    /// Resident memory of the process and its children.
    pub(crate) fn resident_bytes(&self) -> f64 {
        self.family().into_iter().map(|pid| status_bytes(pid, "VmRSS:")).sum()
    }

    /// The most that was ever resident of the process alone.
    pub(crate) fn peak_bytes(&self) -> f64 {
        status_bytes(self.child.id(), "VmHWM:")
    }

    fn family(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }
}

impl Drop for Process {
    /// Asks the process to end, since nginx has children to take along, and makes it end if it does not.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < PATIENCE / 10 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(PAUSE);
        }
        // It may have ended by itself in between.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// # Panics
///
/// It takes too long.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(PAUSE);
    }
}

/// CPU time of the calling thread. The kernel brings the figure up to date when a thread gives up the CPU or at the next
/// tick, which for a hundred writes is too late.
pub(crate) fn own_thread_cpu() -> Duration {
    thread::yield_now();
    cpu("/proc/thread-self")
}

fn tasks(pid: u32) -> impl Iterator<Item = String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks.flatten().map(|task| task.path().to_string_lossy().into_owned())
}

/// The first field of `schedstat`: nanoseconds on a CPU.
fn cpu(task: &str) -> Duration {
    let schedstat = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
    let nanoseconds = schedstat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn status_bytes(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    kib * 1024.0
}
