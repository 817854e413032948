//! The programs that claude-live is compared with. Those that need installing start only where they
//! are.

mod bare;
mod frontail;
mod nchan;
mod tail;

pub(crate) use bare::Bare;
pub(crate) use frontail::Frontail;
pub(crate) use nchan::Nchan;
pub(crate) use tail::TailToSocket;

use std::net::TcpListener;

/// Returns a port of loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("the socket is bound").port()
}
