//! Tools of others that some tests check with. Without one its check is left out, but in CI, where all of them must be.

use std::env;
use std::path::Path;
use std::process::{Command, Output};

/// Whether a tool is there.
///
/// # Panics
///
/// It is not, and `CI` is set.
pub(crate) fn has(tool: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&paths).any(|dir| dir.join(tool).is_file());
    assert!(is_there || env::var_os("CI").is_none(), "`{tool}` is not installed");
    if !is_there {
        eprintln!("`{tool}` is not installed: not checked with it");
    }
    is_there
}

/// Runs a tool on a file, and fails with what it says when it fails.
#[track_caller]
pub(crate) fn check(tool: &str, args: &[&str], file: &Path) -> String {
    succeeds(Command::new(tool).args(args).arg(file))
}

/// What a command prints, when it succeeds.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    let printed = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{printed}{said}");
    printed
}
