//! The bytes of a stream beside its events: the head of the response, the frames that are no
//! events, and chunks.
//!
//! Invariant: pure.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tiny_http::HTTPVersion;

use crate::event::{Data, Draft, Event, Notice, print_time};

/// The time in milliseconds after which an `EventSource` connects again.
const RETRY_MS: u32 = 2000;

/// The end of a chunked body (RFC 9112, 7.1).
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Returns the head of a stream: chunked, or for HTTP/1.0 up to the end of the connection.
pub(super) fn head(version: &HTTPVersion, closes: bool) -> String {
    let status = if *version <= (1, 0) { "HTTP/1.0 200 OK" } else { "HTTP/1.1 200 OK" };
    let close = if closes { "Connection: close\r\n" } else { "" };
    let chunked = if *version <= (1, 0) { "" } else { "Transfer-Encoding: chunked\r\n" };
    let date = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&Timestamp::now())
        .expect("the present year has four digits");
    format!(
        "{status}\r\n\
         Date: {date}\r\n\
         Server: claude-live\r\n\
         Content-Type: text/event-stream\r\n\
         Cache-Control: no-store, no-transform\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\
         X-Accel-Buffering: no\r\n\
         {chunked}{close}\r\n"
    )
}

/// Returns the first frame. It has no data, so a client dispatches no event; but a client that
/// loses the connection before the first event resumes after its id.
pub(super) fn opening(id: Option<u64>) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("retry: {RETRY_MS}\n{id}\n")
}

/// Returns a sign of life. It is a named event since scripts do not see the comments of a stream.
pub(super) fn ping() -> String {
    format!("event: ping\ndata: {{\"ts\":\"{}\"}}\n\n", print_time(Timestamp::now()))
}

/// Returns the notice that some events cannot be replayed; the stream goes on after `id`.
pub(super) fn resync(id: u64) -> Event {
    let notice = Notice {
        kind: "stream.resync",
        msg: "earlier events cannot be replayed; read the backlog again".to_owned(),
        current_id: Some(id),
        ..Notice::default()
    };
    Draft::new(None, &Data::Notice(notice)).number(id)
}

/// Returns the bytes before and after a chunk of `length_bytes`.
pub(super) fn chunk(length_bytes: usize) -> (String, &'static str) {
    (format!("{length_bytes:x}\r\n"), "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_without_date(version: (u8, u8), closes: bool) -> String {
        let head = head(&version.into(), closes);
        let lines = head.split_inclusive("\r\n");
        let (dates, others): (Vec<_>, Vec<_>) =
            lines.partition(|line| line.starts_with("Date: ") && line.ends_with(" GMT\r\n"));
        assert_eq!(dates.len(), 1, "{head}");
        others.concat()
    }

    #[test]
    fn a_stream_is_chunked_or_for_http_1_0_ends_with_the_connection() {
        let wanted = "HTTP/1.1 200 OK\r\n\
             Server: claude-live\r\n\
             Content-Type: text/event-stream\r\n\
             Cache-Control: no-store, no-transform\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n\
             X-Accel-Buffering: no\r\n\
             Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(head_without_date((1, 1), false), wanted);
        let chunked = "Transfer-Encoding: chunked\r\n";
        let close = "Connection: close\r\n";
        assert_eq!(
            head_without_date((1, 1), true),
            wanted.replace(chunked, &format!("{chunked}{close}"))
        );
        let old = wanted.replace("HTTP/1.1", "HTTP/1.0").replace(chunked, close);
        assert_eq!(head_without_date((1, 0), true), old);
    }

    #[test]
    fn frames_that_are_no_events_have_these_bytes() {
        assert_eq!(opening(None), "retry: 2000\n\n");
        assert_eq!(opening(Some(5)), "retry: 2000\nid: 5\n\n");
        let ping = ping();
        let time = ping.strip_prefix("event: ping\ndata: {\"ts\":\"").unwrap();
        assert!(time.strip_suffix("\"}\n\n").unwrap().parse::<Timestamp>().is_ok(), "{ping}");
        assert_eq!(chunk(255), ("ff\r\n".to_owned(), "\r\n"));
    }
}
