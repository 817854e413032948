//! Request heads: their limits, and the rules of RFC 9112 where a lenient parser and a strict one
//! would disagree about where a request ends.
//!
//! Invariant: a request with a body is refused and its connection closed, so that no byte of a body
//! is parsed as the next request.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::{memchr, memmem};
use tiny_http::{HTTPVersion, Header, Method};

use super::answer::Refusal;

/// Bytes of a request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The end of a head, which does not count towards its bytes.
const END: &[u8] = b"\r\n\r\n";

/// Bytes of a request line: half of the head, so that a long target gets a status of its own (414).
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Headers of a request; browsers send about 20.
const MAX_HEADERS: usize = 100;

/// Time from a head's first byte to its end.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Time that a connection may stay open without a request.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Bytes that are read at a time: more than most heads have.
const READ_BYTES: usize = 2 * 1024;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) version: HTTPVersion,
    /// The authority of the target if it has one, else the `Host` header. Absent in HTTP/1.0 only.
    pub(crate) host: Option<String>,
    headers: Vec<Header>,
}

impl Head {
    /// The value of the first header of this name.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers(name).next()
    }

    /// The values of every header of this name.
    pub(crate) fn headers(&self, name: &'static str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }

    /// Whether the connection ends with the answer.
    pub(crate) fn closes(&self) -> bool {
        let close =
            |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
        self.version <= (1, 0) || self.headers("Connection").any(close)
    }

    /// The first value of a parameter of the query, percent-decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.as_deref()?.split('&');
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key) == name).then(|| percent_decoded(value))
        });
        values.next()
    }
}

/// How a connection ends early.
#[derive(Debug)]
pub(crate) enum Close {
    /// Without an answer: the client is gone, does not read, or was idle for too long.
    Silent,
    /// After this answer.
    Refused(Refusal),
}

impl From<io::Error> for Close {
    fn from(_: io::Error) -> Close {
        Close::Silent
    }
}

/// The heads that arrive on a connection, one after the other.
#[derive(Default)]
pub(crate) struct Heads {
    /// Bytes that have been read and not been parsed yet.
    pending: Vec<u8>,
}

impl Heads {
    /// Waits for the next head.
    ///
    /// # Errors
    ///
    /// The connection has to be closed.
    pub(crate) fn next(&mut self, socket: &TcpStream) -> Result<Head, Close> {
        let idle_deadline = Instant::now() + IDLE_TIME;
        let mut head_deadline = None;
        loop {
            if let Some(head) = self.take().map_err(Close::Refused)? {
                return Ok(head);
            }
            if !self.pending.is_empty() && head_deadline.is_none() {
                head_deadline = Some(Instant::now() + HEAD_TIME);
            }
            match self.read(socket, head_deadline.unwrap_or(idle_deadline)) {
                Ok(0) => return Err(Close::Silent),
                Ok(_) => {}
                // Linux interrupts a read that has a timeout when a stopped process continues
                // (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && head_deadline.is_some() => {
                    return Err(Close::Refused(too_slow()));
                }
                Err(_) => return Err(Close::Silent),
            }
        }
    }

    fn read(&mut self, mut socket: &TcpStream, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let mut block = [0; READ_BYTES];
        let count = socket.read(&mut block)?;
        self.push(&block[..count]);
        Ok(count)
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Takes the first head off the pending bytes, if it is complete. The result does not depend on
    /// the pieces in which the bytes arrived.
    pub(crate) fn take(&mut self) -> Result<Option<Head>, Refusal> {
        // RFC 9112, 2.2: empty lines before the request line are ignored.
        let empty_lines = self.pending.chunks(2).take_while(|pair| pair == b"\r\n").count();
        self.pending.drain(..empty_lines * 2);
        check_beginning(&self.pending)?;
        let Some(end) = memmem::find(&self.pending, END) else {
            let is_too_large = self.pending.len() >= MAX_HEAD_BYTES + END.len();
            return if is_too_large { Err(too_large()) } else { Ok(None) };
        };
        if end > MAX_HEAD_BYTES {
            return Err(too_large());
        }
        let head = parse(&self.pending[..end])?;
        self.pending.drain(..end + END.len());
        Ok(Some(head))
    }
}

