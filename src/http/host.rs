//! Hosts as the `Host` and `Origin` headers and `--allow-host` spell them.
//!
//! Each is parsed once and compared as a value, so that its spelling does not matter: upper case,
//! the dot that ends a full name, the many ways to write an IPv6 address.
//!
//! Invariant: pure. Text with anything beside a host and a port (a user, a path) does not parse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name or an address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Host {
    /// In lower case, without the dot that ends a full name.
    Name(String),
    Ip(IpAddr),
}

/// A host, and the port where one is given (RFC 3986, 3.2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Parses `HOST` or `HOST:PORT`; an IPv6 address needs its brackets before a port alone.
    pub(crate) fn parse(text: &str) -> Option<Authority> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Some(Authority { host: Host::Ip(address.into()), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (text, ""),
        };
        let port = if port.is_empty() { None } else { Some(number(port)?) };
        Some(Authority { host: Host::parse(host)?, port })
    }
}

/// Unlike `str::parse`, without a sign.
fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

impl Host {
    /// Whether it is this machine for every client, whatever the name service answers.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ip(address) => address.is_loopback(),
        }
    }

    fn parse(text: &str) -> Option<Host> {
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Host::Ip(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Host::Ip(address.into()));
        }
        name.split('.').all(is_label).then(|| Host::Name(name.to_ascii_lowercase()))
    }
}

/// Container networks give names with underscores.
fn is_label(label: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: Host, port: Option<u16>) {
        assert_eq!(Authority::parse(text), Some(Authority { host, port }), "{text}");
    }

    fn name(name: &str) -> Host {
        Host::Name(name.to_owned())
    }

    #[test]
    fn every_spelling_of_a_host_is_the_same_value() {
        for spelling in ["live.example", "LIVE.Example", "live.example.", "live.example:"] {
            check(spelling, name("live.example"), None);
        }
        check("Live.Example.:8443", name("live.example"), Some(8443));
        check("my_container-1:80", name("my_container-1"), Some(80));
        for spelling in ["127.0.0.1", "127.0.0.1."] {
            check(spelling, Host::Ip(Ipv4Addr::LOCALHOST.into()), None);
        }
        let address: IpAddr = "fd00::5".parse().unwrap();
        for spelling in ["fd00::5", "FD00:0::5", "[fd00::5]", "[FD00::0:5]"] {
            check(spelling, Host::Ip(address), None);
        }
        check("[FD00::0:5]:65535", Host::Ip(address), Some(65535));
    }

    #[test]
    fn text_that_is_not_a_host_does_not_parse() {
        for text in [
            "",
            ".",
            ":80",
            "a..b",
            "a.b..",
            ".localhost",
            "a b",
            "é.example",
            "*.example",
            "http://a",
            "a/",
            "user@a",
            "a:80:80",
            "a:.",
            "a:+80",
            "a:65536",
            "a:80x",
            "[::1",
            "::1]",
            "[[::1]]",
            "[::1]:.",
            "[::1]x",
            "[127.0.0.1]",
            "127.0.0.1]",
            "fe80::1%eth0",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_localhost_its_subdomains_and_loopback_addresses_are_loopback() {
        let is_loopback = |text: &str| Authority::parse(text).unwrap().host.is_loopback();
        for text in ["localhost", "a.localhost:1", "127.9.9.9", "[::1]:80"] {
            assert!(is_loopback(text), "{text}");
        }
        for text in ["localhost.example", "notlocalhost", "0.0.0.0", "[::]", "10.0.0.1"] {
            assert!(!is_loopback(text), "{text}");
        }
    }
}
