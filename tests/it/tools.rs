//! Tools that some tests need. Without one, a test that needs it is skipped, and `make test` says
//! so in the end; with `CI` set it fails.

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

/// The file to which skipped tests are appended, one `LACK<tab>TEST` a line; `make test` begins and
/// prints it.
const SKIPPED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");

/// Returns whether a command is installed; without it, the calling test counts as skipped.
pub(crate) fn has(tool: &str) -> bool {
    find(tool).is_some()
}

/// Returns the path of a command, of those that `tests/setup` has fetched before the system's.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).join("venv/bin");
    // On Debian, the `PATH` of root alone leads to nginx.
    let dirs =
        iter::once(fetched).chain(env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    let found = dirs.map(|dir| dir.join(tool)).find(|file| file.is_file());
    if found.is_none() {
        skip(tool);
    }
    found
}

/// Counts the calling test, or a part of it, as skipped.
///
/// # Panics
///
/// `CI` is set.
pub(crate) fn skip(lack: &str) {
    assert!(env::var_os("CI").is_none(), "missing: {lack}");
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    eprintln!("{test} is skipped; missing: {lack}");
    let mut file = OpenOptions::new().append(true).create(true).open(SKIPPED).unwrap();
    file.write_all(format!("{lack}\t{test}\n").as_bytes()).unwrap();
}

/// Copies a program that is then run. The copy is never open in this process: processes that other
/// tests begin would hold it open for a moment, and the system would refuse to run it.
pub(crate) fn copy_program(from: impl AsRef<OsStr>, to: &Path) {
    succeeds(Command::new("cp").arg(from).arg(to));
}

/// Runs a tool on a file, and fails with the tool's message when it fails.
#[track_caller]
pub(crate) fn check(tool: &str, args: &[&str], file: &Path) -> String {
    succeeds(Command::new(tool).args(args).arg(file))
}

/// Returns the stdout of a command that has to succeed.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let errors = String::from_utf8_lossy(&stderr);
    let printed = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{printed}{errors}");
    printed
}
