//! The changes of a file, as a client of the real program sees them: each line comes once, whatever
//! writers do.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Program, Stream, append, command_of, prompt, raw_line, wait_until};
use crate::soak;
use crate::tools::copy_program;

/// Long enough for several polls: what has not come by then is held back.
const SEVERAL_POLLS: Duration = Duration::from_millis(500);

fn line(number: usize) -> String {
    prompt(&format!("line {number}"))
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(line).collect()
}

/// The program on a history of three lines, and a stream that is polled for fast.
fn following() -> (Program, Stream) {
    let program = Program::start_with(&lines(0..3), &[]);
    let stream = opened(&program);
    (program, stream)
}

fn opened(program: &Program) -> Stream {
    let mut stream = program.stream("", &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    stream
}

#[track_caller]
fn check_reset(stream: &mut Stream, reason: &str) {
    let frame = stream.event();
    let data = &frame.json()["data"];
    assert_eq!(
        (&data["kind"], &data["reason"]),
        (&json!("history.reset"), &json!(reason)),
        "{}",
        frame.data
    );
}

#[track_caller]
fn check_lines(stream: &mut Stream, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(stream.lines(1), [line(number).trim_end()]);
    }
}

/// Nothing more comes: a last line is written, and is the next to arrive.
#[track_caller]
fn check_nothing_else(program: &Program, stream: &mut Stream) {
    program.append(&prompt("the last"));
    assert_eq!(stream.lines(1), [prompt("the last").trim_end()]);
}

