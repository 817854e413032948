//! The least that fan-out can cost: one `write` of the same bytes to each of as many sockets.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::crowd::Crowd;
use crate::process::own_thread_cpu;

pub(crate) struct Bare {
    sockets: Vec<TcpStream>,
}

impl Bare {
    /// So many connections: the writing ends, and the reading ends as a crowd.
    pub(crate) fn connect(count: usize) -> (Bare, Crowd) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let mut readers = Vec::new();
        let sockets = (0..count).map(|_| {
            readers.push(TcpStream::connect(address).expect("the socket listens"));
            let socket = listener.accept().expect("one is connecting").0;
            socket.set_nodelay(true).expect("the socket is open");
            socket
        });
        let sockets = sockets.collect();
        (Bare { sockets }, Crowd::of(readers))
    }

    /// Writes the frame so many times to every socket from a thread of its own; returns that thread's CPU time.
    pub(crate) fn publish(&self, frame: &[u8], times: usize, crowd: &mut Crowd) -> Duration {
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let start = own_thread_cpu();
                for _ in 0..times {
                    for mut socket in &self.sockets {
                        socket.write_all(frame).expect("the reader reads");
                    }
                }
                own_thread_cpu() - start
            });
            let marks = memchr::memchr_iter(crate::lines::MARK, frame).count();
            crowd.wait_for(marks * times);
            writer.join().expect("the writer does not panic")
        })
    }
}
