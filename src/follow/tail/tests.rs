//! The tailer's steps against files that are treated in every way that is known to happen.

use super::*;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

use tempfile::TempDir;

/// The time between two polls.
const STEP: Duration = Duration::from_millis(20);

/// Longer than any wait in the tailer for a file to come to rest, unless it is empty.
const REST: Duration = Duration::from_millis(200);

/// The same of a file that may be empty.
const LONG_REST: Duration = Duration::from_millis(1200);

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Counts the calling test as skipped, as `tests/it/tools.rs` does.
///
/// # Panics
///
/// `CI` is set.
pub(super) fn skip(lack: &str) {
    assert!(std::env::var_os("CI").is_none(), "missing: {lack}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // The program is `target/debug/deps/NAME`.
    let program = std::env::current_exe().unwrap();
    let dir = program.ancestors().nth(3).unwrap().join("tmp");
    fs::create_dir_all(&dir).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(dir.join("skipped")).unwrap();
    file.write_all(format!("{lack}\t{test}\n").as_bytes()).unwrap();
}

/// A folder, the tailer of `f` in it, and a clock.
struct World {
    dir: TempDir,
    tail: Tail,
    batch: Batch,
    now: Duration,
}

/// The most bytes that a poll reads, in most tests.
const POLL_BYTES: usize = 1 << 20;

pub(super) const OPTIONS: Options =
    Options { newest: 1000, fingerprints: 1000, max_line_bytes: 1 << 20, is_whole: is_json };

impl World {
    fn with(content: &str) -> World {
        let world = World::empty();
        world.write("f", content);
        world
    }

    fn empty() -> World {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::new(dir.path().join("f"), OPTIONS);
        World { dir, tail, batch: Batch::new(POLL_BYTES), now: Duration::ZERO }
    }

    fn newest(mut self, newest: usize) -> World {
        let options = Options { newest, fingerprints: newest, ..OPTIONS };
        self.tail = Tail::new(self.at("f"), options);
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the file anew, in place if it is there.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.at(name), content).unwrap();
    }

    fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        self.writer(name).write_all(content.as_ref()).unwrap();
    }

    fn writer(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.at(name)).unwrap()
    }

    /// A path that leads to what the first one leads to.
    fn link(&self, to: impl AsRef<Path>, name: &str) {
        symlink(to, self.at("new link")).unwrap();
        self.rename("new link", name);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.at(name)).unwrap();
    }

    /// Writes beside and renames over.
    fn replace(&self, content: impl AsRef<[u8]>) {
        self.write("f.tmp", content);
        self.rename("f.tmp", "f");
    }

    /// One poll, or as many as are due at once.
    fn poll(&mut self) -> Vec<String> {
        self.now += STEP;
        let mut items = Vec::new();
        for _ in 0..10_000 {
            let more = self.poll_once(&mut items);
            if !more {
                return items;
            }
        }
        panic!("there is always more");
    }

    fn poll_once(&mut self, items: &mut Vec<String>) -> bool {
        let more = self.tail.poll(self.now, &mut self.batch);
        while let Some(item) = self.batch.pop() {
            items.push(show(&item, &self.batch));
        }
        more
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        if time >= TICK {
            await_tick(self.dir.path());
        }
        let until = self.now + time;
        let mut items = Vec::new();
        while self.now < until {
            items.extend(self.poll());
        }
        items
    }

    /// The file that is followed.
    fn current(&mut self) -> &mut Current {
        match &mut self.tail.state {
            State::Following(current) => current,
            _ => panic!("no file is followed"),
        }
    }

    #[track_caller]
    fn polls(&mut self, wanted: &[&str]) {
        let items = self.poll();
        assert_eq!(items, wanted);
    }

    #[track_caller]
    fn reads(&mut self, wanted: Status) {
        assert_eq!(self.tail.status(), wanted);
    }

    /// Returns the items that come until the file has been at rest for a while.
    #[track_caller]
    fn sees(&mut self, wanted: &[&str]) {
        self.sees_within(REST, wanted);
    }

    #[track_caller]
    fn sees_within(&mut self, time: Duration, wanted: &[&str]) {
        assert_eq!(self.wait(time), wanted);
    }
}

/// Waits until the file system gives another time to a change: some have a clock that ticks 250
/// times a second, or once.
pub(super) fn await_tick(dir: &Path) {
    let time_of_change = || {
        fs::write(dir.join("tick"), "").unwrap();
        let meta = fs::metadata(dir.join("tick")).unwrap();
        (meta.ctime(), meta.ctime_nsec())
    };
    let (now, start) = (time_of_change(), Instant::now());
    while time_of_change() == now {
        assert!(start.elapsed() < TICK * 2, "the file system's clock does not tick");
        std::thread::yield_now();
    }
}

fn show(item: &Item, batch: &Batch) -> String {
    let kept = |kept: &Kept| format!(" {}@{}", kept.seq, kept.offset);
    match item {
        Item::Line(line) => {
            let (seq, offset, bytes) = (line.seq, line.offset, batch.bytes(line));
            let text = match line.is_truncated() {
                false => String::from_utf8_lossy(bytes).into_owned(),
                true => format!("{} of {}", bytes.len(), line.len_bytes),
            };
            format!("{seq}@{offset} {text}")
        }
        Item::Reset { reason, kept: lines } => {
            format!("{reason:?}:{}", lines.iter().map(kept).collect::<String>())
        }
        Item::Found => "found".to_owned(),
        Item::Unreadable { msg } => msg.clone(),
        Item::Recovered => "recovered".to_owned(),
    }
}

#[test]
fn lines_that_are_there_come_first_and_then_those_that_are_appended() {
    let mut world = World::with("a\nb\n");
    world.polls(&["0@0 a", "1@2 b"]);
    world.append("f", "c\n");
    world.polls(&["2@4 c"]);
    world.polls(&[]);
}

#[test]
fn only_the_newest_lines_are_read_at_first_sight() {
    let mut world = World::with("a\n\nb\n\nc\n\n").newest(2);
    world.polls(&["0@3 b", "1@6 c"]);
}

#[test]
fn a_half_line_waits_for_its_end() {
    let mut world = World::with("a\nhal");
    world.sees(&["0@0 a"]);
    world.append("f", "f");
    assert_eq!(world.wait(Duration::from_secs(300)), [""; 0]);
    world.append("f", " line\n");
    world.sees(&["1@2 half line"]);
}

