//! The sources keep the rules of DESIGN and STYLE that a program can check: which room of `src` may
//! use which, and how many seeds a fuzz target has.
//!
//! Known weakness: reads lines, not syntax trees; relies on the layout that `cargo fmt --check`
//! ensures.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The rooms of `src`, and the rooms that each may use (DESIGN, *Architecture*). `main` may use all
/// of them.
const ROOMS: [(&str, &[&str]); 15] = [
    // It parses `--allow-host`, what `usage` is asked for, and what a fleet is called.
    (
        "cli",
        &[
            "report::log",
            "error",
            "http::host",
            "usage::query",
            "event",
            "fleet::address",
            "fleet::is_name",
        ],
    ),
    ("demo", &["report::log", "error"]),
    ("sources", &["follow", "formats", "sessions", "usage", "hub", "event", "report", "fleet"]),
    ("fleet", &["hub", "event", "report", "wake", "worker", "error"]),
    (
        "http",
        &[
            "hub",
            "event",
            "report",
            "sources::records",
            "sources::usage",
            "usage::query",
            "wake",
            "worker",
            "error",
        ],
    ),
    ("sessions", &["formats"]),
    ("usage", &["formats"]),
    ("formats", &["event"]),
    ("hub", &["event", "wake"]),
    ("report", &["event"]),
    ("event", &[]),
    ("follow", &[]),
    ("worker", &["wake"]),
    ("wake", &[]),
    ("error", &[]),
];

/// The most seeds that a fuzz target has.
const MAX_SEEDS: usize = 20;

/// The width of a line (STYLE, *Words*).
const MAX_COLUMNS: usize = 100;
const TAB_COLUMNS: usize = 4;

