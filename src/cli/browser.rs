//! Opens the page in the default browser.
//!
//! Invariant: starts no shell, and passes no token: all users of the machine can read the arguments
//! of a process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;

use crate::report::log;

/// The system's command that opens addresses.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens the page of a server that listens on the address. Does not wait; logs the outcome.
pub(crate) fn open(address: SocketAddr) {
    let page = page(address);
    let thread = thread::Builder::new().name("open".to_owned()).spawn(move || {
        let mut command = Command::new(OPENER);
        command.arg(&page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => log::info(format_args!("opened {page}")),
            Ok(status) => log::warn(format_args!("cannot open {page}: `{OPENER}`: {status}")),
            Err(error) => log::warn(format_args!("cannot open {page}: `{OPENER}`: {error}")),
        }
    });
    if let Err(error) = thread {
        log::warn(format_args!("cannot open the page: cannot start a thread: {error}"));
    }
}

/// A client cannot connect to an unspecified address, only to one of the machine's own.
fn page(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_an_unspecified_address_is_opened_on_loopback() {
        let page = |address: &str| page(address.parse().unwrap());
        assert_eq!(page("127.0.0.1:80"), "http://127.0.0.1:80/");
        assert_eq!(page("0.0.0.0:8080"), "http://127.0.0.1:8080/");
        assert_eq!(page("[::]:8080"), "http://[::1]:8080/");
    }
}