#[test]
fn a_whole_object_does_not_wait_for_its_end() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    world.append("f", r#"{"b":{}"#);
    world.sees(&[]);
    world.append("f", "}");
    world.polls(&[r#"1@2 {"b":{}}"#]);
    world.append("f", "\n");
    world.sees(&[]);
    world.append("f", "{\"c\":1}\r");
    world.sees(&[r#"2@11 {"c":1}"#]);
    world.append("f", "\n{\"d\":1}");
    world.sees(&[r#"3@20 {"d":1}"#]);
    world.append("f", "glued\n");
    world.sees(&["4@27 glued"]);
}

#[test]
fn a_record_that_was_given_out_before_its_end_is_known_after_a_reset() {
    let mut world = World::with("x\n");
    world.poll();
    world.append("f", r#"{"a":1}"#);
    world.polls(&[r#"1@2 {"a":1}"#]);
    world.replace("{\"a\":1} \r\ny\n");
    world.sees(&["Replaced: 1@0", "2@10 y"]);
}

#[test]
fn truncated_to_nothing_and_written_again() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.write("f", "");
    world.sees_within(LONG_REST, &["Truncated:"]);
    world.append("f", "c\n");
    world.polls(&["2@0 c"]);
}

#[test]
fn truncated_and_grown_again_between_two_polls() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.write("f", "c\nd\ne\n");
    world.sees(&["Truncated:", "2@0 c", "3@2 d", "4@4 e"]);
}

#[test]
fn rewritten_at_the_same_size_and_with_the_same_time() {
    let mut world = World::with("a\nb\n");
    let mtime = fs::metadata(world.at("f")).unwrap().modified().unwrap();
    world.wait(Duration::from_secs(5));
    world.write("f", "a\nc\n");
    world.writer("f").set_modified(mtime).unwrap();
    world.sees(&["Truncated: 0@0", "2@2 c"]);
}

#[test]
fn lines_purged_from_the_middle_leave_the_others_known() {
    let mut world = World::with("a\nb\nc\nd\n");
    world.sees(&["0@0 a", "1@2 b", "2@4 c", "3@6 d"]);
    world.write("f", "a\nd\ne\n");
    world.sees(&["Truncated: 0@0 3@2", "4@4 e"]);
    world.replace("d\ne\nf\n");
    world.sees(&["Replaced: 3@0 4@2", "5@4 f"]);
}

#[test]
fn a_smaller_size_for_one_poll_only_is_no_truncation() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.write("f", "a\n");
    world.polls(&[]);
    world.write("f", "a\nb\nc\n");
    world.sees(&["2@4 c"]);
}

#[test]
fn renamed_and_created_anew_with_unread_and_late_lines_in_the_old_file() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    let mut old = world.writer("f");
    old.write_all(b"b\n").unwrap();
    world.rename("f", "f.1");
    world.write("f", "c\n");
    world.sees(&["1@2 b", "Replaced:", "2@0 c"]);
    world.wait(Duration::from_secs(4));
    old.write_all(b"d\n").unwrap();
    world.polls(&["3@4 d"]);
    world.wait(Duration::from_secs(1));
    old.write_all(b"too late\n").unwrap();
    world.sees(&[]);
}

#[test]
fn an_absence_that_ended_does_not_shorten_the_wait_at_the_next_one() {
    let mut world = World::with("a\n");
    world.poll();
    world.rename("f", "g");
    assert!(world.wait(ABSENCE_TIME - STEP).is_empty());
    world.rename("g", "f");
    world.polls(&[]);
    world.rename("f", "g");
    world.polls(&[]);
    world.rename("g", "f");
    world.sees(&[]);
}

#[test]
fn a_handle_is_not_renewed_with_another_file() {
    let mut world = World::with("a\n");
    world.poll();
    world.replace("b\n");
    let path = world.at("f");
    world.current().reopen(&path).unwrap();
    world.sees(&["Replaced:", "1@0 b"]);
}

#[test]
fn a_rewrite_that_was_undone_does_not_shorten_the_wait_for_the_next_one() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.write("f", "c\nd\n");
    world.polls(&[]);
    world.write("f", "a\nb\n");
    world.sees(&[]);
    world.write("f", "e\n");
    world.polls(&[]);
    world.append("f", "f\n");
    world.sees(&["Truncated:", "2@0 e", "3@2 f"]);
}

#[test]
fn nor_does_one_that_took_long() {
    let mut world = World::with("a\n");
    world.poll();
    world.write("f", "b\n");
    while world.poll().is_empty() {
        world.append("f", "c\n");
    }
    world.write("f", "d\n");
    world.polls(&[]);
    world.append("f", "e\n");
    let items = world.wait(REST);
    let lines: Vec<&str> = items.iter().filter_map(|item| item.split(' ').nth(1)).collect();
    assert_eq!(lines, ["d", "e"]);
}

#[test]
fn of_an_old_file_that_was_rewritten_only_the_newest_lines_come() {
    let mut world = World::with("a\n").newest(2);
    world.poll();
    world.write("f", "b\nc\nd\n");
    world.replace("e\n");
    world.sees(&["Truncated:", "1@2 c", "2@4 d", "Replaced:", "3@0 e"]);
}

#[test]
fn copied_and_truncated_with_a_writer_that_keeps_its_offset() {
    let mut world = World::with("");
    let mut writer = File::create(world.at("f")).unwrap();
    writer.write_all(b"a\nb\n").unwrap();
    world.sees(&["0@0 a", "1@2 b"]);
    fs::copy(world.at("f"), world.at("f.1")).unwrap();
    OpenOptions::new().write(true).open(world.at("f")).unwrap().set_len(0).unwrap();
    writer.write_all(b"c\n").unwrap();
    world.sees(&["Truncated:", "2@4 c"]);
}

#[test]
fn deleted_and_created_anew() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.remove("f");
    world.write("f", "c\nd\n");
    world.sees(&["Replaced:", "2@0 c", "3@2 d"]);
}

#[test]
fn replaced_by_the_same_and_more_goes_on_without_a_word() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    world.append("f", "b\nhal");
    world.replace("a\nb\nhalf\nc\n");
    world.polls(&["1@2 b", "2@4 half", "3@9 c"]);
    world.replace("a\nb\nhalf\nc\n");
    world.sees(&[]);
}

#[test]
fn replaced_by_something_unrelated() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.replace("x\ny\nz\n");
    world.sees(&["Replaced:", "2@0 x", "3@2 y", "4@4 z"]);
}

#[test]
fn removed_and_found_again() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    world.remove("f");
    world.sees(&[]);
    assert_eq!(world.wait(Duration::from_secs(2)), ["Removed:"]);
    world.write("f", "a\n");
    world.sees(&["found", "1@0 a"]);
}

#[test]
fn a_short_absence_is_no_removal() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    world.rename("f", "g");
    world.wait(Duration::from_millis(900));
    world.append("g", "b\n");
    world.polls(&["1@2 b"]);
    world.rename("g", "f");
    world.append("f", "c\n");
    world.sees(&["2@4 c"]);
}

#[test]
fn growth_in_single_bytes() {
    let mut world = World::with("");
    let content = "\u{feff}é\r\n\u{2028}🚀\r\n{\"a\":\"\\u0000\"}\n";
    let mut items = world.poll();
    for byte in content.as_bytes() {
        world.append("f", [*byte]);
        items.extend(world.poll());
    }
    assert_eq!(items, ["0@3 é", "1@7 \u{2028}🚀", "2@16 {\"a\":\"\\u0000\"}"]);
}

