//! The reader step by step, on files that change under it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::sources::transcripts::MAX_RECORD_BYTES;

/// A Claude directory, and the source with the reader that the first request has started.
struct World {
    dir: TempDir,
    usage: Usage,
    readers: Arc<Mutex<Vec<Reader>>>,
    now: Duration,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("projects/p")).unwrap();
        let readers = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::clone(&readers);
        let start = move |reader| {
            started.lock().push(reader);
            Ok(())
        };
        let usage = Usage::new(dir.path(), Arc::new(Prices::built_in()), Box::new(start));
        World { dir, usage, readers, now: Duration::ZERO }
    }

    fn path(&self, session: &str) -> PathBuf {
        self.dir.path().join(format!("projects/p/{session}.jsonl"))
    }

    fn append(&self, session: &str, text: impl AsRef<[u8]>) {
        let path = self.path(session);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn ask(&self) -> Value {
        let report = self.usage.report(&Query::default(), Timestamp::now()).unwrap();
        serde_json::from_slice(&report.json()).unwrap()
    }

    /// Whether the sums are whole, and the output tokens.
    fn output(&self) -> (bool, u64) {
        let answer = self.ask();
        (answer["partial"] == false, answer["total"]["output"].as_u64().unwrap())
    }

    fn step(&mut self) -> Duration {
        self.readers.lock()[0].step(self.now)
    }

    /// Takes steps until nothing is to be done, some seconds later.
    fn settle(&mut self) {
        self.now += Duration::from_secs(3);
        while self.step() == Duration::ZERO {}
    }

    #[track_caller]
    fn check(&mut self, output: u64) {
        self.ask();
        self.settle();
        assert_eq!(self.output(), (true, output));
    }
}

fn line(id: &str, output: u64) -> String {
    let now = Timestamp::now();
    format!(
        "{{\"type\":\"assistant\",\"message\":{{\"id\":\"{id}\",\"model\":\"claude-opus-5\",\
         \"usage\":{{\"output_tokens\":{output}}}}},\"timestamp\":\"{now}\"}}\n"
    )
}

#[test]
fn nothing_is_read_before_the_first_request_and_the_newest_file_first() {
    let mut world = World::new();
    for (session, output) in [("old", 1), ("new", 10), ("older", 100)] {
        world.append(session, line(session, output));
    }
    let hour = Duration::from_secs(3600);
    for (session, age) in [("old", 1), ("older", 2)] {
        let file = OpenOptions::new().append(true).open(world.path(session)).unwrap();
        file.set_modified(SystemTime::now() - hour * age).unwrap();
    }
    world.usage.changed(&world.path("new"));
    assert!(world.readers.lock().is_empty() && world.usage.shared.changed.lock().is_empty());
    assert!(world.usage.metrics().is_empty());
    let progress = |world: &World| world.ask()["reading"].clone();
    assert_eq!(world.output(), (false, 0));
    assert_eq!(progress(&world), serde_json::json!({"files": 0, "done": 0}));
    let mut outputs = Vec::new();
    while world.step() == Duration::ZERO {
        outputs.push(world.output());
    }
    let steps = [(false, 0), (false, 10), (false, 11), (true, 111)];
    assert_eq!(outputs, steps[..outputs.len()]);
    assert_eq!(world.output(), (true, 111));
    assert_eq!(progress(&world), serde_json::json!({"files": 3, "done": 3}));
    assert_eq!(world.readers.lock().len(), 1, "one request has it started");
}

#[test]
fn a_tail_s_word_has_a_file_read_on_without_a_scan() {
    let mut world = World::new();
    world.append("s", line("m1", 1));
    world.check(1);
    world.append("s", line("m2", 10));
    world.append("t", line("m3", 100));
    while world.step() == Duration::ZERO {}
    assert_eq!(world.output(), (true, 1));
    // The scan that this request has asked for is not due yet.
    world.usage.changed(&world.path("s"));
    world.usage.changed(&world.path("t"));
    while world.step() == Duration::ZERO {}
    assert_eq!(world.output(), (true, 111));
    world.usage.changed(&world.path("s"));
    world.usage.changed(&world.path("gone"));
    world.check(111);
    assert_eq!(world.ask()["reading"]["files"], 2);
}

#[test]
fn a_file_that_only_a_tail_has_seen_is_gone_when_it_was_moved_and_deleted() {
    let mut world = World::new();
    world.append("s", line("m1", 1));
    world.check(1);
    world.append("t", line("m2", 10));
    world.usage.changed(&world.path("t"));
    while world.step() == Duration::ZERO {}
    assert_eq!(world.output(), (true, 11));
    fs::remove_file(world.path("t")).unwrap();
    world.check(1);
    assert_eq!(world.ask()["reading"]["files"], 1);
}

#[test]
fn a_half_line_counts_when_it_is_whole() {
    let mut world = World::new();
    let line = line("m1", 7);
    let (first, second) = line.split_at(60);
    world.append("s", first);
    world.check(0);
    world.append("s", second.trim_end());
    world.check(7);
    world.append("s", "\n");
    world.check(7);
}

#[test]
fn a_file_that_was_rewritten_is_read_again() {
    let mut world = World::new();
    let lines = line("m1", 1) + &line("m2", 10);
    world.append("s", &lines);
    world.check(11);
    fs::write(world.path("s"), line("m1", 1)).unwrap();
    world.check(1);
    fs::write(world.path("s"), line("m3", 2) + &line("m4", 20) + &line("m5", 200)).unwrap();
    world.check(222);
    let same_size = line("m6", 2) + &line("m7", 20) + &line("m8", 300);
    fs::write(world.path("s"), same_size).unwrap();
    world.check(322);
    // Renamed over, with the same beginning.
    fs::copy(world.path("s"), world.path("copy")).unwrap();
    world.append("copy", line("m9", 1000));
    fs::rename(world.path("copy"), world.path("s")).unwrap();
    world.check(1322);
    fs::remove_file(world.path("s")).unwrap();
    world.check(0);
}

#[test]
fn lines_that_are_longer_than_the_buffer_or_too_long_do_not_stop_the_reading() {
    let mut world = World::new();
    let padded = |id: &str, output: u64, bytes: usize| {
        line(id, output).replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(bytes)), 1)
    };
    world.append("s", padded("m1", 1, 600 << 10) + &line("m2", 10));
    world.append("s", padded("m3", 100, MAX_RECORD_BYTES + (1 << 20)) + &line("m4", 1000));
    world.check(1011);
    world.append("s", padded("m5", 10_000, MAX_RECORD_BYTES - 1000));
    world.check(11_011);
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_sums_from_being_whole() {
    let mut world = World::new();
    world.append("s", line("m1", 1));
    world.ask();
    // Between the scan and the reading it becomes a directory.
    assert_eq!(world.step(), Duration::ZERO);
    fs::remove_file(world.path("s")).unwrap();
    fs::create_dir(world.path("s")).unwrap();
    while world.step() == Duration::ZERO {}
    assert_eq!(world.output(), (true, 0));
    fs::remove_dir(world.path("s")).unwrap();
    world.append("s", line("m1", 1));
    world.check(1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_is_cut_at_any_byte_and_goes_on_gives_the_same_sums(
        cuts in prop::collection::vec(0..4000_usize, 0..6),
    ) {
        let text: String = (0..12).map(|id| line(&format!("m{}", id / 2), 1 << id)).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut world = World::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            world.append("s", &text[start..cut]);
            world.ask();
            world.settle();
            start = cut;
        }
        world.check((0..6).map(|id| 2 << (2 * id)).sum());
    }
}
