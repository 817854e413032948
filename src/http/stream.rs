//! A stream: sends the hub's events after a position as Server-Sent Events until the client or the
//! program ends it.
//!
//! Frames that are ready together are written together, from where they are in memory.
//!
//! Invariant: the hub's locks are not held while writing; a client that stalls holds one burst and
//! one frame at most.

use std::io::{self, IoSlice, Write};
use std::iter;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tiny_http::HTTPVersion;

use crate::event::Event;
use crate::hub::{Filter, Replay, Subscription};
use crate::wake::Wake;

use super::Site;
use super::frames;
use super::head::is_timeout;

/// The time between `ping` events of an idle stream: proxies keep it open, and the page knows that
/// it lives.
const PING_PERIOD: Duration = Duration::from_secs(15);

/// The time between two looks at an idle client: its permit is free again before a client that was
/// turned away comes back.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Bytes of frames that are written at once, give or take one frame.
const BURST_BYTES: usize = 64 * 1024;

/// A larger frame is looked up again for each burst of it instead of being held: a client that
/// stalls must not keep in memory what the ring has evicted. Its stream ends then, and a resync
/// follows when it comes back.
const LARGE_BYTES: usize = 1024 * 1024;

/// Bytes that are read at a time from a client, and how often.
const READ_BLOCKS: usize = 16;
const READ_BYTES: usize = 256;

/// The events that a client wants.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Those after this id; absent: those from now on.
    pub(crate) since: Option<u64>,
    pub(crate) filter: Filter,
}

/// Serves a stream until its client is gone, or has taken nothing for the socket's write timeout:
/// twice that if a part of the last burst still fitted into the system's buffers.
///
/// # Errors
///
/// The client is gone or does not read.
pub(crate) fn run(
    socket: &TcpStream,
    site: &Site,
    wanted: Wanted,
    version: &HTTPVersion,
    closes: bool,
) -> io::Result<()> {
    let out = Out { socket, is_chunked: *version >= (1, 1) };
    let ended = serve(&out, site, wanted, &frames::head(version, closes));
    if ended.as_ref().is_err_and(is_timeout) {
        site.health.counters.dropped_streams.add(1);
    }
    ended
}

fn serve(out: &Out, site: &Site, wanted: Wanted, head: &str) -> io::Result<()> {
    // Before the head: a client that has read it misses nothing from then on.
    let mut subscription = site.hub.subscribe(wanted.since, wanted.filter);
    out.write_all(&mut [IoSlice::new(head.as_bytes())])?;
    let id = wanted.since.is_none().then_some(subscription.position());
    out.send_one(frames::opening(id).as_bytes())?;
    let mut due = Due::new();
    loop {
        if catch_up(out, site, &mut subscription)? {
            due.put_off_ping();
        }
        match wait(out.socket, &subscription, &mut due)? {
            Next::Read => {}
            Next::Ping => {
                out.send_one(frames::ping().as_bytes())?;
                due.put_off_ping();
            }
            Next::EndStream => return out.end(),
            Next::Leave => return Ok(()),
        }
    }
}

/// Sends everything after the subscription's position. Returns whether there was anything.
fn catch_up(out: &Out, site: &Site, subscription: &mut Subscription) -> io::Result<bool> {
    let mut has_sent = false;
    loop {
        match subscription.read(BURST_BYTES) {
            Replay::Events(events) if events.is_empty() => return Ok(has_sent),
            Replay::Events(events) => out.send_events(events)?,
            Replay::Lost { id } => {
                site.health.counters.resyncs.add(1);
                out.send_one(frames::resync(id).frame())?;
            }
        }
        has_sent = true;
    }
}

/// When a stream sends a ping and looks for its client. Events that it does not send put off
/// neither.
struct Due {
    ping_at: Instant,
    look_at: Instant,
}

impl Due {
    fn new() -> Due {
        let now = Instant::now();
        Due { ping_at: now + PING_PERIOD, look_at: now + LOOK_PERIOD }
    }

    fn put_off_ping(&mut self) {
        self.ping_at = Instant::now() + PING_PERIOD;
    }
}

/// The next action of a stream after a wait.
enum Next {
    Read,
    Ping,
    /// The program ends.
    EndStream,
    /// The client is gone.
    Leave,
}

fn wait(socket: &TcpStream, subscription: &Subscription, due: &mut Due) -> io::Result<Next> {
    loop {
        let wake = subscription.wait(due.ping_at.min(due.look_at));
        if let Wake::Closed = wake {
            return Ok(Next::EndStream);
        }
        let now = Instant::now();
        if now >= due.look_at {
            due.look_at = now + LOOK_PERIOD;
            if is_gone(socket)? {
                return Ok(Next::Leave);
            }
        }
        if now >= due.ping_at {
            return Ok(Next::Ping);
        }
        if let Wake::Notified = wake {
            return Ok(Next::Read);
        }
    }
}

/// Whether the client has closed its side. Anything it sends has no meaning on a stream and is
/// discarded.
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

/// The client's side: frames in chunks (RFC 9112, 7.1), or bare for HTTP/1.0.
struct Out<'a> {
    socket: &'a TcpStream,
    is_chunked: bool,
}