#[test]
fn the_nuls_of_a_hole_are_passed_by() {
    let grow = |world: &World, len| world.writer("f").set_len(len).unwrap();
    let mut world = World::with("a\n");
    grow(&world, 1 << 24);
    world.polls(&["0@0 a"]);
    world.append("f", "b\n");
    world.polls(&["1@16777216 b"]);
    grow(&world, 1 << 25);
    world.polls(&[]);
    world.reads(Status { exists: true, size_bytes: 1 << 25, read_bytes: 1 << 25 });
    world.append("f", "c\n");
    grow(&world, (1 << 25) + 5000);
    world.append("f", "d\n");
    world.polls(&["2@33554432 c", "3@33559432 d"]);
    world.write("f", "a\nx\n");
    grow(&world, 1 << 24);
    world.sees(&["Truncated: 0@0", "4@2 x"]);
}

#[test]
fn lines_of_any_kind_come_as_they_stand() {
    let deep = "[".repeat(100_000);
    let mut world = World::with("");
    world.poll();
    for line in [
        &deep,
        "{\"n\":1e999}",
        "[]",
        "null",
        "42",
        "\"text\"",
        "{\"a\":1}{\"b\":2}",
        "{\"cut",
        "a\rb",
    ] {
        world.append("f", format!("{line}\n\n"));
        let items = world.poll();
        assert!(matches!(&items[..], [item] if item.ends_with(&format!(" {line}"))), "{line:.20}");
    }
}

#[test]
fn a_line_that_is_too_long_is_cut_and_the_next_one_whole() {
    let mut world = World::with("a\n");
    world.sees(&["0@0 a"]);
    for size in [1 << 20, (1 << 20) + 1] {
        world.append("f", vec![b'x'; size]);
        world.append("f", "\nb\n");
    }
    let items = world.wait(REST);
    assert_eq!(items[0].len(), "1@2 ".len() + (1 << 20));
    assert_eq!(items[1..], ["2@1048579 b", "3@1048581 4096 of 1048577", "4@2097159 b"]);
}

#[test]
fn a_poll_reads_and_gives_out_no_more_than_its_share() {
    let mut world = World::with("");
    world.poll();
    let lines = 200_000;
    let content: String = (0..lines).map(|n| format!("{n}\n")).collect();
    world.append("f", &content);
    let mut seen = 0;
    let mut more = true;
    while more {
        more = world.tail.poll(world.now, &mut world.batch);
        let before = seen;
        while let Some(line) = world.batch.pop_line() {
            assert_eq!(world.batch.bytes(&line), seen.to_string().as_bytes());
            seen += 1;
        }
        assert!(seen - before < 20_000, "{}", seen - before);
    }
    assert_eq!(seen, lines);
    let large = vec![b'x'; 5 << 20];
    world.append("f", large);
    let mut polls = 1;
    while world.tail.poll(world.now, &mut world.batch) {
        polls += 1;
    }
    assert_eq!(polls, 6);
}

#[test]
fn two_writers_that_take_turns() {
    let mut world = World::with("");
    world.poll();
    let (mut one, mut two) = (world.writer("f"), world.writer("f"));
    for n in 0..100 {
        writeln!(one, "one {n}").unwrap();
        write!(two, "two").unwrap();
        assert_eq!(world.poll().len(), 1);
        writeln!(two, " {n}").unwrap();
        assert_eq!(world.poll().len(), 1);
    }
}

#[test]
fn growth_is_seen_whatever_the_files_times_say() {
    let mut world = World::with("");
    let future = SystemTime::now() + Duration::from_secs(1_000_000);
    for (n, time) in
        [SystemTime::UNIX_EPOCH, future, SystemTime::UNIX_EPOCH].into_iter().enumerate()
    {
        world.wait(Duration::from_secs(3));
        world.append("f", "a\n");
        world.writer("f").set_modified(time).unwrap();
        world.polls(&[&format!("{n}@{} a", 2 * n)]);
    }
}

#[test]
fn a_rewrite_is_let_finish() {
    let mut world = World::with("a\nb\nc\nd\n");
    world.poll();
    world.write("f", "a\n");
    world.polls(&[]);
    world.append("f", "c\n");
    world.polls(&[]);
    world.append("f", "d\ne\n");
    world.polls(&[]);
    world.sees(&["Truncated: 0@0 2@2 3@4", "4@6 e"]);
}

#[test]
fn a_rewrite_that_pauses_while_the_file_is_empty_repeats_nothing() {
    let mut world = World::with("a\nb\nc\n");
    world.poll();
    world.write("f", "");
    assert_eq!(world.wait(REWRITE_TIME - STEP), [""; 0]);
    world.append("f", "b\nc\nd\n");
    world.sees(&["Truncated: 1@0 2@2", "3@4 d"]);
}

#[test]
fn a_rewrite_that_does_not_end_is_not_waited_for_and_nothing_of_it_lost() {
    let mut world = World::with("a\nb\n").newest(2);
    world.poll();
    world.write("f", "1\n2\n3\n");
    let mut items = world.poll();
    for n in 4..70 {
        world.append("f", format!("{n}\n"));
        items.extend(world.poll());
        assert!(n < 60 || !items.is_empty(), "waited too long");
    }
    let seen = items.join(",");
    let wanted: Vec<String> = (2..70).map(|n| format!("{n}")).collect();
    let lines: Vec<&str> =
        seen.split(',').skip(1).map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert!(seen.starts_with("Truncated:,"), "{seen}");
    assert_eq!(lines, wanted, "the newest when it was noticed, and all that came after");
}

#[test]
fn rewritten_to_its_old_content_and_more_goes_on_without_a_word() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.write("f", "a\n");
    world.polls(&[]);
    world.write("f", "a\nb\nc\n");
    world.sees(&["2@4 c"]);
}

#[test]
fn a_half_line_is_forgotten_with_its_file() {
    let mut world = World::with("a\nhal");
    world.poll();
    world.write("f", "");
    world.sees_within(LONG_REST, &["Truncated:"]);
    world.append("f", "f\n");
    world.sees(&["1@0 f"]);
}

#[test]
fn an_anchor_is_set_at_the_start_too() {
    let mut world = World::with("a\nb\n").newest(1);
    world.polls(&["0@2 b"]);
    world.write("f", "x\ny\n");
    world.sees(&["Truncated:", "1@2 y"]);
}

#[test]
fn of_new_content_without_known_lines_the_newest_come() {
    let mut world = World::with("a\nb\nc\n").newest(2);
    world.polls(&["0@2 b", "1@4 c"]);
    world.write("f", "1\n2\n3\n4\n");
    world.sees(&["Truncated:", "2@4 3", "3@6 4"]);
    world.replace("5\n6\n7\n");
    world.sees(&["Replaced:", "4@2 6", "5@4 7"]);
}

#[test]
fn however_many_lines_follow_the_last_known_one_all_of_them_come() {
    let more: String = (0..2500).map(|n| format!("new {n}\n")).collect();
    let mut world = World::with("a\nb\nc\n");
    world.poll();
    world.write("f", format!("b\nc\n{more}"));
    let items = world.wait(REST);
    assert_eq!(items[..2], ["Truncated: 1@0 2@2", "3@4 new 0"]);
    assert_eq!(items.len(), 2501);
    let mut world = World::with("a\nb\nc\n").newest(2);
    world.polls(&["0@2 b", "1@4 c"]);
    world.replace("b\n1\nc\n2\n3\n4\n5\n");
    world.sees(&["Replaced: 0@0 1@4", "2@2 1", "3@6 2", "4@8 3", "5@10 4", "6@12 5"]);
}

