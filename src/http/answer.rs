//! Answers: a status, a few headers and a body; tiny_http prints the head.
//!
//! Invariant: what a client that does not read can pin is one burst and its share of events that are in memory anyway.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::event::Event;

/// For what changes from one moment to the next, and for what must not be kept: the API, errors, redirects.
const NO_STORE: &str = "no-store";

/// For the page and its files: kept, but asked for again each time, since the next binary brings others.
const NO_CACHE: &str = "no-cache";

/// Scripts, styles, pictures and connections from this server alone; no inline code; nobody frames the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Seconds after which a client that was turned away may try again.
const RETRY_AFTER_SECONDS: &str = "2";

/// Bytes of a body that are written at once; a larger piece is written alone, from where it lies.
const BURST_BYTES: usize = 32 * 1024;

/// A whole answer to a request.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<Header>,
    body: Vec<Piece>,
}

/// A part of a body.
pub(crate) enum Piece {
    Bytes(Cow<'static, [u8]>),
    /// The JSON of an event, shared with everybody who is sent it.
    Event(Arc<Event>),
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Event(event) => event.json(),
        }
    }
}

/// Why a request is not answered as it asks: a status, a stable code and a sentence for people.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into() }
    }

    /// Every place is taken.
    pub(crate) fn busy() -> Refusal {
        Refusal::new(
            503,
            "busy",
            "every connection that this server allows is taken; see --max-connections",
        )
    }
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Answer {
        Answer::new(200, NO_STORE, "application/json", Cow::Owned(body))
    }

    /// JSON that is put together out of pieces.
    pub(crate) fn json_of(body: Vec<Piece>) -> Answer {
        Answer { body, ..Answer::json(Vec::new()) }
    }

    /// For `/metrics`.
    pub(crate) fn metrics(body: Vec<u8>) -> Answer {
        Answer::new(200, NO_STORE, crate::metrics::CONTENT_TYPE, Cow::Owned(body))
    }

    /// A file of the page.
    pub(crate) fn asset(content_type: &'static str, body: Cow<'static, [u8]>) -> Answer {
        let answer = Answer::new(200, NO_CACHE, content_type, body);
        answer.with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    }

    /// The same answer with an HTML page for its body.
    pub(crate) fn in_words(self, page: &'static str) -> Answer {
        let body = vec![Piece::Bytes(Cow::Borrowed(page.as_bytes()))];
        let mut answer = Answer { body, ..self };
        answer.headers.retain(|header| !header.field.equiv("Content-Type"));
        answer
            .with("Content-Type", "text/html; charset=utf-8")
            .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    }

    /// To another path of this server, with a cookie to keep.
    pub(crate) fn redirect(path: &str, cookie: &str) -> Answer {
        let answer = Answer::new(303, NO_STORE, "text/plain; charset=utf-8", Cow::Borrowed(b""));
        answer.with("Location", path).with("Set-Cookie", cookie)
    }

    fn new(
        status: u16,
        cache: &'static str,
        content_type: &'static str,
        body: Cow<'static, [u8]>,
    ) -> Answer {
        let headers = common_headers(cache, content_type);
        Answer { status, headers, body: vec![Piece::Bytes(body)] }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Answer {
        self.headers.push(header(name, value));
        self
    }

    /// Writes head and body, with one write unless they are large.
    ///
    /// # Errors
    ///
    /// The client is gone or does not read.
    pub(crate) fn write(
        self,
        writer: impl Write,
        version: &HTTPVersion,
        head_only: bool,
        closes: bool,
    ) -> io::Result<()> {
        let length = self.body.iter().map(|piece| piece.bytes().len()).sum();
        let mut head = Vec::new();
        Response::new(StatusCode(self.status), self.headers, io::empty(), Some(length), None)
            .with_chunked_threshold(usize::MAX)
            .raw_print(&mut head, version.clone(), &[], true, None)?;
        if closes {
            announce_close(&mut head);
        }
        let mut out = BufWriter::with_capacity(BURST_BYTES.min(head.len() + length), writer);
        out.write_all(&head)?;
        let body = if head_only { Vec::new() } else { self.body };
        for piece in body {
            out.write_all(piece.bytes())?;
        }
        out.flush()
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            message: &'a str,
        }
        let inner = Inner { code: refusal.code, message: &refusal.message };
        let body = serde_json::to_vec(&Body { error: inner }).expect("two strings are JSON");
        let answer = Answer::new(refusal.status, NO_STORE, "application/json", Cow::Owned(body));
        match refusal.status {
            401 => answer.with("WWW-Authenticate", "Bearer realm=\"claude-live\""),
            405 => answer.with("Allow", "GET, HEAD"),
            503 => answer.with("Retry-After", RETRY_AFTER_SECONDS),
            _ => answer,
        }
    }
}

