//! The HTTP side: the accept loop, one thread a connection, the courier that serves streams at rest, and the bounds on all of it.
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
mod courier;
pub(crate) mod guard;
pub(crate) mod head;
mod limit;
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
use courier::Courier;
use guard::Guard;
use limit::Places;

/// Stack of a connection's thread: several times what the deepest call needs; the system gives memory only for what is touched.
const STACK_BYTES: usize = 256 * 1024;

/// Pause after `accept` failed, which is when descriptors or memory have run out: 20 attempts a second are no load.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
pub(crate) struct Site {
    places: Places,
    /// Clients that are being told that there is no room.
    turned_away: Counter,
    pub(crate) guard: Guard,
    pub(crate) assets: Assets,
    pub(crate) hub: Arc<Hub>,
    pub(crate) courier: Arc<Courier>,
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
        let places = limit::affordable(max_connections);
        let courier = Arc::new(Courier::new(Arc::clone(&hub)));
        let turned_away = Counter::default();
        Site { places, turned_away, guard, assets, hub, courier, health }
    }

    /// A stream's place, or `None` when all are taken: 3/4 of the connections, so that pages still load.
    pub(crate) fn take_stream_place(self: &Arc<Site>) -> Option<Place> {
        let place = Place::take(self, |site| &site.health.counters.streams);
        let max_streams = self.places.connections * 3 / 4;
        (place.before < max_streams as u64).then_some(place)
    }
}

/// One of a bounded number, given back on drop, by a panic too.
pub(crate) struct Place {
    site: Arc<Site>,
    counter: fn(&Site) -> &Counter,
    /// How many were taken before this one.
    before: u64,
}

impl Place {
    fn take(site: &Arc<Site>, counter: fn(&Site) -> &Counter) -> Place {
        Place { before: counter(site).add(1), site: Arc::clone(site), counter }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.counter)(&self.site).take_one();
    }
}

/// What is done with a connection, which is [`connection::run`] but in tests.
type Run = fn(&Arc<TcpStream>, &Arc<Site>);

/// Starts to accept connections, on a thread of its own, and the courier on another.
///
/// # Errors
///
/// The system has no thread to give.
pub(crate) fn serve(
    alarm: impl Fn(&'static str) -> Alarm,
    listener: TcpListener,
    site: Site,
) -> io::Result<()> {
    site.courier.start(alarm("courier"))?;
    let (alarm, site) = (alarm("accept"), Arc::new(site));
    thread::Builder::new().name(alarm.name.to_owned()).spawn(move || {
        let _rings_at_the_end = alarm;
        loop {
            match listener.accept() {
                Ok((socket, _)) => start(socket, &site, connection::run),
                Err(_) => thread::sleep(EXHAUSTED_PAUSE),
            }
        }
    })?;
    Ok(())
}

/// Gives a connection its thread, or turns it away.
fn start(socket: TcpStream, site: &Arc<Site>, run: Run) {
    let place = Place::take(site, |site| &site.health.counters.connections);
    if place.before < site.places.connections as u64 {
        let site = Arc::clone(site);
        return on_thread(socket, place, move |socket| run(socket, &site));
    }
    drop(place);
    site.health.counters.refused_connections.add(1);
    let place = Place::take(site, |site| &site.turned_away);
    if place.before < site.places.turned_away as u64 {
        on_thread(socket, place, |socket| connection::turn_away(socket));
    } else {
        connection::turn_away_at_once(&socket);
    }
}

fn on_thread(socket: TcpStream, place: Place, run: impl FnOnce(&Arc<TcpStream>) + Send + 'static) {
    let socket = Arc::new(socket);
    let threads_socket = Arc::clone(&socket);
    let thread = move || {
        // Given back before the socket is closed: who sees the connection's end finds the place free.
        let _place = place;
        run(&threads_socket);
    };
    let builder = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
    if builder.spawn(thread).is_err() {
        connection::turn_away_at_once(&socket);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;

    fn site(max_connections: usize) -> Arc<Site> {
        let guard = Guard::new((Ipv4Addr::LOCALHOST, 8080).into(), &[], None);
        let health = Health::new(Path::new("/nowhere"), Path::new("/nowhere/history"), Vec::new());
        let assets = Assets::new(None).unwrap();
        Arc::new(Site::new(max_connections, guard, assets, Hub::new(0), Arc::new(health)))
    }

    /// What a client reads until its connection ends.
    fn answer(site: &Arc<Site>, run: Run) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        client.write_all(request).unwrap();
        start(listener.accept().unwrap().0, site, run);
        let mut answer = Vec::new();
        match client.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_panic_ends_its_own_connection_and_gives_its_place_back() {
        let site = site(4);
        for _ in 0..20 {
            assert_eq!(answer(&site, |_, _| panic!("on purpose")), "");
        }
        assert_eq!(site.health.counters.connections.get(), 0);
        assert!(answer(&site, connection::run).starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn a_panic_in_a_stream_gives_its_place_back_too() {
        let site = site(4);
        for _ in 0..20 {
            answer(&site, |_, site| {
                let _place = site.take_stream_place().expect("three are free");
                panic!("on purpose");
            });
        }
        assert_eq!(site.health.counters.streams.get(), 0);
    }

    #[test]
    fn beyond_every_bound_a_client_is_still_told_why() {
        let site = site(0);
        let places = site.places.turned_away;
        let taken: Vec<_> =
            (0..places).map(|_| Place::take(&site, |site| &site.turned_away)).collect();
        let told = answer(&site, |_, _| unreachable!("there is no room"));
        assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
        assert!(told.contains("\r\nRetry-After: 2\r\n") && told.contains("\"busy\""), "{told}");
        drop(taken);
        assert_eq!(site.health.counters.refused_connections.get(), 1);
    }
}
