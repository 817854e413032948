//! Many changes to the history within one tick of the file's times: each line comes, and comes
//! once.
//!
//! The driver makes a few changes without a pause, waits until the backlog is what the file holds,
//! and begins again. Each test takes two seconds, or as many as `CLAUDE_LIVE_SOAK_SECONDS` says.
//! Invariant: no text is written as two different lines, so a line that comes twice is a repeat.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, Program, Stream, append, command_of, prompt, raw_line};
use crate::{soak, tools};

/// A rewrite that takes longer can be read before its end; its lines can then come again.
const REWRITE_TIME: Duration = Duration::from_millis(50);

/// The fewest rounds of a run that are not slow.
const MIN_ROUNDS: u32 = 3;

/// The most lines of the history, which are fewer than the backlog's.
const MAX_LINES: usize = 200;

type Change = fn(&mut Driver);

const CHANGES: [(&str, Change); 8] = [
    ("append", Driver::append),
    ("append in halves", Driver::append_in_halves),
    ("rewrite end", Driver::rewrite_end),
    ("truncate", Driver::truncate),
    ("rewrite", Driver::rewrite),
    ("replace", Driver::replace),
    ("rotate", Driver::rotate),
    ("recreate", Driver::recreate),
];

#[test]
fn changes_within_one_tick_lose_nothing_and_repeat_nothing() {
    let program = Program::start(&[]);
    let dir = program.dir().to_owned();
    Driver::new(program, &dir).run();
}

/// The times of a ramfs are those of the kernel's last tick, as they are everywhere before Linux
/// 6.13.
#[test]
fn nor_do_they_where_file_times_are_coarse() {
    let dir = tempfile::tempdir().unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let as_root: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let on_ramfs = |program: &str| {
        let mut command = command_of("unshare");
        let script = "mount -t ramfs ramfs \"$1\" && exec \"$0\" --port 0 --claude \"$1\"";
        command.arg("--mount").args(as_root).args(["sh", "-c", script, program]).arg(dir.path());
        command
    };
    if !on_ramfs("true").output().is_ok_and(|tried| tried.status.success()) {
        return tools::skip("a ramfs in a mount namespace of its own");
    }
    let program = Program::spawn(on_ramfs(env!("CARGO_BIN_EXE_claude-live")), dir.path());
    let seen_by_program = format!("/proc/{}/root{}", program.child.id(), dir.path().display());
    assert!(times_of_changes(Path::new(&seen_by_program)) < 50, "the file times are not coarse");
    Driver::new(program, Path::new(&seen_by_program)).run();
}

/// Returns how many different times 200 changes in a row have.
fn times_of_changes(dir: &Path) -> usize {
    let path = dir.join("times");
    let times = (0..200).map(|_| {
        append(&path, "x");
        let meta = fs::metadata(&path).unwrap();
        (meta.ctime(), meta.ctime_nsec())
    });
    times.collect::<HashSet<_>>().len()
}

struct Driver {
    program: Program,
    stream: Stream,
    path: PathBuf,
    random: RandomState,
    drawn: u64,
    /// The lines of the file at the path.
    content: Vec<String>,
    /// Lines appended to a file that had lost its place; they are held until the next reset.
    late: HashSet<String>,
    /// A change took so long that lines can come again.
    is_slow: bool,
    published: HashSet<String>,
    last_id: u64,
    /// The changes of this round.
    log: Vec<&'static str>,
}

impl Driver {
    fn new(program: Program, dir: &Path) -> Driver {
        let last_id = program.backlog(1)["lastEventId"].as_u64().unwrap();
        Driver {
            stream: program.stream("", &[]),
            program,
            path: dir.join("history.jsonl"),
            random: RandomState::new(),
            drawn: 0,
            content: Vec::new(),
            late: HashSet::new(),
            is_slow: false,
            published: HashSet::new(),
            last_id,
            log: Vec::new(),
        }
    }

    fn run(mut self) {
        let (start, time) = (Instant::now(), soak::duration(Duration::from_secs(2)));
        let (mut rounds, mut slow_rounds) = (0, 0);
        // On a busy machine it takes longer until some are not slow.
        while start.elapsed() < time || rounds < slow_rounds + MIN_ROUNDS {
            self.round();
            rounds += 1;
            slow_rounds += u32::from(self.is_slow);
            let is_over = start.elapsed() > time + PATIENCE;
            assert!(!is_over, "{slow_rounds} of {rounds} rounds were slow");
        }
        eprintln!("{rounds} rounds, {slow_rounds} of them slow");
    }

    fn round(&mut self) {
        self.log.clear();
        self.is_slow = false;
        if self.below(4) == 0 {
            self.log.push("rewrite end again and again");
            self.rewrite_end_again_and_again();
        } else {
            let start = Instant::now();
            (0..=self.below(8)).for_each(|_| self.change());
            self.is_slow = start.elapsed() > REWRITE_TIME;
        }
        self.wait();
        self.rest();
    }

    fn random(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random() % end
    }

    fn fresh_lines(&mut self, max: u64) -> Vec<String> {
        (0..=self.below(max)).map(|_| prompt(&format!("{:016x}", self.random()))).collect()
    }

