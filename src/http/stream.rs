//! The stream: what the hub has after the last id that was sent, again and again, as Server-Sent Events.
//!
//! Joining, resuming and catching up are the same step, so there is no seam between them, and a client that reads slowly
//! is served from the ring at its own pace. Frames that are there together are written together, from where they lie.
//!
//! Invariant: no lock of the hub is held while writing; what a client that stalls can pin is one burst and one frame.

use std::io::{self, IoSlice, Write};
use std::iter;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tiny_http::HTTPVersion;

use crate::event::{Data, Draft, Event, Notice, print_time};
use crate::hub::{Replay, Subscription};

use super::Site;
use super::answer::stream_head;
use super::courier::{Loan, Rest};
use super::head::is_timeout;

/// An idle stream sends a `ping` event this often: proxies keep it open, and the page, which is not shown comments, knows that it lives.
const PING_PERIOD: Duration = Duration::from_secs(15);

/// How often an idle stream looks whether its client is still there: a place is free again before a client that was
/// turned away comes back.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Milliseconds after which `EventSource` connects again.
const RETRY_MS: u32 = 2000;

/// Bytes of frames that are written at once, give or take one frame.
pub(super) const BURST_BYTES: usize = 64 * 1024;

/// A frame of more bytes is not held while it is written, but looked up again for each burst of it: a client that stalls in
/// the middle must not keep in memory what the ring has let go. It is cut off then, and told when it comes back.
const LARGE_BYTES: usize = 1024 * 1024;

/// Blocks, and their bytes, that are read at a time of what a client says.
const READ_BLOCKS: usize = 16;
const READ_BYTES: usize = 256;

/// Serves a stream until its client is gone, or has taken nothing for the socket's write timeout: for twice that, if a
/// part of the last burst still went into the system's buffers.
///
/// # Errors
///
/// The client is gone or does not read.
pub(crate) fn run(
    socket: &Arc<TcpStream>,
    site: &Site,
    since: Option<u64>,
    version: &HTTPVersion,
    closes: bool,
) -> io::Result<()> {
    let out = Out { socket, is_chunked: *version >= (1, 1) };
    let ended = stream(&out, site, since, stream_head(version, closes));
    if ended.as_ref().is_err_and(is_timeout) {
        site.health.counters.dropped_streams.add(1);
    }
    ended
}

fn stream(out: &Out, site: &Site, since: Option<u64>, head: Vec<u8>) -> io::Result<()> {
    let loan = site.courier.enrol(out.socket, out.is_chunked);
    let mut last_id = since.unwrap_or_else(|| site.hub.last_id());
    out.write_all(&mut [IoSlice::new(&head)])?;
    drop(head);
    out.send_one(opening(since.is_none().then_some(last_id)).as_bytes())?;
    last_id = catch_up(out, site, &site.hub.subscribe(), last_id)?;
    loop {
        loan.lend(last_id);
        let wake = wait(out.socket, site, &loan, last_id)?;
        let (sent_id, rest) = loan.take_back()?;
        // One that was up to date is waited for.
        let subscription = site.hub.subscribe();
        subscription.has_caught_up(sent_id);
        if !go_on(out, wake, &rest)? {
            return Ok(());
        }
        drop(rest);
        last_id = catch_up(out, site, &subscription, sent_id)?;
    }
}

/// The first frame. It has no data, so that no event comes of it; but its id is where a client resumes that loses the
/// connection before it saw any.
fn opening(id: Option<u64>) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("retry: {RETRY_MS}\n{id}\n")
}

/// Why a stream goes on.
enum Wake {
    News,
    Idle,
    Gone,
}

/// Waits while the courier has the socket.
fn wait(socket: &TcpStream, site: &Site, loan: &Loan, last_id: u64) -> io::Result<Wake> {
    if site.hub.last_id() != last_id {
        // It came before the socket was lent, and the courier may not know of it.
        return Ok(Wake::News);
    }
    loop {
        let idle_at = loan.sent_at() + PING_PERIOD;
        if loan.wait(idle_at.min(Instant::now() + LOOK_PERIOD)) {
            return Ok(Wake::News);
        }
        if is_gone(socket)? {
            return Ok(Wake::Gone);
        }
        if Instant::now() >= loan.sent_at() + PING_PERIOD {
            return Ok(Wake::Idle);
        }
    }
}

/// Sends what is left of a burst, which the courier can have begun after the wait was over, and a ping if it is time. Returns
/// whether somebody is there to send more to.
fn go_on(out: &Out, wake: Wake, rest: &Rest) -> io::Result<bool> {
    if matches!(wake, Wake::Gone) {
        return Ok(false);
    }
    out.write_all(&mut [IoSlice::new(rest.bytes())])?;
    if matches!(wake, Wake::Idle) {
        out.send_one(ping().as_bytes())?;
    }
    Ok(true)
}

fn ping() -> String {
    format!("event: ping\ndata: {{\"ts\":\"{}\"}}\n\n", print_time(Timestamp::now()))
}

