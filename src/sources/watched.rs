//! Publishes changes of the watched files to the hub.
//!
//! Keeps the last content of each small file that is JSON, so that an event can list the values
//! that differ. The bytes are kept, not the parsed value, which takes several times their memory.
//! Invariant: no clock and no sleep; the worker in `main` passes the time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{fault, recovered};
use crate::event::{Data, Draft, FileChanged};
use crate::follow::watch::{self, Change, Options, Watch};
use crate::formats::json_changes::{self, Changes};
use crate::hub::Hub;
use crate::report::health::Health;

/// The files of a Claude directory that are watched by default.
const WATCHED: [&str; 2] = ["stats-cache.json", "state/component-registry.json"];

/// Changes within one file of more than 1 MiB are not listed.
const OPTIONS: Options =
    Options { settle_time: Duration::from_millis(250), max_content_bytes: 1 << 20 };

/// Returns the paths to watch, each once: the default ones, then `more`.
pub(crate) fn watched(claude_dir: &Path, more: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in WATCHED.iter().map(Path::new).chain(more.iter().map(PathBuf::as_path)) {
        let path = claude_dir.join(path);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Publishes changes of the watched files.
pub(crate) struct Watched {
    watch: Watch,
    contents: Contents,
    claude_dir: PathBuf,
    hub: Arc<Hub>,
    health: Arc<Health>,
}

impl Watched {
    pub(crate) fn new(
        claude_dir: &Path,
        paths: Vec<PathBuf>,
        hub: Arc<Hub>,
        health: Arc<Health>,
    ) -> Watched {
        let (watch, contents) = Watch::start(paths, OPTIONS);
        let contents = Contents(contents.into_iter().collect());
        Watched { watch, contents, claude_dir: claude_dir.to_owned(), hub, health }
    }

    /// Publishes the changes that have settled.
    pub(crate) fn step(&mut self, now: Duration) {
        for item in self.watch.poll(now) {
            let draft = match item {
                watch::Item::Changed { path, change, size_bytes, mtime, content } => {
                    let Changes { listed, more } = self.contents.update(&path, change, content);
                    let data = FileChanged {
                        path: shown(&self.claude_dir, &path),
                        change: name(change),
                        size: size_bytes,
                        // Absent if it is after the year 9999, on a damaged file system.
                        mtime: mtime.and_then(|mtime| Timestamp::try_from(mtime).ok()),
                        changes: listed,
                        more_changes: (more > 0).then_some(more),
                    };
                    Draft::new(None, &Data::FileChanged(data))
                }
                watch::Item::Unreadable { path, msg } => {
                    let path = shown(&self.claude_dir, &path);
                    fault(&self.health, "watch.unreadable", msg, &path)
                }
                watch::Item::Recovered { path } => {
                    recovered(&self.health, &shown(&self.claude_dir, &path))
                }
            };
            self.hub.publish(draft);
        }
    }
}

/// The last content of each file that was JSON; at the start it is not parsed yet.
struct Contents(HashMap<PathBuf, Vec<u8>>);

impl Contents {
    /// Takes in a change. Returns the values that differ: empty if the file is not modified but new
    /// or gone, if its content is absent or no JSON, or if no earlier content is known.
    fn update(&mut self, path: &Path, change: Change, content: Option<Vec<u8>>) -> Changes {
        if change == Change::Removed {
            self.0.remove(path);
        }
        // A half-written file keeps the last good content for the next comparison.
        let Some((content, new)) = content.and_then(|content| {
            let new = json_changes::parse(&content)?;
            Some((content, new))
        }) else {
            return Changes::default();
        };
        let old = self.0.insert(path.to_owned(), content);
        let old = old.and_then(|old| json_changes::parse(&old));
        old.map_or_else(Changes::default, |old| json_changes::compare(&old, &new))
    }
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Modified => "modified",
        Change::Removed => "removed",
    }
}

/// Returns a watched path as events and `/healthz` name it: relative if it is inside the Claude
/// directory.
pub(crate) fn shown(claude_dir: &Path, path: &Path) -> String {
    let path = claude_dir.join(path);
    path.strip_prefix(claude_dir).unwrap_or(&path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a change with its content (absent: `-`), and the paths that the last one lists.
    #[track_caller]
    fn check(start: &str, changes: &[(Change, &str)], wanted: &[&str]) {
        let path = Path::new("stats-cache.json");
        let mut contents = Contents(HashMap::from([(path.to_owned(), start.into())]));
        let mut listed = Vec::new();
        for (change, content) in changes {
            let content = (*content != "-").then(|| content.as_bytes().to_vec());
            listed = contents.update(path, *change, content).listed;
        }
        let paths: Vec<&str> = listed.iter().map(|change| &change.path[..]).collect();
        assert_eq!(paths, wanted, "{start} {changes:?}");
    }

    #[test]
    fn a_change_is_compared_with_the_last_content_that_was_json() {
        use Change::{Created, Modified, Removed};
        check(r#"{"a":1}"#, &[(Modified, r#"{"a":2}"#)], &["/a"]);
        check(r#"{"a":1}"#, &[(Modified, r#"{"a":2}"#), (Modified, r#"{"a":2}"#)], &[]);
        check(r#"{"a":1}"#, &[(Modified, r#"{"a":"#), (Modified, r#"{"a":2}"#)], &["/a"]);
        check(r#"{"a":1}"#, &[(Modified, ""), (Modified, r#"{"a":2}"#)], &["/a"]);
        check(r#"{"a":1}"#, &[(Modified, "-"), (Modified, r#"{"a":2}"#)], &["/a"]);
        check("no JSON", &[(Modified, r#"{"a":2}"#)], &[]);
        check("no JSON", &[(Modified, r#"{"a":2}"#), (Modified, r#"{"a":3}"#)], &["/a"]);
        check(r#"{"a":1}"#, &[(Removed, "-"), (Created, r#"{"a":2}"#)], &[]);
        check(r#"{"a":1}"#, &[(Removed, "-"), (Created, "{}"), (Modified, r#"{"b":0}"#)], &["/b"]);
    }
}
