//! What `make dist` builds, and what `make install` does with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Program, prompt};
use crate::tools::succeeds;

/// A third of it is the C library where that is glibc: a static program that prints a line and
/// listens on a port has 1.3 MB then, 0.3 MB without glibc.
const MAX_BYTES: u64 = 3_600_000;

fn make(args: &[&str]) -> String {
    succeeds(Command::new("make").args(args).current_dir(env!("CARGO_MANIFEST_DIR")))
}

fn dist() -> PathBuf {
    let printed = make(&["--silent", "dist"]);
    PathBuf::from(printed.lines().last().unwrap().split_whitespace().last().unwrap())
}

#[test]
#[ignore = "builds the release; `make check` runs it"]
fn the_binary_is_small_and_serves_the_page_from_an_empty_root() {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join(dist());
    let size = fs::metadata(&binary).unwrap().len();
    assert!(size < MAX_BYTES, "{size} bytes");
    let root = tempfile::tempdir().unwrap();
    fs::copy(binary, root.path().join("claude-live")).unwrap();
    fs::create_dir(root.path().join("claude")).unwrap();
    fs::write(root.path().join("claude/history.jsonl"), prompt("in an empty root")).unwrap();

    // Without privileges, a user namespace gives the right to change the root.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "chroot"]).arg(root.path());
    command.args(["/claude-live", "--claude", "/claude", "--port", "0"]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let program = Program::spawn(command, &root.path().join("claude"));
    assert!(program.get("/").text().contains("id=\"claude-live-table\""));
    assert_eq!(program.get("/static/live.js").status, 200);
    assert!(program.backlog_lines()[0].contains("in an empty root"));
    program.append(&prompt("later"));
    assert!(program.stream("?since=1", &[]).event().data.contains("stream.resync"));
}

#[test]
#[ignore = "builds the release; `make check` runs it"]
fn what_is_installed_runs_and_is_gone_after_uninstall() {
    let root = tempfile::tempdir().unwrap();
    let prefix = format!("PREFIX={}", root.path().display());
    make(&["--silent", "install", &prefix]);
    let binary = root.path().join("bin/claude-live");
    let version = succeeds(Command::new(&binary).arg("--version"));
    assert_eq!(version, format!("claude-live {}\n", env!("CARGO_PKG_VERSION")));
    let page = fs::read_to_string(root.path().join("share/man/man1/claude-live.1")).unwrap();
    assert!(page.starts_with(".TH CLAUDE-LIVE 1"));
    make(&["--silent", "uninstall", &prefix]);
    let left = succeeds(Command::new("find").arg(root.path()).args(["!", "-type", "d"]));
    assert_eq!(left, "");
}
