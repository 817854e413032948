//! Who may ask: the checks on `Host`, `Origin` and `Sec-Fetch-Site` that keep other web pages out, and the token.
//!
//! Any page in the user's browser can send requests to loopback, and with DNS rebinding even read the answers under a name of
//! its own. So a request must name a host that is known to be this one, and must not come from a foreign page.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::error::Error;

use super::answer::{Answer, Refusal};
use super::head::Head;

/// Beginning of the name of the cookie that holds the token. Cookies know no ports, so the port is the rest of the
/// name: servers beside each other on one host do not take each other's away.
const COOKIE: &str = "claude_live_";

/// What somebody sees who opens the page without the token.
const UNAUTHORIZED_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
<title>claude-live: token needed</title><h1>This claude-live asks for its token</h1>\
<p>Open this address once with <code>?token=TOKEN</code> behind it. The token is in the file that the server was \
started with (<code>--token-file</code>); a cookie then keeps it in this browser.</p>";

/// Seconds that a browser keeps the token: 30 days, so that it is not asked for at every start.
const COOKIE_SECONDS: u32 = 30 * 24 * 60 * 60;

/// Bytes of a token at most: it must fit into a request head.
const MAX_TOKEN_BYTES: usize = 1024;

/// Bytes that are read of the token's file at most.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// See the module.
pub(crate) struct Guard {
    address: IpAddr,
    cookie: String,
    allow_hosts: Vec<String>,
    token: Option<Token>,
}

impl Guard {
    pub(crate) fn new(address: SocketAddr, allow_hosts: &[String], token: Option<Token>) -> Guard {
        let allow_hosts = allow_hosts.iter().map(|host| normal(host)).collect();
        let cookie = format!("{COOKIE}{}", address.port());
        Guard { address: address.ip(), cookie, allow_hosts, token }
    }

    /// Lets a request pass, or says how it is answered instead.
    pub(crate) fn check(&self, head: &Head) -> Result<(), Answer> {
        self.check_host(head)?;
        self.check_origin(head)?;
        self.check_token(head)
    }

    fn check_host(&self, head: &Head) -> Result<(), Refusal> {
        let host = head.host.as_deref();
        if host.is_none_or(|host| self.is_ours(host)) {
            return Ok(());
        }
        let message = format!(
            "`{}` is not a name of this server; start it with --allow-host to serve under it",
            host.unwrap_or_default()
        );
        Err(Refusal::new(421, "host_not_allowed", message))
    }

    /// A loopback name, the listening address, or an allowed name; a port counts where --allow-host gives one.
    fn is_ours(&self, host: &str) -> bool {
        let host = normal(host);
        let name = without_port(&host);
        if self.is_allowed(&host) {
            return true;
        }
        let is_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if name == "localhost" || (name.ends_with(".localhost") && name.bytes().all(is_label)) {
            return true;
        }
        without_brackets(name).parse::<IpAddr>().is_ok_and(|address| {
            let is_any = self.address.is_unspecified();
            address.is_loopback() || address == self.address || is_any
        })
    }

    fn check_origin(&self, head: &Head) -> Result<(), Refusal> {
        let foreign = |what: &str| {
            Refusal::new(403, "foreign_origin", format!("{what} may not read this server"))
        };
        let is_cross = |site: &str| site.eq_ignore_ascii_case("cross-site");
        if head.headers("Sec-Fetch-Site").any(is_cross) {
            return Err(foreign("a page of another site"));
        }
        match head.headers("Origin").find(|origin| !self.is_same(head, origin)) {
            Some(origin) => Err(foreign(&format!("the origin `{origin}`"))),
            None => Ok(()),
        }
    }

    fn is_same(&self, head: &Head, origin: &str) -> bool {
        let origin = origin.split_once("://").map(|(_, host)| normal(host));
        origin.is_some_and(|origin| {
            head.host.as_ref().is_some_and(|host| normal(host) == origin)
                || self.is_allowed(&origin)
        })
    }

    fn is_allowed(&self, host: &str) -> bool {
        let name = without_port(host);
        self.allow_hosts.iter().any(|allowed| allowed == host || allowed == name)
    }

