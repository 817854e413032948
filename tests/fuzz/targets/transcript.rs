//! Lines of transcripts: each record becomes one frame that a client can parse, whatever half
//! record it is glued to, and the state of the session stays within its bounds.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/formats"]
mod formats {
    pub(crate) mod json;
    pub(crate) mod prices;
    pub(crate) mod status;
    pub(crate) mod transcript;
}
#[path = "../../../src"]
mod models {
    pub(crate) mod sessions;
}

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use formats::prices::Prices;
use formats::transcript::{Location, Part, Record, each_part};
use models::sessions::{Files, Liveness, Session};

static PRICES: LazyLock<Arc<Prices>> = LazyLock::new(|| Arc::new(Prices::built_in()));

const HALF: &[u8] = b"{\"type\":\"user\",\"message\":{\"content\":\"cut";

/// The most bytes of a session on the wire.
const MAX_SESSION_BYTES: usize = 4096;

fn new() -> Session {
    Session::new("s", Arc::clone(&PRICES))
}

fuzz_target!(|text: &[u8]| {
    let mut session = new();
    for line in text.split(|byte| *byte == b'\n') {
        let parts = parts(line, &mut session);
        if let [Some(record)] = &parts[..]
            && is_alone(line)
        {
            let glued = self::parts(&[HALF, line].concat(), &mut new());
            assert_eq!(glued, [None, Some(record.clone())]);
        }
    }
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let files = Files { written_at: now, bytes: text.len() as u64, path: None };
    let view = session.view(&Liveness::Unknown, files, now);
    assert!(view.json.get().len() <= MAX_SESSION_BYTES, "{}", view.json.get());
    assert_eq!(view.status, session.status(&Liveness::Unknown, files, now));
});

/// Folds a line, and returns the events of its records; absent for bytes that are none.
fn parts(line: &[u8], session: &mut Session) -> Vec<Option<Value>> {
    let mut parts = Vec::new();
    each_part(line, |part| match part {
        Part::Record(record) => {
            session.record(None, &record);
            parts.push(Some(event(&record)));
        }
        Part::Malformed => {
            session.malformed(None);
            parts.push(None);
        }
    });
    parts
}

fn event(record: &Record) -> Value {
    let location = Location { session_id: "s", agent_id: None, project: None, offset: 7, bytes: 9 };
    let event = record.draft(location).number(event::MIN_ID);
    let json = std::str::from_utf8(event.json()).unwrap();
    assert!(!json.contains(['\n', '\r']));
    let mut value: Value = serde_json::from_str(json).unwrap();
    let data = &value["data"];
    assert_eq!(data["blocks"].as_array().unwrap().len(), record.blocks.len().min(16));
    assert!(data["blocks"].to_string().len() <= 4096, "{data}");
    // Records without a time have that of their reading.
    if record.ts.is_none() {
        value["ts"] = Value::Null;
    }
    value
}

/// Whether a line begins as Claude Code's records do, and no other record seems to begin in it.
fn is_alone(line: &[u8]) -> bool {
    let starts = [&b"{\"parentUuid\":"[..], b"{\"type\":"];
    let begins = starts.iter().filter(|start| line.starts_with(start)).count();
    let all = starts.iter().map(|start| memchr::memmem::find_iter(line, start).count());
    begins == 1 && all.sum::<usize>() == 1
}
