use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Command;

use proptest::prelude::*;

use super::super::tail::Item;
use super::*;

const OPTIONS: Options =
    Options { newest: usize::MAX, fingerprints: 128, max_line_bytes: 4096, is_whole: |_| false };

const MAX_OPEN_FILES: usize = 4;

fn accepts(path: &Path, kind: Kind) -> bool {
    let depth = path.components().count();
    match kind {
        Kind::Directory => depth <= 2,
        Kind::File => depth >= 2,
    }
}

/// The file's name without its extension; other files have no key.
fn key(path: &Path) -> Option<String> {
    let is_jsonl = path.extension().is_some_and(|extension| extension == "jsonl");
    is_jsonl.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
}

/// A tree, the tails in it, and all that they gave out.
struct World {
    dir: tempfile::TempDir,
    tails: Tails,
    now: Duration,
    /// The time between two steps.
    period: Duration,
    pace: Pace,
    lines: BTreeMap<String, Vec<String>>,
    changes: Vec<String>,
}

impl World {
    fn new(pace: Pace) -> World {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let tails = Tails::new(root, accepts, key, OPTIONS, 1, MAX_OPEN_FILES);
        let (lines, changes) = (BTreeMap::new(), Vec::new());
        let period = Duration::from_millis(20);
        World { dir, tails, now: Duration::ZERO, period, pace, lines, changes }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        let file = fs::File::options().append(true).create(true).open(self.at(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Appends so many seconds after a fixed time.
    fn append_at(&self, seconds: u64, name: &str, text: &str) {
        self.append(name, text);
        let file = fs::File::options().append(true).open(self.at(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::create_dir_all(self.at(to).parent().unwrap()).unwrap();
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    fn name(&self, file: FileId) -> String {
        key(self.tails.path(file).unwrap()).unwrap()
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let shown = match change {
                Change::Found { file } => {
                    self.tails.follow(file, self.pace);
                    format!("+{}", self.name(file))
                }
                Change::Changed { file, was } => format!("~{} {}", self.name(file), was.size_bytes),
                Change::Moved { file } => format!(">{}", self.name(file)),
                Change::Gone { file } => {
                    let shown = format!("-{}", self.name(file));
                    self.tails.forget(file);
                    shown
                }
                Change::Other { path } => path.file_name().unwrap().to_str().unwrap().to_owned(),
                Change::Unreadable { msg, .. } => msg,
                Change::Recovered { .. } => "recovered".to_owned(),
            };
            self.changes.push(shown);
        }
    }

    /// What a worker does a period after the step before.
    fn step(&mut self) {
        self.now += self.period;
        let changes = self.tails.scan(self.now);
        self.apply(changes);
        self.poll();
    }

    fn poll(&mut self) {
        self.tails.begin(self.now, self.period);
        while let Some(polled) = self.tails.next(self.now) {
            let name = key(polled.path).unwrap();
            while let Some(item) = polled.batch.pop() {
                let lines = self.lines.entry(name.clone()).or_default();
                match item {
                    Item::Line(line) => {
                        let bytes = polled.batch.bytes(&line).to_vec();
                        lines.push(String::from_utf8(bytes).unwrap());
                    }
                    Item::Reset { .. } => lines.push("reset".to_owned()),
                    _ => {}
                }
            }
        }
        let open = self.tails.counts().open_files;
        assert!(open <= MAX_OPEN_FILES, "{open} open files");
    }

    /// Steps for so many seconds. Returns the changes.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.step();
        }
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort();
        changes
    }

    fn lines(&self, name: &str) -> Vec<&str> {
        self.lines.get(name).into_iter().flatten().map(String::as_str).collect()
    }
}

#[test]
fn files_that_are_there_or_appear_are_read_from_their_beginnings() {
    let mut world = World::new(Pace::Often);
    assert_eq!(world.run(1), [""; 0], "the root is absent");
    world.append("p/a.jsonl", "1\n2\n");
    world.append("p/other.txt", "");
    assert_eq!(world.run(6), ["+a", "other.txt"]);
    world.append("q/b.jsonl", "3\n");
    world.append("p/a.jsonl", "4\n");
    world.step();
    assert_eq!(world.lines("a"), ["1", "2", "4"]);
    assert_eq!(world.run(6), ["+b"]);
    assert_eq!(world.lines("b"), ["3"]);
}

#[test]
fn a_file_that_is_moved_is_read_on_where_it_was() {
    for pace in [Pace::Often, Pace::Sometimes, Pace::Seldom, Pace::OnChange] {
        let mut world = World::new(pace);
        world.append("p/a.jsonl", "1\n");
        world.run(4);
        world.rename("p/a.jsonl", "q/a.jsonl");
        world.append("q/a.jsonl", "2\n");
        assert_eq!(world.run(70), [">a"], "{pace:?}");
        world.append("q/a.jsonl", "3\n");
        assert_eq!(world.run(70), [""; 0], "{pace:?}");
        assert_eq!(world.lines("a"), ["1", "2", "3"], "{pace:?}");
    }
}

#[test]
fn a_move_of_a_file_that_is_polled_often_is_seen_within_a_second() {
    let mut world = World::new(Pace::Often);
    world.append("p/a.jsonl", "1\n");
    fs::create_dir(world.at("q")).unwrap();
    world.run(20);
    world.rename("p/a.jsonl", "q/a.jsonl");
    world.append("q/a.jsonl", "2\n");
    assert_eq!(world.run(1), [">a"]);
    assert_eq!(world.lines("a"), ["1", "2"]);
}

#[test]
fn a_file_that_is_moved_twice_within_a_second_is_not_read_again() {
    let mut world = World::new(Pace::Seldom);
    world.append("p/a.jsonl", "1\n");
    world.run(22);
    world.rename("p/a.jsonl", "q/a.jsonl");
    while world.changes.is_empty() {
        world.step();
    }
    world.rename("q/a.jsonl", "p/a.jsonl");
    assert_eq!(world.run(70), [">a", ">a"]);
    assert_eq!(world.lines("a"), ["1"]);
}

#[test]
fn a_file_that_is_deleted_is_gone_after_a_whole_scan_and_found_when_it_is_back() {
    let mut world = World::new(Pace::Often);
    world.append("p/a.jsonl", "1\n");
    world.run(4);
    fs::remove_file(world.at("p/a.jsonl")).unwrap();
    assert_eq!(world.run(6), ["-a"]);
    assert_eq!(world.tails.counts(), Counts::default());
    world.append("p/a.jsonl", "2\n");
    assert_eq!(world.run(6), ["+a"]);
    assert_eq!(world.lines("a"), ["1", "2"]);
}

#[test]
fn a_file_with_something_else_in_its_place_is_gone_and_hurries_no_more_scans() {
    let fifo = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    for make in [&directory as &dyn Fn(&Path), &fifo] {
        let mut world = World::new(Pace::Often);
        world.append("p/a.jsonl", "1\n");
        world.run(4);
        fs::remove_file(world.at("p/a.jsonl")).unwrap();
        make(&world.at("p/a.jsonl"));
        let (scans, mut changes) = (world.tails.scans, Vec::new());
        for _ in 0..1000 {
            world.now += world.period;
            // The caller may keep the tail, for a file that comes back.
            changes.extend(world.tails.scan(world.now));
            world.poll();
        }
        assert_eq!(changes, [Change::Gone { file: FileId(1) }]);
        let scans = world.tails.scans - scans;
        assert!(scans < 8, "{scans} scans in 20 seconds");
        world.rename("p/a.jsonl", "p/other");
        world.append("p/a.jsonl", "2\n");
        world.step();
        assert_eq!(world.run(1), ["+a"]);
        assert_eq!(world.lines("a"), ["1", "reset", "2"]);
    }
}

#[test]
fn a_directory_that_is_replaced_keeps_the_tails_of_the_files_that_are_there_again() {
    let mut world = World::new(Pace::Often);
    world.append("p/a.jsonl", "1\n");
    world.append("p/b.jsonl", "1\n");
    world.run(4);
    fs::rename(world.dir.path().join("root"), world.dir.path().join("old")).unwrap();
    world.append("p/a.jsonl", "1\n2\n");
    assert_eq!(world.run(6), ["-b"]);
    assert_eq!(world.lines("a"), ["1", "2"], "the known line is recognised");
}

#[test]
fn of_two_copies_the_one_that_was_written_last_is_followed() {
    let mut world = World::new(Pace::Often);
    world.append("p/a.jsonl", "1\n");
    world.run(4);
    world.append("q/a.jsonl", "1\n2\n");
    let later = SystemTime::now() + Duration::from_secs(5);
    let copy = fs::File::options().append(true).open(world.at("q/a.jsonl")).unwrap();
    copy.set_modified(later).unwrap();
    assert_eq!(world.run(6), [">a"]);
    assert_eq!(world.lines("a"), ["1", "2"]);
    fs::remove_file(world.at("q/a.jsonl")).unwrap();
    assert_eq!(world.run(70), [">a"], "back to the other one");
    assert_eq!(world.tails.counts().files, 1);
}

#[test]
fn a_copy_to_which_nothing_was_added_does_not_take_the_tail() {
    for (is_time_kept, copied_at) in [(true, 10), (false, 11)] {
        let mut world = World::new(Pace::Often);
        world.append_at(0, "p/a.jsonl", "1\n");
        world.run(4);
        world.append_at(10, "p/a.jsonl", "2\n");
        world.append_at(copied_at, "q/a.jsonl", "1\n2\n");
        assert_eq!(world.run(6), [""; 0], "{is_time_kept}");
        for line in 3..10 {
            world.append_at(10 + line, "p/a.jsonl", &format!("{line}\n"));
            world.step();
            assert_eq!(world.lines("a").last(), Some(&&*line.to_string()), "{is_time_kept}");
            assert_eq!(world.run(20), [""; 0], "{is_time_kept}");
        }
        assert_eq!(world.lines("a"), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[test]
fn of_two_copies_that_are_polled_the_one_that_grows_is_followed_within_five_seconds() {
    for pace in [Pace::Often, Pace::Sometimes, Pace::Seldom] {
        let mut world = World::new(pace);
        world.append_at(0, "p/a.jsonl", "1\n");
        world.run(4);
        world.append_at(0, "q/a.jsonl", "1\n");
        assert_eq!(world.run(20), [""; 0], "{pace:?}");
        world.append_at(30, "q/a.jsonl", "2\n");
        assert_eq!(world.run(6), [">a"], "{pace:?}");
        assert_eq!(world.run(20), [""; 0], "{pace:?}");
        world.append_at(40, "p/a.jsonl", "three\n");
        assert_eq!(world.run(6), [">a"], "{pace:?}");
        assert_eq!(world.run(70), [""; 0], "{pace:?}");
        assert_eq!(world.lines("a"), ["1", "2", "reset", "three"], "{pace:?}");
    }
}

#[test]
fn the_copy_that_was_written_last_takes_the_place_of_a_deleted_file() {
    let mut world = World::new(Pace::Often);
    world.append_at(9, "p/a.jsonl", "1\n2\n3\n");
    world.run(4);
    world.append_at(2, "old/a.jsonl", "1\n");
    world.append_at(5, "q/a.jsonl", "1\n2\n");
    world.run(6);
    fs::remove_file(world.at("p/a.jsonl")).unwrap();
    assert_eq!(world.run(6), [">a"]);
    world.append("q/a.jsonl", "4\n");
    world.step();
    assert_eq!(world.lines("a"), ["1", "2", "3", "reset", "4"]);
}

#[test]
fn a_file_without_a_tail_is_reported_when_a_whole_scan_finds_it_changed() {
    for (period_ms, early, late) in [(20, 20, 20), (200, 260, 20)] {
        let mut world = World::new(Pace::Often);
        world.period = Duration::from_millis(period_ms);
        world.append("p/a.jsonl", "1\n");
        world.run(30);
        let file = *world.tails.files.keys().next().unwrap();
        world.tails.unfollow(file);
        world.append("p/a.jsonl", "2\n");
        assert_eq!(world.run(early), [""; 0]);
        assert_eq!(world.run(late), ["~a 2"]);
        assert_eq!(world.lines("a"), ["1"]);
    }
}

#[test]
fn files_that_are_polled_seldom_or_on_change_are_closed_when_they_rest() {
    for (pace, wanted) in
        [(Pace::Often, 1), (Pace::Sometimes, 1), (Pace::Seldom, 0), (Pace::OnChange, 0)]
    {
        let mut world = World::new(pace);
        world.append("p/a.jsonl", "1\n");
        world.run(30);
        assert_eq!(world.tails.counts().open_files, wanted, "{pace:?}");
    }
}

#[test]
fn the_newest_file_is_read_first() {
    let mut world = World::new(Pace::Seldom);
    for (age, name) in [(50, "old"), (10, "new"), (90, "oldest")] {
        let path = format!("p/{name}.jsonl");
        world.append(&path, "1\n");
        let file = fs::File::options().append(true).open(world.at(&path)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let changes = world.tails.scan(world.now);
    world.apply(changes);
    let mut order = Vec::new();
    while world.tails.counts().behind > 0 {
        world.tails.begin(world.now, Duration::from_millis(20));
        while let Some(polled) = world.tails.next(world.now) {
            order.push(key(polled.path).unwrap());
            while polled.batch.pop().is_some() {}
        }
    }
    assert_eq!(order[..3], ["new", "old", "oldest"]);
}

#[test]
fn a_line_waits_for_as_many_polls_as_its_pace_says() {
    for (pace, period_ms, wanted) in [
        (Pace::Often, 20, 1),
        (Pace::Sometimes, 20, 5),
        (Pace::Seldom, 20, 50),
        (Pace::Often, 200, 1),
        (Pace::Sometimes, 200, 2),
        (Pace::Seldom, 200, 25),
        (Pace::Sometimes, 500, 1),
        (Pace::Seldom, 500, 10),
        (Pace::Sometimes, 2000, 1),
    ] {
        let mut world = World::new(pace);
        world.period = Duration::from_millis(period_ms);
        world.append("p/a.jsonl", "1\n");
        world.run(30);
        let mut longest = 0;
        for lines in 2..9 {
            world.append("p/a.jsonl", "1\n");
            let polls = (1..).find(|_| {
                world.step();
                world.lines("a").len() == lines
            });
            longest = longest.max(polls.unwrap());
        }
        assert_eq!(longest, wanted, "{pace:?}, every {period_ms} ms");
    }
}

#[test]
fn there_is_nothing_to_do_until_something_is_due() {
    let mut world = World::new(Pace::Often);
    world.append("p/a.jsonl", "1\n");
    world.run(30);
    assert_eq!(world.tails.pause(world.now), Duration::from_millis(20));
    let file = *world.tails.files.keys().next().unwrap();
    world.tails.follow(file, Pace::Seldom);
    world.run(4);
    let pause = world.tails.pause(world.now);
    assert!(pause > Duration::ZERO && pause <= SELDOM_PERIOD, "{pause:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        file: usize,
        lines: usize,
    },
    /// Half a line; the next append completes it.
    Half {
        file: usize,
    },
    Move {
        file: usize,
        dir: usize,
    },
    Pace {
        file: usize,
        pace: Pace,
    },
    Run {
        steps: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..6_usize;
    let pace = prop_oneof![
        Just(Pace::Often),
        Just(Pace::Sometimes),
        Just(Pace::Seldom),
        Just(Pace::OnChange)
    ];
    prop_oneof![
        4 => (file.clone(), 1..4_usize).prop_map(|(file, lines)| Step::Append { file, lines }),
        1 => file.clone().prop_map(|file| Step::Half { file }),
        2 => (file.clone(), 0..3_usize).prop_map(|(file, dir)| Step::Move { file, dir }),
        2 => (file, pace).prop_map(|(file, pace)| Step::Pace { file, pace }),
        4 => prop_oneof![4 => 1..20_usize, 1 => 250..400_usize]
            .prop_map(|steps| Step::Run { steps }),
    ]
}

proptest! {
    // A case takes a quarter of a second.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Files grow, and move between directories, at any pace of their tails, with fewer handles
    /// than files.
    #[test]
    fn every_line_is_given_out_once_and_in_order(steps in prop::collection::vec(step(), 0..40)) {
        let mut world = World::new(Pace::Often);
        let mut dirs: [Option<usize>; 6] = [None; 6];
        let mut wanted: [Vec<String>; 6] = Default::default();
        let mut texts: [String; 6] = Default::default();
        let path = |file: usize, dir: usize| match file {
            0..4 => format!("dir{dir}/{file}.jsonl"),
            _ => format!("dir{dir}/deep/{file}.jsonl"),
        };
        for step in steps {
            match step {
                Step::Append { file, lines } => {
                    let dir = *dirs[file].get_or_insert(0);
                    for _ in 0..lines {
                        let line = format!("{}{}", texts[file], wanted[file].len());
                        world.append(&path(file, dir), &line[texts[file].len()..]);
                        world.append(&path(file, dir), "\n");
                        texts[file].clear();
                        wanted[file].push(line);
                    }
                }
                Step::Half { file } => {
                    let dir = *dirs[file].get_or_insert(0);
                    world.append(&path(file, dir), "half");
                    texts[file] += "half";
                }
                Step::Move { file, dir } => {
                    if let Some(from) = dirs[file].filter(|from| *from != dir) {
                        world.rename(&path(file, from), &path(file, dir));
                        dirs[file] = Some(dir);
                    }
                }
                Step::Pace { file, pace } => {
                    if let Some(id) = world.tails.by_key.get(&file.to_string()).copied() {
                        world.tails.follow(id, pace);
                    }
                }
                Step::Run { steps } => (0..steps).for_each(|_| world.step()),
            }
        }
        world.run(70);
        for (file, wanted) in wanted.iter().enumerate() {
            prop_assert_eq!(world.lines(&file.to_string()), wanted.clone(), "file {}", file);
        }
        prop_assert_eq!(world.changes.iter().filter(|it| it.starts_with('-')).count(), 0);
    }
}
