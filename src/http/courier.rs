//! The courier: one thread that sends what is new to all streams that have nothing else to do.
//!
//! To wake a thread for each stream costs several times what the write costs that it then makes. So a stream that has caught up
//! lends its socket to the courier, which writes to one after the other without waiting for any. It gives a socket back with
//! the first thing that takes time: the socket does not take all, or has failed, or there is a lot to be sent.
//!
//! A stream lends its socket first and then looks whether something came meanwhile, and the courier looks for events first and
//! then for sockets: what is published after a stream has looked finds its socket lent.
//!
//! Invariant: a socket is written to by whoever has it, under its lock; the courier never waits for a client.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::net::SendFlags;

use crate::event::Event;
use crate::hub::{Hub, Replay, Subscription};
use crate::worker::Alarm;

use super::stream::BURST_BYTES;

/// Bytes of a burst beyond which each stream sends it itself: for a client that stalls in the middle it is held in memory.
const MAX_BURST_BYTES: usize = 2 * BURST_BYTES;

/// Bursts after which the streams send the rest themselves: a lot is sent sooner by many threads.
const MAX_BURSTS: usize = 4;

/// How long the courier sleeps when nobody wakes it.
const NAP: Duration = Duration::from_secs(3600);

/// See the module.
pub(crate) struct Courier {
    hub: Arc<Hub>,
    loans: Mutex<Vec<Weak<Loan>>>,
}

/// A stream's socket, lent or not.
pub(crate) struct Loan {
    socket: Arc<TcpStream>,
    is_chunked: bool,
    state: Mutex<State>,
    is_back: Condvar,
}

struct State {
    is_lent: bool,
    /// The last id that was sent, but for the rest.
    last_id: u64,
    sent_at: Instant,
    /// What the socket did not take of the last burst.
    rest: Rest,
    /// What went wrong with the socket.
    error: Option<io::Error>,
}

/// The part of a burst that is still to be sent.
#[derive(Default)]
pub(crate) struct Rest {
    bytes: Arc<Vec<u8>>,
    span: Range<usize>,
}

impl Rest {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.span.clone()]
    }
}

impl Courier {
    pub(crate) fn new(hub: Arc<Hub>) -> Courier {
        Courier { hub, loans: Mutex::default() }
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub(crate) fn start(self: &Arc<Courier>, alarm: Alarm) -> io::Result<()> {
        let courier = Arc::clone(self);
        let first_id = self.hub.last_id();
        let name = alarm.name.to_owned();
        thread::Builder::new().name(name).stack_size(super::STACK_BYTES).spawn(move || {
            let _rings_at_the_end = alarm;
            let subscription = courier.hub.subscribe();
            let mut last_id = first_id;
            loop {
                last_id = courier.deliver(&subscription, last_id);
                subscription.wait(Instant::now() + NAP);
            }
        })?;
        Ok(())
    }

    /// A place for a stream's socket, which is not lent yet.
    pub(crate) fn enrol(&self, socket: &Arc<TcpStream>, is_chunked: bool) -> Arc<Loan> {
        let state = State {
            is_lent: false,
            last_id: 0,
            sent_at: Instant::now(),
            rest: Rest::default(),
            error: None,
        };
        let loan = Arc::new(Loan {
            socket: Arc::clone(socket),
            is_chunked,
            state: Mutex::new(state),
            is_back: Condvar::new(),
        });
        let mut loans = self.loans.lock();
        loans.retain(|loan| loan.strong_count() > 0);
        loans.push(Arc::downgrade(&loan));
        loan
    }

    /// Sends what came after an id, or leaves it to the streams. Returns the id from which to go on.
    fn deliver(&self, subscription: &Subscription, mut last_id: u64) -> u64 {
        for _ in 0..MAX_BURSTS {
            let newest_id = self.hub.last_id();
            if !self.has_loans() {
                subscription.is_not_waited_for();
                return newest_id;
            }
            match self.hub.replay_since(last_id, BURST_BYTES) {
                Replay::Events(events) if events.is_empty() => {
                    subscription.has_caught_up(last_id);
                    return last_id;
                }
                Replay::Events(events) => last_id = self.send(&events, last_id),
                Replay::Lost { .. } => break,
            }
            subscription.has_read(last_id);
        }
        let newest_id = self.hub.last_id();
        self.give_all_back();
        subscription.is_not_waited_for();
        newest_id
    }

    /// Sends what follows an id. Returns the id of the last one.
    fn send(&self, events: &[Arc<Event>], before_id: u64) -> u64 {
        let last_id = events.last().map_or(before_id, |newest| newest.id());
        match Burst::of(events) {
            Some(burst) => {
                for loan in self.lent() {
                    loan.send(&burst, before_id, last_id);
                }
            }
            None => self.give_all_back(),
        }
        last_id
    }

    fn give_all_back(&self) {
        for loan in self.lent() {
            loan.give_back(&mut loan.state.lock());
        }
    }

    fn has_loans(&self) -> bool {
        self.loans.lock().iter().filter_map(Weak::upgrade).any(|loan| loan.state.lock().is_lent)
    }

    /// What is lent now: so that nobody who comes or goes waits while it is written to.
    fn lent(&self) -> Vec<Arc<Loan>> {
        let loans = self.loans.lock();
        let is_lent = |loan: &Arc<Loan>| loan.state.lock().is_lent;
        loans.iter().filter_map(Weak::upgrade).filter(is_lent).collect()
    }
}

impl Loan {
    /// Lends the socket, to which everything up to this id was sent.
    pub(crate) fn lend(&self, last_id: u64) {
        let mut state = self.state.lock();
        (state.is_lent, state.last_id, state.sent_at) = (true, last_id, Instant::now());
    }