/// Whether a read or a write ran into the socket's timeout.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "bad_request", message)
}

fn too_slow() -> Refusal {
    Refusal::new(
        408,
        "request_timeout",
        format!("the request head was not complete after {} s", HEAD_TIME.as_secs()),
    )
}

fn too_large() -> Refusal {
    Refusal::new(
        431,
        "head_too_large",
        format!("a request head has at most {MAX_HEAD_BYTES} bytes, with all cookies of this host"),
    )
}

/// Refuses bytes that cannot become a request line, before its end: TLS, binary, HTTP/0.9, and
/// lines that are too long.
fn check_beginning(pending: &[u8]) -> Result<(), Refusal> {
    let line_end = memchr(b'\n', pending);
    let line = &pending[..line_end.unwrap_or(pending.len())];
    if line.len() > MAX_LINE_BYTES {
        return Err(Refusal::new(
            414,
            "uri_too_long",
            format!("a request line has at most {MAX_LINE_BYTES} bytes"),
        ));
    }
    let is_text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r');
    if !line.iter().all(is_text) {
        return Err(bad("the request line contains bytes that are not printable ASCII"));
    }
    match (line_end, line.strip_suffix(b"\r")) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(bad("the request line does not end in CR LF")),
        (Some(_), Some(line)) => request_line(line).map(drop),
    }
}

/// Parses a head without the empty line that ends it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let bare_line_feeds =
        memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r');
    if bare_line_feeds {
        return Err(bad("a line of the head does not end in CR LF"));
    }
    let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
    let mut headers = Vec::new();
    for line in lines {
        if headers.len() == MAX_HEADERS {
            let message = format!("a request has at most {MAX_HEADERS} headers");
            return Err(Refusal::new(431, "too_many_headers", message));
        }
        headers.push(header(line)?);
    }
    check_body(&method, &headers)?;
    let host = host(&headers, &version)?;
    let (authority, rest) = split_target(&target)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (rest, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    let host = authority.map(str::to_owned).or(host);
    Ok(Head { method, path: path.to_owned(), query, version, host, headers })
}

fn request_line(line: &[u8]) -> Result<(Method, String, HTTPVersion), Refusal> {
    let line = str::from_utf8(line).map_err(|_| bad("the request line is not ASCII"))?;
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(bad("the request line is not `METHOD TARGET HTTP/1.1`, with one space each"));
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(bad("the method is not a token"));
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("the target is empty or not printable ASCII"));
    }
    let method = method.parse().map_err(|()| bad("the method is not a token"))?;
    Ok((method, target.to_owned(), http_version(version)?))
}

