use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::{Event, EventType};
use crate::follow::process::Process;
use crate::formats::prices::Prices;
use crate::hub::{Filter, Replay, Subscription};

const STREAMING: Duration = Duration::from_millis(20);

thread_local! {
    /// The processes that run, with their starts.
    static PROCESSES: RefCell<HashMap<u32, String>> = RefCell::default();
}

fn look_up(pid: u32) -> Process {
    let started_at = PROCESSES.with_borrow(|processes| processes.get(&pid).cloned());
    started_at.map_or(Process::Absent, |it| Process::Running { started_at: Some(it) })
}

static PRICES: LazyLock<Arc<Prices>> = LazyLock::new(|| Arc::new(Prices::built_in()));

/// A program that follows a directory.
struct Follower {
    transcripts: Transcripts,
    records: Arc<Records>,
    hub: Arc<Hub>,
    stream: Subscription,
    /// The uuids of the records on the stream.
    appended: Vec<String>,
    notices: Vec<String>,
}

impl Follower {
    fn start(dir: &Path, wall: Timestamp) -> Follower {
        let hub = Hub::new(1_000_000_000_000_000);
        let history = dir.join("history.jsonl");
        let health = Arc::new(Health::new(dir, &history, Vec::new()));
        let records = Arc::new(Records::new(history));
        let stream = hub.subscribe(None, Filter::default());
        let of_hub = Arc::clone(&hub);
        let usage = Usage::new(dir, Arc::clone(&PRICES), Box::new(|_| panic!("no client asks")));
        let mut transcripts =
            Transcripts::new(dir, of_hub, health, Arc::clone(&records), Arc::new(usage), wall, 256);
        transcripts.registry = Statuses::new(dir.join("sessions"), look_up);
        Follower { transcripts, records, hub, stream, appended: Vec::new(), notices: Vec::new() }
    }

    fn step(&mut self, now: Duration, wall: Timestamp) {
        self.transcripts.step(now, wall, STREAMING);
        loop {
            let Replay::Events(events) = self.stream.read(usize::MAX) else { panic!("lost") };
            if events.is_empty() {
                return;
            }
            events.iter().for_each(|event| self.take(event));
        }
    }