#[track_caller]
fn check_backlog(program: &Program, newest_first: &[String]) {
    let wanted: Vec<_> = newest_first.iter().map(|line| line.trim_end().to_owned()).collect();
    wait_until("the backlog is what the file holds", || program.backlog_lines() == wanted);
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn peak_memory_bytes(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn half_a_line_waits_for_its_end() {
    let (program, mut stream) = following();
    let whole = prompt("in halves, in the middle of é");
    let (first, second) = whole.as_bytes().split_at(whole.find('é').unwrap() + 1);
    let mut file = OpenOptions::new().append(true).open(program.history()).unwrap();
    file.write_all(first).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(program.backlog_lines().len(), 3);
    file.write_all(second).unwrap();
    assert_eq!(stream.lines(1), [whole.trim_end()]);
}

#[test]
fn a_whole_object_is_published_before_its_line_end_which_adds_nothing() {
    let (program, mut stream) = following();
    program.append(prompt("no end").trim_end());
    assert_eq!(stream.lines(1), [prompt("no end").trim_end()]);
    program.append("\r\n");
    check_nothing_else(&program, &mut stream);
    assert_eq!(program.backlog_lines().len(), 5);
}

#[test]
fn truncated_to_nothing_and_then_written() {
    let (program, mut stream) = following();
    File::create(program.history()).unwrap();
    check_reset(&mut stream, "truncated");
    check_backlog(&program, &[]);
    program.append(&line(3));
    check_lines(&mut stream, 3..4);
    check_backlog(&program, &[line(3)]);
}

#[test]
fn truncated_and_regrown_between_two_polls() {
    let (program, mut stream) = following();
    fs::write(program.history(), lines(10..20)).unwrap();
    check_reset(&mut stream, "truncated");
    check_lines(&mut stream, 10..20);
    check_nothing_else(&program, &mut stream);
}

#[test]
fn rewritten_at_the_same_size() {
    let (program, mut stream) = following();
    let before = fs::metadata(program.history()).unwrap();
    let file = OpenOptions::new().write(true).open(program.history()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, lines(4..7).as_bytes(), 0).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(fs::metadata(program.history()).unwrap().size(), before.size());
    check_reset(&mut stream, "truncated");
    check_lines(&mut stream, 4..7);
    check_nothing_else(&program, &mut stream);
}

#[test]
fn a_purge_takes_lines_out_of_the_middle() {
    let program = Program::start_with(&lines(0..9), &[]);
    let mut stream = opened(&program);
    let ids = |program: &Program| -> Vec<Value> {
        program.backlog(1000)["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].clone())
            .collect()
    };
    let before = ids(&program);
    fs::write(program.history(), lines(0..3) + &lines(6..9)).unwrap();
    check_reset(&mut stream, "truncated");
    check_backlog(&program, &[line(8), line(7), line(6), line(2), line(1), line(0)]);
    assert_eq!(ids(&program), [&before[..3], &before[6..]].concat(), "what stays keeps its id");
    let offset = program.backlog(1)["events"][0]["data"]["offset"].as_u64().unwrap();
    assert_eq!(offset, (line(0).len() * 5) as u64, "and gives its present offset");
    check_nothing_else(&program, &mut stream);
}

#[test]
fn renamed_and_recreated_with_unread_lines_in_the_old_file_and_a_late_writer() {
    let (program, mut stream) = following();
    let mut writer = OpenOptions::new().append(true).open(program.history()).unwrap();
    writer.write_all(lines(3..6).as_bytes()).unwrap();
    fs::rename(program.history(), program.dir().join("history.jsonl.1")).unwrap();
    program.append(&line(100));
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 4 {
        let frame = stream.event();
        if frame.event == "history.append" {
            seen.push(raw_line(&frame.json()));
        } else {
            assert_eq!(frame.json()["data"]["reason"], "replaced", "{}", frame.data);
        }
    }
    let wanted: Vec<_> = [3, 4, 5, 100].map(|number| line(number).trim_end().to_owned()).into();
    assert_eq!(seen, wanted);
    std::thread::sleep(Duration::from_secs(2));
    writer.write_all(line(6).as_bytes()).unwrap();
    check_lines(&mut stream, 6..7);
    check_nothing_else(&program, &mut stream);
}

#[test]
fn atomically_replaced_with_one_more_line_many_times_a_second() {
    let (program, mut stream) = following();
    for count in 4..200 {
        replace(&program.history(), &lines(0..count));
        std::thread::sleep(Duration::from_millis(3));
    }
    check_lines(&mut stream, 3..199);
    check_nothing_else(&program, &mut stream);
    assert_eq!(program.counter("resets"), 0, "a file that goes on is no reset");
}

#[test]
fn replaced_by_something_unrelated() {
    let (program, mut stream) = following();
    replace(&program.history(), &lines(50..52));
    check_reset(&mut stream, "replaced");
    check_lines(&mut stream, 50..52);
    check_backlog(&program, &[line(51), line(50)]);
}

#[test]
fn removed_and_found_again() {
    let (program, mut stream) = following();
    fs::remove_file(program.history()).unwrap();
    check_reset(&mut stream, "removed");
    check_backlog(&program, &[]);
    program.append(&line(7));
    assert_eq!(stream.event().json()["data"]["kind"], "history.found");
    check_lines(&mut stream, 7..8);
}

#[test]
fn a_fifo_in_its_place_is_said_once_and_never_blocks() {
    let (program, mut stream) = following();
    let fifo = program.dir().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::rename(fifo, program.history()).unwrap();
    let error = stream.event();
    assert_eq!(
        (error.event.as_str(), &error.json()["data"]["kind"]),
        ("server.error", &json!("history.unreadable"))
    );
    assert!(error.json()["data"]["msg"].as_str().unwrap().contains("FIFO"), "{}", error.data);
    std::thread::sleep(SEVERAL_POLLS);
    let errors = || program.get("/healthz").json()["errors"].clone();
    assert_eq!(errors()[0]["path"].as_str(), program.history().to_str());
    assert!(errors()[0]["msg"].as_str().unwrap().contains("FIFO"));
    replace(&program.history(), &lines(0..4));
    assert_eq!(stream.event().json()["data"]["kind"], "source.recovered");
    assert_eq!(errors(), json!([]));
    check_lines(&mut stream, 3..4);
}

#[test]
fn a_line_of_200_mb_takes_no_memory_and_the_next_line_is_fine() {
    let (program, mut stream) = following();
    let mut file = OpenOptions::new().append(true).open(program.history()).unwrap();
    file.write_all(b"{\"display\":\"").unwrap();
    let piece = vec![b'x'; 4 << 20];
    for _ in 0..50 {
        file.write_all(&piece).unwrap();
    }
    file.write_all(b"\"}\n").unwrap();
    program.append(&line(3));
    let long = stream.event().json();
    let length = 50 * piece.len() + "{\"display\":\"\"}".len();
    assert_eq!(long["data"]["truncated"], true);
    assert_eq!(long["data"]["rawLine"].as_str().unwrap().len(), 4096);
    assert!(
        long["data"]["parseError"].as_str().unwrap().contains(&length.to_string()),
        "{}",
        long["data"]["parseError"]
    );
    check_lines(&mut stream, 3..4);
    assert_eq!(program.counter("oversizedLines"), 1);
    let peak = peak_memory_bytes(&program);
    assert!(peak < 40 << 20, "peak memory {peak}");
}

#[test]
fn five_thousand_lines_at_once_reach_a_client_that_reads() {
    let (program, mut stream) = following();
    program.append(&lines(3..5003));
    check_lines(&mut stream, 3..5003);
    check_nothing_else(&program, &mut stream);
    assert_eq!(program.counter("resyncs"), 0);
}

#[test]
fn two_hundred_thousand_lines_at_once_come_in_order_or_with_word_of_a_gap() {
    let (program, mut stream) = following();
    let id_of_line_0 = program.backlog(1)["lastEventId"].as_u64().unwrap() - 2;
    program.append(&lines(3..200_003));
    let (mut next, mut resyncs) = (3, 0);
    while next < 200_003 {
        let frame = stream.event();
        let json = frame.json();
        if frame.event == "history.append" {
            assert_eq!(raw_line(&json), line(next).trim_end());
            next += 1;
        } else {
            // On a machine so busy that this client was not run for a while.
            assert_eq!(json["data"]["kind"], "stream.resync", "{}", frame.data);
            // Each resync before this one took an id, as a line does.
            next = (json["id"].as_u64().unwrap() - id_of_line_0 - resyncs) as usize;
            resyncs += 1;
        }
    }
    assert_eq!(program.counter("lines"), 200_003);
    assert!(peak_memory_bytes(&program) < 40 << 20, "peak memory {}", peak_memory_bytes(&program));
}

#[test]
fn permission_taken_away_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let history = dir.path().join("history.jsonl");
    append(&history, &lines(0..2));
    // A copy that every user may run: the build's folder can be closed to them.
    let binary = dir.path().join("claude-live");
    copy_program(env!("CARGO_BIN_EXE_claude-live"), &binary);
    let mut command = command_of(&binary);
    command.args(["--port", "0", "--claude"]).arg(dir.path()).current_dir("/");
    if is_root() {
        command.uid(65534).gid(65534);
    }
    let program = Program::spawn(command, dir.path());
    let mut stream = opened(&program);
    fs::set_permissions(&history, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(stream.event().json()["data"]["kind"], "history.unreadable");
    append_as_root(&history, &line(2));
    std::thread::sleep(SEVERAL_POLLS);
    fs::set_permissions(&history, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(stream.event().json()["data"]["kind"], "source.recovered");
    check_lines(&mut stream, 2..3);
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Without root's rights the owner opens its file for a moment.
fn append_as_root(path: &Path, text: &str) {
    if is_root() {
        return append(path, text);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o200)).unwrap();
    append(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

/// For a second, and for a minute by `make soak`.
#[test]
fn a_line_every_50_microseconds_loses_none() {
    let (program, mut stream) = following();
    let path = program.history();
    let period = Duration::from_micros(50);
    let time = soak::duration(Duration::from_secs(1)).min(Duration::from_secs(60));
    let end = 3 + time.as_micros() as usize / period.as_micros() as usize;
    let writer = std::thread::spawn(move || {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        let start = Instant::now();
        for number in 3..end {
            file.write_all(line(number).as_bytes()).unwrap();
            let due = period * (number as u32 - 2);
            while start.elapsed() < due {
                std::hint::spin_loop();
            }
        }
    });
    check_lines(&mut stream, 3..end);
    writer.join().unwrap();
}

#[test]
fn two_writers_that_interleave_lose_nothing() {
    let (program, mut stream) = following();
    let writers: Vec<_> = [1000, 2000]
        .map(|from| {
            let path = program.history();
            std::thread::spawn(move || {
                (from..from + 500).for_each(|number| append(&path, &line(number)))
            })
        })
        .into();
    let mut seen = stream.lines(1000);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    seen.sort();
    let mut wanted: Vec<_> =
        (1000..1500).chain(2000..2500).map(|number| line(number).trim_end().to_owned()).collect();
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[test]
fn nothing_is_written_beside_the_history() {
    let (program, _stream) = following();
    let names: Vec<_> =
        fs::read_dir(program.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["history.jsonl"]);
}