/// Returns path and text of every file below a folder with one of these extensions, except what was
/// fetched or built.
fn sources(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "node_modules" && name != "target" {
                found.extend(sources(&path, extensions));
            }
        } else if name.rsplit_once('.').is_some_and(|(_, ending)| extensions.contains(&ending)) {
            found.push((path, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found
}

/// Returns for each line whether it belongs to an item under `#[cfg(test)]`.
fn test_lines(text: &str) -> Vec<bool> {
    let lines: Vec<_> = text.lines().collect();
    let mut is_test = vec![false; lines.len()];
    for start in 0..lines.len() {
        if !is_test[start] && lines[start].trim_start().starts_with("#[cfg(test)]") {
            is_test[start..=item_end(&lines, start)].fill(true);
        }
    }
    is_test
}

/// Returns the last line of the item that begins with this line, an attribute.
fn item_end(lines: &[&str], start: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_attribute = |at: &usize| lines[*at].trim_start().starts_with("#[");
    let Some(first) = (start..lines.len()).find(|at| !is_attribute(at)) else { return start };
    if lines[first].ends_with([';', '}']) {
        return first;
    }
    let ends = |at: &usize| {
        lines[*at].trim_start().starts_with('}') && indent(lines[*at]) == indent(lines[start])
    };
    (first..lines.len()).find(ends).unwrap_or(lines.len() - 1)
}

/// Returns the files that are declared, by `mod NAME;`, under `#[cfg(test)]`.
fn test_files(sources: &[(String, String)]) -> HashSet<String> {
    let mut files = HashSet::new();
    for (path, text) in sources {
        let folder = path.trim_end_matches(".rs").trim_end_matches("/main");
        for (line, _) in text.lines().zip(test_lines(text)).filter(|(_, is_test)| *is_test) {
            let name = line.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            files.extend(name.map(|name| format!("{folder}/{name}.rs")));
        }
    }
    files
}

/// Returns the rooms that a line of code names, as `ROOM::NAME`, in a file whose module is this
/// many steps below `crate`.
fn rooms_used(line: &str, depth: usize) -> Vec<String> {
    let supers = "super::".repeat(depth);
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut rooms = Vec::new();
    for prefix in ["crate::", &supers] {
        for (at, _) in line.match_indices(prefix).filter(|_| !prefix.is_empty()) {
            // `super::super::` holds `super::`, at its start and behind it.
            let (before, after) = (&line[..at], &line[at + prefix.len()..]);
            if !before.ends_with(is_word) && !before.ends_with("::") && !after.starts_with("super")
            {
                let path = after.split(|letter| !is_word(letter) && letter != ':').next().unwrap();
                rooms.push(path.splitn(3, "::").take(2).collect::<Vec<_>>().join("::"));
            }
        }
    }
    rooms
}

/// Returns what a file of `src` uses against the rule of direction, each with file and line.
fn offences(path: &str, text: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let room = inside.split('/').next().unwrap();
    if room == "main" {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}: `{room}` is not a room of DESIGN")];
    };
    let may_use = |used: &String| {
        let mut rooms = allowed.iter().chain([&room]);
        rooms.any(|room| used == room || used.starts_with(&format!("{room}::")))
    };
    let mut offences = Vec::new();
    for (number, (line, is_test)) in text.lines().zip(test_lines(text)).enumerate() {
        if is_test || line.trim_start().starts_with("//") {
            continue;
        }
        let used = rooms_used(line, inside.split('/').count());
        for used in used.iter().filter(|used| !may_use(used)) {
            offences.push(format!("{path}:{}: `{room}` may not use `{used}`", number + 1));
        }
    }
    offences
}

#[test]
fn a_use_against_the_rule_of_direction_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, wanted: &[&str]) {
        assert_eq!(offences(path, text), wanted, "{text}");
    }
    check("src/http/a.rs", "use crate::hub::{Hub, Replay};\nuse super::answer::Answer;", &[]);
    check("src/http/a.rs", "use crate::sources::records::read;", &[]);
    let upward = "src/http/a.rs:2: `http` may not use `sources::history`";
    check("src/http/a.rs", "\nuse crate::sources::history::{self, History};", &[upward]);
    check("src/http/a.rs", "\n    super::super::sources::history::run()", &[upward]);
    check("src/http/a.rs", "use crate::http::b;\nuse super::super::http::b;", &[]);
    check("src/hub.rs", "x = super::http::y;", &["src/hub.rs:1: `hub` may not use `http::y`"]);
    check("src/hub.rs", "use crate::{event, http};", &["src/hub.rs:1: `hub` may not use ``"]);
    check("src/hub.rs", "/// See crate::http.\n//! crate::http", &[]);
    check("src/main.rs", "use crate::usage::Usage;", &[]);
    check("src/utils/a.rs", "", &["src/utils/a.rs: `utils` is not a room of DESIGN"]);
    let after_tests = "\
        #[cfg(test)]\n#[allow(x)]\nmod tests {\n    use crate::http::a;\n    }\n}\n\
        #[cfg(test)]\nuse crate::http;\nfn f() { crate::http::g() }";
    check("src/hub.rs", after_tests, &["src/hub.rs:9: `hub` may not use `http::g`"]);
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_known() {
    let declared = "mod a;\n#[cfg(test)]\nmod tests;\n".to_owned();
    let files = test_files(&[("src/hub.rs".to_owned(), declared.clone())]);
    assert_eq!(files, HashSet::from(["src/hub/tests.rs".to_owned()]));
    let files = test_files(&[("src/main.rs".to_owned(), declared)]);
    assert_eq!(files, HashSet::from(["src/tests.rs".to_owned()]));
}

#[test]
fn rooms_use_each_other_in_one_direction() {
    let mut sources = sources("src", &["rs"]);
    let test_files = test_files(&sources);
    assert!(sources.len() > 20 && !test_files.is_empty(), "{sources:?}");
    sources.retain(|(path, _)| !test_files.contains(path));
    let offences: Vec<_> = sources.iter().flat_map(|(path, text)| offences(path, text)).collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn a_fuzz_target_has_few_seeds_with_names_that_say_something() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for target in fs::read_dir(corpus).unwrap() {
        let target = target.unwrap().path();
        let entries = fs::read_dir(&target).unwrap();
        let names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!((1..=MAX_SEEDS).contains(&names.len()), "{target:?}: {} seeds", names.len());
        for name in names {
            let is_hash = name.len() >= 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(!is_hash, "{target:?}: name `{name}` for what it is a seed of");
        }
    }
}