#[test]
fn lines_that_a_rewrite_inserts_after_the_first_known_one_are_new() {
    let mut world = World::with("a\nb\nc\n");
    world.poll();
    world.write("f", "0\na\n1\nb\n2\nc\n3\n");
    world.sees(&["Truncated: 0@2 1@6 2@10", "3@4 1", "4@8 2", "5@12 3"]);
    world.append("f", "4\n");
    world.polls(&["6@14 4"]);
    world.replace("a\n1\n5\nb\n6\n3\n4\n");
    world.sees(&["Replaced: 0@0 3@2 1@6 5@10 6@12", "7@4 5", "8@8 6"]);
}

#[test]
fn however_many_lines_a_rewrite_inserts_all_of_them_come() {
    let more: String = (0..5000).map(|n| format!("new {n}\n")).collect();
    let mut world = World::with("a\nb\n").newest(2);
    world.poll();
    world.batch = Batch::new(1000);
    world.replace(format!("a\n{more}b\n{more}"));
    let items = world.wait(REST);
    assert_eq!(items[..2], [format!("Replaced: 0@0 1@{}", 2 + more.len()), "2@2 new 0".to_owned()]);
    assert_eq!(items.len(), 10_001);
    assert!(items[5001].ends_with(&format!("@{} new 0", 4 + more.len())), "{}", items[5001]);
}

#[test]
fn a_known_line_that_is_purged_before_it_is_read_again_is_gone() {
    let mut world = World::with("a\nb\nc\n");
    world.poll();
    world.batch = Batch::new(3);
    world.replace("a\n1\nb\n2\nc\n");
    let mut items = Vec::new();
    while !items.contains(&"3@2 1".to_owned()) {
        world.now += STEP;
        world.poll_once(&mut items);
    }
    assert_eq!(items, ["Replaced: 0@0 1@4 2@8", "3@2 1"]);
    world.write("f", "a\n1\n2\nc\n");
    world.sees(&["Truncated: 0@0 3@2 2@6", "4@4 2"]);
}

#[test]
fn a_known_line_that_is_written_on_while_it_is_read_again_is_new() {
    let mut world = World::with("a\n{\"b\":1}");
    world.poll();
    world.batch = Batch::new(3);
    world.replace("a\nxxx\n{\"b\":1}");
    let mut items = Vec::new();
    while !items.iter().any(|item: &String| item.starts_with("Replaced")) {
        world.now += STEP;
        world.poll_once(&mut items);
    }
    world.append("f", "{\"c\":1}\n");
    items.extend(world.wait(REST));
    assert_eq!(items, ["Replaced: 0@0 1@6", "2@2 xxx", "3@6 {\"b\":1}{\"c\":1}"]);
}

#[test]
fn a_known_line_is_not_searched_for_without_end() {
    let mut world = World::with("a\n").newest(1);
    world.sees(&["0@0 a"]);
    world.write("f", "zz\na\nx\ny\n");
    let file = OpenOptions::new().write(true).open(world.at("f")).unwrap();
    file.write_all_at(b"\nb\n", 2 * last_lines::LIMIT_BYTES).unwrap();
    world.sees(&["Truncated:", "1@134217729 b"]);
}

#[test]
fn equal_lines_are_told_apart_by_their_number() {
    let mut world = World::with("a\na\n");
    world.poll();
    world.write("f", "a\na\na\nb\n");
    world.sees(&["2@4 a", "3@6 b"]);
    world.write("f", "b\na\nb\na\na\na\n");
    world.sees(&["Truncated: 3@0 0@2 1@6 2@8", "4@4 b", "5@10 a"]);
}

#[test]
fn a_lot_that_is_unread_in_the_old_file_comes_before_the_new_one() {
    let mut world = World::with("a\n");
    world.poll();
    let unread: String = (0..400_000).map(|n| format!("old {n}\n")).collect();
    world.append("f", unread);
    world.rename("f", "f.1");
    world.write("f", "new\n");
    let items = world.wait(REST);
    assert_eq!(items.len(), 400_002);
    assert_eq!(items[0], "1@2 old 0");
    assert!(items[399_999].ends_with(" old 399999"));
    assert_eq!(items[400_000..], ["Replaced:", "400001@0 new"]);
}

#[test]
fn the_new_file_is_rewritten_while_the_old_one_is_still_being_read() {
    let mut world = World::with("a\n");
    world.poll();
    world.batch = Batch::new(2);
    world.append("f", "b\nc\n");
    world.replace("a\nd\n");
    let mut items = Vec::new();
    world.poll_once(&mut items);
    assert_eq!(items, ["1@2 b"]);
    world.write("f", "a\nd\ne\n");
    world.sees(&["2@4 c", "Replaced: 0@0", "3@2 d", "4@4 e"]);
}

#[test]
fn a_file_that_went_on_is_rewritten_while_the_old_one_is_still_being_read() {
    let mut world = World::with("a\n");
    world.poll();
    world.batch = Batch::new(2);
    world.append("f", "b\nc\n");
    world.replace("a\nb\nc\nd\n");
    let mut items = Vec::new();
    world.poll_once(&mut items);
    assert_eq!(items, ["1@2 b"]);
    world.write("f", "c\ne\n");
    world.sees(&["2@4 c", "Replaced: 2@0", "3@2 e"]);
}

#[test]
fn what_is_unread_in_the_old_file_and_stands_in_the_new_one_comes_once() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.append("f", "c\nd\n");
    world.replace("b\nd\ne\n");
    world.sees(&["2@4 c", "3@6 d", "Replaced: 1@0 3@2", "4@4 e"]);
}

#[test]
fn what_is_purged_before_it_was_read_does_not_stay() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.append("f", "secret\n");
    world.replace("a\nb\n");
    world.sees(&["2@4 secret", "Replaced: 0@0 1@2"]);
}

#[test]
fn what_is_unread_in_the_old_file_gets_its_place_in_the_new_one() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.append("f", "c\nd\n");
    world.replace("c\nd\n");
    world.sees(&["2@4 c", "3@6 d", "Replaced: 2@0 3@2"]);
}

#[test]
fn rewritten_and_then_replaced_between_two_polls() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.write("f", "b\nc\nd\n");
    world.replace("x\n");
    world.sees(&["Truncated: 1@0", "2@2 c", "3@4 d", "Replaced:", "4@0 x"]);
}

#[test]
fn emptied_before_its_copy_takes_its_place_and_written_on() {
    let mut world = World::with("a\nb\n");
    world.poll();
    let mut old = OpenOptions::new().append(true).open(world.at("f")).unwrap();
    old.set_len(0).unwrap();
    world.replace("a\nb\n");
    world.sees(&["Truncated:", "2@0 a", "3@2 b"]);
    old.write_all(b"c\n").unwrap();
    world.sees(&["4@0 c"]);
}

