//! The HTTP side: the accept loop, one thread a connection, and the bounds on both.
//!
//! The loop is ours because a stream holds its connection for hours, for which tiny_http's pool of threads is not made:
//! it starves later clients, stops for good when descriptors run out, and has no time-outs. Its types parse our request heads and
//! print our answers.
//!
//! Invariant: nothing that a client does holds up the accept loop or another client; a panic ends its own connection.

pub(crate) mod answer;
pub(crate) mod assets;
pub(crate) mod backlog;
pub(crate) mod connection;
pub(crate) mod guard;
pub(crate) mod head;
pub(crate) mod route;
pub(crate) mod stream;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::health::{Counter, Health};
use crate::hub::Hub;
use crate::worker::Alarm;
use assets::Assets;
use guard::Guard;

/// Stack of a connection's thread: several times what the deepest call needs; the system gives memory only for what is touched.
const STACK_BYTES: usize = 256 * 1024;

/// Connections beyond the bound that are still told so with a 503; beyond these they are closed without a word.
const TURNED_AWAY: usize = 32;

/// Pause after `accept` or the start of a thread failed, which is when descriptors, memory or threads have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
pub(crate) struct Site {
    max_connections: usize,
    /// Streams that are open now: at most 3/4 of the connections, so that pages still load.
    streams: Counter,
    pub(crate) guard: Guard,
    pub(crate) assets: Assets,
    pub(crate) hub: Arc<Hub>,
    pub(crate) health: Arc<Health>,
}

impl Site {
    pub(crate) fn new(
        max_connections: usize,
        guard: Guard,
        assets: Assets,
        hub: Arc<Hub>,
        health: Arc<Health>,
    ) -> Site {
        Site { max_connections, streams: Counter::default(), guard, assets, hub, health }
    }

    /// A stream's place, or `None` when all are taken.
    pub(crate) fn take_stream_place(&self) -> Option<Place<'_>> {
        let place = Place::take(&self.streams);
        let max_streams = self.max_connections * 3 / 4;
        (place.before < max_streams as u64).then_some(place)
    }
}

/// One of a bounded number, given back on drop, by a panic too.
pub(crate) struct Place<'a> {
    counter: &'a Counter,
    /// How many were taken before this one.
    before: u64,
}

impl<'a> Place<'a> {
    fn take(counter: &'a Counter) -> Place<'a> {
        Place { before: counter.add(1), counter }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.counter.take_one();
    }
}

/// Starts to accept connections, on a thread of its own.
///
/// # Errors
///
/// The system has no thread to give.
pub(crate) fn serve(alarm: Alarm, listener: TcpListener, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    thread::Builder::new().name(alarm.name.to_owned()).spawn(move || {
        let _rings_at_the_end = alarm;
        loop {
            let started = listener.accept().and_then(|(socket, _)| start(socket, &site));
            if started.is_err() {
                thread::sleep(EXHAUSTED_PAUSE);
            }
        }
    })?;
    Ok(())
}

fn start(socket: TcpStream, site: &Arc<Site>) -> io::Result<()> {
    let connections = &site.health.counters.connections;
    if connections.get() >= (site.max_connections + TURNED_AWAY) as u64 {
        site.health.counters.refused_connections.add(1);
        return Ok(());
    }
    let site = Arc::clone(site);
    thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES).spawn(
        move || {
            let place = Place::take(&site.health.counters.connections);
            let has_room = place.before < site.max_connections as u64;
            connection::run(&socket, &site, has_room);
        },
    )?;
    Ok(())
}
