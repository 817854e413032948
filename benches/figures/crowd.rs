//! Many clients on one thread, which count the marks that they receive.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::lines::MARK;
use crate::server::open_stream;

/// The longest that all of them may take to receive the marks.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    buffer: Vec<u8>,
}

struct Member {
    socket: TcpStream,
    marks: usize,
}

impl Crowd {
    /// Opens so many streams.
    pub(crate) fn connect(address: SocketAddr, target: &str, count: usize) -> Crowd {
        Crowd::of((0..count).map(|_| open_stream(address, target)))
    }

    pub(crate) fn of(sockets: impl Iterator<Item = std::net::TcpStream>) -> Crowd {
        let poll = Poll::new().expect("the system has a selector");
        let mut members = Vec::new();
        for (index, socket) in sockets.enumerate() {
            socket.set_nonblocking(true).expect("the socket is open");
            let mut socket = TcpStream::from_std(socket);
            let registry = poll.registry();
            registry.register(&mut socket, Token(index), Interest::READABLE).expect("it is new");
            members.push(Member { socket, marks: 0 });
        }
        let events = Events::with_capacity(members.len());
        Crowd { poll, events, members, buffer: vec![0; 256 * 1024] }
    }

    /// Reads until every member has received so many more marks.
    pub(crate) fn wait_for(&mut self, marks: usize) {
        let start = Instant::now();
        let mut waiting = self.members.len();
        while waiting > 0 {
            assert!(start.elapsed() < PATIENCE, "{waiting} clients wait in vain");
            self.poll.poll(&mut self.events, Some(PATIENCE)).expect("the selector works");
            for event in &self.events {
                let member = &mut self.members[event.token().0];
                let before = member.marks;
                member.read(&mut self.buffer);
                waiting -= usize::from(before < marks && member.marks >= marks);
            }
        }
        for member in &mut self.members {
            member.marks -= marks;
        }
    }
}

impl Member {
    fn read(&mut self, buffer: &mut [u8]) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("the server closed a stream"),
                Ok(count) => self.marks += memchr::memchr_iter(MARK, &buffer[..count]).count(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