    fn check_token(&self, head: &Head) -> Result<(), Answer> {
        let Some(token) = &self.token else { return Ok(()) };
        let bearers = head.headers("Authorization").filter_map(bearer);
        let cookies = head.headers("Cookie").flat_map(|header| cookies(header, &self.cookie));
        let is_known = bearers.chain(cookies).any(|given| token.is(given.as_bytes()));
        // A token must not stay in the address bar: it goes into a cookie, and an old one beside a good cookie just goes.
        match head.parameter("token").filter(|_| head.path == "/") {
            Some(given) if is_known || token.is(given.as_bytes()) => Err(self.keep(token)),
            None if is_known => Ok(()),
            _ => Err(unauthorized(head)),
        }
    }

    fn keep(&self, token: &Token) -> Answer {
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_SECONDS}",
            self.cookie, token.0
        );
        Answer::redirect("/", &cookie)
    }
}

/// In JSON, or for a browser that asks for the page in words.
fn unauthorized(head: &Head) -> Answer {
    let refusal = Refusal::new(
        401,
        "token_needed",
        "this server asks for its token: send `Authorization: Bearer TOKEN`, or open /?token=TOKEN once in the browser",
    );
    let asks_for_page = head.headers("Accept").any(|accept| accept.contains("text/html"));
    let answer = Answer::from(refusal);
    if asks_for_page { answer.in_words(UNAUTHORIZED_PAGE) } else { answer }
}

/// One spelling of a host, with its port if it has one: in lower case, without the dot that ends a full name, and an IPv6
/// address as RFC 5952 has it, in brackets.
fn normal(host: &str) -> String {
    let name = without_port(host);
    let port = &host[name.len()..];
    match without_brackets(name).parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]{port}"),
        Err(_) => {
            let whole = name.strip_suffix('.').filter(|name| !name.contains(':'));
            format!("{}{port}", whole.unwrap_or(name).to_ascii_lowercase())
        }
    }
}

fn without_brackets(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

/// The host part of `host:port`, `[v6]:port` or either without a port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            let is_bare_v6 = name.contains(':') && !name.ends_with(']');
            if is_bare_v6 { host } else { name }
        }
        _ => host,
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The values of every cookie of this name: another program on the host may have set one too.
fn cookies<'a>(header: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// The secret that every client must know. It is never printed.
pub(crate) struct Token(String);

impl Token {
    /// The first line of a file. Says on stderr when others may read the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is empty, or holds less than `min_bytes` or what a cookie cannot carry.
    pub(crate) fn read(path: &Path, min_bytes: usize) -> Result<Token, Error> {
        let error = |cause: String| Error::TokenFile { path: path.to_owned(), cause };
        let text = read_start(path).map_err(|cause| error(cause.to_string()))?;
        warn_if_readable_by_others(path);
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() {
            return Err(error("is empty; expected a token in its first line".to_owned()));
        }
        // RFC 6265, 4.1.1, without what a URL would need escaped.
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(is_safe) {
            return Err(error(format!(
                "expected at most {MAX_TOKEN_BYTES} of A-Z a-z 0-9 - . _ ~ + / ="
            )));
        }
        if token.len() < min_bytes {
            return Err(error(format!(
                "a token of {} characters can be guessed; other machines need one of {min_bytes} at least",
                token.len()
            )));
        }
        Ok(Token(token.to_owned()))
    }

    /// Compares in a time that does not tell where the first difference is.
    fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == given.len() && std::hint::black_box(differences) == 0
    }
}