    /// Waits until the socket is back. Returns whether it is.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.is_lent {
            if self.is_back.wait_until(&mut state, deadline).timed_out() {
                return !state.is_lent;
            }
        }
        true
    }

    /// When it was lent, or something was sent after that.
    pub(crate) fn sent_at(&self) -> Instant {
        self.state.lock().sent_at
    }

    /// Takes the socket back, if it is not back already. Returns the last id that was sent, once what is left of it is sent too.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub(crate) fn take_back(&self) -> io::Result<(u64, Rest)> {
        let mut state = self.state.lock();
        state.is_lent = false;
        match state.error.take() {
            None => Ok((state.last_id, std::mem::take(&mut state.rest))),
            Some(error) => Err(error),
        }
    }

    fn give_back(&self, state: &mut State) {
        state.is_lent = false;
        self.is_back.notify_one();
    }

    fn send(&self, burst: &Burst, before_id: u64, last_id: u64) {
        let mut state = self.state.lock();
        if !state.is_lent || state.last_id >= last_id {
            return;
        }
        if state.last_id != before_id {
            // It has a part of the burst already, and sends the others itself.
            return self.give_back(&mut state);
        }
        let span = burst.span(self.is_chunked);
        match send_now(&self.socket, &burst.bytes[span.clone()]) {
            Ok(0) => self.give_back(&mut state),
            Ok(count) => {
                (state.last_id, state.sent_at) = (last_id, Instant::now());
                if count < span.len() {
                    let span = span.start + count..span.end;
                    state.rest = Rest { bytes: Arc::clone(&burst.bytes), span };
                    self.give_back(&mut state);
                }
            }
            Err(error) => {
                state.error = Some(error);
                self.give_back(&mut state);
            }
        }
    }
}

/// What the socket takes at once.
fn send_now(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::DONTWAIT).map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            done => return done,
        }
    }
}

/// Frames that are sent together, as one chunk.
struct Burst {
    bytes: Arc<Vec<u8>>,
    frames: Range<usize>,
}

impl Burst {
    /// Nothing if they are too many bytes to be held for a client that stalls.
    fn of(events: &[Arc<Event>]) -> Option<Burst> {
        let length: usize = events.iter().map(|event| event.frame().len()).sum();
        if length > MAX_BURST_BYTES {
            return None;
        }
        let mut bytes = format!("{length:x}\r\n").into_bytes();
        let frames = bytes.len()..bytes.len() + length;
        bytes.reserve_exact(length + 2);
        events.iter().for_each(|event| bytes.extend_from_slice(event.frame()));
        bytes.extend_from_slice(b"\r\n");
        Some(Burst { bytes: Arc::new(bytes), frames })
    }

