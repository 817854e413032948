//! One connection: its requests one after the other, until a stream, an error or its end.
//!
//! Invariant: no client can hold a permit for good, neither by silence nor by reading slowly.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiny_http::{HTTPVersion, Method};

use super::Site;
use super::answer::{Answer, Refusal};
use super::frames;
use super::head::{Close, Head, Heads};
use super::limit::Permit;
use super::route::{Route, route};
use super::stream::{self, Wanted};

/// Time in which a client must take at least one byte of an answer or a stream.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Time in which the client's system must acknowledge the bytes of a stream: a machine that was
/// unplugged or put to sleep does not close its connections. The ping every 15 s makes it noticed.
#[cfg(target_os = "linux")]
const VANISHED_TIME: Duration = Duration::from_secs(20);

/// Time for a whole answer: 140 kB a second for the largest backlog. A client that reads a little
/// now and then must not keep its permit.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Time and bytes for reading and discarding after the last answer: closing with unread bytes
/// resets the connection, perhaps before the client has read the answer (RFC 9112, 9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Answers the requests of a client until the connection ends.
pub(crate) fn run(socket: &TcpStream, site: &Arc<Site>) {
    if let Err(Close::Refused(refusal)) = answer_all(socket, site) {
        refuse(socket, refusal);
    }
}

/// Answers 503 without waiting for a request.
pub(crate) fn turn_away(socket: &TcpStream) {
    refuse(socket, Refusal::busy());
}

/// Answers 503 as far as possible without blocking, for callers that have no thread to block.
pub(crate) fn turn_away_at_once(mut socket: &TcpStream) {
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    // Unread bytes would reset the connection. More than this cannot be done without waiting.
    let _ = socket.read(&mut [0; 4096]);
    // A client that is gone needs no answer.
    let _ = Answer::from(Refusal::busy()).write(socket, &HTTPVersion(1, 1), false, true);
}

fn refuse(socket: &TcpStream, refusal: Refusal) {
    let writer = DeadlineWriter::new(socket);
    if Answer::from(refusal).write(writer, &HTTPVersion(1, 1), false, true).is_ok() {
        linger(socket);
    }
}

fn answer_all(socket: &TcpStream, site: &Arc<Site>) -> Result<(), Close> {
    socket.set_nodelay(true)?;
    let mut heads = Heads::default();
    loop {
        let head = heads.next(socket)?;
        let is_head = head.method == Method::Head;
        let closes = match route(&head, site) {
            Route::Answer(answer) => {
                // A client that found no permit for a stream must not keep one for its connection.
                let closes = head.closes() || answer.is_busy();
                answer.write(DeadlineWriter::new(socket), &head.version, is_head, closes)?;
                closes
            }
            Route::Stream { permit, .. } if is_head => {
                // Before the answer: a client that has it finds the permit free.
                drop(permit);
                let bytes = frames::head(&head.version, head.closes());
                DeadlineWriter::new(socket).write_all(bytes.as_bytes())?;
                head.closes()
            }
            Route::Stream { wanted, permit } => {
                drop(heads);
                return stream(socket, site, head, wanted, permit);
            }
        };
        if closes {
            linger(socket);
            return Ok(());
        }
    }
}

/// Keeps the permit until the stream ends.
fn stream(
    socket: &TcpStream,
    site: &Arc<Site>,
    head: Head,
    wanted: Wanted,
    _permit: Permit,
) -> Result<(), Close> {
    let (version, closes) = (head.version.clone(), head.closes());
    drop(head);
    socket.set_write_timeout(Some(WRITE_TIME))?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(socket, VANISHED_TIME.as_millis() as u32)
        .map_err(io::Error::from)?;
    Ok(stream::run(socket, site, wanted, &version, closes)?)
}

/// Writes to a socket for [`ANSWER_TIME`] at most.
struct DeadlineWriter<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
}

impl DeadlineWriter<'_> {
    fn new(socket: &TcpStream) -> DeadlineWriter<'_> {
        DeadlineWriter { socket, deadline: Instant::now() + ANSWER_TIME }
    }
}

impl Write for DeadlineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(WRITE_TIME);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_write_timeout(Some(left))?;
        let written = self.socket.write(bytes);
        if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            // A `BufWriter` that is dropped with bytes in it would try again.
            self.deadline = Instant::now();
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Closes the sending side, then reads and discards for a moment.
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
