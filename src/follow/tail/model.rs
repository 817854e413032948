//! Random sequences of everything that is done to files, against a model of what must have come
//! out.
//!
//! The model knows each file's content and nothing of how the tailer works. After every poll it
//! checks that each line given out is in some file at that very place and is not held already, and
//! that a reset names exactly the lines that are still there. After every rest it checks that every
//! line of the file at the path is held, in order, and that every line written to a file heard of
//! before has come.
//!
//! The tailer looks at a file again for as long as a change may leave no trace in its times. The
//! clock handed to it is made up and runs ahead of the file system's, so when half that time has
//! passed since a change, a tick of the file system's is waited for.

use super::tests::{OPTIONS, await_tick, skip};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const STEP: Duration = Duration::from_millis(20);

/// Longer than any wait in the tailer for a file to come to rest.
const REST: Duration = Duration::from_millis(1200);

/// Files that the tailer can have to do with when it has nothing more to read: the held one, the
/// next one, the one at the path.
const MET_FILES: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Append { lines: usize, end: &'static str },
    Trickle { bytes: usize },
    Blank,
    Truncate { lines: usize },
    Regrow { lines: usize },
    RewriteEnd { lines: usize },
    Purge { mask: u32, is_in_place: bool, more: usize },
    Merge { mask: u32, is_in_place: bool },
    Rotate { lines: usize },
    Late { which: usize, lines: usize },
    StaleWriter,
    ReplaceBySame { more: usize },
    ReplaceByOther { lines: usize },
    SwapLink { lines: usize },
    Delete,
    Create { lines: usize, has_mark: bool },
    Directory,
    MoveAway,
    MoveBack,
    Close,
    Poll,
    Settle,
    Wait { ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let few = 0usize..4;
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")];
    prop_oneof![
        6 => (1usize..4, end).prop_map(|(lines, end)| Op::Append { lines, end }),
        4 => (1usize..16).prop_map(|bytes| Op::Trickle { bytes }),
        1 => Just(Op::Blank),
        2 => few.clone().prop_map(|lines| Op::Truncate { lines }),
        2 => few.clone().prop_map(|lines| Op::Regrow { lines }),
        2 => (1usize..3).prop_map(|lines| Op::RewriteEnd { lines }),
        3 => (any::<u32>(), any::<bool>(), few.clone())
            .prop_map(|(mask, is_in_place, more)| Op::Purge { mask, is_in_place, more }),
        3 => (any::<u32>(), any::<bool>())
            .prop_map(|(mask, is_in_place)| Op::Merge { mask, is_in_place }),
        3 => few.clone().prop_map(|lines| Op::Rotate { lines }),
        4 => (0usize..4, few.clone()).prop_map(|(which, lines)| Op::Late { which, lines }),
        1 => Just(Op::StaleWriter),
        3 => few.clone().prop_map(|more| Op::ReplaceBySame { more }),
        2 => few.clone().prop_map(|lines| Op::ReplaceByOther { lines }),
        1 => few.clone().prop_map(|lines| Op::SwapLink { lines }),
        2 => Just(Op::Delete),
        4 => (few, any::<bool>()).prop_map(|(lines, has_mark)| Op::Create { lines, has_mark }),
        1 => Just(Op::Directory),
        1 => Just(Op::MoveAway),
        2 => Just(Op::MoveBack),
        2 => Just(Op::Close),
        10 => Just(Op::Poll),
        4 => Just(Op::Settle),
        2 => (0u64..7000).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// A file as the model knows it; it lives on through its handle when no name leads to it any more.
struct Disk {
    file: File,
    content: Vec<u8>,
    /// The rest of a line that is being written in pieces.
    unwritten: Vec<u8>,
    /// Until when the tailer must hear what is written to it, if it has heard of it at all.
    heard_until: Option<Duration>,
    /// At the last poll it was not at the path.
    is_away: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum At {
    Nothing,
    File(usize),
    Directory,
}

/// The lines that a reader of the items holds: by number, each with its offset.
type Held = BTreeMap<u64, (String, u64)>;

struct Model {
    dir: TempDir,
    tail: Tail,
    batch: Batch,
    now: Duration,
    /// When the first change was made after which the file system's clock was not waited for.
    changed_at: Option<Duration>,
    disks: Vec<Disk>,
    at: At,
    /// The file that was moved away and can come back.
    aside: Option<usize>,
    /// The files that were at the path since the tailer last kept up, and before that the last
    /// ones; newest last.
    met: Vec<usize>,
    tokens: usize,
    held: Held,
    /// Lines that came from a file other than the one at the path.
    strays: HashSet<String>,
    /// Lines that were inserted, which are old where they are before every known one.
    inserted: HashSet<String>,
    given: HashSet<String>,
    due: Vec<String>,
    next_seq: u64,
}

impl Model {
    fn new(poll_bytes: usize) -> Model {
        let dir = tempfile::tempdir_in(base()).unwrap();
        let options = Options { is_whole: |bytes| bytes.ends_with(b"}"), ..OPTIONS };
        let tail = Tail::new(dir.path().join("f"), options);
        Model {
            dir,
            tail,
            batch: Batch::new(poll_bytes),
            now: Duration::ZERO,
            changed_at: None,
            disks: Vec::new(),
            at: At::Nothing,
            aside: None,
            met: Vec::new(),
            tokens: 0,
            held: Held::new(),
            strays: HashSet::new(),
            inserted: HashSet::new(),
            given: HashSet::new(),
            due: Vec::new(),
            next_seq: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("f")
    }

    /// Lines that are nowhere else, all of one length, every other a JSON object.
    fn fresh(&mut self, lines: usize, end: &str) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..lines {
            self.tokens += 1;
            let n = self.tokens;
            let line = if n.is_multiple_of(2) {
                format!("{{\"n\":{n:06}}}")
            } else {
                format!("line {n:07}")
            };
            text += &(line + end);
        }
        text.into_bytes()
    }

    fn create(&mut self, name: &str, content: Vec<u8>) -> usize {
        let path = self.dir.path().join(name);
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.write_all(&content).unwrap();
        self.disks.push(Disk {
            file,
            content,
            unwritten: Vec::new(),
            heard_until: None,
            is_away: false,
        });
        self.disks.len() - 1
    }

    fn write_end(&mut self, which: usize, bytes: &[u8]) {
        let disk = &mut self.disks[which];
        disk.file.seek(SeekFrom::End(0)).unwrap();
        disk.file.write_all(bytes).unwrap();
        disk.content.extend_from_slice(bytes);
    }

    /// Ends a line that was left half written, then appends.
    fn append(&mut self, which: usize, lines: usize, end: &str) {
        let mut bytes = std::mem::take(&mut self.disks[which].unwritten);
        bytes.extend(self.fresh(lines, end));
        self.write_end(which, &bytes);
    }

    fn rewrite(&mut self, which: usize, content: Vec<u8>) {
        self.lose(which);
        let disk = &mut self.disks[which];
        let hole = content.iter().take_while(|&&byte| byte == 0).count();
        let same = content.iter().zip(&disk.content).take_while(|(new, old)| new == old).count();
        // A shorter beginning is cut off in place; other content is written anew, holes left open.
        let kept = if same == content.len() { same } else { 0 };
        disk.file.set_len(kept as u64).unwrap();
        disk.file.write_all_at(&content[kept.max(hole)..], kept.max(hole) as u64).unwrap();
        disk.content = content;
        disk.unwritten.clear();
    }

    /// Lines that a writer removed before a poll could read them need not come.
    fn lose(&mut self, which: usize) {
        let disk = &mut self.disks[which];
        let unread = lines(&disk.content);
        self.due.retain(|text| unread.iter().all(|(_, line)| line != text));
        // A file that had lost its place is heard only as long as it grows.
        disk.heard_until = disk.heard_until.filter(|&until| until == Duration::MAX);
    }

    /// The file is about to lose its place: its unread lines must still come.
    fn leave(&mut self, which: usize) {
        let disk = &self.disks[which];
        if disk.heard_until.is_some_and(|until| self.now + STEP < until) {
            let unread = lines(&disk.content).into_iter().map(|(_, text)| text);
            let is_due =
                |text: &String| !self.given.contains(text) && !self.inserted.contains(text);
            self.due.extend(unread.filter(is_due));
        }
    }

    fn replace(&mut self, old: usize, content: Vec<u8>) {
        if self.disks[old].is_away {
            // Moved back and copied before anybody looked: its unread lines would be heard in both
            // places.
            return;
        }
        self.leave(old);
        let new = self.create("tmp", content);
        fs::rename(self.dir.path().join("tmp"), self.path()).unwrap();
        self.at = At::File(new);
    }

    fn apply(&mut self, op: &Op) {
        if !matches!(op, Op::Poll | Op::Settle | Op::Wait { .. }) {
            self.changed_at.get_or_insert(self.now);
        }
        match (op, self.at) {
            (Op::Late { which, lines }, _) => self.write_late(*which, *lines),
            (Op::Close, _) => self.close(),
            (Op::Poll, _) => _ = self.poll(),
            (Op::Settle, _) => self.settle(),
            (Op::Wait { ms }, _) => self.wait(Duration::from_millis(*ms)),
            (_, At::File(it)) => {
                self.write(op, it);
                self.rewrite_some(op, it);
                self.replace_some(op, it);
                self.take_away(op, it);
            }
            (_, At::Nothing) => self.put(op),
            (Op::Delete, At::Directory) => {
                fs::remove_dir(self.path()).unwrap();
                self.at = At::Nothing;
            }
            _ => {}
        }
    }

    fn write(&mut self, op: &Op, it: usize) {
        match *op {
            Op::Append { lines, end } => self.append(it, lines, end),
            Op::Trickle { bytes } => {
                let mut text = std::mem::take(&mut self.disks[it].unwritten);
                if text.is_empty() {
                    text = self.fresh(1, "\r\n");
                }
                let rest = text.split_off(bytes.min(text.len()));
                self.write_end(it, &text);
                self.disks[it].unwritten = rest;
            }
            Op::Blank if self.disks[it].unwritten.is_empty() => {
                self.write_end(it, b" \n\0\0\n\n");
            }
            _ => {}
        }
    }

    fn rewrite_some(&mut self, op: &Op, it: usize) {
        match *op {
            Op::Truncate { lines: left } => {
                let content = &self.disks[it].content;
                let ends = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let len = ends.map(|(at, _)| at + 1).take(left).last().unwrap_or(0);
                self.rewrite(it, content[..len].to_vec());
            }
            Op::Regrow { lines: more } => {
                let len = self.disks[it].content.len() / 12 + more;
                let content = self.fresh(len, "\n");
                self.rewrite(it, content);
            }
            Op::RewriteEnd { lines: count } => self.rewrite_end(it, count),
            Op::Purge { mask, is_in_place: true, more } => {
                let mut content = purged(&self.disks[it].content, mask);
                content.extend(self.fresh(more, "\n"));
                self.rewrite(it, content);
            }
            Op::Merge { mask, is_in_place: true } => {
                let content = self.merged(it, mask);
                self.rewrite(it, content);
            }
            Op::StaleWriter => {
                let mut content = vec![0; self.disks[it].content.len()];
                content.extend(self.fresh(1, "\n"));
                self.rewrite(it, content);
            }
            _ => {}
        }
    }

    fn replace_some(&mut self, op: &Op, it: usize) {
        match *op {
            Op::Purge { mask, is_in_place: false, more } => {
                let mut content = purged(&self.disks[it].content, mask);
                content.extend(self.fresh(more, "\n"));
                self.replace(it, content);
            }
            Op::Merge { mask, is_in_place: false } => {
                let content = self.merged(it, mask);
                self.replace(it, content);
            }
            Op::ReplaceBySame { more } => {
                let mut content = self.disks[it].content.clone();
                content.extend(std::mem::take(&mut self.disks[it].unwritten));
                content.extend(self.fresh(more, "\n"));
                // A line left half in the old file ends otherwise there, if at all.
                if content.len() > self.disks[it].content.len() {
                    let is_whole = self.disks[it].content.trim_ascii_end().ends_with(b"}");
                    self.disks[it].unwritten =
                        if is_whole { b"\n".to_vec() } else { self.fresh(1, "\n") };
                }
                self.replace(it, content);
            }
            Op::ReplaceByOther { lines } => {
                let content = self.fresh(lines, "\n");
                self.replace(it, content);
            }
            Op::SwapLink { lines } => {
                self.leave(it);
                let name = format!("target{}", self.disks.len());
                let content = self.fresh(lines, "\n");
                let new = self.create(&name, content);
                symlink(self.dir.path().join(&name), self.dir.path().join("link")).unwrap();
                fs::rename(self.dir.path().join("link"), self.path()).unwrap();
                self.at = At::File(new);
            }
            _ => {}
        }
    }

    /// The content with a fresh line before each line whose bit is set; half lines and a mark go.
    fn merged(&mut self, it: usize, mask: u32) -> Vec<u8> {
        let whole = purged(&self.disks[it].content, 0);
        let whole = whole.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&whole);
        let mut content = Vec::new();
        for (n, line) in whole.split_inclusive(|&byte| byte == b'\n').enumerate() {
            if mask >> (n % 32) & 1 == 1 {
                let fresh = self.fresh(1, "\n");
                self.inserted.extend(lines(&fresh).into_iter().map(|(_, text)| text));
                content.extend(fresh);
            }
            content.extend(line);
        }
        content
    }

    fn take_away(&mut self, op: &Op, it: usize) {
        match *op {
            Op::Rotate { lines } => {
                self.leave(it);
                fs::rename(self.path(), self.dir.path().join("old")).unwrap();
                let content = self.fresh(lines, "\n");
                self.at = At::File(self.create("f", content));
            }
            Op::Delete => {
                self.leave(it);
                fs::remove_file(self.path()).unwrap();
                self.at = At::Nothing;
            }
            Op::MoveAway => {
                self.leave(it);
                fs::rename(self.path(), self.dir.path().join("aside")).unwrap();
                (self.at, self.aside) = (At::Nothing, Some(it));
            }
            _ => {}
        }
    }

    fn put(&mut self, op: &Op) {
        match *op {
            Op::Create { lines, has_mark } => {
                let mut content = if has_mark { "\u{feff}".as_bytes().to_vec() } else { vec![] };
                content.extend(self.fresh(lines, "\n"));
                self.at = At::File(self.create("f", content));
            }
            Op::Directory => {
                fs::create_dir(self.path()).unwrap();
                self.at = At::Directory;
            }
            Op::MoveBack => {
                if let Some(it) = self.aside.take() {
                    fs::rename(self.dir.path().join("aside"), self.path()).unwrap();
                    self.at = At::File(it);
                }
            }
            _ => {}
        }
    }

    /// Other lines in place of the last ones, under the same size and time.
    fn rewrite_end(&mut self, it: usize, count: usize) {
        self.lose(it);
        let places = lines(&self.disks[it].content);
        let mtime = self.disks[it].file.metadata().unwrap().modified().unwrap();
        for (at, text) in places.iter().rev().take(count) {
            let fresh = self.fresh(1, "");
            if text.len() == fresh.len() {
                let disk = &mut self.disks[it];
                disk.file.write_all_at(&fresh, *at).unwrap();
                disk.content[*at as usize..][..fresh.len()].copy_from_slice(&fresh);
            }
        }
        self.disks[it].file.set_modified(mtime).unwrap();
    }

    fn write_late(&mut self, which: usize, count: usize) {
        let away: Vec<usize> =
            (0..self.disks.len()).filter(|&it| self.at != At::File(it)).rev().collect();
        let Some(&it) = away.get(which) else { return };
        self.append(it, count, "\n");
        if self.aside == Some(it) {
            // Its late lines would be the only ones known when it is back, and those before them
            // old.
            self.aside = None;
        }
        self.leave(it);
    }

    /// Closes the files: no line need come until the tailer opens one again.
    fn close(&mut self) {
        self.tail.close();
        self.due.clear();
        self.disks.iter_mut().for_each(|disk| disk.heard_until = None);
    }

    fn poll(&mut self) -> bool {
        self.now += STEP;
        if self.changed_at.take_if(|at| self.now >= *at + TICK / 2).is_some() {
            await_tick(self.dir.path());
        }
        if let At::File(it) = self.at
            && self.met.last() != Some(&it)
        {
            self.met.push(it);
            self.aside = self.aside.filter(|&aside| aside == it);
        }
        let more = self.tail.poll(self.now, &mut self.batch);
        self.hear(more);
        let is_empty = self.batch.is_empty();
        while let Some(item) = self.batch.pop() {
            match item {
                Item::Line(line) => self.take_line(&line),
                Item::Reset { reason, kept } => self.take_reset(reason, &kept),
                Item::Found | Item::Unreadable { .. } | Item::Recovered => {}
            }
        }
        if !more {
            self.met.drain(..self.met.len().saturating_sub(MET_FILES));
        }
        more || !is_empty
    }

    fn hear(&mut self, more: bool) {
        let late = self.now + RETIRED_TIME;
        for (it, disk) in self.disks.iter_mut().enumerate() {
            disk.is_away = self.at != At::File(it);
            if !disk.is_away {
                if !more && self.tail.open_files() > 0 {
                    // Before that, the path was perhaps not looked at.
                    disk.heard_until = Some(Duration::MAX);
                }
            } else if disk.heard_until == Some(Duration::MAX) {
                disk.heard_until = Some(late);
            }
        }
        let mut heard: Vec<usize> = (0..self.disks.len())
            .filter(|&it| self.disks[it].heard_until > Some(self.now))
            .collect();
        heard.sort_by_key(|&it| self.disks[it].heard_until);
        for &it in heard.iter().rev().skip(RETIRED_FILES) {
            self.disks[it].heard_until = None;
        }
    }

    fn take_line(&mut self, line: &Line) {
        assert_eq!(line.seq, self.next_seq, "numbers have no gaps");
        self.next_seq += 1;
        let text = String::from_utf8(self.batch.bytes(line).to_vec()).unwrap();
        let place = (line.offset, text.clone());
        assert!(!line.is_truncated());
        let holders: Vec<usize> = (0..self.disks.len())
            .filter(|&it| lines(&self.disks[it].content).contains(&place))
            .collect();
        assert!(!holders.is_empty(), "{place:?} is in no file");
        assert!(self.held.values().all(|(held, _)| *held != text), "{text:?} came twice");
        if holders.iter().any(|&it| self.at != At::File(it)) {
            self.strays.insert(text.clone());
        }
        self.given.insert(text.clone());
        self.held.insert(line.seq, (text, line.offset));
    }

    fn take_reset(&mut self, reason: Reason, kept: &[Kept]) {
        let told: Held =
            kept.iter().map(|it| (it.seq, (self.held[&it.seq].0.clone(), it.offset))).collect();
        let is_right = |it: &usize| {
            let content = lines(&self.disks[*it].content);
            let place_of =
                |text: &String| content.iter().find(|(_, line)| line == text).map(|(at, _)| *at);
            let still: Held = self
                .held
                .iter()
                .filter_map(|(seq, (text, _))| Some((*seq, (text.clone(), place_of(text)?))))
                .collect();
            still == told
        };
        let is_right =
            if reason == Reason::Removed { kept.is_empty() } else { self.met.iter().any(is_right) };
        assert!(is_right, "{reason:?} keeps {told:?} of {:?}", self.held);
        self.held = told;
        self.strays.clear();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.poll();
        }
    }

    fn settle(&mut self) {
        let mut until = self.now + REST;
        while self.now < until {
            if self.poll() {
                until = self.now + REST;
            }
        }
        for text in std::mem::take(&mut self.due) {
            assert!(self.given.contains(&text), "{text:?} never came");
        }
        if let At::File(it) = self.at {
            let content = lines(&self.disks[it].content);
            let mut places: Vec<_> =
                self.held.values().map(|(text, at)| (*at, text.clone())).collect();
            places.retain(|place| content.contains(place));
            places.sort();
            let is_new = |place: &&(u64, String)| {
                places.first().is_some_and(|first| first <= *place)
                    || !self.inserted.contains(&place.1)
            };
            let wanted: Vec<_> = content.iter().filter(is_new).cloned().collect();
            assert_eq!(places, wanted, "the lines of the file are held, in their places");
            let content: Vec<_> = content.into_iter().map(|(_, text)| text).collect();
            for (text, _) in self.held.values() {
                assert!(
                    content.contains(text) || self.strays.contains(text),
                    "{text:?} is gone and still held"
                );
            }
            assert_eq!(self.tail.status().size_bytes, self.disks[it].content.len() as u64);
            assert_eq!(self.tail.status().read_bytes, self.disks[it].content.len() as u64);
        }
    }
}

/// The content without the lines whose bits are set; half lines go too.
fn purged(content: &[u8], mask: u32) -> Vec<u8> {
    let whole = content.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let left = whole.enumerate().filter(|(n, _)| mask >> (n % 32) & 1 == 0);
    left.flat_map(|(_, line)| line.to_vec()).collect()
}

/// Returns the complete lines of a file, each with its offset.
fn lines(content: &[u8]) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let text = String::from_utf8(line.to_vec()).unwrap();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let skipped = text.len() - text.trim_start_matches(['\0', '\u{feff}']).len();
        let text = text.trim_matches(['\0', '\u{feff}']);
        let is_complete = line.ends_with(b"\n") || (text.starts_with('{') && text.ends_with('}'));
        if is_complete && !text.trim().is_empty() {
            found.push(((at + skipped) as u64, text.to_owned()));
        }
        at += line.len();
    }
    found
}