/// The head of a stream: in chunks, or for HTTP/1.0 up to the connection's end.
pub(crate) fn stream_head(version: &HTTPVersion, closes: bool) -> Vec<u8> {
    let mut headers = common_headers("no-store, no-transform", "text/event-stream");
    headers.push(header("X-Accel-Buffering", "no"));
    let mut head = Vec::new();
    Response::new(StatusCode(200), headers, io::empty(), None, None)
        .raw_print(&mut head, HTTPVersion(1, 1), &[], true, None)
        .expect("writing to memory does not fail");
    if *version <= (1, 0) {
        // tiny_http would measure the body for HTTP/1.0, and this one has no end.
        remove(&mut head, b"Transfer-Encoding: chunked\r\n");
        head[..b"HTTP/1.0".len()].copy_from_slice(b"HTTP/1.0");
    }
    if closes {
        announce_close(&mut head);
    }
    head
}

/// tiny_http lets nobody set `Connection`.
fn announce_close(bytes: &mut Vec<u8>) {
    let after_status = memchr::memchr(b'\n', bytes).expect("an answer has a status line") + 1;
    bytes.splice(after_status..after_status, *b"Connection: close\r\n");
}

fn remove(bytes: &mut Vec<u8>, part: &[u8]) {
    let start = memchr::memmem::find(bytes, part).expect("tiny_http prints this header");
    bytes.drain(start..start + part.len());
}

fn common_headers(cache: &'static str, content_type: &'static str) -> Vec<Header> {
    vec![
        header("Server", "claude-live"),
        header("Content-Type", content_type),
        header("Cache-Control", cache),
        header("X-Content-Type-Options", "nosniff"),
        header("Referrer-Policy", "no-referrer"),
        header("Cross-Origin-Resource-Policy", "same-origin"),
    ]
}

fn header(name: &'static str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("our headers are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(answer: Answer, version: (u8, u8), head_only: bool, closes: bool) -> String {
        let mut bytes = Vec::new();
        answer.write(&mut bytes, &version.into(), head_only, closes).unwrap();
        without_date(bytes)
    }

    fn without_date(bytes: Vec<u8>) -> String {
        let text = String::from_utf8(bytes).unwrap();
        text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
    }

    const COMMON: &str = "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n";

    #[test]
    fn json_is_printed_with_its_length_and_the_security_headers() {
        let wanted = format!(
            "HTTP/1.1 200 OK\r\nServer: claude-live\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n{COMMON}Content-Length: 2\r\n\r\n"
        );
        assert_eq!(
            printed(Answer::json(b"{}".to_vec()), (1, 1), false, false),
            wanted.clone() + "{}"
        );
        assert_eq!(printed(Answer::json(b"{}".to_vec()), (1, 1), true, false), wanted);
    }

    #[test]
    fn a_large_body_is_not_chunked_and_a_closing_answer_says_so() {
        let text = printed(Answer::json(vec![b' '; 100_000]), (1, 0), false, true);
        assert!(text.starts_with("HTTP/1.0 200 OK\r\nConnection: close\r\n"), "{text:.200}");
        assert!(text.contains("Content-Length: 100000\r\n"));
    }

    #[test]
    fn a_refusal_is_json_with_the_headers_that_its_status_asks_for() {
        let text =
            |status| printed(Refusal::new(status, "c", "m \"x\"").into(), (1, 1), false, true);
        assert!(
            text(400).ends_with("\r\n\r\n{\"error\":{\"code\":\"c\",\"message\":\"m \\\"x\\\"\"}}")
        );
        assert!(text(405).contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(text(503).contains("\r\nRetry-After: 2\r\n"));
        assert!(text(401).contains("\r\nWWW-Authenticate: Bearer realm=\"claude-live\"\r\n"));
    }

    #[test]
    fn a_stream_is_chunked_or_for_http_1_0_ends_with_the_connection() {
        let head = without_date(stream_head(&HTTPVersion(1, 1), false));
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 200 OK\r\nServer: claude-live\r\nContent-Type: text/event-stream\r\nCache-Control: no-store, no-transform\r\n{COMMON}X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
        );
        let old = without_date(stream_head(&HTTPVersion(1, 0), true));
        let wanted =
            head.replace("HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\nConnection: close\r\n");
        assert_eq!(old, wanted.replace("Transfer-Encoding: chunked\r\n", ""));
    }
}
