//! The socket that the server listens on.
//!
//! Its queue of pending connections is longer than the standard library's, so that clients that
//! reconnect at the same time need not try again.

use std::net::{SocketAddr, TcpListener};

use crate::error::Error;

/// The most connections that wait to be accepted; a client beyond them tries again after a second.
/// The system lowers it to its own bound (4096 on Linux).
const BACKLOG: i32 = 4096;

/// Listens on an address. Returns it with the port that the system chose if the port is 0.
///
/// # Errors
///
/// The address is in use, or is not one of this machine.
pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let error = |cause| Error::Bind { address, cause };
    let listener = TcpListener::bind(address).map_err(error)?;
    // The standard library asks for 128. Asking again is allowed and only changes the number.
    rustix::net::listen(&listener, BACKLOG).map_err(|cause| error(cause.into()))?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}
