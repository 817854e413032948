//! The server: an accept loop, and a thread for each connection.
//!
//! The loop is our own because a stream keeps its connection for hours. tiny_http's thread pool
//! then starves later clients, stops for good when descriptors run out, and has no timeouts. Its
//! types parse the request heads and print the answers.
//!
//! Invariant: no client can block the accept loop or another client; a panic ends only its own
//! connection.

mod answer;
pub(crate) mod assets;
mod backlog;
mod connection;
mod encoding;
mod frames;
pub(crate) mod guard;
mod head;
pub(crate) mod host;
pub(crate) mod limit;
pub(crate) mod listener;
mod query;
mod route;
mod sessions;
mod stream;
pub(crate) mod token;
mod usage;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::hub::Hub;
use crate::report::health::{Health, Load};
use crate::sources::records::Records;
use crate::sources::usage::Usage;
use crate::worker::Alarm;
use assets::Assets;
use guard::Guard;
use limit::{Limiter, Permit};

/// Stack of a connection's thread, several times as much as the deepest call needs. The system
/// gives memory only to the part that is used.
const STACK_BYTES: usize = 256 * 1024;

/// Pause after `accept` failed because descriptors or memory ran out: 20 attempts a second are no
/// load.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The time that streams have to end in, and between two looks whether they have.
const END_TIME: Duration = Duration::from_secs(2);
const END_STEP: Duration = Duration::from_millis(2);

/// The state that all connections share.
pub(crate) struct Site {
    pub(crate) limiter: Limiter,
    pub(crate) guard: Guard,
    pub(crate) assets: Assets,
    pub(crate) hub: Arc<Hub>,
    pub(crate) records: Arc<Records>,
    /// Absent while transcripts are not followed.
    pub(crate) usage: Option<Arc<Usage>>,
    /// Whether it shows the machines of a fleet, which have the files.
    #[cfg(feature = "fleet")]
    pub(crate) shows_fleet: bool,
    pub(crate) health: Arc<Health>,
}

impl Site {
    /// The numbers that the server and the hub contribute to the reports.
    pub(crate) fn load(&self) -> Load {
        Load {
            connections: self.limiter.connections(),
            subscribers: self.limiter.streams(),
            refused_connections: self.limiter.refused(),
            events_published: self.hub.published(),
            last_event_id: self.hub.last_id(),
        }
    }
}

/// Serves a connection: [`connection::run`], except in tests.
type Run = fn(&TcpStream, &Arc<Site>);

/// Starts to accept connections, on a thread of its own.
///
/// # Errors
///
/// The system cannot start a thread.
pub(crate) fn serve(alarm: Alarm, listener: TcpListener, site: Arc<Site>) -> io::Result<()> {
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

/// Ends every stream with its last chunk, as far as clients take it in time.
pub(crate) fn end_streams(hub: &Hub) {
    hub.close();
    let deadline = Instant::now() + END_TIME;
    while hub.subscribers() > 0 && Instant::now() < deadline {
        thread::sleep(END_STEP);
    }
}

/// Gives a connection a thread, or turns it away.
fn start(socket: TcpStream, site: &Arc<Site>, run: Run) {
    if let Some(permit) = site.limiter.connection() {
        let site = Arc::clone(site);
        on_thread(socket, permit, move |socket| run(socket, &site));
    } else if let Some(permit) = site.limiter.turned_away() {
        on_thread(socket, permit, connection::turn_away);
    } else {
        connection::turn_away_at_once(&socket);
    }
}

fn on_thread(socket: TcpStream, permit: Permit, run: impl FnOnce(&TcpStream) + Send + 'static) {
    let socket = Arc::new(socket);
    let threads_socket = Arc::clone(&socket);
    let thread = move || {
        // Dropped before the socket: a client that sees its connection end finds the permit free.
        let _permit = permit;
        run(&threads_socket);
    };
    let builder = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
    if builder.spawn(thread).is_err() {
        connection::turn_away_at_once(&socket);
    }
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;
    use crate::event::MIN_ID;

    /// A site that follows no file.
    pub(in crate::http) fn site(max_connections: usize) -> Arc<Site> {
        let nowhere = Path::new("/nowhere");
        Arc::new(Site {
            limiter: Limiter::new(max_connections),
            guard: Guard::new((Ipv4Addr::LOCALHOST, 8080).into(), &[], None),
            assets: Assets::new(None).unwrap(),
            hub: Hub::new(MIN_ID),
            records: Arc::new(Records::new(nowhere.join("history"))),
            usage: None,
            #[cfg(feature = "fleet")]
            shows_fleet: false,
            health: Arc::new(Health::new(nowhere, &nowhere.join("history"), Vec::new())),
        })
    }

    /// The bytes that a client reads until its connection ends.
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
    fn a_panic_ends_its_own_connection_and_gives_its_permit_back() {
        let site = site(4);
        for _ in 0..20 {
            assert_eq!(answer(&site, |_, _| panic!("on purpose")), "");
        }
        assert_eq!(site.limiter.connections(), 0);
        assert!(answer(&site, connection::run).starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn a_panic_in_a_stream_gives_its_permit_back_too() {
        let site = site(4);
        for _ in 0..20 {
            answer(&site, |_, site| {
                let _permit = site.limiter.stream().expect("three are free");
                panic!("on purpose");
            });
        }
        assert_eq!(site.limiter.streams(), 0);
    }

    #[test]
    fn a_client_beyond_every_bound_is_still_told_why() {
        let site = site(0);
        let taken: Vec<_> = std::iter::from_fn(|| site.limiter.turned_away()).collect();
        assert!(!taken.is_empty());
        let answer = answer(&site, |_, _| unreachable!("there is no permit"));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 2\r\n"), "{answer}");
        assert!(answer.contains("\"busy\""), "{answer}");
        assert_eq!(site.limiter.refused(), 1);
    }
}
