//! Request heads: what is read does not depend on how the bytes were cut into pieces, and nobody passes the guard but
//! under a name of this server.
#![no_main]
#![allow(dead_code, reason = "the modules are the program's; a target uses a part of each")]

#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/http"]
mod http {
    pub(crate) mod answer;
    pub(crate) mod guard;
    pub(crate) mod head;
}
#[path = "../../../src/log.rs"]
mod log;
#[path = "../../../src/metrics.rs"]
mod metrics;

use std::net::IpAddr;

use http::answer::Refusal;
use http::guard::Guard;
use http::head::{Head, Heads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece_bytes, bytes) = input;
    let (whole, whole_end) = read(bytes.chunks(usize::MAX));
    let (pieces, pieces_end) = read(bytes.chunks(usize::from(piece_bytes) + 1));
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    assert_eq!(whole_end.map(|refusal| refusal.status), pieces_end.map(|refusal| refusal.status));
    let guard = Guard::new(([127, 0, 0, 1], 8080).into(), &[], None);
    for head in &whole {
        check(head, &guard);
    }
});

/// Every head, and what ends them.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Head>, Option<Refusal>) {
    let (mut heads, mut taken) = (Heads::default(), Vec::new());
    for piece in pieces {
        heads.push(piece);
        loop {
            match heads.take() {
                Ok(Some(head)) => taken.push(head),
                Ok(None) => break,
                Err(refusal) => return (taken, Some(refusal)),
            }
        }
    }
    (taken, None)
}

fn check(head: &Head, guard: &Guard) {
    assert!(head.path == "*" || head.path.starts_with('/'), "{head:?}");
    assert!(head.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?'));
    assert!(head.version == (1, 0) || head.version == (1, 1));
    let has_body =
        head.headers("Content-Length").any(|length| length.contains(|digit| digit != '0'))
            || head.headers("Transfer-Encoding").next().is_some();
    assert!(!has_body, "{head:?}");
    if guard.check(head).is_ok() {
        assert!(head.host.as_deref().is_none_or(is_loopback), "{head:?}");
        assert!(head.header("Sec-Fetch-Site") != Some("cross-site"));
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = host.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let name = name.strip_suffix(':').unwrap_or(&host);
    [name, &host].into_iter().any(|name| {
        let name = name.strip_suffix('.').unwrap_or(name);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_name = name == "localhost" || name.ends_with(".localhost");
        is_name || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}
