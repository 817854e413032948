//! The least that fan-out can cost: one write of the same bytes to each of as many sockets.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::crowd::Crowd;
use crate::lines::MARKS_PER_EVENT;
use crate::process::own_cpu;

pub(crate) struct Bare {
    sockets: Vec<TcpStream>,
    readers: Crowd,
}

impl Bare {
    pub(crate) fn connect(count: usize) -> Bare {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let mut sockets = Vec::new();
        let readers = Crowd::of((0..count).map(|_| {
            let reader = TcpStream::connect(address).expect("the socket listens");
            let (socket, _) = listener.accept().expect("a reader connects");
            socket.set_nodelay(true).expect("the socket is open");
            sockets.push(socket);
            reader
        }));
        Bare { sockets, readers }
    }

    /// Writes a frame, or a batch of them one by one, to every socket, again when it has arrived;
    /// returns the CPU time of the thread that writes.
    pub(crate) fn publish(&mut self, frame: &[u8], batch: usize, times: usize) -> Duration {
        let (sockets, readers) = (&self.sockets, &mut self.readers);
        let write = || {
            let before = own_cpu();
            for _ in 0..batch {
                for mut socket in sockets {
                    socket.write_all(frame).expect("the reader reads");
                }
            }
            own_cpu() - before
        };
        let publish = |_| {
            std::thread::scope(|scope| {
                let writer = scope.spawn(write);
                readers.wait_for(MARKS_PER_EVENT * batch);
                writer.join().expect("the writer does not panic")
            })
        };
        (0..times).map(publish).sum()
    }
}