#[test]
fn a_half_line_in_the_old_file_is_completed_there() {
    let mut world = World::with("a\nhal");
    world.poll();
    let mut old = world.writer("f");
    world.rename("f", "f.1");
    world.write("f", "b\n");
    world.sees(&["Replaced:", "1@0 b"]);
    old.write_all(b"f\n").unwrap();
    world.sees(&["2@2 half"]);
}

#[test]
fn replaced_many_times_with_one_more_line() {
    let mut world = World::with("");
    world.poll();
    let mut content = String::new();
    for n in 0..300 {
        content += &format!("{{\"n\":{n}}}\n");
        world.replace(&content);
        if n % 3 == 0 {
            assert_eq!(world.poll().len(), if n == 0 { 1 } else { 3 });
        }
    }
    assert_eq!(world.wait(REST).len(), 2);
}

#[test]
fn replaced_while_the_last_replacement_is_still_waited_for() {
    let mut world = World::with("a\n");
    world.poll();
    world.replace("b\n");
    world.polls(&[]);
    world.replace("c\n");
    world.polls(&["Replaced:", "1@0 b"]);
    world.sees(&["Replaced:", "2@0 c"]);
}

#[test]
fn a_replacement_that_is_taken_back_at_once_is_none() {
    let mut world = World::with("a\n");
    world.poll();
    world.rename("f", "f.1");
    world.write("f", "b\n");
    world.polls(&[]);
    world.rename("f.1", "f");
    world.append("f", "c\n");
    world.sees(&["1@2 c"]);
}

#[test]
fn an_empty_file_that_is_replaced_held_nothing_to_be_reset() {
    let mut world = World::with("").newest(2);
    world.polls(&[]);
    world.replace("a\nb\nc\n");
    world.sees(&["0@2 b", "1@4 c"]);
}

#[test]
fn an_old_file_is_heard_for_so_long_and_no_longer() {
    let mut world = World::with("a\n");
    world.poll();
    let mut old = world.writer("f");
    world.replace("b\n");
    assert_eq!(world.wait(REST_TIME), [""; 0]);
    world.polls(&["Replaced:", "1@0 b"]);
    world.now += RETIRED_TIME - STEP;
    old.write_all(b"c\n").unwrap();
    world.polls(&["2@2 c"]);
    old.write_all(b"d\n").unwrap();
    world.sees(&[]);
}

#[test]
fn so_many_old_files_are_heard_and_no_more() {
    let mut world = World::with("0\n");
    world.poll();
    let mut writers = Vec::new();
    for n in 1..=9 {
        writers.push(world.writer("f"));
        world.replace(format!("{n}\n"));
        world.wait(REST);
    }
    for (n, mut writer) in writers.into_iter().enumerate() {
        writeln!(writer, "late {n}").unwrap();
    }
    let late = world.poll();
    assert_eq!(late.len(), 8, "{late:?}");
    assert!(late[0].ends_with("late 1"), "{late:?}");
}

#[test]
fn an_old_file_that_is_rewritten_is_no_longer_heard() {
    let mut world = World::with("a\n");
    world.poll();
    world.rename("f", "f.1");
    world.write("f", "b\n");
    world.sees(&["Replaced:", "1@0 b"]);
    world.write("f.1", "x\ny\n");
    world.sees(&[]);
}

#[test]
fn an_old_file_that_is_back_is_heard_once() {
    let mut world = World::with("a\n");
    world.poll();
    world.rename("f", "f.1");
    world.write("f", "b\n");
    world.sees(&["Replaced:", "1@0 b"]);
    world.rename("f.1", "f");
    world.sees(&["Replaced:", "2@0 a"]);
    world.append("f", "c\n");
    world.sees(&["3@2 c"]);
}

#[test]
fn deleted_and_after_a_while_created_with_the_same_inode_number() {
    let mut world = World::with("a\n");
    world.poll();
    world.remove("f");
    world.wait(Duration::from_secs(7));
    world.write("f", "a\nb\n");
    world.sees(&["found", "1@0 a", "2@2 b"]);
}

#[test]
fn an_inode_number_is_not_used_again_while_it_is_known() {
    let mut world = World::with("a\n");
    world.poll();
    let before = fs::metadata(world.at("f")).unwrap().ino();
    world.remove("f");
    world.write("f", "a\n");
    assert_ne!(fs::metadata(world.at("f")).unwrap().ino(), before);
}

#[test]
fn late_lines_of_a_removed_file_are_heard_and_known_when_it_is_back() {
    let mut world = World::with("a\n");
    world.poll();
    let mut old = world.writer("f");
    world.rename("f", "f.1");
    world.wait(Duration::from_secs(2));
    old.write_all(b"b\n").unwrap();
    world.polls(&["1@2 b"]);
    world.append("f.1", "c\n");
    world.rename("f.1", "f");
    world.sees(&["found", "2@4 c"]);
}

#[test]
fn what_comes_while_a_file_is_away_for_a_moment_is_heard() {
    let mut world = World::with("a\n");
    world.poll();
    world.append("f", "b\n");
    world.rename("f", "f.1");
    world.polls(&["1@2 b"]);
    world.write("f.1", "b\nc\n");
    world.polls(&["Truncated: 1@0", "2@2 c"]);
    world.write("f", "d\n");
    world.sees(&["Replaced:", "3@0 d"]);
}

#[test]
fn links_are_followed_and_their_swap_is_a_replacement() {
    let mut world = World::empty();
    world.write("one", "a\n");
    world.write("two", "b\n");
    world.write("three", "b\nc\n");
    world.link("one", "f");
    world.sees(&["0@0 a"]);
    world.append("one", "x\n");
    world.polls(&["1@2 x"]);
    world.link("two", "f");
    world.sees(&["Replaced:", "2@0 b"]);
    world.link("three", "f");
    world.sees(&["3@2 c"]);
}

#[test]
fn a_link_that_leads_nowhere_is_waited_for_and_one_in_a_loop_is_an_error() {
    let mut world = World::empty();
    world.link("target", "f");
    world.sees(&[]);
    world.write("target", "a\n");
    world.sees(&["found", "0@0 a"]);
    world.link("f", "f");
    world.sees(&["cannot be accessed: too many levels of symbolic links (os error 40)"]);
    world.link("target", "f");
    world.append("target", "b\n");
    world.sees(&["recovered", "1@2 b"]);
}

#[test]
fn the_folder_comes_goes_and_is_replaced() {
    let mut world = World::empty();
    world.tail = Tail::new(world.at("dir/f"), OPTIONS);
    world.sees(&[]);
    fs::create_dir(world.at("dir")).unwrap();
    world.sees(&[]);
    world.write("dir/f", "a\n");
    world.sees(&["found", "0@0 a"]);
    fs::create_dir(world.at("other")).unwrap();
    world.write("other/f", "a\nb\n");
    world.rename("dir", "gone");
    world.rename("other", "dir");
    world.sees(&["1@2 b"]);
    world.rename("dir", "moved");
    world.link("moved", "dir");
    world.append("moved/f", "c\n");
    world.sees(&["2@4 c"]);
    fs::remove_dir_all(world.at("moved")).unwrap();
    assert_eq!(world.wait(Duration::from_secs(2)), ["Removed:"]);
    fs::create_dir(world.at("moved")).unwrap();
    world.write("moved/f", "d\n");
    world.sees(&["found", "3@0 d"]);
    fs::remove_dir_all(world.at("moved")).unwrap();
    world.write("moved", "a file");
    world.sees(&["cannot be accessed: not a directory (os error 20)"]);
}

