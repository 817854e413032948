//! Changes of the watched files, as a client of the stream receives them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Program, Stream};

/// Replaces the file as Claude Code does: a temporary file is renamed over it.
fn replace(path: &Path, content: &str) {
    let staged = path.with_extension("tmp");
    fs::write(&staged, content).unwrap();
    fs::rename(&staged, path).unwrap();
}

/// Checks the next event but for its modification time.
#[track_caller]
fn check(stream: &mut Stream, wanted: Value) {
    let frame = stream.event();
    assert_eq!(frame.event, "file.changed", "{}", frame.data);
    let mut data = frame.json()["data"].take();
    data.as_object_mut().unwrap().remove("mtime");
    assert_eq!(data, wanted);
}

fn modified(size: usize) -> Value {
    json!({"path": "stats-cache.json", "change": "modified", "size": size})
}

#[test]
fn a_change_of_the_stats_lists_the_values_that_differ() {
    let dir = tempfile::tempdir().unwrap();
    let stats = dir.path().join("stats-cache.json");
    fs::write(&stats, r#"{"totalSessions":61,"totalMessages":9120}"#).unwrap();
    let program = Program::start_on(dir.path(), &[]);
    let mut stream = program.stream("", &[]);

    replace(&stats, r#"{"totalSessions":62,"totalMessages":9120}"#);
    let mut first = modified(41);
    first["changes"] = json!([{"path": "/totalSessions", "from": 61, "to": 62}]);
    check(&mut stream, first);

    // Half of the file, as a writer that does not replace it leaves it for a moment.
    fs::write(&stats, r#"{"totalSessions":63,"#).unwrap();
    check(&mut stream, modified(20));
    fs::write(&stats, r#"{"totalSessions":64,"totalMessages":9120}"#).unwrap();
    let mut second = modified(41);
    second["changes"] = json!([{"path": "/totalSessions", "from": 62, "to": 64}]);
    check(&mut stream, second);

    let days: Vec<u32> = (0..30).collect();
    let content = json!({"totalSessions": 64, "totalMessages": 9120, "days": days}).to_string();
    replace(&stats, &content);
    let frame = stream.event().json();
    assert_eq!(frame["data"]["changes"].as_array().unwrap().len(), 20);
    assert_eq!(frame["data"]["moreChanges"], 10);

    let content = json!({"long": "x".repeat(1 << 20)}).to_string();
    replace(&stats, &content);
    check(&mut stream, modified(content.len()));
}