    /// All of it, or the frames alone for a client that knows no chunks.
    fn span(&self, is_chunked: bool) -> Range<usize> {
        if is_chunked { 0..self.bytes.len() } else { self.frames.clone() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::Path;

    use crossbeam_channel::bounded;
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    use tiny_http::HTTPVersion;

    use super::*;
    use crate::event::{Data, Draft, MIN_ID, Notice};
    use crate::health::Health;
    use crate::http::Site;
    use crate::http::assets::Assets;
    use crate::http::guard::Guard;
    use crate::http::stream;

    const PATIENCE: Duration = Duration::from_secs(20);

    pub(in crate::http) fn notice(bytes: usize) -> Draft {
        let msg = "x".repeat(bytes);
        Draft::new(None, &Data::Notice(Notice { kind: "test", msg, ..Notice::default() }))
    }

    /// Both ends of a connection that holds little.
    pub(in crate::http) fn connection() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        set_socket_recv_buffer_size(&client, 4096).unwrap();
        set_socket_send_buffer_size(&socket, 4096).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (Arc::new(socket), client)
    }

    fn courier() -> Courier {
        Courier::new(Hub::new(MIN_ID))
    }

    /// Lends a socket to which everything was sent, publishes and lets the courier go round once.
    pub(in crate::http) fn deliver(courier: &Courier, loan: &Loan, sizes: &[usize]) {
        let last_id = courier.hub.last_id();
        loan.lend(last_id);
        sizes.iter().for_each(|bytes| _ = courier.hub.publish(notice(*bytes)));
        let sent_id = courier.deliver(&courier.hub.subscribe(), last_id);
        assert_eq!(sent_id, courier.hub.last_id());
    }

    fn is_back(loan: &Loan) -> bool {
        loan.wait(Instant::now())
    }

    pub(in crate::http) fn frames(hub: &Hub, since: u64) -> Vec<u8> {
        let Replay::Events(events) = hub.replay_since(since, usize::MAX) else { panic!("lost") };
        events.iter().flat_map(|event| event.frame().to_vec()).collect()
    }

    #[test]
    fn what_is_new_is_sent_as_one_chunk_or_bare_and_the_socket_stays_lent() {
        for is_chunked in [true, false] {
            let courier = courier();
            let (socket, mut client) = connection();
            let loan = courier.enrol(&socket, is_chunked);
            deliver(&courier, &loan, &[1, 2]);
            assert!(!is_back(&loan));
            let frames = frames(&courier.hub, MIN_ID - 1);
            let chunk = [format!("{:x}\r\n", frames.len()).as_bytes(), &frames, b"\r\n"].concat();
            let wanted = if is_chunked { chunk } else { frames };
            let mut read = vec![0; wanted.len()];
            client.read_exact(&mut read).unwrap();
            assert_eq!(read, wanted);
            let (last_id, rest) = loan.take_back().unwrap();
            assert_eq!((last_id, rest.bytes()), (courier.hub.last_id(), &b""[..]));
        }
    }

    #[test]
    fn what_a_socket_does_not_take_comes_back_with_it() {
        let courier = courier();
        let (socket, mut client) = connection();
        let loan = courier.enrol(&socket, false);
        deliver(&courier, &loan, &[100_000]);
        assert!(is_back(&loan));
        let (last_id, rest) = loan.take_back().unwrap();
        assert_eq!(last_id, courier.hub.last_id());
        assert!(!rest.bytes().is_empty());
        let frames = frames(&courier.hub, MIN_ID - 1);
        let mut taken = vec![0; frames.len() - rest.bytes().len()];
        client.read_exact(&mut taken).unwrap();
        assert_eq!([&taken, rest.bytes()].concat(), frames);
        // Nothing of it is sent again, and a full socket comes back as it is.
        while send_now(&socket, &[b'x'; 4096]).unwrap() > 0 {}
        deliver(&courier, &loan, &[1]);
        let (last_id, rest) = loan.take_back().unwrap();
        assert_eq!((last_id, rest.bytes()), (courier.hub.last_id() - 1, &b""[..]));
    }

    #[test]
    fn a_socket_that_has_failed_comes_back_with_its_error() {
        let courier = courier();
        let (socket, client) = connection();
        drop(client);
        let loan = courier.enrol(&socket, true);
        // The first write is what makes the other side say that it is gone.
        let end = Instant::now() + PATIENCE;
        deliver(&courier, &loan, &[1]);
        while !is_back(&loan) {
            assert!(Instant::now() < end, "writes go nowhere and do not fail");
            deliver(&courier, &loan, &[1]);
        }
        assert!(loan.take_back().is_err());
    }

    #[test]
    fn more_than_a_burst_is_left_to_the_stream() {
        let courier = courier();
        let loan = courier.enrol(&connection().0, true);
        deliver(&courier, &loan, &[MAX_BURST_BYTES]);
        assert_eq!(loan.take_back().unwrap().0, MIN_ID - 1);
    }

    #[test]
    fn a_lot_at_once_is_left_to_the_streams_too() {
        let courier = courier();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Arc::new(listener.accept().unwrap().0);
        let loan = courier.enrol(&socket, true);
        // Each is most of a burst, so that two of them are sent together.
        let events = 2 * MAX_BURSTS;
        deliver(&courier, &loan, &vec![BURST_BYTES - 1000; events + 1]);
        assert!(is_back(&loan));
        assert_eq!(loan.take_back().unwrap().0, MIN_ID - 1 + events as u64);
        assert!(!courier.hub.is_far_ahead());
        deliver(&courier, &loan, &[1]);
        assert!(!is_back(&loan), "the next one alone is sent again");
    }

    #[test]
    fn what_a_stream_has_sent_itself_is_not_sent_again() {
        let courier = courier();
        let (socket, client) = connection();
        let loan = courier.enrol(&socket, true);
        (0..2).for_each(|_| _ = courier.hub.publish(notice(1)));
        for (sent_id, comes_back) in [(MIN_ID, true), (MIN_ID + 1, false)] {
            loan.lend(sent_id);
            courier.deliver(&courier.hub.subscribe(), MIN_ID - 1);
            assert_eq!(is_back(&loan), comes_back);
            assert_eq!(loan.take_back().unwrap().0, sent_id);
        }
        client.set_nonblocking(true).unwrap();
        let read = (&client).read(&mut [0; 1]).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::WouldBlock, "nothing was sent");
    }

