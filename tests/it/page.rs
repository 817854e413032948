use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{Client, Program};
use crate::tools::{find, succeeds};

#[test]
fn the_page_and_its_files_come_out_of_the_binary_with_a_strict_policy() {
    let program = Program::start(&[]);
    let page = program.get("/");
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.text().contains("id=\"claude-live-table\""));
    let policy = &page.headers["content-security-policy"];
    assert!(
        policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for name in [
        "x-content-type-options",
        "referrer-policy",
        "cross-origin-resource-policy",
        "cache-control",
    ] {
        assert!(page.headers.contains_key(name), "{name}");
    }
    for part in page.text().split('"').filter(|part| part.starts_with("/static/")) {
        assert_eq!(program.get(part).status, 200, "{part}");
    }
}

#[test]
fn what_the_first_rows_need_is_named_in_the_head_of_the_page() {
    let program = Program::start(&[]);
    let page = program.request("HEAD", "/", &[]);
    let link = &page.headers["link"];
    let backlog = "</api/claude/live/backlog?limit=200>; rel=preload; as=fetch; crossorigin";
    assert!(link.starts_with(backlog), "{link}");
    for part in link.split('<').skip(1) {
        let target = part.split('>').next().unwrap();
        assert_eq!(program.get(target).status, 200, "{target}");
    }
    let app = program.get("/static/app.js");
    let imports = app.text().lines().filter(|line| line.starts_with("import "));
    let names: Vec<_> = imports.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(names.contains(&"./live.js"), "{names:?}");
    for name in names {
        let link_of = format!("</static/{}>; rel=modulepreload", name.trim_start_matches("./"));
        assert!(link.contains(&link_of), "{name}");
    }
    assert!(!program.get("/static/live.js").headers.contains_key("link"));
}

#[test]
fn a_folder_can_take_the_binarys_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "mine").unwrap();
    fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let program = Program::start(&["--static", folder.path().to_str().unwrap()]);
    let page = program.request("GET", "/", &["Accept-Encoding: deflate"]);
    assert_eq!(page.text(), "mine");
    assert!(!page.headers.contains_key("content-encoding"));
    assert_eq!(program.get("/static/live.js").status, 404);
    assert_eq!(program.get("/static/secret.txt").status, 404);
}

#[test]
fn the_files_are_compressed_for_clients_that_take_deflate() {
    let program = Program::start(&[]);
    for path in ["/", "/static/live.js", "/static/sessions.css", "/static/favicon.svg"] {
        let plain = program.get(path);
        let refused = program.request("GET", path, &["Accept-Encoding: gzip, deflate;q=0"]);
        assert_eq!(plain.body, refused.body, "{path}");
        let taken = ["Accept-Encoding: gzip, deflate, br, zstd"];
        let [deflated, again] = [(), ()].map(|()| program.request("GET", path, &taken));
        let head = program.request("HEAD", path, &taken);
        assert_eq!(inflated(&deflated.body), plain.body, "{path}");
        assert_eq!(again.body, deflated.body, "{path}");
        for answer in [&plain, &refused, &deflated, &head] {
            assert_eq!(answer.headers["vary"], "Accept-Encoding", "{path}");
            assert_eq!(answer.headers["content-type"], plain.headers["content-type"], "{path}");
        }
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        assert!(!refused.headers.contains_key("content-encoding"), "{path}");
        assert_eq!(deflated.headers["content-encoding"], "deflate", "{path}");
        assert_eq!(head.headers["content-encoding"], "deflate", "{path}");
        assert_eq!(head.headers["content-length"], deflated.headers["content-length"], "{path}");
    }
    assert!(program.request("HEAD", "/", &["Accept-Encoding: *"]).headers.contains_key("link"));
    let api = program.request("GET", "/healthz", &["Accept-Encoding: deflate"]);
    assert!(!api.headers.contains_key("content-encoding"));
}

fn inflated(body: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec_zlib(body).unwrap()
}

#[test]
fn curl_reads_the_compressed_files() {
    if find("curl").is_none() {
        return;
    }
    let program = Program::start(&[]);
    let names = ["index.html", "app.js", "live.css", "favicon.svg"];
    for name in names {
        let url = format!("http://{}/static/{name}", program.address);
        let text = succeeds(Command::new("curl").args(["--silent", "--compressed", &url]));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("static").join(name);
        assert_eq!(text, fs::read_to_string(file).unwrap(), "{name}");
    }
}

#[test]
fn clients_that_ask_for_a_file_at_once_all_get_it() {
    let program = Program::start(&[]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(program.address)).collect();
    for client in &mut clients {
        client.ask("GET", "/static/live.js", &["Accept-Encoding: deflate"]);
    }
    let bodies: Vec<_> = clients.iter_mut().map(|client| client.response(false).body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(inflated(&bodies[0]), program.get("/static/live.js").body);
}

#[test]
fn what_is_not_there_or_not_allowed_is_a_json_error() {
    let program = Program::start(&[]);
    let missing = program.get("/nothing");
    assert_eq!((missing.status, missing.code().as_str()), (404, "not_found"));
    let post = program.request("POST", "/", &["Content-Length: 0"]);
    assert_eq!((post.status, post.headers["allow"].as_str()), (405, "GET, HEAD"));
    let mut client = Client::connect(program.address);
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(client.response(false).status, 421);
}

#[test]
fn a_connection_answers_one_request_after_the_other() {
    let program = Program::start(&[]);
    let mut client = Client::connect(program.address);
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50));
    for _ in 0..50 {
        assert_eq!(client.response(false).json()["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_connection_is_closed_when_the_client_asks_for_it() {
    let program = Program::start(&[]);
    let mut client = Client::connect(program.address);
    client.ask("GET", "/healthz", &["Connection: close"]);
    let response = client.response(false);
    assert_eq!((response.status, response.headers["connection"].as_str()), (200, "close"));
    assert!(client.rest().is_empty());
}

#[test]
fn the_last_answer_arrives_whole_though_the_client_has_said_more() {
    let program = Program::start(&[]);
    for _ in 0..10 {
        let mut client = Client::connect(program.address);
        let more = "x".repeat(6000);
        client.send(format!(
            "GET /static/live.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n{more}"
        ));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(client.response(false).text().contains("import"));
    }
}