/// Checks that a thing in the file's place is reported once and blocks nothing, and that the lines
/// known before are known after it.
#[track_caller]
fn check_intruder(make: impl FnOnce(&World), remove: impl FnOnce(&World), msg: &str) {
    let mut world = World::with("a\n");
    world.poll();
    world.append("f", "unread\n");
    world.rename("f", "old");
    make(&world);
    world.sees(&["1@2 unread", msg]);
    world.append("old", "late\n");
    assert_eq!(world.wait(Duration::from_secs(60)), ["2@9 late"]);
    assert!(!world.tail.status().exists);
    remove(&world);
    world.rename("old", "f");
    world.append("f", "b\n");
    world.sees(&["recovered", "3@14 b"]);
}

#[test]
fn what_is_no_file_is_an_error_until_a_file_is_back() {
    let delete = |world: &World| world.remove("f");
    check_intruder(
        |world| fs::create_dir(world.at("f")).unwrap(),
        |world| fs::remove_dir(world.at("f")).unwrap(),
        "is a directory, not a file",
    );
    check_intruder(
        |world| assert!(Command::new("mkfifo").arg(world.at("f")).status().unwrap().success()),
        delete,
        "is a FIFO, not a file",
    );
    check_intruder(
        |world| drop(UnixListener::bind(world.at("f")).unwrap()),
        delete,
        "is a socket, not a file",
    );
    check_intruder(|world| world.link("/dev/zero", "f"), delete, "is a device, not a file");
}

#[test]
fn what_is_no_file_at_the_start_is_an_error_once() {
    let mut world = World::empty();
    fs::create_dir(world.at("f")).unwrap();
    world.sees(&["is a directory, not a file"]);
    fs::remove_dir(world.at("f")).unwrap();
    world.sees(&[]);
    fs::create_dir(world.at("f")).unwrap();
    world.sees(&[]);
    fs::remove_dir(world.at("f")).unwrap();
    world.write("f", "a\n");
    world.sees(&["recovered", "found", "0@0 a"]);
    world.link("/dev/null", "f");
    world.sees(&["is a device, not a file"]);
    world.link("/dev", "f");
    world.sees(&["is a directory, not a file"]);
}

#[test]
fn replaced_while_it_could_not_be_read() {
    let mut world = World::with("a\nb\n");
    world.poll();
    world.remove("f");
    fs::create_dir(world.at("f")).unwrap();
    world.sees(&["is a directory, not a file"]);
    world.wait(Duration::from_secs(10));
    fs::remove_dir(world.at("f")).unwrap();
    world.write("f", "b\nc\n");
    world.sees(&["recovered", "Replaced: 1@0", "2@2 c"]);
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let mut world = World::with("a\n");
    world.poll();
    let long = "x".repeat(100_000);
    world.batch = Batch::new(64 << 10);
    world.append("f", format!("b\n{long}\nc\n"));
    file::fault::set(60_000);
    let failed = "cannot be read: input/output error (os error 5)";
    world.sees(&["1@2 b", failed]);
    world.wait(Duration::from_secs(60));
    file::fault::set(u64::MAX);
    world.sees(&["recovered", &format!("2@4 {long}"), "3@100005 c"]);
}

#[test]
fn a_read_that_is_interrupted_is_done_again() {
    let mut world = World::with("a\n");
    file::fault::interrupt(3);
    world.polls(&["0@0 a"]);
}

#[test]
fn a_read_that_fails_at_first_sight_or_at_a_reset_is_tried_again() {
    let mut world = World::empty();
    world.poll();
    world.write("f", "a\n");
    file::fault::set(0);
    let failed = "cannot be read: input/output error (os error 5)";
    world.sees(&[failed]);
    file::fault::set(u64::MAX);
    world.sees(&["recovered", "found", "0@0 a"]);
    file::fault::set(0);
    world.replace("b\n");
    world.sees(&[failed]);
    file::fault::set(u64::MAX);
    world.sees(&["recovered", "Replaced:", "1@0 b"]);
    file::fault::set(0);
    world.write("f", "c\nd\n");
    world.sees(&[failed]);
    file::fault::set(u64::MAX);
    world.sees(&["recovered", "Truncated:", "2@0 c", "3@2 d"]);
}

#[test]
fn a_file_the_system_will_not_read_is_an_error() {
    let mut world = World::empty();
    world.link("/proc/self/mem", "f");
    world.sees(&["cannot be read: input/output error (os error 5)"]);
}

/// Run by the next test as a user without the right to read every file.
#[test]
fn permission_that_is_taken_away_and_given_back() {
    let mut world = World::with("a\n");
    world.poll();
    world.set_mode("f", 0o000);
    if File::open(world.at("f")).is_ok() {
        return; // Root, for whom there is nothing to see here.
    }
    let denied = |what: &str| format!("cannot be {what}: permission denied (os error 13)");
    world.sees(&[&denied("opened")]);
    assert_eq!(world.wait(Duration::from_secs(60)), [""; 0]);
    world.set_mode("f", 0o600);
    world.append("f", "b\n");
    world.sees(&["recovered", "1@2 b"]);
    world.set_mode("", 0o000);
    world.sees(&[&denied("accessed")]);
    world.set_mode("", 0o700);
    world.sees(&["recovered"]);
    world.write("g", "a\nb\nc\n");
    world.set_mode("g", 0o000);
    world.append("f", "unread\n");
    world.rename("g", "f");
    world.sees(&["2@4 unread", &denied("opened")]);
    world.set_mode("f", 0o600);
    world.sees(&["recovered", "Replaced: 0@0 1@2", "3@4 c"]);
    let mut writer = world.writer("f");
    world.set_mode("f", 0o000);
    writer.write_all(b"d\n").unwrap();
    world.sees(&[&denied("opened")]);
    world.set_mode("f", 0o600);
    world.sees(&["recovered", "4@6 d"]);
    eprintln!("permissions were tried");
}

#[test]
fn permissions_are_tried_as_somebody_who_is_not_root() {
    let program = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = dir.path().join("tests");
    // The copy is never open here: processes that other tests begin would hold it open for a
    // moment, and the system would refuse to run it.
    assert!(Command::new("cp").arg(program).arg(&copy).status().unwrap().success());
    let name = "follow::tail::tests::permission_that_is_taken_away_and_given_back";
    let mut command = Command::new(&copy);
    command.args(["--exact", name, "--nocapture"]).env("TMPDIR", dir.path());
    let nobody = 65534;
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if is_root {
        command.uid(nobody).gid(nobody);
    }
    match command.output() {
        Err(err) if err.kind() == ErrorKind::PermissionDenied => {
            skip("the right to become another user");
        }
        Err(err) => panic!("{err}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.contains("permissions were tried"),
                "{output:?}"
            );
        }
    }
}