    #[test]
    fn who_is_gone_is_forgotten_and_nobody_is_waited_for_then() {
        let courier = courier();
        for _ in 0..3 {
            drop(courier.enrol(&connection().0, true));
        }
        let subscription = courier.hub.subscribe();
        subscription.has_caught_up(MIN_ID);
        (0..600).for_each(|_| _ = courier.hub.publish(notice(1)));
        assert!(courier.hub.is_far_ahead());
        assert_eq!(courier.deliver(&subscription, MIN_ID - 1), courier.hub.last_id());
        assert!(!courier.hub.is_far_ahead());
        let _last = courier.enrol(&connection().0, true);
        assert_eq!(courier.loans.lock().len(), 1);
    }

    pub(in crate::http) fn site() -> Arc<Site> {
        let guard = Guard::new((Ipv4Addr::LOCALHOST, 8080).into(), &[], None);
        let health = Health::new(Path::new("/nowhere"), Path::new("/nowhere/history"), Vec::new());
        let assets = Assets::new(None).unwrap();
        Arc::new(Site::new(64, guard, assets, Hub::new(MIN_ID), Arc::new(health)))
    }

    /// The ids that come up to the last one, read in pieces with pauses between them.
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
        let (site, (alarm, _rung)) = (site(), bounded(1));
        site.courier.start(Alarm { name: "courier", sender: alarm }).unwrap();
        let last_id = MIN_ID - 1 + EVENTS;
        thread::scope(|scope| {
            let mut readers = Vec::new();
            for number in 0..24 {
                let (socket, client) = connection();
                let (site, version) = (&site, HTTPVersion(1, u8::from(number % 4 != 0)));
                // It ends when its client has everything and goes.
                scope.spawn(move || stream::run(&socket, site, Some(MIN_ID - 1), &version, false));
                let pause = Duration::from_micros(number % 3 * 200);
                readers.push(scope.spawn(move || read_ids(client, last_id, pause)));
            }
            for number in 0..EVENTS {
                site.hub.publish(notice(number as usize % 7 * 100));
                // So that some come alone and some in bursts.
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
