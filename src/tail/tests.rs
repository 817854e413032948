//! The tailer's steps against files that are treated in every way that is known to happen.

use super::*;
use std::fs::{self, File, OpenOptions};
use std::io::Write;

use tempfile::TempDir;

/// The time between two polls.
const STEP: Duration = Duration::from_millis(20);

/// Longer than any wait in the tailer for a file to come to rest.
const REST: Duration = Duration::from_millis(200);

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// A folder, the tailer of `f` in it, and a clock.
struct World {
    dir: TempDir,
    tail: Tail,
    now: Duration,
}

impl World {
    fn with(content: &str) -> World {
        let world = World::empty();
        world.write("f", content);
        world
    }

    fn empty() -> World {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::new(dir.path().join("f"), 1000, is_json);
        World { dir, tail, now: Duration::ZERO }
    }

    fn newest(mut self, newest: usize) -> World {
        self.tail = Tail::new(self.at("f"), newest, is_json);
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

    /// One poll, or as many as it asks for itself.
    fn poll(&mut self) -> Vec<Item> {
        self.now += STEP;
        let mut items = Vec::new();
        loop {
            let poll = self.tail.poll(self.now);
            items.extend(poll.items);
            if !poll.more {
                return items;
            }
        }
    }

    fn wait(&mut self, time: Duration) -> Vec<Item> {
        let until = self.now + time;
        let mut items = Vec::new();
        while self.now < until {
            items.extend(self.poll());
        }
        items
    }

    #[track_caller]
    fn polls(&mut self, wanted: &[&str]) {
        let items = self.poll();
        assert_eq!(show(&items), wanted);
    }

    /// What comes until the file has been at rest for a while.
    #[track_caller]
    fn sees(&mut self, wanted: &[&str]) {
        let items = self.wait(REST);
        assert_eq!(show(&items), wanted);
    }
}

fn show(items: &[Item]) -> Vec<String> {
    let line = |line: &Line| {
        let text = String::from_utf8_lossy(&line.bytes);
        match line.is_truncated() {
            false => format!("{}@{} {text}", line.seq, line.offset),
            true => {
                format!("{}@{} {} of {}", line.seq, line.offset, line.bytes.len(), line.len_bytes)
            }
        }
    };
    let kept = |kept: &Kept| format!(" {}@{}", kept.seq, kept.offset);
    let one = |item: &Item| match item {
        Item::Line(it) => line(it),
        Item::Reset { reason, kept: lines } => {
            format!("{reason:?}:{}", lines.iter().map(kept).collect::<String>())
        }
        Item::Found => "found".to_owned(),
        Item::Unreadable { msg } => msg.clone(),
        Item::Recovered => "recovered".to_owned(),
    };
    items.iter().map(one).collect()
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
    assert_eq!(show(&world.wait(Duration::from_secs(300))), [""; 0]);
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
fn truncated_to_nothing_and_written_again() {
    let mut world = World::with("a\nb\n");
    world.sees(&["0@0 a", "1@2 b"]);
    world.write("f", "");
    world.sees(&["Truncated:"]);
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
    world.sees(&["Replaced:", "1@2 b", "2@0 c"]);
    world.wait(Duration::from_secs(4));
    old.write_all(b"d\n").unwrap();
    world.polls(&["3@4 d"]);
    world.wait(Duration::from_secs(1));
    old.write_all(b"too late\n").unwrap();
    world.sees(&[]);
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
    assert_eq!(show(&world.wait(Duration::from_secs(2))), ["Removed:"]);
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
