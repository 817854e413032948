//! The requests that pass, and the security headers of the answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::{Client, Program, Response, command, command_of, prompt, wait_until};
use crate::tools;

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

/// The head of the answer to a request with only these headers.
fn head(program: &Program, target: &str, headers: &str) -> Response {
    let mut client = Client::connect(program.address);
    client.send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"));
    client.head()
}

#[test]
fn hosts_and_origins_of_other_servers_are_refused_everywhere() {
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
fn a_link_on_another_site_opens_the_page_and_nothing_else() {
    let program = Program::start(&[]);
    let own = program.address;
    let link = format!(
        "Host: {own}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
    );
    let page = head(&program, "/", &link);
    assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"));
    for target in TARGETS.into_iter().filter(|target| *target != "/") {
        assert_eq!(head(&program, target, &link).status, 403, "{target}");
    }
    let refused = |headers: String| assert_eq!(head(&program, "/", &headers).status, 403);
    refused(link.replace("document", "iframe"));
    refused(link.replace("navigate", "no-cors"));
    refused(format!("{link}Origin: https://other.example\r\n"));
    let rebound = link.replace(&own.to_string(), "rebound.example");
    assert_eq!(head(&program, "/", &rebound).status, 421);
}

#[test]
fn every_answer_has_the_security_headers_and_no_cors_headers() {
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
    let mut first = Client::connect(program.address);
    wait_until("no other connection is left", || {
        first.ask("GET", "/healthz", &[&format!("Authorization: Bearer {TOKEN}")]);
        first.response(false).json()["counters"]["connections"] == 1
    });
    let mut taken = vec![first];
    taken.extend((1..20).map(|_| Client::connect(program.address)));
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
fn without_the_token_every_request_is_refused() {
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
fn a_token_in_the_address_becomes_a_cookie_and_is_never_printed() {
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
fn a_browser_without_the_token_gets_a_page_that_says_how_to_supply_it() {
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
    assert_eq!(program.get("/static/unauthorized.html").code(), "token_needed");
    assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
}

#[test]
fn a_token_file_must_contain_a_token_and_should_be_private() {
    for (text, message) in
        [("", "is empty"), ("\nsecond line", "is empty"), ("a b", "expected"), ("é", "expected")]
    {
        let (_place, file) = token_file(text, 0o600);
        let output = command()
            .args(["--port=0", "--claude=/nonexistent", "--token-file", &file])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(message) && stderr.contains(&file), "{stderr}");
    }
    for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        let (_place, file) = token_file(TOKEN, mode);
        let stderr = Program::start(&["--token-file", &file]).kill();
        assert_eq!(stderr.contains("other users may read"), warns, "{mode:o}: {stderr}");
        assert!(!stderr.contains(TOKEN));
    }
}

#[test]
fn an_address_that_other_machines_can_reach_requires_a_token() {
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let output = command().args(["--port=0", "--host", host]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for part in [host, "can be reached from other machines", "--token-file", "ssh"] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
    let (_place, file) = token_file("fifteen-letters", 0o600);
    let output =
        command().args(["--port=0", "--host", "0.0.0.0", "--token-file", &file]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("at least 16") && !stderr.contains("fifteen"), "{stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start(&["--host", "0.0.0.0", "--token-file", &file]);
    assert_eq!(program.get("/").status, 401);
    assert_eq!(head(&program, "/", "Host: rebound.example\r\n").status, 421);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(program.request("GET", "/", &[&bearer]).status, 200);
}

#[test]
fn a_link_on_another_site_opens_the_page_once_the_browser_has_the_cookie() {
    let (_place, file) = token_file(TOKEN, 0o600);
    let program = Program::start(&["--token-file", &file]);
    let cookie = format!("Cookie: claude_live_{}={TOKEN}", program.address.port());
    let link = ["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    let open =
        |target: &str, more: &[&str]| program.request("GET", target, &[&link[..], more].concat());
    // A browser keeps the cookie back on the link itself and on its redirect, then reloads.
    let token = open(&format!("/?token={TOKEN}"), &["Sec-Fetch-Site: cross-site"]);
    assert_eq!((token.status, &*token.headers["location"]), (303, "/"));
    let first = open("/", &["Sec-Fetch-Site: cross-site"]);
    assert_eq!((first.status, &*first.headers["refresh"]), (401, "0; url=/"));
    assert_eq!(open("/", &["Sec-Fetch-Site: same-origin", &cookie]).status, 200);
    let unknown = open("/", &["Sec-Fetch-Site: same-origin"]);
    assert_eq!((unknown.status, unknown.headers.get("refresh")), (401, None), "no loop");
}

#[test]
fn sighup_reads_the_token_file_again_and_a_bad_file_changes_nothing() {
    let (place, file) = token_file("the-old-token", 0o600);
    fs::write(place.path().join("history.jsonl"), prompt("old")).unwrap();
    let log_file = place.path().join("log");
    let mut shell = command_of("sh");
    let script = "exec \"$0\" \"$@\" 2>\"$LOG\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_claude-live"), "--port=0"]);
    shell.args(["--token-file", &file, "--claude"]).arg(place.path()).env("LOG", &log_file);
    let program = Program::spawn(shell, place.path());
    let status = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        program.request("GET", "/healthz", &[&bearer]).status
    };
    let log = || fs::read_to_string(&log_file).unwrap();
    // Waits for as many lines that end like this.
    let hang_up = |text: &str, ending: &str, count: usize| {
        fs::write(&file, text).unwrap();
        kill_process(Pid::from_child(&program.child), Signal::HUP).unwrap();
        wait_until(ending, || log().matches(&format!("{ending}\n")).count() == count);
    };
    let mut stream = program.stream("", &["Authorization: Bearer the-old-token"]);
    assert_eq!((stream.head.status, status("a-new-token")), (200, 401));
    for (count, bad) in [(1, ""), (2, "not a token")] {
        hang_up(bad, "; the token did not change", count);
        assert_eq!(status("the-old-token"), 200);
    }
    hang_up("a-new-token\n", " info read the token file again", 1);
    assert_eq!((status("a-new-token"), status("the-old-token")), (200, 401));
    program.append(&prompt("later"));
    assert_eq!(stream.lines(1), [prompt("later").trim_end()], "an open stream goes on");
    assert!(!log().contains("old-token") && !log().contains("new-token"), "{}", log());
}

#[test]
fn without_a_token_file_sighup_ends_the_program_as_usual() {
    // Under nohup, the tests' processes ignore the signal.
    let as_usual = |program: &str| {
        let mut command = command_of("env");
        command.args(["--default-signal=HUP", program, "--port", "0", "--claude"]);
        command
    };
    if !as_usual("true").output().is_ok_and(|tried| tried.status.success()) {
        return tools::skip("env --default-signal");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = as_usual(env!("CARGO_BIN_EXE_claude-live"));
    command.arg(dir.path());
    let mut program = Program::spawn(command, dir.path());
    kill_process(Pid::from_child(&program.child), Signal::HUP).unwrap();
    let mut status = None;
    wait_until("the program has ended", || {
        status = program.child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), Some(Signal::HUP.as_raw()));
}
