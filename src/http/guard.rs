//! Checks of each request: `Host`, `Origin`, `Sec-Fetch-Site` and the token.
//!
//! Any page in the user's browser can send requests to a loopback address. With DNS rebinding it
//! can also read the answers, under a name of its own. A request must therefore name a host that is
//! known to be this server, and must not come from a page of another site.
//!
//! Invariant: another site can open the page by a link, and nothing else.

use std::net::{IpAddr, SocketAddr};

use tiny_http::Method;

use crate::report::log;

use super::answer::{Answer, Refusal};
use super::head::Head;
use super::host::{Authority, Host};
use super::token::Token;

/// Start of the cookie's name; the port is the rest. Cookies are shared by all ports of a host, and
/// the port keeps two servers on one host from overwriting each other's.
const COOKIE: &str = "claude_live_";

/// The body of a 401 for a browser.
const UNAUTHORIZED_PAGE: &str = include_str!("../../static/unauthorized.html");

/// A browser keeps the token for 30 days.
const COOKIE_SECONDS: u32 = 30 * 24 * 60 * 60;

/// See the module.
pub(crate) struct Guard {
    address: IpAddr,
    cookie: String,
    allow_hosts: Vec<Authority>,
    token: Option<Token>,
}

impl Guard {
    /// `address` is the listening address, with the port that was bound.
    pub(crate) fn new(
        address: SocketAddr,
        allow_hosts: &[Authority],
        token: Option<Token>,
    ) -> Guard {
        let cookie = format!("{COOKIE}{}", address.port());
        Guard { address: address.ip(), cookie, allow_hosts: allow_hosts.to_vec(), token }
    }

    /// Reads the token file again and logs the outcome. Keeps the old token if the file is bad.
    pub(crate) fn read_token_again(&self) {
        let Some(token) = &self.token else { return };
        match token.read_again() {
            Ok(()) => log::info("read the token file again"),
            Err(error) => log::warn(format_args!("{error}; the token did not change")),
        }
    }

    /// # Errors
    ///
    /// The answer to a request that may not pass.
    pub(crate) fn check(&self, head: &Head) -> Result<(), Answer> {
        let host = head.host.as_deref().map(|host| self.own_host(host)).transpose()?;
        check_site(head)?;
        self.check_origin(head, host.as_ref())?;
        self.check_token(head)
    }

    fn own_host(&self, text: &str) -> Result<Authority, Refusal> {
        let host = Authority::parse(text).filter(|host| self.is_own(host));
        host.ok_or_else(|| {
            let message =
                format!("`{text}` is not a host of this server; add it with --allow-host");
            Refusal::new(421, "host_not_allowed", message)
        })
    }

    /// A loopback name, the listening address or an allowed host. The port does not matter, unless
    /// --allow-host gives one.
    fn is_own(&self, authority: &Authority) -> bool {
        let is_address = |host: &Host| {
            let is_listening = |address| address == self.address || self.address.is_unspecified();
            matches!(*host, Host::Ip(address) if is_listening(address))
        };
        authority.host.is_loopback() || is_address(&authority.host) || self.is_allowed(authority)
    }

    fn is_allowed(&self, authority: &Authority) -> bool {
        self.allow_hosts.iter().any(|allowed| {
            allowed.host == authority.host
                && (allowed.port.is_none() || allowed.port == authority.port)
        })
    }

    fn check_origin(&self, head: &Head, host: Option<&Authority>) -> Result<(), Refusal> {
        let is_own = |origin: &str| {
            let origin = origin.split_once("://").and_then(|(_, host)| Authority::parse(host));
            origin.is_some_and(|origin| host == Some(&origin) || self.is_allowed(&origin))
        };
        match head.headers("Origin").find(|origin| !is_own(origin)) {
            Some(origin) => Err(foreign(&format!("the origin `{origin}`"))),
            None => Ok(()),
        }
    }

    fn check_token(&self, head: &Head) -> Result<(), Answer> {
        let Some(token) = &self.token else { return Ok(()) };
        let bearers = head.headers("Authorization").filter_map(bearer);
        let cookies = head.headers("Cookie").flat_map(|header| cookies(header, &self.cookie));
        let is_known = bearers.chain(cookies).any(|given| token.matches(given));
        // A token must not stay in the address bar: it moves to the cookie. A wrong one beside a
        // good cookie is removed in the same way.
        match head.parameter("token").filter(|_| head.path == "/") {
            Some(given) if is_known || token.matches(&given) => Err(self.set_cookie(token)),
            None if is_known => Ok(()),
            _ => Err(unauthorized(head)),
        }
    }

    fn set_cookie(&self, token: &Token) -> Answer {
        Answer::redirect("/", &token.set_cookie(&self.cookie, COOKIE_SECONDS))
    }
}

fn check_site(head: &Head) -> Result<(), Refusal> {
    if head.headers("Sec-Fetch-Site").any(is_other_site) && !is_link_to_page(head) {
        return Err(foreign("a page of another site"));
    }
    Ok(())
}