fn http_version(text: &str) -> Result<HTTPVersion, Refusal> {
    match text.as_bytes() {
        b"HTTP/1.0" => Ok(HTTPVersion(1, 0)),
        // RFC 9110, 2.5: a higher minor version is read as the highest that is known.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(HTTPVersion(1, 1)),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            let message = format!("unsupported version `{text}`; use HTTP/1.1");
            Err(Refusal::new(505, "http_version_not_supported", message))
        }
        _ => Err(bad("the request line does not end in an HTTP version")),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn header(line: &[u8]) -> Result<Header, Refusal> {
    let Some(colon) = memchr(b':', line) else {
        return Err(bad("a header has no colon"));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(bad("a header's name is not a token, or its line is folded"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(bad("a header's value contains control characters"));
    }
    // Cookies of other programs on this host may contain any bytes, and are not used here.
    let value: Vec<u8> =
        value.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect();
    Header::from_bytes(name, value.trim_ascii()).map_err(|()| bad("a header is not ASCII"))
}

fn values<'a>(headers: &'a [Header], name: &'static str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.field.equiv(name))
        .map(|header| header.value.as_str())
}

fn check_body(method: &Method, headers: &[Header]) -> Result<(), Refusal> {
    let lengths: Vec<&str> = values(headers, "Content-Length").collect();
    let is_encoded = values(headers, "Transfer-Encoding").next().is_some();
    if is_encoded && !lengths.is_empty() {
        return Err(bad("Content-Length and Transfer-Encoding cannot be combined"));
    }
    let is_number =
        |length: &&str| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if !lengths.iter().all(is_number) || lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(bad("Content-Length is not a single number"));
    }
    let is_empty = lengths.iter().all(|length| length.bytes().all(|byte| byte == b'0'));
    if !is_encoded && is_empty {
        return Ok(());
    }
    check_method(method)?;
    let message = format!("a `{method}` request must not have a body");
    Err(Refusal::new(413, "body_not_expected", message))
}

/// Refuses all methods but GET and HEAD.
pub(crate) fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(method, Method::Get | Method::Head) {
        return Ok(());
    }
    let message = format!("method `{method}` not allowed; use GET or HEAD");
    Err(Refusal::new(405, "method_not_allowed", message))
}

fn host(headers: &[Header], version: &HTTPVersion) -> Result<Option<String>, Refusal> {
    let mut hosts = values(headers, "Host");
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(bad("there are two Host headers")),
        (None, None) if *version >= (1, 1) => Err(bad("there is no Host header")),
        (host, None) => Ok(host.map(str::to_owned)),
    }
}

/// The authority of a target in absolute form (RFC 9112, 3.2.2), and its path with the query.
fn split_target(target: &str) -> Result<(Option<&str>, &str), Refusal> {
    if target.starts_with('/') || target == "*" {
        return Ok((None, target));
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(bad("the target is neither a path nor a URL"));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("the target's scheme is not http"));
    }
    let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    Ok((Some(authority), path))
}

