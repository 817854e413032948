//! Lines of the history: each becomes one frame whose JSON a client can parse, with the line in it
//! as it was.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/formats"]
mod formats {
    pub(crate) mod history;
    pub(crate) mod json;
}

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use formats::{history, json};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut_bytes, bytes) = input;
    if bytes.contains(&b'\n') {
        return;
    }
    let len_bytes = bytes.len() as u64 + u64::from(cut_bytes);
    let parsed = history::draft(history::Line { bytes, len_bytes, offset: 7 });
    let is_malformed = parsed.is_malformed;
    let event = parsed.draft.number(event::MIN_ID + 5);
    let json = std::str::from_utf8(event.json()).unwrap();
    assert!(!json.contains(['\n', '\r']));
    let wanted = format!("event: history.append\nid: {}\ndata: {json}\n\n", event::MIN_ID + 5);
    assert_eq!(event.frame(), wanted.as_bytes());
    let parsed = serde_json::from_str(json);
    // JSON sets numbers no bounds and allows half a surrogate pair; what is written is passed on,
    // but this parser is stricter.
    let is_strict = |error: &serde_json::Error| {
        let error = error.to_string();
        error.starts_with("number out of range") || error.contains("hex escape")
    };
    if parsed.as_ref().is_err_and(is_strict) {
        return;
    }
    check(&parsed.unwrap(), bytes, cut_bytes > 0, is_malformed);
    let moved = event.moved_to(u64::MAX);
    let moved: Value = serde_json::from_slice(moved.json()).unwrap();
    assert_eq!(moved["data"]["offset"], u64::MAX);
});

fn check(event: &Value, bytes: &[u8], is_cut: bool, is_malformed: bool) {
    let data = &event["data"];
    let text = String::from_utf8_lossy(bytes);
    let raw_line = data["rawLine"].as_str().unwrap();
    assert!(if is_cut { text.starts_with(raw_line) } else { raw_line == text });
    assert_eq!(data.get("truncated").is_some(), is_cut);
    assert!(data["json"].is_object() || data.get("json").is_none());
    assert_eq!(data.get("json").is_none(), data["parseError"].is_string());
    assert_eq!(data["parseError"].is_string() && !is_cut, is_malformed);
    assert!(event["ts"].as_str().unwrap().ends_with('Z'));
    // Carriage returns aside, which are allowed for in a line that has its end only.
    if data["json"].is_object() && !bytes.contains(&b'\r') {
        assert!(json::is_record(bytes));
    }
}
