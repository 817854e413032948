//! The programs that claude-live is measured against; each is `None` where it is not installed.

mod bare;
mod frontail;
mod nginx;
mod tail;

pub(crate) use bare::Bare;
pub(crate) use frontail::Frontail;
pub(crate) use nginx::{Nchan, StaticNginx};
pub(crate) use tail::TailToSocket;

use std::net::TcpListener;

/// A port of loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("the socket is bound").port()
}