/// Whether a browser opens the page in a tab, rather than in a frame or for a script. No other site
/// can read the answer, and the page itself holds no data.
fn is_link_to_page(head: &Head) -> bool {
    head.method == Method::Get
        && head.path == "/"
        && head.headers("Sec-Fetch-Mode").eq(["navigate"])
        && head.headers("Sec-Fetch-Dest").eq(["document"])
}

fn is_other_site(site: &str) -> bool {
    site.eq_ignore_ascii_case("cross-site")
}

fn foreign(subject: &str) -> Refusal {
    Refusal::new(403, "foreign_origin", format!("{subject} may not read this server"))
}

/// In JSON, or as HTML for a browser that opens a page.
fn unauthorized(head: &Head) -> Answer {
    let refusal = Refusal::new(
        401,
        "token_needed",
        "a token is required; send `Authorization: Bearer TOKEN`, \
         or open /?token=TOKEN once in a browser",
    );
    let answer = Answer::from(refusal);
    if !head.headers("Accept").any(|accept| accept.contains("text/html")) {
        return answer;
    }
    let page = answer.with_html(UNAUTHORIZED_PAGE);
    // A browser that follows a link from another site sends no `SameSite=Strict` cookie, not even
    // one that it has just been given. It does when our own page opens the address.
    let is_link = head.headers("Sec-Fetch-Site").any(is_other_site);
    if is_link { page.with("Refresh", "0; url=/") } else { page }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The values of all cookies of this name: another program on the host may have set one too.
fn cookies<'a>(header: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;

    fn guard(address: &str, allow: &[&str], token: Option<&str>) -> Guard {
        let allow: Vec<_> =
            allow.iter().map(|host| Authority::parse(host).expect("a host")).collect();
        let token = token.map(|token| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), token).unwrap();
            Token::read(file.path(), 1).unwrap()
        });
        Guard::new(SocketAddr::new(address.parse().unwrap(), 8080), &allow, token)
    }

    fn answer(guard: &Guard, target: &str, headers: &str) -> String {
        answer_to(guard, &format!("GET {target} HTTP/1.1\r\n{headers}"))
    }

    /// The answer of a guard that does not let the request pass; otherwise nothing.
    fn answer_to(guard: &Guard, head: &str) -> String {
        let head = parse(head.as_bytes()).unwrap();
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
    fn another_site_may_open_the_page_by_a_link_and_nothing_else() {
        let guard = guard("127.0.0.1", &[], None);
        let check = |line: &str, headers: &str, wanted: &str| {
            let head = format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n{headers}"
            );
            let answer = answer_to(&guard, &head);
            let status = answer.split(' ').nth(1).unwrap_or("200");
            assert_eq!(status, wanted, "{line} {headers}");
        };
        let link = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
        check("GET /", link, "200");
        check("GET /?view=live", link, "200");
        check("HEAD /", link, "403");
        check("POST /", link, "403");
        check("GET /static/live.js", link, "403");
        check("GET /api/claude/live/backlog", link, "403");
        check("GET /api/claude/stream", link, "403");
        check("GET /healthz", link, "403");
        check("GET /", &format!("{link}\r\nOrigin: https://evil.example"), "403");
        check("GET /", &format!("{link}\r\nOrigin: null"), "403");
        check("GET /", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe", "403");
        check("GET /", "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: document", "403");
        check("GET /", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty", "403");
        check("GET /", "Sec-Fetch-Mode: navigate", "403");
        check("GET /", "Sec-Fetch-Dest: document", "403");
        check("GET /", &format!("{link}\r\nSec-Fetch-Dest: iframe"), "403");
    }

    #[test]
    fn a_link_from_another_site_still_needs_the_token() {
        let guard = guard("127.0.0.1", &[], Some("s3cret"));
        let link = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\
                    Sec-Fetch-Dest: document\r\nAccept: text/html";
        let refused = answer(&guard, "/", link);
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        let refresh = "\r\nRefresh: 0; url=/\r\n";
        assert!(refused.contains(refresh), "the next request brings the cookie: {refused}");
        let next = answer(&guard, "/", &link.replace("cross-site", "same-origin"));
        assert!(next.starts_with("HTTP/1.1 401 ") && !next.contains(refresh), "no loop: {next}");
        assert!(answer(&guard, "/?token=s3cret", link).starts_with("HTTP/1.1 303 "));
        assert!(answer(&guard, "/?token=wrong", link).starts_with("HTTP/1.1 401 "));
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
    fn a_token_that_was_read_again_replaces_the_old_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let token = Token::read(file.path(), 1).unwrap();
        let guard = Guard::new(([127, 0, 0, 1], 8080).into(), &[], Some(token));
        let check = |token: &str, wanted: &str| {
            let headers = format!("Host: localhost\r\nAuthorization: Bearer {token}");
            assert_eq!(status(&guard, &headers), wanted, "{token}");
        };
        for (text, known, unknown) in [("new", "new", "old"), ("not valid", "new", "old")] {
            std::fs::write(file.path(), text).unwrap();
            guard.read_token_again();
            check(known, "200");
            check(unknown, "401");
        }
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
        let other_path = answer(&guard, "/healthz?token=a%2Bb", "Host: localhost");
        assert!(other_path.starts_with("HTTP/1.1 401 "), "{other_path}");
    }
}
