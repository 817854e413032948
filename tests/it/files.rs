//! Which files the program opens, as the system saw it: strace over a run with everything in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::program::{Program, command, command_of, prompt, wait_until};
use crate::tools::has;

/// The lines that name a path, with the path.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace.lines().filter_map(|line| Some((line, line.split('"').nth(1)?)))
}

fn traced(dir: &Path, trace: &Path) -> Program {
    let mut strace = command_of("strace");
    // As a grandchild, so that the program is our own child and can be killed as ever.
    strace.args([
        "--daemonize=grandchild",
        "--follow-forks",
        "--trace=%file,ftruncate,fchmod,fchown",
    ]);
    strace.arg("--output").arg(trace).arg(command().get_program());
    // `sessions::` has the same for transcripts.
    let args = ["--port", "0", "--no-transcripts", "--watch", "notes.txt", "--claude"];
    strace.args(args).arg(dir);
    Program::spawn(strace, dir)
}

#[test]
fn only_the_known_files_are_opened_and_those_to_read() {
    if !has("strace") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (place.path().join(".claude"), place.path().join("elsewhere"));
    for folder in [&dir, &elsewhere, &dir.join("projects/p")] {
        fs::create_dir_all(folder).unwrap();
    }
    for secret in ["settings.json", ".credentials.json", "projects/p/s.jsonl", "history.jsonl.lock"]
    {
        fs::write(dir.join(secret), "secret").unwrap();
    }
    fs::write(elsewhere.join("real.jsonl"), prompt("through a link")).unwrap();
    symlink(elsewhere.join("real.jsonl"), dir.join("history.jsonl")).unwrap();
    symlink(elsewhere.join("stats"), dir.join("stats-cache.json")).unwrap();
    let trace = place.path().join("trace");
    let program = traced(&dir, &trace);
    use_everything(&program, &elsewhere);
    drop(program);
    // Whichever thread it is of: what is killed opens nothing more.
    let is_complete = || fs::read_to_string(&trace).unwrap().contains("+++ killed by SIGKILL");
    wait_until("strace has written the end", is_complete);
    check(&fs::read_to_string(&trace).unwrap(), &dir, &elsewhere);
}

/// Appends, replaces, watches, and asks for what must not be given.
fn use_everything(program: &Program, elsewhere: &Path) {
    assert_eq!(program.backlog_lines(), [prompt("through a link").trim_end()]);
    let mut stream = program.stream("", &[]);
    program.append(&prompt("appended"));
    assert_eq!(stream.lines(1), [prompt("appended").trim_end()]);
    fs::write(elsewhere.join("stats"), "{}").unwrap();
    assert_eq!(stream.event().event, "file.changed");
    fs::write(program.dir().join("notes.txt"), "x").unwrap();
    assert_eq!(stream.event().event, "file.changed");
    fs::remove_file(program.history()).unwrap();
    fs::write(program.history(), prompt("another")).unwrap();
    assert_eq!(stream.event().event, "server.notice");
    assert_eq!(stream.lines(1), [prompt("another").trim_end()]);
    for target in [
        "/settings.json",
        "/../.credentials.json",
        "/static/../../x",
        "/static/%2e%2e/x",
        "//etc/passwd",
        "/etc/passwd",
    ] {
        assert_eq!(program.get(target).status, 404, "{target}");
    }
    for target in ["/", "/static/live.js", "/healthz", "/api/claude/live/backlog"] {
        assert_eq!(program.get(target).status, 200, "{target}");
    }
}

fn check(trace: &str, dir: &Path, elsewhere: &Path) {
    let history = dir.join("history.jsonl");
    let watched = ["stats-cache.json", "notes.txt"].map(|name| dir.join(name));
    let (mut opened, mut read, mut looked_at) = (0, 0, Vec::new());
    for (line, path) in calls(trace) {
        let call = line.split_once(' ').unwrap().1.trim_start().split('(').next().unwrap();
        let is_inside = Path::new(path).starts_with(dir) || Path::new(path).starts_with(elsewhere);
        match call {
            "execve" | "readlink" | "readlinkat" | "access" => assert!(!is_inside, "{line}"),
            "stat" | "lstat" | "statx" | "newfstatat" => looked_at.push(path),
            "open" | "openat" => {
                assert!(line.contains("O_RDONLY"), "{line}");
                for flag in ["O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR"] {
                    assert!(!line.contains(flag), "{line}");
                }
                let is_watched = watched.iter().any(|watched| watched == Path::new(path));
                assert!(!is_inside || is_watched || Path::new(path) == history, "{line}");
                opened += u32::from(is_inside && !is_watched);
                read += u32::from(is_watched);
            }
            other => panic!("`{other}` is no call to look at files with: {line}"),
        }
    }
    assert!(opened >= 2, "the link's target and the file that replaced the link");
    assert_eq!(read, 2, "each watched file once, after its change");
    let known = ["history.jsonl", "stats-cache.json", "state/component-registry.json", "notes.txt"];
    for path in looked_at.into_iter().map(Path::new).filter(|path| path.starts_with(dir)) {
        assert!(known.iter().any(|known| path == dir.join(known)), "{}", path.display());
    }
}
