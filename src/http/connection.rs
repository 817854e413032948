//! One connection: its requests one after the other, until a stream, an error or its end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiny_http::{HTTPVersion, Method};

use super::Site;
use super::answer::{Answer, Refusal, stream_head};
use super::head::{Head, Heads, NoHead};
use super::route::{Route, route};
use super::stream;

/// Time that a client has to take any part of what is written to it, before it is given up.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Time that what was sent to a stream may stay without a word from the client's system: a machine that was unplugged or put
/// to sleep says no goodbye. A ping is sent every 15 s, so this is noticed.
#[cfg(target_os = "linux")]
const VANISHED_TIME: Duration = Duration::from_secs(20);

/// Time for a whole answer: 140 kB a second for the largest backlog. A client that takes a little now and then must
/// not keep its place for good.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Time and bytes that are read and thrown away after the last answer, so that the client reads it before the
/// connection is reset under it (RFC 9112, 9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Answers a client for as long as it has something to ask.
pub(crate) fn run(socket: &Arc<TcpStream>, site: &Arc<Site>) {
    if let Err(Ending::Refused(refusal)) = answer_all(socket, site) {
        refuse(socket, refusal);
    }
}

/// Answers 503 without waiting for a request.
pub(crate) fn turn_away(socket: &TcpStream) {
    refuse(socket, Refusal::busy());
}

/// As [`turn_away`], as far as it goes without waiting: where there is no thread to wait on.
pub(crate) fn turn_away_at_once(mut socket: &TcpStream) {
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    // What stays unread resets the connection, perhaps before the client has read the answer; more cannot be done for it.
    let _ = socket.read(&mut [0; 4096]);
    let _ = Answer::from(Refusal::busy()).write(socket, &HTTPVersion(1, 1), false, true);
}

fn refuse(socket: &TcpStream, refusal: Refusal) {
    if Answer::from(refusal).write(Patient::new(socket), &HTTPVersion(1, 1), false, true).is_ok() {
        linger(socket);
    }
}

/// Why a connection ends.
enum Ending {
    Refused(Refusal),
    /// The client is gone, or does not read.
    Gone,
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Ending {
        Ending::Gone
    }
}

impl From<NoHead> for Ending {
    fn from(no_head: NoHead) -> Ending {
        match no_head {
            NoHead::Over => Ending::Gone,
            NoHead::Refused(refusal) => Ending::Refused(refusal),
        }
    }
}

fn answer_all(socket: &Arc<TcpStream>, site: &Arc<Site>) -> Result<(), Ending> {
    socket.set_nodelay(true)?;
    let mut heads = Heads::default();
    loop {
        let head = heads.next(socket)?;
        let is_head = head.method == Method::Head;
        match route(&head, site) {
            Route::Answer(answer) => {
                answer.write(Patient::new(socket), &head.version, is_head, head.closes())?;
            }
            Route::Stream { .. } if is_head => {
                Patient::new(socket).write_all(&stream_head(&head.version, head.closes()))?;
            }
            Route::Stream { since } => {
                drop(heads);
                return stream(socket, site, head, since);
            }
        }
        if head.closes() {
            linger(socket);
            return Ok(());
        }
    }
}

fn stream(
    socket: &Arc<TcpStream>,
    site: &Arc<Site>,
    head: Head,
    since: Option<u64>,
) -> Result<(), Ending> {
    let Some(_place) = site.take_stream_place() else {
        site.health.counters.refused_connections.add(1);
        return Err(Ending::Refused(Refusal::busy()));
    };
    let (version, closes) = (head.version.clone(), head.closes());
    drop(head);
    socket.set_write_timeout(Some(WRITE_TIME))?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(socket, VANISHED_TIME.as_millis() as u32)
        .map_err(io::Error::from)?;
    Ok(stream::run(socket, site, since, &version, closes)?)
}

/// A socket that is written to for a bounded time in all.
struct Patient<'a> {
    socket: &'a TcpStream,
    end: Instant,
}

impl Patient<'_> {
    fn new(socket: &TcpStream) -> Patient<'_> {
        Patient { socket, end: Instant::now() + ANSWER_TIME }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now()).min(WRITE_TIME);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_write_timeout(Some(left))?;
        let written = self.socket.write(bytes);
        if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            // A buffer that is dropped with something in it would try again.
            self.end = Instant::now();
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Closes our side and reads on for a moment.
fn linger(mut socket: &TcpStream) {
    let end = Instant::now() + LINGER_TIME;
    let mut left_bytes = LINGER_BYTES;
    let mut block = [0; 4096];
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    while left_bytes > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match socket.read(&mut block) {
            Ok(0) | Err(_) => return,
            Ok(count) => left_bytes = left_bytes.saturating_sub(count),
        }
    }
}