#[test]
fn the_status_is_that_of_the_file_at_the_path() {
    let mut world = World::empty();
    world.poll();
    world.reads(Status { exists: false, size_bytes: 0, read_bytes: 0 });
    world.write("f", "a\nb\nhalf");
    world.poll();
    world.reads(Status { exists: true, size_bytes: 8, read_bytes: 8 });
    world.write("f", "c\n");
    world.wait(REST);
    world.reads(Status { exists: true, size_bytes: 2, read_bytes: 2 });
    world.remove("f");
    world.poll();
    world.reads(Status { exists: false, size_bytes: 0, read_bytes: 2 });
    world.wait(Duration::from_secs(2));
    world.reads(Status { exists: false, size_bytes: 0, read_bytes: 0 });
}

#[test]
fn a_change_within_one_tick_of_the_files_times_is_seen() {
    let mut world = World::with("a\n");
    world.poll();
    world.now += Duration::from_secs(10);
    world.append("f", "b\n");
    world.polls(&["1@2 b"]);
    // As if the next write had left all times as they were: the state known is the one that will be
    // seen.
    world.write("f", "a\nc\n");
    let seen = file::look(&world.at("f")).unwrap();
    world.current().seen = Some(seen);
    world.sees(&["Truncated: 0@0", "2@2 c"]);
}

#[test]
fn a_file_at_rest_is_only_looked_at() {
    let mut world = World::with("a\n");
    world.poll();
    world.wait(TICK + STEP);
    file::fault::set(0);
    assert_eq!(world.wait(Duration::from_secs(60)), [""; 0]);
    file::fault::set(u64::MAX);
}

#[test]
fn a_swap_of_the_folder_of_a_file_at_rest_is_noticed_at_once() {
    let mut world = World::empty();
    world.tail = Tail::new(world.at("dir/f"), OPTIONS);
    fs::create_dir(world.at("dir")).unwrap();
    world.write("dir/f", "a\n");
    world.poll();
    world.wait(TICK + STEP * 2);
    fs::create_dir(world.at("other")).unwrap();
    world.write("other/f", "a\nb\n");
    world.rename("dir", "gone");
    world.rename("other", "dir");
    world.polls(&["1@2 b"]);
}

#[test]
fn what_becomes_of_a_file_at_rest_is_noticed_at_once() {
    let mut world = World::with("a\n");
    let rest = TICK + STEP * 2;
    world.poll();
    world.wait(rest);
    world.append("f", "b\n");
    world.polls(&["1@2 b"]);
    world.wait(rest);
    world.replace("a\nb\nc\n");
    world.polls(&["2@4 c"]);
    world.wait(rest);
    world.wait(rest);
    world.rename("f", "gone");
    world.write("f", "e\n");
    world.poll();
    world.remove("f");
    world.write("f", "f\n");
    world.sees(&["Replaced:", "3@0 e", "Replaced:", "4@0 f"]);
}

#[test]
fn a_turned_link_to_a_file_at_rest_is_noticed_at_once() {
    let mut world = World::empty();
    world.write("one", "a\n");
    world.write("two", "a\nb\n");
    world.link("one", "f");
    world.poll();
    world.wait(TICK + STEP * 2);
    world.link("two", "f");
    world.polls(&["1@2 b"]);
}

#[test]
fn a_handle_that_shows_less_than_the_path_is_renewed() {
    let mut world = World::with("a\n");
    world.poll();
    // As an overlay file system does it: the same file by number, but what the handle reads is an
    // old copy.
    world.write("copy", "a\n");
    let stale = File::open(world.at("copy")).unwrap();
    world.current().file = Some(stale);
    world.append("f", "b\n");
    world.sees(&["1@2 b"]);
}

#[test]
fn a_handle_that_still_shows_what_was_written_over_is_renewed() {
    let mut world = World::with("a\n");
    world.poll();
    world.wait(TICK + STEP);
    // As FUSE does it when the file is written to beneath the mount: a handle that is open shows
    // what it showed before.
    world.write("copy", "a\n");
    let stale = File::open(world.at("copy")).unwrap();
    world.current().file = Some(stale);
    world.write("f", "b\n");
    world.sees(&["Truncated:", "1@0 b"]);
}

#[test]
fn an_old_file_whose_handle_comes_to_show_the_new_one_is_let_go() {
    let mut world = World::with("a\n");
    world.poll();
    world.replace("a\nb\n");
    world.sees(&["1@2 b"]);
    // As FUSE does it after a replacement beneath the mount.
    let turned = File::open(world.at("f")).unwrap();
    world.tail.retired[0].file = turned;
    world.append("f", "c\n");
    world.sees(&["2@4 c"]);
}

#[test]
fn a_handle_that_fails_is_renewed() {
    let mut world = World::with("a\n");
    world.poll();
    let broken = OpenOptions::new().write(true).open(world.at("f")).unwrap();
    world.current().file = Some(broken);
    world.append("f", "b\n");
    world.sees(&["cannot be read: bad file descriptor (os error 9)", "recovered", "1@2 b"]);
}

#[test]
fn an_old_file_that_cannot_be_read_holds_nothing_up() {
    let mut world = World::with("a\n");
    world.poll();
    world.append("f", "lost\n");
    let broken = OpenOptions::new().write(true).open(world.at("f")).unwrap();
    world.current().file = Some(broken);
    world.replace("b\n");
    world.sees(&["Replaced:", "1@0 b"]);
}

#[test]
fn a_closed_file_is_opened_again_only_when_it_changes() {
    let mut world = World::with("a\nhal");
    world.poll();
    world.tail.close();
    world.poll();
    assert_eq!(world.tail.open_files(), 1, "a change can have left no trace");
    world.wait(TICK);
    assert!(world.tail.is_at_rest());
    world.tail.close();
    file::fault::set(0);
    assert_eq!(world.wait(Duration::from_secs(60)), [""; 0]);
    file::fault::set(u64::MAX);
    assert_eq!(world.tail.open_files(), 0);
    assert!(world.tail.is_at_rest());
    world.append("f", "f\nb\n");
    world.polls(&["1@2 half", "2@7 b"]);
    assert_eq!((world.tail.open_files(), world.tail.is_at_rest()), (1, false));
    world.reads(Status { exists: true, size_bytes: 9, read_bytes: 9 });
}

/// Changes a file that was closed at once, and one that was closed at rest.
#[track_caller]
fn check_closed(change: impl Fn(&World), wanted: &[&str]) {
    for time in [STEP, TICK + STEP] {
        let mut world = World::with("a\nb\n");
        world.wait(time);
        world.tail.close();
        assert_eq!(world.tail.open_files(), 0);
        change(&world);
        world.sees_within(LONG_REST, wanted);
    }
}

#[test]
fn changes_to_a_closed_file_are_told_as_those_to_an_open_one() {
    check_closed(|world| world.append("f", "c\n"), &["2@4 c"]);
    check_closed(|world| world.write("f", "a\nb\nc\n"), &["2@4 c"]);
    check_closed(|world| world.write("f", "b\nc\n"), &["Truncated: 1@0", "2@2 c"]);
    check_closed(|world| world.write("f", ""), &["Truncated:"]);
    check_closed(|world| world.replace("a\nb\nc\n"), &["2@4 c"]);
    check_closed(|world| world.replace("b\nc\n"), &["Replaced: 1@0", "2@2 c"]);
    check_closed(|world| world.replace("x\ny\nz\n"), &["Replaced:", "2@0 x", "3@2 y", "4@4 z"]);
    let rotate = |world: &World| {
        world.append("f", "lost\n");
        world.rename("f", "f.1");
        world.write("f", "c\n");
    };
    check_closed(rotate, &["Replaced:", "2@0 c"]);
}

