//! Many clients on one thread: they count the marks in what they receive and cost as little as they can.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::lines::MARK;
use crate::server::open_stream;

/// How long all of them may take to receive what they wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 256 * 1024;

pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    block: Vec<u8>,
}

struct Member {
    socket: TcpStream,
    marks: usize,
}

impl Crowd {
    /// So many clients of a stream, all of them answered.
    pub(crate) fn connect(address: SocketAddr, target: &str, count: usize) -> Crowd {
        Crowd::of((0..count).map(|_| open_stream(address, target)).collect())
    }

    /// Clients that are connected already.
    pub(crate) fn of(sockets: Vec<std::net::TcpStream>) -> Crowd {
        let poll = Poll::new().expect("the system has an epoll to give");
        let mut members = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true).expect("the socket is open");
            let mut socket = TcpStream::from_std(socket);
            let registry = poll.registry();
            registry.register(&mut socket, Token(index), Interest::READABLE).expect("it is new");
            members.push(Member { socket, marks: 0 });
        }
        let events = Events::with_capacity(members.len());
        Crowd { poll, events, members, block: vec![0; BLOCK_BYTES] }
    }

    /// Reads until every member has got so many marks more.
    pub(crate) fn wait_for(&mut self, marks: usize) {
        let start = Instant::now();
        let mut waiting = self.members.len();
        while waiting > 0 {
            assert!(start.elapsed() < PATIENCE, "{waiting} clients wait in vain");
            self.poll.poll(&mut self.events, Some(PATIENCE)).expect("epoll works");
            for event in &self.events {
                let member = &mut self.members[event.token().0];
                let before = member.marks;
                member.read(&mut self.block);
                waiting -= usize::from(before < marks && member.marks >= marks);
            }
        }
        for member in &mut self.members {
            member.marks -= marks;
        }
    }
}

impl Member {
    fn read(&mut self, block: &mut [u8]) {
        loop {
            match self.socket.read(block) {
                Ok(0) => panic!("the server closed a stream"),
                Ok(count) => {
                    self.marks += memchr::memchr_iter(MARK, &block[..count]).count();
                    // With edges, less than asked for means that there is no more (epoll(7), question 9).
                    if count < block.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
