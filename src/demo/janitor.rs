//! A child process that removes a folder after this program has ended, even by `kill -9`.
//!
//! None of this program's code runs then, but the kernel closes its end of a pipe. The child, a
//! shell with three commands, reads the other end. It has its own process group and ignores the
//! signals of the terminal.
//! Invariant: the folder's name is an argument, never part of the script; nothing is written to the
//! pipe.
//! Known weakness: the folder remains if the child is killed too.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for the end of the pipe, then removes the folder.
const SCRIPT: &str = r#"trap "" HUP INT TERM; while read -r _; do :; done; rm -rf -- "$1""#;

/// The name of the child in a list of processes.
const NAME: &str = "claude-live-demo-janitor";

/// Longest wait for the child on drop. Removing a few files takes milliseconds; a failing disk must
/// not keep the program from ending.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Time between two checks whether the child has ended; the standard library cannot wait with a
/// timeout.
const CHECK_PERIOD: Duration = Duration::from_millis(2);

/// The running child. On drop it removes the folder; drop waits for that, at most 2 s.
pub(super) struct Janitor {
    child: Child,
}

impl Janitor {
    /// Starts the child for `dir`, an absolute path.
    ///
    /// # Errors
    ///
    /// `sh` is not found, or the system cannot start another process.
    pub(super) fn start(dir: &Path) -> io::Result<Janitor> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, NAME])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Not inherited: a program that reads our output to its end would wait for the child.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // 0: a new group.
            .process_group(0)
            .spawn()?;
        Ok(Janitor { child })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + MAX_WAIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(CHECK_PERIOD);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check_only_it_is_removed(name: &str) {
        let parent = tempfile::tempdir().unwrap();
        let beside = parent.path().join("beside");
        let dir = parent.path().join(name);
        fs::create_dir(&beside).unwrap();
        fs::create_dir_all(dir.join("state")).unwrap();
        fs::write(dir.join("state/file"), "x").unwrap();
        std::os::unix::fs::symlink(&beside, dir.join("link")).unwrap();
        let janitor = Janitor::start(&dir).unwrap();
        assert!(dir.exists());
        drop(janitor);
        assert!(!dir.exists(), "{name:?}");
        assert!(beside.exists(), "{name:?}");
    }

    #[test]
    fn exactly_the_folder_is_removed() {
        check_only_it_is_removed("plain");
        check_only_it_is_removed("with a space");
        check_only_it_is_removed("*");
        check_only_it_is_removed("it's \"$HOME\"; `id`");
        check_only_it_is_removed("two\nlines");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_signals_of_a_terminal_do_not_end_it() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("demo");
        fs::create_dir(&dir).unwrap();
        let janitor = Janitor::start(&dir).unwrap();
        let group = format!("-{}", janitor.child.id());
        wait_for_trap(janitor.child.id());
        for signal in ["-INT", "-TERM", "-HUP"] {
            let mut kill = Command::new("sh");
            assert!(kill.args(["-c", "kill $0 $1", signal, &group]).status().unwrap().success());
        }
        drop(janitor);
        assert!(!dir.exists());
    }

    /// Waits until the shell has run its first command; before that, a signal ends it.
    #[cfg(target_os = "linux")]
    fn wait_for_trap(pid: u32) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ignored = |status: String| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?.trim();
            u64::from_str_radix(mask, 16).ok()
        };
        // Bit n-1 is signal n: HUP 1, INT 2, TERM 15.
        let wanted = 1 << 0 | 1 << 1 | 1 << 14;
        while fs::read_to_string(format!("/proc/{pid}/status"))
            .ok()
            .and_then(ignored)
            .is_some_and(|mask| mask & wanted != wanted)
        {
            assert!(Instant::now() < deadline, "the shell did not start");
            thread::sleep(CHECK_PERIOD);
        }
    }
}
