//! Processes as the kernel describes them under `/proc`, and peers, which are ended on drop.
//!
//! CPU time is read from `schedstat`, in nanoseconds. Known weakness: it lacks threads that have
//! ended.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::program::wait_until;

pub(crate) struct Peer(Child);

impl Peer {
    pub(crate) fn start(command: &mut Command) -> Peer {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Peer(command.spawn().expect("the peer is installed"))
    }

    /// Starts a peer and waits until it listens.
    pub(crate) fn start_on(command: &mut Command, address: SocketAddr) -> Peer {
        let peer = Peer::start(command);
        wait_until("the peer listens", || TcpStream::connect(address).is_ok());
        peer
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns when the process started, in clock ticks since boot: field 22 of its `stat`.
    pub(crate) fn started_at(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        stat.split(' ').nth(21).unwrap_or_default().to_owned()
    }
}

impl Drop for Peer {
    /// Sends SIGTERM, at which nginx ends its children too.
    fn drop(&mut self) {
        output_of("sh", &["-c", "kill $0", &self.id().to_string()]);
        self.0.wait().expect("the peer is our child");
    }
}

/// Returns a command's stdout; it is empty without the command.
pub(crate) fn output_of(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).trim_end().to_owned()
}

/// Returns whether a command is installed.
pub(crate) fn has(command: &str) -> bool {
    !output_of("sh", &["-c", &format!("command -v {command}")]).is_empty()
}

/// Returns the CPU time of a process and its children.
pub(crate) fn cpu(pid: u32) -> Duration {
    family(pid).into_iter().flat_map(tasks).map(|task| task_cpu(&task)).sum()
}

/// Returns the CPU time of a process's thread of this name.
pub(crate) fn thread_cpu(pid: u32, name: &str) -> Duration {
    let has_name = |task: &String| {
        fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let times: Vec<Duration> = tasks(pid).filter(has_name).map(|task| task_cpu(&task)).collect();
    assert!(!times.is_empty(), "no thread of the process is named `{name}`");
    times.into_iter().sum()
}

/// Returns the CPU time of the calling thread. The kernel updates it when the thread yields, and at
/// the next tick, which would be too late for a hundred writes.
pub(crate) fn own_cpu() -> Duration {
    thread::yield_now();
    task_cpu("/proc/thread-self")
}

/// Returns the resident memory of a process and its children.
pub(crate) fn resident_bytes(pid: u32) -> f64 {
    family(pid).into_iter().map(|pid| status_bytes(pid, "VmRSS:")).sum()
}

/// Returns the highest resident memory of a process so far.
pub(crate) fn peak_bytes(pid: u32) -> f64 {
    status_bytes(pid, "VmHWM:")
}

fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

fn tasks(pid: u32) -> impl Iterator<Item = String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks.flatten().map(|task| task.path().to_string_lossy().into_owned())
}

fn task_cpu(task: &str) -> Duration {
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
