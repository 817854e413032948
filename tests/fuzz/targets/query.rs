//! Queries: all text survives being escaped and decoded, and any query can be searched.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/http"]
mod http {
    pub(crate) mod answer;
    pub(crate) mod head;
}
#[path = "../../../src/report"]
mod report {
    pub(crate) mod metrics;
}

use http::head::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (query, name, value) = input;
    if query.bytes().all(|byte| byte.is_ascii_graphic()) {
        let strange = parse(format!("GET /?{query} HTTP/1.1\r\nHost: h").as_bytes()).unwrap();
        for name in ["limit", "since", "token", name] {
            assert!(strange.parameter(name).is_none_or(|value| value.len() <= query.len() * 3));
        }
    }
    let (first, second) = (escaped(name), escaped(value));
    let line = format!("GET /?x{first}=no&{first}={second}&{first}=late HTTP/1.1\r\nHost: h");
    let head = parse(line.as_bytes()).unwrap();
    assert_eq!(head.parameter(name).as_deref(), Some(value));
});

/// Letters and digits as they are, all other bytes as `%41`.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    text.bytes().map(escape).collect()
}