/// As much as a token and what may follow it can need: a file without an end is not read to its end.
fn read_start(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn warn_if_readable_by_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        crate::log::warn(format_args!(
            "others may read the token in `{}`: chmod 600 it",
            path.display()
        ));
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;

    fn guard(address: &str, allow: &[&str], token: Option<&str>) -> Guard {
        let allow: Vec<String> = allow.iter().map(|host| (*host).to_owned()).collect();
        Guard::new(
            SocketAddr::new(address.parse().unwrap(), 8080),
            &allow,
            token.map(|token| Token(token.to_owned())),
        )
    }

    fn answer(guard: &Guard, target: &str, headers: &str) -> String {
        let head = parse(format!("GET {target} HTTP/1.1\r\n{headers}").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        if let Err(answer) = guard.check(&head) {
            answer.write(&mut bytes, &(1, 1).into(), false, false).unwrap();
        }
        String::from_utf8(bytes).unwrap()
    }

    fn status(guard: &Guard, headers: &str) -> String {
        answer(guard, "/", headers).split(' ').nth(1).unwrap_or("200").to_owned()
    }

    #[test]
    fn only_names_of_this_server_are_served() {
        let allow = ["Live.Example", "port.example:8443", "dot.example.", "FD00:0::5"];
        let guard = guard("192.168.1.5", &allow, None);
        for host in [
            "localhost.:8080",
            "live.example.",
            "port.example.:8443",
            "dot.example:1",
            "[fd00::5]",
            "[FD00::0:5]:8080",
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:80",
            "x.localhost:3",
            "192.168.1.5:8080",
            "live.example",
            "LIVE.example:9",
            "port.example:8443",
        ] {
            assert_eq!(status(&guard, &format!("Host: {host}")), "200", "{host}");
        }
        for host in [
            "evil.example",
            "live.example..",
            "[fd00::6]",
            "192.168.1.6",
            "localhost.evil.example",
            "port.example",
            "port.example:1",
            "127.0.0.1.evil.example",
            "",
            ":80",
            "0.0.0.0",
            "[[::1]]",
            "127.0.0.1]",
            "user@localhost",
            "localhost:80:80",
            "localhost:.",
            "[::1]:.",
            "localhost/",
        ] {
            assert_eq!(status(&guard, &format!("Host: {host}")), "421", "{host}");
        }
    }

    #[test]
    fn listening_on_every_address_serves_addresses_but_not_names() {
        let guard = guard("0.0.0.0", &[], None);
        assert_eq!(status(&guard, "Host: 10.1.2.3:8080"), "200");
        assert_eq!(status(&guard, "Host: evil.example"), "421");
    }

    #[test]
    fn foreign_pages_are_refused() {
        let guard = guard("127.0.0.1", &["proxy.example"], None);
        let check = |headers: &str, wanted: &str| {
            assert_eq!(
                status(&guard, &format!("Host: localhost:8080\r\n{headers}")),
                wanted,
                "{headers}"
            );
        };
        check("Origin: http://localhost:8080", "200");
        check("Origin: HTTPS://LOCALHOST:8080", "200");
        check("Origin: https://proxy.example", "200");
        check("Origin: http://localhost.:8080", "200");
        check("Origin: http://localhost:3000", "403");
        check("Origin: null", "403");
        check("Origin: https://evil.example", "403");
        check("Sec-Fetch-Site: cross-site", "403");
        check("Sec-Fetch-Site: same-origin", "200");
        check("Sec-Fetch-Site: none", "200");
    }

    #[test]
    fn a_token_comes_in_a_header_or_a_cookie() {
        let guard = guard("127.0.0.1", &[], Some("s3cret"));
        let check = |headers: &str, wanted: &str| {
            assert_eq!(
                status(&guard, &format!("Host: localhost\r\n{headers}")),
                wanted,
                "{headers}"
            );
        };
        check("Authorization: Bearer s3cret", "200");
        check("Authorization: bearer s3cret", "200");
        check("Cookie: a=b; claude_live_8080=s3cret", "200");
        check("Cookie: claude_live_8080=other; claude_live_8080=s3cret", "200");
        check("Cookie: a=b\r\nCookie: claude_live_8080=s3cret", "200");
        check("X: y", "401");
        check("Cookie: claude_live_8081=s3cret", "401");
        check("Cookie: claude_live_8080x=s3cret", "401");
        check("Authorization: Basic s3cret", "401");
        check("Authorization: Bearer s3cre", "401");
        check("Authorization: Bearer s3crets", "401");
        check("Cookie: claude_live_8080=", "401");
    }

    #[test]
    fn a_token_in_the_address_becomes_a_cookie_and_goes() {
        let guard = guard("127.0.0.1", &[], Some("a+b"));
        let text = answer(&guard, "/?token=a%2Bb", "Host: localhost");
        assert!(text.starts_with("HTTP/1.1 303 "), "{text}");
        assert!(text.contains("\r\nLocation: /\r\n"));
        assert!(text.contains(
            "\r\nSet-Cookie: claude_live_8080=a+b; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000\r\n"
        ));
        let plain = answer(&guard, "/?token=a+b", "Host: localhost");
        assert!(plain.starts_with("HTTP/1.1 303 "), "{plain}");
        let old = answer(&guard, "/?token=x", "Host: localhost\r\nCookie: claude_live_8080=a+b");
        assert!(old.starts_with("HTTP/1.1 303 "), "{old}");
        let wrong = answer(&guard, "/?token=x", "Host: localhost");
        assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
        assert!(wrong.contains("\r\nWWW-Authenticate: Bearer"));
        let elsewhere = answer(&guard, "/healthz?token=a%2Bb", "Host: localhost");
        assert!(elsewhere.starts_with("HTTP/1.1 401 "), "{elsewhere}");
    }
}
