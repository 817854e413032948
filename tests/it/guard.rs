//! Who is let in, and what every answer tells a browser.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::program::{Client, Program, Response, command, prompt};

const TOKEN: &str = "s3cret-Token.1-that-is-long";

const TARGETS: [&str; 5] =
    ["/", "/static/live.js", "/api/claude/live/backlog", "/api/claude/stream", "/healthz"];

fn token_file(text: &str, mode: u32) -> (TempDir, String) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("token");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    (place, file.to_str().unwrap().to_owned())
}

/// The head of the answer to a request with these headers alone.
fn head(program: &Program, target: &str, headers: &str) -> Response {
    let mut client = Client::connect(program.address);
    client.send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"));
    client.head()
}

#[test]
fn names_and_origins_that_are_not_ours_are_refused_everywhere() {
    let program = Program::start(&["--allow-host", "Live.Example"]);
    let own = program.address;
    for target in TARGETS {
        let check = |headers: String, status: u16| {
            assert_eq!(head(&program, target, &headers).status, status, "{target} {headers}");
        };
        check(format!("Host: {own}\r\n"), 200);
        check("Host: LocalHost:1\r\n".to_owned(), 200);
        check("Host: live.example\r\nOrigin: https://live.example\r\n".to_owned(), 200);
        check(format!("Host: {own}\r\nOrigin: http://{own}\r\n"), 200);
        check("Host: rebound.example\r\n".to_owned(), 421);
        check(format!("Host: {own}.rebound.example\r\n"), 421);
        check(format!("Host: {own}\r\nOrigin: http://localhost:3000\r\n"), 403);
        check(format!("Host: {own}\r\nOrigin: null\r\n"), 403);
        check(format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\n"), 403);
    }
}

#[test]
fn every_answer_has_the_security_headers_and_none_for_other_origins() {
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start(&["--token-file", &file, "--max-connections", "20"]);
    let own = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut answers = vec![
        head(&program, "/", "Host: evil.example\r\n"),
        head(&program, "/", "Host: localhost\r\nOrigin: null\r\n"),
        head(&program, "/", "Host: localhost\r\n"),
        head(&program, "/nothing", &own),
        head(&program, "/api/claude/live/backlog?limit=x", &own),
        head(&program, "/", "bad\r\n"),
        head(&program, "/", "never complete"),
        head(&program, "/", &format!("{own}Content-Length: 3\r\n")),
        head(&program, &format!("/{}", "x".repeat(9000)), &own),
        head(&program, &format!("/?token={TOKEN}"), "Host: localhost\r\n"),
    ];
    answers.extend(TARGETS.map(|target| head(&program, target, &own)));
    let mut taken: Vec<_> = (0..20).map(|_| Client::connect(program.address)).collect();
    answers.push(Client::connect(program.address).head());
    taken[0].send(format!("OPTIONS / HTTP/1.1\r\n{own}\r\n"));
    answers.push(taken[0].head());
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(
        statuses,
        [421, 403, 401, 404, 400, 400, 408, 413, 414, 303, 200, 200, 200, 200, 200, 503, 405]
    );
    for answer in answers {
        let header = |name: &str| answer.headers.get(name).map_or("", String::as_str).to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{answer:?}");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert!(header("cache-control").starts_with("no-"), "{answer:?}");
        assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")));
        let is_asset = ["text/html", "text/javascript"]
            .iter()
            .any(|start| header("content-type").starts_with(start));
        assert_eq!(is_asset, answer.headers.contains_key("content-security-policy"), "{answer:?}");
    }
}

#[test]
fn without_the_token_nothing_is_told() {
    let (_place, file) = token_file(&format!("{TOKEN}\n"), 0o600);
    let program = Program::start_with(&prompt("private"), &["--token-file", &file]);
    let check = |target: &str, header: &str, status: u16| {
        let answer = program.request("GET", target, &[header]);
        assert_eq!(answer.status, status, "{target} {header}");
        assert!(!answer.text().contains("private") || status == 200);
        if status == 401 {
            assert_eq!(answer.code(), "token_needed");
            assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    };
    for target in TARGETS.into_iter().chain(["/nothing"]) {
        check(target, "X: y", 401);
        check(target, "Authorization: Bearer s3cret-Token.", 401);
        check(target, "Authorization: Basic czNjcmV0", 401);
        check(target, "Cookie: claude_live_1=s3cret-Token.1-that-is-long", 401);
    }
    check(&format!("/api/claude/live/backlog?token={TOKEN}"), "X: y", 401);
    check("/?token=wrong", "X: y", 401);
    check("/?token=", "X: y", 401);
    check("/api/claude/live/backlog", &format!("Authorization: Bearer {TOKEN}"), 200);
}

#[test]
fn a_token_in_the_address_becomes_a_cookie_and_is_never_shown_again() {
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start_with(&prompt("private"), &["--token-file", &file]);
    let cookie = format!("claude_live_{}={TOKEN}", program.address.port());
    let answer = program.get(&format!("/?token={TOKEN}"));
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/"));
    assert_eq!(answer.body, b"");
    let wanted = format!("{cookie}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000");
    assert_eq!(answer.headers["set-cookie"], wanted);
    for target in ["/", "/api/claude/live/backlog", "/healthz", "/nothing"] {
        let cookies = format!("Cookie: big={}; naïve=é; {cookie}", "x".repeat(8000));
        let answer = program.request("GET", target, &[&cookies]);
        assert_eq!(answer.status, if target == "/nothing" { 404 } else { 200 }, "{target}");
        assert!(!answer.text().contains(TOKEN) && !format!("{:?}", answer.headers).contains(TOKEN));
    }
    assert_eq!(program.stream("", &[&format!("Cookie: {cookie}")]).head.status, 200);
    assert!(!program.kill().contains(TOKEN));
}

#[test]
fn a_browser_without_the_token_is_told_in_words_what_to_do() {
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start(&["--token-file", &file]);
    let answer = program.request("GET", "/", &["Accept: text/html,*/*;q=0.8"]);
    assert_eq!(
        (answer.status, answer.headers["content-type"].as_str()),
        (401, "text/html; charset=utf-8")
    );
    assert!(
        answer.text().contains("?token=TOKEN")
            && answer.headers.contains_key("content-security-policy")
    );
    assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
}

#[test]
fn a_token_file_must_hold_one_and_should_be_private() {
    for (text, message) in
        [("", "is empty"), ("\nsecond line", "is empty"), ("a b", "expected"), ("é", "expected")]
    {
        let (_place, file) = token_file(text, 0o600);
        let output = command()
            .args(["--port=0", "--claude=/nonexistent", "--token-file", &file])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message) && said.contains(&file), "{said}");
    }
    for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        let (_place, file) = token_file(TOKEN, mode);
        let said = Program::start(&["--token-file", &file]).kill();
        assert_eq!(said.contains("others may read"), warns, "{mode:o}: {said}");
        assert!(!said.contains(TOKEN));
    }
}

#[test]
fn an_address_that_others_can_reach_needs_a_token_and_then_asks_for_it() {
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let output = command().args(["--port=0", "--host", host]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for part in [host, "can be reached from other machines", "--token-file", "ssh"] {
            assert!(said.contains(part), "{said}");
        }
    }
    let (_place, file) = token_file("fifteen-letters", 0o600);
    let output =
        command().args(["--port=0", "--host", "0.0.0.0", "--token-file", &file]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("16 at least") && !said.contains("fifteen"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start(&["--host", "0.0.0.0", "--token-file", &file]);
    assert_eq!(program.get("/").status, 401);
    assert_eq!(head(&program, "/", "Host: rebound.example\r\n").status, 421);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(program.request("GET", "/", &[&bearer]).status, 200);
}