/// Returns the numbers of the lines that are too wide, except those of tests that are mostly one
/// literal.
fn wide_lines(path: &str, text: &str, is_test_file: bool) -> Vec<usize> {
    let is_test_file = is_test_file || path.starts_with("tests/");
    let (mut wide, mut is_continued) = (Vec::new(), false);
    for (at, (line, is_test)) in text.lines().zip(test_lines(text)).enumerate() {
        let columns = line.chars().map(|letter| if letter == '\t' { TAB_COLUMNS } else { 1 });
        let is_exempt = (is_test_file || is_test) && is_mostly_literal(line, is_continued);
        if columns.sum::<usize>() > MAX_COLUMNS && !is_exempt {
            wide.push(at + 1);
        }
        is_continued = line.ends_with('\\');
    }
    wide
}

/// Returns whether more than half of a line is string literals. The line can begin in a literal
/// that a `\` at the end of the line before continues.
fn is_mostly_literal(line: &str, is_continued: bool) -> bool {
    // Of a raw literal, in which quotes do not end it.
    if let (Some(start), Some(end)) = (line.find("r#"), line.rfind("\"#")) {
        return end > start && end - start > line.trim().len() / 2;
    }
    let mut start = is_continued.then_some(('"', 0));
    let (mut literal, mut is_escaped) = (0, false);
    for (at, letter) in line.char_indices() {
        match start {
            Some((quote, from)) if letter == quote && !is_escaped => {
                literal += at - from;
                start = None;
            }
            None if ['"', '`', '\''].contains(&letter) => start = Some((letter, at)),
            _ => {}
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    if let Some((_, from)) = start
        && line.ends_with('\\')
    {
        literal += line.len() - from;
    }
    literal > line.trim().len() / 2
}

#[test]
fn a_wide_line_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, wanted: &[usize]) {
        assert_eq!(wide_lines(path, text, false), wanted, "{text}");
    }
    let (full, wide) = ("é".repeat(100), "x".repeat(101));
    check("src/a.rs", &format!("{full}\n{wide}\n{full}"), &[2]);
    check("static/a.css", &format!("\t{}\n\t\t{}", &full[..96 * 2], &full[..96 * 2]), &[2]);
    let literal = format!("    let a = \"{wide}\\\"{wide}\";");
    check("src/a.rs", &literal, &[1]);
    check("tests/a.rs", &literal, &[]);
    check("src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{literal}\n}}\n{wide}"), &[5]);
    check("tests/a.js", &format!("f(`{wide}`, {});", "y".repeat(50)), &[]);
    check("tests/a.js", &format!("f(`x`, {wide});"), &[1]);
    check("tests/a.rs", &format!("// \"{wide}"), &[1]);
    check("tests/a.rs", &format!("    f(r#\"{{\"a\":\"{wide}\"}}\"#);"), &[]);
    check("tests/a.rs", &format!("    json!({{ \"{}\": \"{0}\" }})", "x".repeat(60)), &[]);
    check("tests/a.rs", &format!("    \"{wide}\\\n     {wide}\\\n     {wide}\",\n{wide}"), &[4]);
}

#[test]
fn no_line_is_wider_than_100_columns() {
    let mut wide = Vec::new();
    for folder in ["src", "static", "tests", "benches"] {
        let sources = sources(folder, &["rs", "js", "mjs", "ts", "css"]);
        let test_files = test_files(&sources);
        for (path, text) in sources {
            let lines = wide_lines(&path, &text, test_files.contains(&path));
            if !lines.is_empty() {
                wide.push(format!("{path}: {} lines: {lines:?}", lines.len()));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {MAX_COLUMNS} columns:\n{}", wide.join("\n"));
}