/// Sends all that came after an id. Returns the last id that was sent.
fn catch_up(
    out: &Out,
    site: &Site,
    subscription: &Subscription,
    mut last_id: u64,
) -> io::Result<u64> {
    loop {
        let mut events = match site.hub.replay_since(last_id, BURST_BYTES) {
            Replay::Events(events) => events,
            Replay::Lost { last_id: current } => {
                site.health.counters.resyncs.add(1);
                out.send_one(resync(current).number(current).frame())?;
                subscription.has_caught_up(current);
                return Ok(current);
            }
        };
        let Some(newest) = events.last() else {
            subscription.has_caught_up(last_id);
            return Ok(last_id);
        };
        last_id = newest.id();
        let large = events.pop_if(|event| event.frame().len() > LARGE_BYTES);
        out.send(events.iter().map(|event| event.frame()))?;
        drop(events);
        if let Some(event) = large {
            out.send_large(event)?;
        }
        subscription.has_read(last_id);
    }
}

fn resync(current_id: u64) -> Draft {
    let notice = Notice {
        kind: "stream.resync",
        msg: "what came before cannot be replayed; read the backlog again".to_owned(),
        current_id: Some(current_id),
        ..Notice::default()
    };
    Draft::new(None, &Data::Notice(notice))
}

/// Whether the client has closed its side. What it says otherwise has no meaning on a stream and is thrown away, a few
/// blocks at a time.
fn is_gone(socket: &TcpStream) -> io::Result<bool> {
    for _ in 0..READ_BLOCKS {
        match rustix::net::recv(socket, &mut [0; READ_BYTES], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Ok(true),
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Where frames go, in chunks (RFC 9112, 7.1) unless the client is of HTTP/1.0.
struct Out<'a> {
    socket: &'a Arc<TcpStream>,
    is_chunked: bool,
}

impl Out<'_> {
    fn send_one(&self, frame: &[u8]) -> io::Result<()> {
        self.send(iter::once(frame))
    }

    /// Sends frames together, as one chunk.
    fn send<'b>(&self, frames: impl ExactSizeIterator<Item = &'b [u8]> + Clone) -> io::Result<()> {
        let length: usize = frames.clone().map(<[u8]>::len).sum();
        if length == 0 {
            return Ok(());
        }
        let (before, after) = self.chunk(length);
        let mut slices = Vec::with_capacity(frames.len() + 2);
        slices.push(IoSlice::new(before.as_bytes()));
        for frame in frames {
            slices.push(IoSlice::new(frame));
        }
        slices.push(IoSlice::new(after.as_bytes()));
        self.write_all(&mut slices)
    }

    /// Sends one frame in bursts, as long as it is in memory.
    fn send_large(&self, event: Arc<Event>) -> io::Result<()> {
        let length = event.frame().len();
        let (held, _) = (Arc::downgrade(&event), drop(event));
        let (before, after) = self.chunk(length);
        self.write_all(&mut [IoSlice::new(before.as_bytes())])?;
        for start in (0..length).step_by(BURST_BYTES) {
            let event = held.upgrade().ok_or(io::ErrorKind::TimedOut)?;
            let burst = event.frame()[start..length.min(start + BURST_BYTES)].to_vec();
            drop(event);
            self.write_all(&mut [IoSlice::new(&burst)])?;
        }
        self.write_all(&mut [IoSlice::new(after.as_bytes())])
    }

    /// What stands before and after a chunk of this many bytes.
    fn chunk(&self, length: usize) -> (String, &'static str) {
        if self.is_chunked { (format!("{length:x}\r\n"), "\r\n") } else { (String::new(), "") }
    }

    /// With one write, if the socket takes it all.
    fn write_all(&self, slices: &mut [IoSlice]) -> io::Result<()> {
        let (mut socket, mut left) = (&**self.socket, slices);
        // To write nothing would look as if the socket took nothing.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match socket.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::Shutdown;
    use std::thread;

    use super::*;
    use crate::event::MIN_ID;
    use crate::http::courier::tests::{connection, deliver, frames, notice, site};

    fn read_text(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_came_before_a_socket_was_lent_is_not_waited_for() {
        let (site, (socket, _client)) = (site(), connection());
        let loan = site.courier.enrol(&socket, true);
        let last_id = site.hub.last_id();
        site.hub.publish(notice(1));
        loan.lend(last_id);
        assert!(matches!(wait(&socket, &site, &loan, last_id), Ok(Wake::News)));
        assert_eq!(loan.take_back().unwrap().0, MIN_ID - 1);
    }

    #[test]
    fn a_ping_comes_after_what_is_left_of_a_burst() {
        let site = site();
        let (socket, client) = connection();
        let loan = site.courier.enrol(&socket, false);
        deliver(&site.courier, &loan, &[100_000]);
        let (sent_id, rest) = loan.take_back().unwrap();
        assert!(!rest.bytes().is_empty());
        let reader = thread::spawn(move || read_text(client));
        go_on(&Out { socket: &socket, is_chunked: false }, Wake::Idle, &rest).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let frames = String::from_utf8(frames(&site.hub, sent_id - 1)).unwrap();
        let read = reader.join().unwrap();
        let after = read.strip_prefix(&frames).expect("the burst comes whole");
        assert!(after.starts_with("event: ping\n"), "{after:.100}");
    }

    #[test]
    fn a_client_that_has_closed_its_side_is_gone_and_one_that_talks_is_not() {
        let (socket, mut client) = connection();
        assert!(!is_gone(&socket).unwrap());
        client.write_all(&[b'x'; READ_BLOCKS * READ_BYTES + 1]).unwrap();
        assert!(!is_gone(&socket).unwrap());
        drop(client);
        let end = Instant::now() + Duration::from_secs(20);
        while !is_gone(&socket).unwrap_or(true) {
            assert!(Instant::now() < end);
        }
    }
}
