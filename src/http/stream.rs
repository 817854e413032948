//! The stream: what the hub has after the last id that was sent, again and again, as Server-Sent Events.
//!
//! Joining, resuming and catching up are the same step, so there is no seam between them, and a client that reads slowly
//! is served from the ring at its own pace. Frames that are there together are written together.
//!
//! Invariant: no lock of the hub is held while writing; what a client that stalls can pin is one burst.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tiny_http::HTTPVersion;

use crate::event::{Data, Draft, Notice, print_time};
use crate::hub::{Replay, Subscription};

use super::Site;
use super::answer::stream_head;
use super::head::is_timeout;

/// An idle stream sends a `ping` event this often: proxies keep it open, and the page, which is not shown comments, knows that it lives.
const PING_PERIOD: Duration = Duration::from_secs(15);

/// How often an idle stream looks whether its client is still there: a place is free again before a client that was
/// turned away comes back.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Milliseconds after which `EventSource` connects again.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Bytes of frames that are written at once; a larger frame is written alone, from where it lies.
pub(crate) const BURST_BYTES: usize = 64 * 1024;

/// Serves a stream until its client is gone.
///
/// # Errors
///
/// The client is gone or does not read.
pub(crate) fn run(
    socket: &TcpStream,
    site: &Site,
    since: Option<u64>,
    version: &HTTPVersion,
    closes: bool,
) -> io::Result<()> {
    let mut out = Out { socket, is_chunked: *version >= (1, 1), buffer: Vec::new() };
    let ended = stream(&mut out, site, since, stream_head(version, closes));
    if ended.as_ref().is_err_and(is_timeout) {
        site.health.counters.dropped_streams.add(1);
    }
    ended
}

fn stream(out: &mut Out, site: &Site, since: Option<u64>, head: Vec<u8>) -> io::Result<()> {
    let subscription = site.hub.subscribe();
    let mut last_id = since.unwrap_or_else(|| site.hub.last_id());
    out.write_all(&head)?;
    drop(head);
    out.add(RETRY)?;
    loop {
        last_id = catch_up(out, site, last_id)?;
        out.flush()?;
        match wait(out.socket, &subscription)? {
            Wake::News => {}
            Wake::Idle => out.add(ping().as_bytes())?,
            Wake::Gone => return Ok(()),
        }
    }
}

/// Why a stream goes on.
enum Wake {
    News,
    Idle,
    Gone,
}

fn wait(socket: &TcpStream, subscription: &Subscription) -> io::Result<Wake> {
    let idle_at = Instant::now() + PING_PERIOD;
    loop {
        let look_at = idle_at.min(Instant::now() + LOOK_PERIOD);
        let has_news = subscription.news.recv_deadline(look_at).is_ok();
        if is_gone(socket)? {
            return Ok(Wake::Gone);
        }
        if has_news {
            return Ok(Wake::News);
        }
        if Instant::now() >= idle_at {
            return Ok(Wake::Idle);
        }
    }
}

fn ping() -> String {
    format!("event: ping\ndata: {{\"ts\":\"{}\"}}\n\n", print_time(Timestamp::now()))
}

/// Adds all that came after an id. Returns the last id that was added.
fn catch_up(out: &mut Out, site: &Site, mut last_id: u64) -> io::Result<u64> {
    loop {
        let events = match site.hub.replay_since(last_id, BURST_BYTES) {
            Replay::Events(events) => events,
            Replay::Lost { last_id: current } => {
                site.health.counters.resyncs.add(1);
                out.add(resync(current).number(current).frame())?;
                return Ok(current);
            }
        };
        let Some(newest) = events.last() else { return Ok(last_id) };
        last_id = newest.id();
        for event in &events {
            out.add(event.frame())?;
        }
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

/// Whether the client has closed its side. What it says otherwise has no meaning on a stream and stays unread.
fn is_gone(socket: &TcpStream) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    let seen = socket.peek(&mut [0]);
    socket.set_nonblocking(false)?;
    match seen {
        Ok(count) => Ok(count == 0),
        Err(error) if is_timeout(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Frames on their way out, in chunks (RFC 9112, 7.1) unless the client is of HTTP/1.0.
struct Out<'a> {
    socket: &'a TcpStream,
    is_chunked: bool,
    /// Frames not yet written; empty and without memory while the stream is idle.
    buffer: Vec<u8>,
}

impl Out<'_> {
    fn add(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.buffer.len() + frame.len() > BURST_BYTES {
            self.flush()?;
        }
        if frame.len() > BURST_BYTES {
            return self.write_chunk(frame);
        }
        self.buffer.extend_from_slice(frame);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frames = std::mem::take(&mut self.buffer);
        if frames.is_empty() { Ok(()) } else { self.write_chunk(&frames) }
    }

    fn write_chunk(&self, frames: &[u8]) -> io::Result<()> {
        if !self.is_chunked {
            return self.write_all(frames);
        }
        let size = format!("{:x}\r\n", frames.len());
        if frames.len() > BURST_BYTES {
            self.write_all(size.as_bytes())?;
            self.write_all(frames)?;
            return self.write_all(b"\r\n");
        }
        self.write_all(&[size.as_bytes(), frames, b"\r\n"].concat())
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut socket = self.socket;
        socket.write_all(bytes)
    }
}
