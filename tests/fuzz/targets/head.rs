//! Request heads: the result does not depend on the pieces in which the bytes arrived, and only
//! requests that name this server pass the guard. Another site passes with a link to the page
//! alone.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/http"]
mod http {
    pub(crate) mod answer;
    pub(crate) mod guard;
    pub(crate) mod head;
    pub(crate) mod host;
    pub(crate) mod token;
}
#[path = "../../../src/report"]
mod report {
    pub(crate) mod log;
    pub(crate) mod metrics;
}

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

/// All heads, and the refusal that ends them, if any.
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
        assert!(head.header("Sec-Fetch-Site") != Some("cross-site") || is_link_to_page(head));
        for origin in head.headers("Origin") {
            assert!(origin.split_once("://").is_some_and(|(_, host)| is_loopback(host)));
        }
    }
}

fn is_link_to_page(head: &Head) -> bool {
    head.method.as_str() == "GET"
        && head.path == "/"
        && head.header("Sec-Fetch-Mode") == Some("navigate")
        && head.header("Sec-Fetch-Dest") == Some("document")
}

/// Independent of the guard's parser, and less strict about malformed hosts.
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