/// Decodes `%41`. Bytes that are not UTF-8 become U+FFFD; a `%` without two digits stays, and so
/// does `+`: it means a space in forms only, and tokens in base64 contain it.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| hex_byte(tail)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits.get(..2)? else { return None };
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    u8::try_from(value(high)? * 16 + value(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        Heads { pending: bytes.to_vec() }.take()
    }

    #[track_caller]
    fn check_refused(bytes: impl AsRef<[u8]>, status: u16) {
        match taken(bytes.as_ref()) {
            Err(refusal) => assert_eq!(refusal.status, status, "{refusal:?}"),
            Ok(head) => panic!("{head:?}"),
        }
    }

    fn head(text: &str) -> Head {
        taken(text.as_bytes()).unwrap().expect("whole")
    }

    #[test]
    fn a_head_is_taken_once_it_is_complete_and_the_bytes_after_it_stay() {
        let mut heads =
            Heads { pending: b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX: \t y \r\n\r".to_vec() };
        assert!(heads.take().unwrap().is_none());
        heads.pending.extend_from_slice(b"\n\r\nHEAD / HTTP/1.0\r\n\r\nrest");
        let first = heads.take().unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.path.as_str()), ("GET", "/a"));
        assert_eq!((first.query.as_deref(), first.host.as_deref()), (Some("b=c"), Some("h")));
        assert_eq!((first.header("x"), first.closes()), (Some("y"), false));
        let second = heads.take().unwrap().unwrap();
        assert_eq!((second.method.as_str(), second.closes(), second.host), ("HEAD", true, None));
        assert_eq!(heads.pending, b"rest");
    }

    #[test]
    fn a_target_in_absolute_form_names_the_host() {
        let head =
            head("GET http://a.example:1?x HTTP/1.1\r\nHost: b\r\nConnection: Foo, Close\r\n\r\n");
        assert_eq!((head.host.as_deref(), head.query.as_deref()), (Some("a.example:1"), Some("x")));
        assert_eq!(head.path, "/");
        assert!(head.closes());
    }

    #[test]
    fn a_malformed_head_is_refused() {
        for line in [
            "GET / ",
            "GET /",
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "G(T / HTTP/1.1",
            "GET / FTP/1.1",
            "GET /\té HTTP/1.1",
            "GET x HTTP/1.1",
            "GET ftp://x/ HTTP/1.1",
            "",
        ] {
            check_refused(format!("{line}\r\nHost: h\r\n\r\n"), 400);
        }
        for header in [
            "X",
            " X: y",
            "X : y",
            ": y",
            "X: \0",
            "Host: i",
            "X: y\r\n folded: z",
            "X: y\nZ: z",
            "Content-Length: x",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            "Content-Length: -1",
        ] {
            check_refused(format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"), 400);
        }
        check_refused("GET / HTTP/1.1\r\n\r\n", 400);
        check_refused("GET / HTTP/1.1\nHost: h\n\n", 400);
        check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
        check_refused([0x16, 3, 1, 2, 0, 1], 400);
        check_refused("GET /\r\n", 400);
        check_refused("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 413);
        check_refused("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 413);
    }

    #[test]
    fn a_body_is_refused_by_its_method_first() {
        for body in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            for (method, status) in
                [("GET", 413), ("HEAD", 413), ("POST", 405), ("DELETE", 405), ("BREW", 405)]
            {
                check_refused(format!("{method} / HTTP/1.1\r\nHost: h\r\n{body}\r\n\r\n"), status);
            }
        }
        check_refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400);
        assert_eq!(head("POST / HTTP/1.1\r\nHost: h\r\n\r\n").method, Method::Post);
    }

    #[test]
    fn a_head_that_is_too_large_is_refused_before_its_end() {
        check_refused(format!("GET /{}", "x".repeat(40_000)), 414);
        check_refused(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD_BYTES)), 431);
        check_refused(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(2000)), 431);
    }

    #[test]
    fn the_largest_head_is_taken_at_once_or_in_pieces() {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        let largest = format!("{start}{}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES - start.len()));
        let mut heads = Heads::default();
        for byte in largest.as_bytes().chunks(1).take(largest.len() - 1) {
            heads.push(byte);
            assert!(heads.take().unwrap().is_none());
        }
        heads.push(b"\n");
        assert!(heads.take().unwrap().is_some());
        assert!(taken(largest.as_bytes()).unwrap().is_some());
        check_refused(largest.replace("X: ", "X:  "), 431);
    }

    #[test]
    fn empty_lines_before_a_head_are_ignored_at_once_or_in_pieces() {
        let mut heads = Heads::default();
        for piece in ["\r", "\n", "\r\n\r\n", "\r\n\r", "\nGET / HTTP/1.0\r\n\r\n"] {
            heads.push(piece.as_bytes());
        }
        assert!(heads.take().unwrap().is_some());
        for piece in ["\r", "\n", "\r\n\r\n", "\r\n\r", "\nGET / HTTP/1.0\r\n\r"] {
            heads.push(piece.as_bytes());
            assert!(heads.take().unwrap().is_none());
        }
        heads.push(b"\n");
        assert!(heads.take().unwrap().is_some());
    }

    #[test]
    fn cookies_of_other_programs_may_contain_any_bytes() {
        let head =
            taken(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=\xff\xe9\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.header("Cookie"), Some("a=??"));
    }

    #[test]
    fn parameters_are_decoded() {
        let head = head("GET /?a=1&b%20c=%2Bx%zz+%e2%82%ac%&a=2&d HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(head.parameter("a").as_deref(), Some("1"));
        assert_eq!(head.parameter("b c").as_deref(), Some("+x%zz+€%"));
        assert_eq!(head.parameter("d").as_deref(), Some(""));
        assert_eq!(head.parameter("e"), None);
    }
}