impl Out<'_> {
    fn send_events(&self, mut events: Vec<Arc<Event>>) -> io::Result<()> {
        let large = events.pop_if(|event| event.frame().len() > LARGE_BYTES);
        self.send(events.iter().map(|event| event.frame()))?;
        drop(events);
        large.map_or(Ok(()), |event| self.send_large(event))
    }

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
        let held = Arc::downgrade(&event);
        drop(event);
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

    fn chunk(&self, length: usize) -> (String, &'static str) {
        if self.is_chunked { frames::chunk(length) } else { (String::new(), "") }
    }

    /// Ends the stream so that the client can tell the end from a broken connection.
    fn end(&self) -> io::Result<()> {
        let end = if self.is_chunked { frames::LAST_CHUNK } else { b"" };
        self.write_all(&mut [IoSlice::new(end)])
    }

    /// Writes with one call if the socket takes everything.
    fn write_all(&self, slices: &mut [IoSlice]) -> io::Result<()> {
        let (mut socket, mut left) = (self.socket, slices);
        // Empty slices at the front would make a write return 0, as a closed socket does.
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
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

    use super::*;
    use crate::event::{Data, Draft, MIN_ID, Notice};
    use crate::http::tests::site;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn notice(bytes: usize) -> Draft {
        let msg = "x".repeat(bytes);
        Draft::new(None, &Data::Notice(Notice { kind: "test", msg, ..Notice::default() }))
    }

    /// Both ends of a connection whose buffers are small.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        set_socket_recv_buffer_size(&client, 4096).unwrap();
        set_socket_send_buffer_size(&socket, 4096).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (socket, client)
    }

    fn read_text(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_client_that_has_closed_its_side_is_gone_and_one_that_talks_is_not() {
        let (socket, mut client) = connection();
        assert!(!is_gone(&socket).unwrap());
        client.write_all(&[b'x'; READ_BLOCKS * READ_BYTES + 1]).unwrap();
        assert!(!is_gone(&socket).unwrap());
        drop(client);
        let end = Instant::now() + PATIENCE;
        while !is_gone(&socket).unwrap_or(true) {
            assert!(Instant::now() < end);
        }
    }

    #[test]
    fn a_stream_ends_with_its_last_chunk_when_the_hub_is_closed() {
        for (version, end) in [((1, 1), "\r\n0\r\n\r\n"), ((1, 0), "retry: 2000\n\n")] {
            let (site, (socket, client)) = (site(64), connection());
            let wanted = Wanted { since: Some(MIN_ID - 1), ..Wanted::default() };
            thread::scope(|scope| {
                let version = HTTPVersion(version.0, version.1);
                let site = &site;
                scope.spawn(move || run(&socket, site, wanted, &version, false).unwrap());
                let end_of_wait = Instant::now() + PATIENCE;
                while site.hub.subscribers() == 0 {
                    assert!(Instant::now() < end_of_wait);
                }
                site.hub.close();
                let text = read_text(client);
                assert!(text.ends_with(end), "{text}");
            });
        }
    }

    #[test]
    fn a_frame_that_is_evicted_while_it_is_written_ends_the_stream() {
        let (socket, mut client) = connection();
        let event = Arc::new(notice(4 * LARGE_BYTES).number(MIN_ID));
        let (length, sent) = (event.frame().len(), Arc::clone(&event));
        let writer = thread::spawn(move || {
            let out = Out { socket: &socket, is_chunked: false };
            out.send_events(vec![sent]).unwrap_err().kind()
        });
        client.read_exact(&mut [0; 1000]).unwrap();
        drop(event);
        assert!(read_text(client).len() < length - 1000);
        assert_eq!(writer.join().unwrap(), io::ErrorKind::TimedOut);
    }

    /// Reads the ids up to the last one, in pieces with pauses between them.
    fn read_ids(mut client: TcpStream, last_id: u64, pause: Duration) -> Vec<u64> {
        let last_line = format!("\nid: {last_id}\n");
        let mut text = Vec::new();
        let mut piece = [0; 3000];
        let mut searched = 0;
        while memchr::memmem::find(&text[searched..], last_line.as_bytes()).is_none() {
            searched = text.len().saturating_sub(last_line.len());
            let count = client.read(&mut piece).expect("the last event comes");
            assert!(count > 0, "the stream has ended");
            text.extend_from_slice(&piece[..count]);
            thread::sleep(pause);
        }
        let text = String::from_utf8(text).unwrap();
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn streams_that_read_fast_and_slowly_get_every_event_once() {
        const EVENTS: u64 = 900;
        let site = site(64);
        let last_id = MIN_ID - 1 + EVENTS;
        thread::scope(|scope| {
            let mut readers = Vec::new();
            for number in 0..24 {
                let (socket, client) = connection();
                let (site, version) = (&site, HTTPVersion(1, u8::from(number % 4 != 0)));
                // It ends when its client has everything and goes.
                let wanted = Wanted { since: Some(MIN_ID - 1), ..Wanted::default() };
                scope.spawn(move || run(&socket, site, wanted, &version, false));
                let pause = Duration::from_micros(number % 3 * 200);
                readers.push(scope.spawn(move || read_ids(client, last_id, pause)));
            }
            for number in 0..EVENTS {
                site.hub.publish(notice(number as usize % 7 * 100));
                // Some events come alone and some in bursts.
                if number % 16 < 8 {
                    thread::sleep(Duration::from_micros(number % 5 * 100));
                }
            }
            for reader in readers {
                assert_eq!(reader.join().unwrap(), (MIN_ID..=last_id).collect::<Vec<_>>());
            }
        });
    }
}
