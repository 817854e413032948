use crate::program::{Client, Program};

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
    for imported in program.get("/static/live.js").text().split("from \"./").skip(1) {
        let name = imported.split('"').next().unwrap();
        assert!(link.contains(&format!("</static/{name}>; rel=modulepreload")), "{name}");
    }
    assert!(!program.get("/static/live.js").headers.contains_key("link"));
}

#[test]
fn a_folder_can_take_the_binarys_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "mine").unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let program = Program::start(&["--static", folder.path().to_str().unwrap()]);
    assert_eq!(program.get("/").text(), "mine");
    assert_eq!(program.get("/static/live.js").status, 404);
    assert_eq!(program.get("/static/secret.txt").status, 404);
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
