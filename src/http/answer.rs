//! Answers: a status, a few headers and a body. tiny_http prints the head.
//!
//! Invariant: a client that does not read can hold at most one write buffer; event bytes are
//! shared.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::sync::Arc;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::event::Event;

/// For answers that are outdated at once or must not be stored: the API, errors, redirects.
const NO_STORE: &str = "no-store";

/// For the page and its files: stored, but requested again each time, since a new binary has new
/// ones.
const NO_CACHE: &str = "no-cache";

/// Only this server's scripts, styles, images and connections; no inline code; no framing of the
/// page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                                       frame-ancestors 'none'; object-src 'none'";

/// When a client that was turned away may try again.
const RETRY_AFTER_SECONDS: &str = "2";

/// Bytes that are collected for one write; a larger piece is written on its own, without a copy.
const BUFFER_BYTES: usize = 32 * 1024;

/// A complete answer to a request.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<Header>,
    body: Vec<Piece>,
}

/// A part of a body.
pub(crate) enum Piece {
    Bytes(Cow<'static, [u8]>),
    /// The JSON of an event, shared by all answers and streams that contain it.
    Event(Arc<Event>),
    /// The JSON of an event's data.
    Data(Arc<Event>),
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Event(event) => event.json(),
            Piece::Data(event) => event.data(),
        }
    }
}

/// Puts a list, the last value of an object, behind its start.
pub(super) fn list(start: String, items: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut pieces = vec![Piece::Bytes(start.into_bytes().into())];
    for (index, item) in items.enumerate() {
        if index > 0 {
            pieces.push(Piece::Bytes(b",".into()));
        }
        pieces.push(item);
    }
    pieces.push(Piece::Bytes(b"]}".into()));
    pieces
}

/// An error that a request is answered with: a status, a stable code and a message to read.
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

    /// The path leads to no answer.
    pub(crate) fn not_found(path: &str) -> Refusal {
        Refusal::new(404, "not_found", format!("path `{path}` not found"))
    }

    /// All permits are taken.
    pub(crate) fn busy() -> Refusal {
        let message =
            "all connections or streams are in use; try again later, or raise --max-connections";
        Refusal::new(503, "busy", message)
    }
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Answer {
        Answer::new(200, NO_STORE, "application/json", Cow::Owned(body))
    }

    /// JSON in pieces, which are written one after the other.
    pub(crate) fn json_of(body: Vec<Piece>) -> Answer {
        Answer { body, ..Answer::json(Vec::new()) }
    }

    /// A table, also for programs that open it as a sheet.
    pub(crate) fn csv(body: String) -> Answer {
        Answer::new(200, NO_STORE, "text/csv; charset=utf-8", Cow::Owned(body.into_bytes()))
    }

    /// For `/metrics`.
    pub(crate) fn metrics(body: Vec<u8>) -> Answer {
        Answer::new(200, NO_STORE, crate::report::metrics::CONTENT_TYPE, Cow::Owned(body))
    }

    /// A file of the page.
    pub(crate) fn asset(content_type: &'static str, body: Cow<'static, [u8]>) -> Answer {
        let answer = Answer::new(200, NO_CACHE, content_type, body);
        answer.with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    }

    /// Replaces the body by an HTML page.
    pub(crate) fn with_html(mut self, page: &'static str) -> Answer {
        self.body = vec![Piece::Bytes(Cow::Borrowed(page.as_bytes()))];
        // tiny_http prints one `Content-Type`, the last.
        self.with("Content-Type", "text/html; charset=utf-8")
            .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    }

    /// A redirect to another path of this server, with a cookie.
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

    /// Whether it is [`Refusal::busy`].
    pub(crate) fn is_busy(&self) -> bool {
        self.status == 503
    }

    /// Writes head and body, with one write unless they are large.
    ///
    /// # Errors
    ///
    /// The client is gone or does not read.
    pub(crate) fn write(
        mut self,
        writer: impl Write,
        version: &HTTPVersion,
        head_only: bool,
        closes: bool,
    ) -> io::Result<()> {
        let length = self.body.iter().map(|piece| piece.bytes().len()).sum();
        let head = self.head(length, version, closes)?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES.min(head.len() + length), writer);
        out.write_all(&head)?;
        if !head_only {
            for piece in self.body {
                out.write_all(piece.bytes())?;
            }
        }
        out.flush()
    }

    fn head(&mut self, length: usize, version: &HTTPVersion, closes: bool) -> io::Result<Vec<u8>> {
        let (status, headers) = (StatusCode(self.status), mem::take(&mut self.headers));
        let mut head = Vec::new();
        Response::new(status, headers, io::empty(), Some(length), None)
            .with_chunked_threshold(usize::MAX)
            .raw_print(&mut head, version.clone(), &[], true, None)?;
        if closes {
            // tiny_http lets no caller set `Connection`: it goes before the empty line at the end.
            head.truncate(head.len() - b"\r\n".len());
            head.extend_from_slice(b"Connection: close\r\n\r\n");
        }
        Ok(head)
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
        let answer = Answer { status: refusal.status, ..Answer::json(body) };
        match refusal.status {
            401 => answer.with("WWW-Authenticate", "Bearer realm=\"claude-live\""),
            405 => answer.with("Allow", "GET, HEAD"),
            503 => answer.with("Retry-After", RETRY_AFTER_SECONDS),
            _ => answer,
        }
    }
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
    fn an_answer_has_its_length_and_the_security_headers() {
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
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\nServer: claude-live\r\n"), "{head}");
        assert!(head.ends_with("\r\nContent-Length: 100000\r\nConnection: close"), "{head}");
        assert_eq!(body.len(), 100_000);
    }

    #[test]
    fn an_answer_with_html_has_one_content_type_and_the_policy() {
        let answer = Answer::from(Refusal::new(401, "c", "m")).with_html("<p>");
        let text = printed(answer, (1, 1), false, false);
        assert!(text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{text}");
        assert_eq!(text.matches("Content-Type: ").count(), 1, "{text}");
        assert!(
            text.contains("\r\nContent-Security-Policy: default-src 'self'; base-uri 'none'; ")
        );
        assert!(text.ends_with("\r\nContent-Length: 3\r\n\r\n<p>"), "{text}");
    }

    #[test]
    fn a_refusal_is_json_with_the_headers_that_its_status_requires() {
        let text =
            |status| printed(Refusal::new(status, "c", "m \"x\"").into(), (1, 1), false, true);
        assert!(
            text(400).ends_with("\r\n\r\n{\"error\":{\"code\":\"c\",\"message\":\"m \\\"x\\\"\"}}")
        );
        assert!(text(405).contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(text(503).contains("\r\nRetry-After: 2\r\n"));
        assert!(text(401).contains("\r\nWWW-Authenticate: Bearer realm=\"claude-live\"\r\n"));
    }
}