#[test]
fn a_closed_file_whose_inode_number_was_used_again_is_told_by_its_bytes() {
    let recreate = |content: &'static str| {
        move |world: &World| {
            world.remove("f");
            world.write("f", content);
        }
    };
    check_closed(recreate("a\nb\nc\n"), &["2@4 c"]);
    for content in ["b\nc\n", "b\nc\nd\ne\n"] {
        let mut world = World::with("a\nb\n");
        world.poll();
        world.tail.close();
        recreate(content)(&world);
        let items = world.wait(REST);
        assert!(items[0].ends_with(": 1@0") && items[1] == "2@2 c", "{items:?}");
    }
}

#[test]
fn a_closed_file_that_is_removed_is_told_and_found_again() {
    let mut world = World::with("a\n");
    world.poll();
    world.wait(TICK);
    world.tail.close();
    world.remove("f");
    assert_eq!(world.wait(Duration::from_secs(2)), ["Removed:"]);
    assert!(world.tail.is_at_rest());
    world.tail.close();
    world.write("f", "a\n");
    world.sees(&["found", "1@0 a"]);
}

#[test]
fn a_closed_file_that_may_no_longer_be_opened_is_an_error() {
    let mut world = World::with("a\n");
    world.poll();
    world.wait(TICK);
    world.tail.close();
    world.remove("f");
    fs::create_dir(world.at("f")).unwrap();
    world.sees(&["is a directory, not a file"]);
    fs::remove_dir(world.at("f")).unwrap();
    world.write("f", "a\nb\n");
    world.sees(&["recovered", "1@2 b"]);
}

#[test]
fn files_that_are_kept_open_are_closed_too() {
    let mut world = World::with("a\n");
    world.poll();
    let mut old = world.writer("f");
    world.replace("b\n");
    world.polls(&[]);
    assert_eq!((world.tail.open_files(), world.tail.is_at_rest()), (2, false));
    world.tail.close();
    assert_eq!(world.tail.open_files(), 0);
    world.sees(&["Replaced:", "1@0 b"]);
    world.replace("b\nc\n");
    world.polls(&["2@2 c"]);
    assert_eq!(world.tail.open_files(), 2);
    world.tail.close();
    old.write_all(b"late\n").unwrap();
    world.sees(&[]);
}

#[test]
fn without_fingerprints_all_lines_of_new_content_are_new() {
    let mut world = World::with("a\nb\n");
    world.tail =
        Tail::new(world.at("f"), Options { newest: usize::MAX, fingerprints: 0, ..OPTIONS });
    world.polls(&["0@0 a", "1@2 b"]);
    world.write("f", "b\nc\n");
    world.sees(&["Truncated:", "2@0 b", "3@2 c"]);
    world.replace("b\nc\nd\n");
    world.polls(&["4@4 d"]);
    world.replace("d\n");
    world.sees(&["Replaced:", "5@0 d"]);
}

#[test]
fn all_lines_are_read_from_the_beginning_without_a_search() {
    let mut world = World::with(&"a\n".repeat(5000));
    world.tail = Tail::new(world.at("f"), Options { newest: usize::MAX, ..OPTIONS });
    assert_eq!(world.poll().len(), 5000);
}

#[test]
fn a_line_of_16_mib_is_whole_where_that_is_allowed_and_its_memory_is_given_back() {
    let mut world = World::with("a\n");
    let max_line_bytes = 16 << 20;
    world.tail = Tail::new(world.at("f"), Options { max_line_bytes, ..OPTIONS });
    world.poll();
    world.append("f", vec![b'x'; max_line_bytes]);
    world.append("f", "\nb\n");
    let mut more = true;
    let mut lines = Vec::new();
    while more {
        more = world.tail.poll(world.now, &mut world.batch);
        while let Some(line) = world.batch.pop_line() {
            lines.push((line.offset, world.batch.bytes(&line).len()));
        }
        assert!(world.batch.memory_bytes() <= max_line_bytes + 2 * POLL_BYTES);
    }
    assert_eq!(lines, [(2, max_line_bytes), (max_line_bytes as u64 + 3, 1)]);
    world.poll();
    assert!(world.batch.memory_bytes() < 64 << 10);
    world.append("f", vec![b'x'; max_line_bytes + 1]);
    world.append("f", "\n");
    world.polls(&["3@16777221 4096 of 16777217"]);
}

/// How fast a file is read from its beginning, beside `memchr` over the same bytes read in blocks.
#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture reading_speed"]
fn reading_speed() {
    let size_bytes = if cfg!(debug_assertions) { 8 << 20 } else { 500 << 20 };
    for line_bytes in [100, 1000, 20_000] {
        let line = ["x".repeat(line_bytes - 1), "\n".to_owned()].concat();
        let count = size_bytes / line_bytes / 10 * 10;
        let world = World::with("");
        for _ in 0..10 {
            world.append("f", line.repeat(count / 10));
        }
        let (mut best, mut bare_best) = (0.0_f64, 0.0_f64);
        for _ in 0..4 {
            bare_best = bare_best.max(megabytes_a_second(|| read_bare(&world.at("f"), count)));
            best = best.max(megabytes_a_second(|| read_tail(&world.at("f"), count)));
        }
        eprintln!("lines of {line_bytes} bytes: {best:.0} MB/s, bare {bare_best:.0} MB/s");
    }
}

/// Measures CPU time, since other tests run meanwhile.
fn megabytes_a_second(read: impl FnOnce() -> usize) -> f64 {
    let cpu_ns = || {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let start = cpu_ns();
    let bytes = read();
    bytes as f64 * 1e3 / (cpu_ns() - start) as f64
}

fn read_tail(path: &Path, count: usize) -> usize {
    let options = Options { newest: usize::MAX, fingerprints: 0, ..OPTIONS };
    let mut tail = Tail::new(path.to_owned(), options);
    let mut batch = Batch::new(POLL_BYTES);
    let (mut lines, mut bytes) = (0, 0);
    let mut more = true;
    while more {
        more = tail.poll(Duration::ZERO, &mut batch);
        while let Some(line) = batch.pop_line() {
            lines += 1;
            bytes += batch.bytes(&line).len() + 1;
        }
    }
    assert_eq!(lines, count);
    bytes
}

/// Reads and searches for line ends alone.
fn read_bare(path: &Path, count: usize) -> usize {
    let file = File::open(path).unwrap();
    let (mut lines, mut at) = (0, 0);
    let mut block = vec![0; POLL_BYTES];
    loop {
        let len = file.read_at(&mut block, at as u64).unwrap();
        if len == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &block[..len]).count();
        at += len;
    }
    assert_eq!(lines, count);
    at
}
