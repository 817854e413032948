//! A child process that removes a folder when this program has ended, in whichever way.
//!
//! After Ctrl-C, `kill` or `kill -9` no code of ours runs. But the kernel closes our end of a pipe then, and the child
//! that reads the other end wakes up. It is a shell of three commands, in its own process group, deaf to the signals
//! that a terminal sends to all of us.
//!
//! Invariant: the folder's name is an argument, never part of the script; nothing is ever written to the pipe.
//! Known weakness: whoever kills the child too, with the program or before it, keeps the folder.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for the pipe's end, then removes the folder.
const SCRIPT: &str = r#"trap "" HUP INT TERM; while read -r _; do :; done; rm -rf -- "$1""#;

/// What the shell calls itself, for whoever finds it in a list of processes.
const NAME: &str = "claude-live-demo-janitor";

/// A process group of its own, with the child's id as its number.
const OWN_GROUP: i32 = 0;

/// How long the end waits for the child: removing some files takes milliseconds, a dead disk must not hold us.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks at whether the child has ended: the standard library has no wait with a timeout.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Dropped, it lets the folder be removed and waits for that, 2 s at most.
pub(super) struct Janitor {
    child: Child,
}

impl Janitor {
    /// Starts the child for `dir`, an absolute path.
    ///
    /// # Errors
    ///
    /// There is no `sh`, or no process more can be started.
    pub(super) fn start(dir: &Path) -> io::Result<Janitor> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, NAME])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Not ours: whoever reads our output to its end would wait for the child as well.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(OWN_GROUP)
            .spawn()?;
        Ok(Janitor { child })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check_only_this_goes(name: &str) {
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
    fn exactly_the_folder_goes() {
        check_only_this_goes("plain");
        check_only_this_goes("with a space");
        check_only_this_goes("*");
        check_only_this_goes("it's \"$HOME\"; `id`");
        check_only_this_goes("two\nlines");
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
            assert!(Command::new("kill").args([signal, "--", &group]).status().unwrap().success());
        }
        drop(janitor);
        assert!(!dir.exists());
    }

    /// Until the shell has come to its first command, it can still be ended by a signal of its own.
    #[cfg(target_os = "linux")]
    fn wait_for_trap(pid: u32) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ignored = |status: String| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?.trim();
            u64::from_str_radix(mask, 16).ok()
        };
        // Bit n-1 stands for signal n: HUP 1, INT 2, TERM 15.
        let wanted = 1 << 0 | 1 << 1 | 1 << 14;
        while fs::read_to_string(format!("/proc/{pid}/status"))
            .ok()
            .and_then(ignored)
            .is_some_and(|mask| mask & wanted != wanted)
        {
            assert!(Instant::now() < deadline, "the shell does not start");
            thread::sleep(LOOK_EVERY);
        }
    }
}