    fn take(&mut self, event: &Event) {
        let data: Value = serde_json::from_slice(event.data()).unwrap();
        match event.event_type() {
            EventType::TranscriptAppend => {
                self.appended.push(data["uuid"].as_str().unwrap().to_owned());
            }
            EventType::SessionRemoved => self.notices.push(format!("{data}")),
            EventType::Error | EventType::Notice => {
                self.notices.push(data["kind"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }

    fn sessions(&self) -> BTreeMap<String, Value> {
        let sessions = self.hub.sessions().events.into_iter().map(|event| {
            let data: Value = serde_json::from_slice(event.data()).unwrap();
            (data["sessionId"].as_str().unwrap().to_owned(), data)
        });
        sessions.collect()
    }
}

/// A Claude directory, a program that follows it, and a clock.
struct World {
    dir: tempfile::TempDir,
    start: Timestamp,
    follower: Follower,
    now: Duration,
    uuid: u32,
}

/// The time of the test's clock at first. Each file of the test is created before it, by the clock
/// of the file system.
fn start_time() -> Timestamp {
    static START: LazyLock<Timestamp> =
        LazyLock::new(|| Timestamp::now() + SignedDuration::from_hours(24));
    *START
}

impl World {
    fn new() -> World {
        World::starting_at(start_time())
    }

    fn starting_at(start: Timestamp) -> World {
        PROCESSES.take();
        let dir = tempfile::tempdir().unwrap();
        let follower = Follower::start(dir.path(), start);
        World { dir, start, follower, now: Duration::ZERO, uuid: 0 }
    }

    /// Starts the program again.
    fn restart(&mut self) {
        self.follower = Follower::start(self.dir.path(), self.wall());
    }

    fn wall(&self) -> Timestamp {
        self.start + self.now
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
        self.touch(name);
    }

    /// Gives a file the time of the test's clock.
    fn touch(&self, name: &str) {
        let file = fs::File::options().append(true).open(self.at(name)).unwrap();
        file.set_modified(self.wall().into()).unwrap();
    }

    /// Appends a record, and returns its uuid.
    fn append(&mut self, name: &str, mut record: Value) -> String {
        self.uuid += 1;
        self.now += Duration::from_millis(1);
        let uuid = format!("u{}", self.uuid);
        record["uuid"] = json!(uuid);
        record["timestamp"] = json!(self.wall().to_string());
        self.append_text(name, &format!("{record}\n"));
        uuid
    }

    fn append_text(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        let file = fs::File::options().append(true).create(true).open(self.at(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
        self.touch(name);
    }

    fn registry(&self, pid: u32, session: &str, status: &str) {
        let at = self.wall().as_millisecond();
        let entry = json!({"pid": pid, "sessionId": session, "cwd": "/p", "procStart": "1",
            "status": status, "statusUpdatedAt": at, "waitingFor": "permission prompt"});
        self.write(&format!("sessions/{pid}.json"), &entry.to_string());
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.now += Duration::from_millis(50);
            self.follower.step(self.now, self.wall());
        }
    }

    fn session(&self, id: &str) -> Value {
        self.follower.sessions().remove(id).unwrap_or_default()
    }
}

fn prompt(text: &str) -> Value {
    json!({"type": "user", "cwd": "/p", "message": {"role": "user", "content": text}})
}

fn call(tool: &str) -> Value {
    let block = json!({"type": "tool_use", "id": tool, "name": "Bash", "input": {"command": "ls"}});
    json!({"type": "assistant", "requestId": tool, "message": {"id": tool, "role": "assistant",
        "model": "claude-opus-4-5", "content": [block], "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 5}}})
}

fn result(tool: &str) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": tool, "content": "ok"});
    json!({"type": "user", "message": {"role": "user", "content": [block]}})
}

fn answer(text: &str) -> Value {
    json!({"type": "assistant", "requestId": text, "message": {"id": text, "role": "assistant",
        "model": "claude-opus-4-5", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 11}}})
}

const MAIN: &str = "projects/-p/s1.jsonl";
const AGENT: &str = "projects/-p/s1/subagents/agent-a1.jsonl";

#[test]
fn a_session_moves_through_its_states_as_its_files_do() {
    let mut world = World::new();
    PROCESSES.with_borrow_mut(|it| it.insert(7, "1".to_owned()));
    world.registry(7, "s1", "busy");
    world.run(1);
    assert_eq!(world.session("s1")["status"], "working", "before there is a transcript");
    let first = world.append(MAIN, prompt("do it"));
    let second = world.append(MAIN, call("t1"));
    world.run(1);
    assert_eq!(world.session("s1")["tools"][0]["name"], "Bash", "{}", world.session("s1"));
    assert_eq!(world.follower.appended, [first, second]);
    world.registry(7, "s1", "waiting");
    world.run(1);
    assert_eq!(world.session("s1")["waitingFor"], "permission prompt");
    world.append(MAIN, result("t1"));
    world.append(MAIN, answer("done"));
    world.registry(7, "s1", "idle");
    world.run(1);
    let session = world.session("s1");
    assert_eq!((&session["status"], &session["text"]), (&json!("idle"), &json!("done")));
    PROCESSES.take();
    world.run(2);
    assert_eq!(world.session("s1")["status"], "ended");
}

#[test]
fn only_what_is_written_after_the_start_is_on_the_stream() {
    let mut world = World::new();
    world.append(MAIN, prompt("before"));
    world.append(AGENT, prompt("before too"));
    world.restart();
    world.run(1);
    assert_eq!(world.session("s1")["title"], "before");
    let wanted = [world.append(MAIN, prompt("after")), world.append(AGENT, answer("yes"))];
    world.run(2);
    assert_eq!(world.follower.appended, wanted);
    assert_eq!(world.session("s1")["agents"][0]["agentId"], "a1");
}

#[test]
fn a_fork_repeats_no_records_of_its_session() {
    // The copy is created after its first record was written.
    let mut world = World::starting_at(start_time() - SignedDuration::from_hours(48));
    world.run(1);
    let first = world.append(MAIN, prompt("one"));
    world.run(20);
    fs::copy(world.at(MAIN), world.at("projects/-p/fork.jsonl")).unwrap();
    let second = world.append("projects/-p/fork.jsonl", prompt("two"));
    world.run(10);
    assert_eq!(world.follower.appended, [first, second]);
    assert_eq!(world.session("fork")["turns"], 2);
}

#[test]
fn a_transcript_that_is_cut_shows_what_is_left_and_repeats_nothing() {
    let mut world = World::new();
    world.run(1);
    let first = world.append(MAIN, prompt("one"));
    let text = fs::read_to_string(world.at(MAIN)).unwrap();
    let second = world.append(MAIN, call("t1"));
    world.run(6);
    assert_eq!(world.session("s1")["tools"][0]["id"], "t1");
    world.write(MAIN, &text);
    world.run(3);
    assert_eq!(world.session("s1")["tools"], json!([]));
    let third = world.append(MAIN, answer("ok"));
    world.run(3);
    assert_eq!(world.follower.appended, [first, second, third]);
}

/// The remembered lines are longer than a poll reads.
#[test]
fn a_rewrite_of_long_lines_leaves_the_state_of_what_is_in_the_file() {
    let (mut world, name) = (World::new(), "projects/-p/s.jsonl");
    world.registry(7, "s", "idle");
    PROCESSES.with_borrow_mut(|it| it.insert(7, "1".to_owned()));
    world.run(1);
    for at in 0..150 {
        world.append(name, prompt(&format!("{at} {}", "x".repeat(10_000))));
    }
    world.append(name, answer("the end"));
    world.run(20);
    let content = fs::read_to_string(world.at(name)).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let left = [&lines[..140], &lines[141..]].concat().join("\n") + "\n";
    world.write(name, &left);
    world.run(3);
    let seen = world.session("s");
    assert_eq!((&seen["records"], &seen["text"]), (&json!(150), &json!("the end")));
    assert_eq!(seen["bytes"], left.len());
    assert_eq!(world.follower.appended.len(), 151, "nothing came twice");
    world.restart();
    world.run(3);
    assert_eq!(world.session("s")["tokens"], seen["tokens"]);
}

#[test]
fn half_a_record_that_is_completed_while_a_state_is_folded_again_counts_once() {
    let (mut world, name) = (World::new(), "projects/-p/s.jsonl");
    world.append(name, prompt("a"));
    let mut record = prompt("b");
    record["uuid"] = json!("b");
    let record = format!("{record}\n");
    let (start, rest) = record.split_at(20);
    world.append_text(name, start);
    world.run(10);
    assert_eq!(world.session("s")["records"], 1);
    // The state is folded again in the step that sees this, and the line is read in a later one.
    let id = Arc::from("s");
    world.follower.transcripts.known.expire(&id);
    world.append_text(name, rest);
    world.follower.transcripts.known.refold(&world.follower.transcripts.tails);
    world.run(3);
    assert_eq!(world.session("s")["records"], 2);
}

#[test]
fn what_is_appended_to_a_transcript_that_became_shorter_is_on_the_stream() {
    let (mut world, name) = (World::new(), "projects/-p/s.jsonl");
    (0..20).for_each(|at| _ = world.append(name, prompt(&format!("old {at}"))));
    let kept = fs::read_to_string(world.at(name)).unwrap();
    let kept: String = kept.split_inclusive('\n').take(5).collect();
    world.now += Duration::from_secs(3 * 24 * 3600);
    world.restart();
    world.run(10);
    world.write(name, &kept);
    let new: Vec<_> = (0..3).map(|_| world.append(name, prompt("new"))).collect();
    world.run(70);
    assert_eq!(world.follower.appended, new);
    world.now += Duration::from_secs(3 * 24 * 3600);
    world.restart();
    world.run(10);
    fs::remove_file(world.at(name)).unwrap();
    world.run(100);
    world.write(name, &kept);
    let again = world.append(name, prompt("again"));
    world.run(100);
    assert_eq!(world.follower.appended, [again]);
}

#[test]
fn records_after_a_rewrite_are_new_whatever_their_times() {
    let (mut world, name) = (World::new(), "projects/-p/s.jsonl");
    world.run(1);
    let first = world.append(name, prompt("first"));
    world.run(10);
    let other = json!({"type": "user", "uuid": "other", "timestamp": start_time().to_string(),
        "message": {"content": "known under another id"}});
    world.write(name, &format!("{other}\n"));
    world.run(5);
    let late = json!({"type": "user", "uuid": "late", "timestamp": start_time().to_string(),
        "message": {"content": "its time is before the first one's"}});
    world.append_text(name, &format!("{late}\n"));
    world.run(5);
    assert_eq!(world.follower.appended, [first, "late".to_owned()]);
}

#[test]
fn a_transcript_that_is_gone_takes_its_session_along_until_it_is_back() {
    let mut world = World::new();
    world.append(MAIN, prompt("one"));
    world.run(7);
    assert_eq!(world.session("s1")["title"], "one");
    fs::remove_dir_all(world.at("projects")).unwrap();
    world.run(8);
    assert_eq!(world.session("s1"), Value::Null);
    assert_eq!(world.follower.notices.len(), 1, "{:?}", world.follower.notices);
    assert!(world.follower.notices[0].contains("deleted"));
    world.append(MAIN, prompt("two"));
    world.run(7);
    assert_eq!(world.session("s1")["title"], "two");
}

#[test]
fn a_session_has_its_state_until_it_is_removed() {
    let mut world = World::new();
    world.append(MAIN, prompt("one"));
    world.registry(7, "s1", "idle");
    PROCESSES.with_borrow_mut(|it| it.insert(7, "1".to_owned()));
    world.run(10);
    fs::remove_file(world.at("sessions/7.json")).unwrap();
    fs::remove_file(world.at(MAIN)).unwrap();
    while world.session("s1") != Value::Null {
        assert_eq!(world.session("s1")["title"], "one");
        world.now += Duration::from_millis(20);
        world.follower.step(world.now, world.wall());
        assert!(world.now < Duration::from_secs(60), "it is not removed");
    }
}

#[test]
fn a_session_that_changes_its_project_stays_the_same() {
    let mut world = World::new();
    world.run(1);
    let first = world.append(MAIN, prompt("one"));
    world.run(7);
    fs::create_dir(world.at("projects/-q")).unwrap();
    fs::rename(world.at(MAIN), world.at("projects/-q/s1.jsonl")).unwrap();
    let second = world.append("projects/-q/s1.jsonl", prompt("two"));
    world.run(7);
    assert_eq!(world.follower.appended, [first, second]);
    assert_eq!(world.session("s1")["turns"], 2);
    assert_eq!(world.follower.notices, [""; 0]);
}

#[test]
fn old_sessions_are_read_when_somebody_asks_for_their_time() {
    let mut world = World::new();
    world.append(MAIN, prompt("old"));
    let file = fs::File::options().append(true).open(world.at(MAIN)).unwrap();
    let two_days_ago = world.wall() - SignedDuration::from_hours(48);
    file.set_modified(two_days_ago.into()).unwrap();
    world.run(2);
    assert_eq!(world.session("s1"), Value::Null);
    let reading = |world: &World| {
        let reading = world.follower.records.reading().unwrap();
        (reading.files, reading.done)
    };
    assert_eq!(reading(&world), (0, 0));
    world.follower.records.want_hours(72);
    assert_eq!(reading(&world), (1, 0), "not done before the wider window is looked through");
    world.run(1);
    assert_eq!(world.session("s1")["title"], "old");
    assert_eq!(reading(&world), (1, 1));
    world.run(60);
    assert_eq!(reading(&world), (0, 0), "it is shown, and no longer followed");
}

#[test]
fn an_old_session_whose_process_ends_as_more_time_is_asked_for_has_ended() {
    let mut world = World::new();
    world.append(MAIN, prompt("old"));
    let file = fs::File::options().append(true).open(world.at(MAIN)).unwrap();
    let two_days_ago = world.wall() - SignedDuration::from_hours(48);
    file.set_modified(two_days_ago.into()).unwrap();
    // At each moment between two polls of the registry.
    for hours in 72..76 {
        PROCESSES.with_borrow_mut(|it| it.insert(7, "1".to_owned()));
        world.registry(7, "s1", "waiting");
        world.now += Duration::from_millis(50);
        world.run(2);
        assert_eq!(world.session("s1")["status"], "waiting");
        fs::remove_file(world.at("sessions/7.json")).unwrap();
        PROCESSES.take();
        world.follower.records.want_hours(hours);
        world.run(2);
        assert_eq!(world.session("s1")["status"], "ended", "{hours}");
    }
}

#[test]
fn a_clock_that_is_set_back_ends_no_session() {
    let mut world = World::new();
    world.append(MAIN, prompt("one"));
    world.run(1);
    let (now, wall) = (world.now, world.wall());
    for step in 1..40 {
        let now = now + Duration::from_millis(50) * step;
        world.follower.step(now, wall - SignedDuration::from_hours(2));
    }
    assert_eq!(world.session("s1")["status"], "working");
}

#[test]
fn many_busy_transcripts_are_all_on_the_stream() {
    let mut world = World::new();
    world.run(1);
    let mut wanted = Vec::new();
    for number in 0..3000 {
        let name = format!("projects/-p/s{}.jsonl", number % 30);
        wanted.push(world.append(&name, prompt("x")));
    }
    world.run(7);
    wanted.sort();
    world.follower.appended.sort();
    assert_eq!(world.follower.appended, wanted);
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        file: usize,
        kind: usize,
    },
    /// A record without its end; the next append completes it.
    Half {
        file: usize,
    },
    /// The first part of the content is written anew, in place or by a rename.
    Cut {
        file: usize,
        keep: usize,
        renames: bool,
    },
    Move {
        session: usize,
        slug: usize,
    },
    Delete {
        file: usize,
    },
    Registry {
        session: usize,
        status: usize,
    },
    Kill {
        session: usize,
    },
    Run {
        steps: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (file, session) = (0..4_usize, 0..2_usize);
    prop_oneof![
        6 => (file.clone(), 0..5_usize).prop_map(|(file, kind)| Step::Append { file, kind }),
        1 => file.clone().prop_map(|file| Step::Half { file }),
        1 => (file.clone(), 0..6_usize, any::<bool>())
            .prop_map(|(file, keep, renames)| Step::Cut { file, keep, renames }),
        1 => (session.clone(), 0..3_usize).prop_map(|(session, slug)| Step::Move { session, slug }),
        1 => file.prop_map(|file| Step::Delete { file }),
        1 => (session.clone(), 0..3_usize)
            .prop_map(|(session, status)| Step::Registry { session, status }),
        1 => session.prop_map(|session| Step::Kill { session }),
        4 => prop_oneof![4 => 1..10_usize, 1 => 100..200_usize]
            .prop_map(|steps| Step::Run { steps }),
    ]
}

/// Two sessions with a subagent each.
struct Places {
    slugs: [usize; 2],
    /// A record of the file has no end.
    is_half: [bool; 4],
}

impl Places {
    fn path(&self, file: usize) -> String {
        let session = file % 2;
        let dir = format!("projects/-{}/s{session}", self.slugs[session]);
        if file < 2 { format!("{dir}.jsonl") } else { format!("{dir}/subagents/agent-a.jsonl") }
    }
}

fn apply(world: &mut World, places: &mut Places, step: Step) {
    match step {
        Step::Append { file, kind } => {
            let name = places.path(file);
            if std::mem::take(&mut places.is_half[file]) {
                world.append_text(&name, "\"}\n");
            }
            let tool = format!("t{file}");
            let record = match kind {
                0 => prompt("go"),
                1 => call(&tool),
                2 => result(&tool),
                3 => answer("fine"),
                _ => json!({"type": "unheard-of", "n": 1}),
            };
            world.append(&name, record);
        }
        Step::Half { file } => {
            if !places.is_half[file] {
                places.is_half[file] = true;
                // Each is another: a known line in a new file tells that those before it are old.
                world.uuid += 1;
                let half = format!("{{\"type\":\"summary\",\"summary\":\"half {}", world.uuid);
                world.append_text(&places.path(file), &half);
            }
        }
        Step::Cut { file, keep, renames } => {
            let name = places.path(file);
            let Ok(text) = fs::read_to_string(world.at(&name)) else { return };
            let kept: String = text.split_inclusive('\n').take(keep).collect();
            places.is_half[file] = !kept.is_empty() && !kept.ends_with('\n');
            if renames {
                world.write("projects/new", &kept);
                fs::rename(world.at("projects/new"), world.at(&name)).unwrap();
            } else {
                world.write(&name, &kept);
            }
        }
        Step::Move { session, slug } => {
            let (from, to) = (places.slugs[session], slug);
            if from != to {
                for (old, new) in [
                    (format!("projects/-{from}/s{session}"), format!("projects/-{to}/s{session}")),
                    (places.path(session), format!("projects/-{to}/s{session}.jsonl")),
                ] {
                    fs::create_dir_all(world.at(&new).parent().unwrap()).unwrap();
                    _ = fs::rename(world.at(&old), world.at(&new));
                }
                places.slugs[session] = to;
            }
        }
        Step::Delete { file } => {
            _ = fs::remove_file(world.at(&places.path(file)));
            places.is_half[file] = false;
        }
        Step::Registry { session, status } => {
            let pid = u32::try_from(session + 1).unwrap();
            PROCESSES.with_borrow_mut(|it| it.insert(pid, "1".to_owned()));
            world.registry(pid, &format!("s{session}"), ["busy", "idle", "waiting"][status]);
        }
        Step::Kill { session } => {
            let pid = u32::try_from(session + 1).unwrap();
            PROCESSES.with_borrow_mut(|it| it.remove(&pid));
        }
        Step::Run { steps } => (0..steps).for_each(|_| {
            world.now += Duration::from_millis(50);
            world.follower.step(world.now, world.wall());
        }),
    }
}

/// Returns a session without what depends on when the program saw that its process ended.
fn lasting(mut session: Value) -> Value {
    let fields = session.as_object_mut().unwrap();
    // Half a line is no change of the session.
    fields.remove("bytes");
    if fields["isLive"] == false {
        for name in ["status", "statusFrom", "since", "tools", "endedMidTurn"] {
            fields.remove(name);
        }
        for agent in fields["agents"].as_array_mut().unwrap() {
            let agent = agent.as_object_mut().unwrap();
            ["status", "tool"].iter().for_each(|name| _ = agent.remove(*name));
        }
    }
    session
}

proptest! {
    // A case takes a quarter of a second.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever happens to the files, sessions end up as another program reads them that starts
    /// afterwards, and each record was on the stream once.
    #[test]
    fn sessions_are_what_their_files_say(steps in prop::collection::vec(step(), 0..40)) {
        let mut world = World::new();
        world.run(1);
        let mut places = Places { slugs: [0, 0], is_half: [false; 4] };
        steps.into_iter().for_each(|step| apply(&mut world, &mut places, step));
        world.run(70);
        let (now, wall) = (world.now, world.wall());
        let mut fresh = Follower::start(world.dir.path(), wall);
        (0..100).for_each(|step| fresh.step(now + STREAMING * step, wall));
        let wanted: BTreeMap<_, _> =
            fresh.sessions().into_iter().map(|(id, it)| (id, lasting(it))).collect();
        let seen: BTreeMap<_, _> =
            world.follower.sessions().into_iter().map(|(id, it)| (id, lasting(it))).collect();
        prop_assert_eq!(seen, wanted);

        let mut appended = world.follower.appended.clone();
        appended.sort();
        let count = appended.len();
        appended.dedup();
        prop_assert_eq!(appended.len(), count, "none is repeated");
        for file in 0..4 {
            let text = fs::read_to_string(world.at(&places.path(file))).unwrap_or_default();
            for line in text.lines() {
                let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
                let Some(uuid) = record["uuid"].as_str() else { continue };
                let is_seen = appended.binary_search_by(|it| it.as_str().cmp(uuid)).is_ok();
                prop_assert!(is_seen || record["type"] == "unheard-of", "{} is missing", uuid);
            }
        }
    }
}