    /// Sometimes for so long that the program does not read the file any more.
    fn rest(&mut self) {
        let time_ms = if self.below(40) == 0 { 2200 } else { 10 * self.below(4) };
        thread::sleep(Duration::from_millis(time_ms));
    }

    /// Keeps the size during several polls, so that the last changes are in the tick of a poll.
    fn rewrite_end_again_and_again(&mut self) {
        let (start, time) = (Instant::now(), Duration::from_millis(self.below(300)));
        while start.elapsed() < time {
            self.rewrite_end();
        }
    }

    fn change(&mut self) {
        let (name, change) = CHANGES[self.below(CHANGES.len() as u64) as usize];
        self.log.push(name);
        change(self);
        if self.content.len() > MAX_LINES {
            self.recreate();
        }
    }

    fn append(&mut self) {
        let lines = self.fresh_lines(4);
        append(&self.path, &lines.concat());
        self.content.extend(lines);
    }

    fn append_in_halves(&mut self) {
        let lines = self.fresh_lines(1);
        let text = lines.concat();
        let (first, second) = text.split_at(text.len() / 2);
        append(&self.path, first);
        append(&self.path, second);
        self.content.extend(lines);
    }

    /// Writes other lines in place of the last ones, of the same size.
    fn rewrite_end(&mut self) {
        let mut lines = self.fresh_lines(3);
        lines.truncate(self.content.len());
        let from = self.content.len() - lines.len();
        let offset = self.content[..from].concat().len();
        let text = lines.concat();
        self.open().write_all_at(text.as_bytes(), offset as u64).unwrap();
        self.content.splice(from.., lines);
    }

    fn truncate(&mut self) {
        let len = self.below(self.content.len() as u64 + 1) as usize;
        self.content.truncate(len);
        self.open().set_len(self.content.concat().len() as u64).unwrap();
    }

    fn rewrite(&mut self) {
        self.content = self.other_content();
        let text = self.content.concat();
        if self.below(2) == 0 {
            let file = self.open();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            file.set_len(text.len() as u64).unwrap();
        } else {
            fs::write(&self.path, text).unwrap();
        }
    }

    fn replace(&mut self) {
        let content = self.other_content();
        let beside = self.path.with_extension("new");
        fs::write(&beside, content.concat()).unwrap();
        fs::rename(beside, &self.path).unwrap();
        self.content = content;
    }

    /// Renames the file, creates another, and appends to the old one.
    fn rotate(&mut self) {
        let mut old = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        fs::rename(&self.path, self.path.with_extension("old")).unwrap();
        let (content, late) = (self.fresh_lines(4), self.fresh_lines(1));
        fs::write(&self.path, content.concat()).unwrap();
        old.write_all(late.concat().as_bytes()).unwrap();
        self.late.extend(late);
        self.content = content;
    }

    fn recreate(&mut self) {
        // It does not exist before the first change.
        fs::remove_file(&self.path).unwrap_or_default();
        self.content = self.fresh_lines(4);
        fs::write(&self.path, self.content.concat()).unwrap();
    }

    fn open(&self) -> File {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).open(&self.path).unwrap()
    }

    /// Returns lines of which the first one is known, if any is: lines before it would be old.
    fn other_content(&mut self) -> Vec<String> {
        let mut content = Vec::new();
        let kind = self.below(4);
        for (number, line) in self.content.clone().into_iter().enumerate() {
            let is_purged = kind == 1 && number > 0 && self.below(3) == 0;
            content.extend((!is_purged).then_some(line));
            if kind == 2 && self.below(3) == 0 {
                content.extend(self.fresh_lines(2));
            }
        }
        match kind {
            0 => self.fresh_lines(40),
            1 | 2 => content,
            _ => [content, self.fresh_lines(4)].concat(),
        }
    }

    /// Waits until the backlog is what the file holds.
    fn wait(&mut self) {
        let start = Instant::now();
        loop {
            let backlog = self.program.backlog(1000);
            self.read_stream(backlog["lastEventId"].as_u64().unwrap());
            let events = backlog["events"].as_array().unwrap();
            let held: HashSet<_> = events.iter().map(|event| raw_line(event) + "\n").collect();
            let content: HashSet<_> = self.content.iter().cloned().collect();
            let lost: Vec<_> = content.difference(&held).collect();
            let gone: Vec<_> =
                held.difference(&content).filter(|line| !self.late.contains(*line)).collect();
            if lost.is_empty() && gone.is_empty() {
                return;
            }
            let is_late = start.elapsed() > PATIENCE;
            assert!(!is_late, "after {:?}: lost {lost:?}, held {gone:?}", self.log);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn read_stream(&mut self, last_id: u64) {
        while self.last_id < last_id {
            let frame = self.stream.event();
            self.last_id = frame.id.unwrap();
            if frame.event == "history.append" {
                let line = raw_line(&frame.json()) + "\n";
                let is_new = self.published.insert(line.clone());
                assert!(is_new || self.is_slow, "after {:?}: {line} came twice", self.log);
            }
        }
    }
}