/// Where the files are: in memory, where there is such a place.
fn base() -> &'static Path {
    let bases = ["/dev/shm", "/tmp"].map(Path::new);
    bases.into_iter().find(|dir| dir.is_dir()).unwrap()
}

fn run(poll_bytes: usize, ops: &[Op]) {
    let mut model = Model::new(poll_bytes);
    for op in ops {
        model.apply(op);
    }
    model.settle();
}

/// How many sequences are tried; `PROPTEST_CASES` sets another number.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_line_is_lost_and_none_comes_twice(
        poll_bytes in prop_oneof![Just(1usize << 20), 1usize..64],
        ops in proptest::collection::vec(op(), 0..40),
    ) {
        run(poll_bytes, &ops);
    }
}

/// Runs a command on file times as coarse as they are before Linux 6.13: over a ramfs, which still
/// has no finer ones. `None` if this system lets nothing be mounted.
fn on_coarse_times(program: &Path, args: &[&str]) -> Option<Output> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let as_root: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let mount = "mount -t ramfs ramfs \"$1\" && shift && exec \"$@\"";
    let run = |program: &Path, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(as_root).args(["sh", "-c", mount, "sh"]);
        command.arg(base()).arg(program).args(args);
        command.env("PROPTEST_CASES", (cases() / 8).to_string()).output()
    };
    run(Path::new("true"), &[]).ok().filter(|tried| tried.status.success())?;
    Some(run(program, args).unwrap())
}

#[test]
fn nor_where_the_times_of_files_are_coarse() {
    let name = "follow::tail::model::no_line_is_lost_and_none_comes_twice";
    let program = std::env::current_exe().unwrap();
    let Some(output) = on_coarse_times(&program, &["--exact", name]) else {
        return skip("the right to mount a ramfs");
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}
