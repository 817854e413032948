//! The address of a Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`.
//!
//! Parsed here since the parser of the `redis` crate brings 300 KB of tables for host names in
//! other scripts, and errors that do not name the value.
//! Invariant: pure; what is printed has no password.

use std::fmt;

/// The port of an address without one.
const PORT: u16 = 6379;

/// See the module.
#[derive(Clone, PartialEq)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// What is expected. The text does not contain the URL, which can contain a password.
    pub(crate) fn parse(url: &str) -> Result<Address, String> {
        const FORM: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB]";
        let expected = |what: &str| format!("expected {what}, as in `{FORM}`");
        if url.starts_with("rediss://") {
            return Err("`rediss://` is not supported; use a tunnel, see the README".to_owned());
        }
        let rest = url.strip_prefix("redis://").ok_or_else(|| expected("`redis://`"))?;
        // A password may contain any character but a slash, the host no `@`.
        let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(login, host)| (Some(login), host));
        let (host, port) = host_and_port(host).ok_or_else(|| expected("a host and a port"))?;
        let db = if db.is_empty() { Some(0) } else { db.parse().ok().filter(|db| *db >= 0) };
        let db = db.ok_or_else(|| expected("the number of a database"))?;
        let (user, password) = login.map_or((None, None), |login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let text = |text: &str| (!text.is_empty()).then(|| decoded(text));
            (text(user), text(password))
        });
        Ok(Address { host: host.to_owned(), port, user, password, db })
    }

    /// Returns whether the address has a password.
    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Sets the password.
    pub(crate) fn with_password(mut self, password: String) -> Address {
        self.password = Some(password);
        self
    }
}

/// Splits a host, of which an IPv6 address is in brackets, from a port.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    let is_host = !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace());
    is_host.then_some((host, port))
}

/// Replaces `%40` by the byte that it stands for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "redis://{open}{}{close}:{}/{}", self.host, self.port, self.db)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, login: (Option<&str>, Option<&str>), shown: &str) {
        let address = Address::parse(url).unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), login, "{url}");
        assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"));
    }

    #[test]
    fn a_url_has_a_host_and_may_have_a_login_a_port_and_a_database() {
        let no_login = (None, None);
        check("redis://h", no_login, "redis://h:6379/0");
        check("redis://h/", no_login, "redis://h:6379/0");
        check("redis://127.0.0.1:1/2", no_login, "redis://127.0.0.1:1/2");
        check("redis://[::1]:7/2", no_login, "redis://[::1]:7/2");
        check("redis://[::1]", no_login, "redis://[::1]:6379/0");
        check("redis://:p@h", (None, Some("p")), "redis://h:6379/0");
        check("redis://u@h", (Some("u"), None), "redis://h:6379/0");
        check("redis://u:a:b@c%40%2f%zz@h", (Some("u"), Some("a:b@c@/%zz")), "redis://h:6379/0");
    }

    #[test]
    fn a_url_that_is_not_one_is_refused_without_being_repeated() {
        for url in [
            "",
            "h",
            "http://h",
            "redis://",
            "redis://:secret@",
            "redis://h:0",
            "redis://h:x",
            "redis://h:65536",
            "redis://h/x",
            "redis://h/-1",
            "redis://a b",
            "redis://[::1]7",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.starts_with("expected ") && !error.contains("secret"), "{url}: {error}");
        }
        assert!(Address::parse("rediss://h").unwrap_err().contains("tunnel"));
    }
}
