//! Streams of some types and of one session: what they get is what a stream of everything gets,
//! filtered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agents::{Home, SESSION, asks, asks_in, lines, session, wait_until_read};
use crate::program::{Frame, PATIENCE, Program, Stream, append, prompt, wait_until};

/// The last prompt of each test's session ends its streams.
const LAST: &str = "the last";

fn id(number: usize) -> String {
    format!("0b6f3c52-dddd-4a7e-9c11-{number:012}")
}

fn opened(program: &Program, query: &str) -> Stream {
    let mut stream = program.stream(query, &[]);
    assert_eq!(stream.frame().unwrap().retry, Some(2000));
    stream
}

fn is_last(frame: &Frame) -> bool {
    frame.event == "transcript.append" && frame.data.contains(&format!("\"text\":\"{LAST}\""))
}

fn is_resync(frame: &Frame) -> bool {
    frame.event == "server.notice" && frame.json()["data"]["kind"] == "stream.resync"
}

/// Reads a stream up to the last prompt, over a new connection after each `per_connection` events.
fn read(address: SocketAddr, since: u64, query: &str, per_connection: usize) -> Vec<Frame> {
    let (mut frames, mut last_id) = (Vec::new(), since);
    loop {
        let header = format!("Last-Event-ID: {last_id}");
        let mut stream = Stream::open(address, query, &[&header]);
        for _ in 0..per_connection {
            let frame = stream.event();
            last_id = frame.id.unwrap();
            let is_last = is_last(&frame);
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }
}

/// The frames of these types that belong to the session.
fn filtered<'a>(frames: &'a [Frame], types: &[&str], session: &str) -> Vec<&'a Frame> {
    let is_wanted = |frame: &&Frame| {
        let is_type = types.is_empty() || types.contains(&frame.event.as_str());
        let of = || frame.json()["data"]["sessionId"].clone();
        is_type && (session.is_empty() || of() == session)
    };
    frames.iter().filter(is_wanted).collect()
}

/// The newest state of each session.
fn states(frames: &[Frame]) -> BTreeMap<String, Value> {
    let changes = frames.iter().filter(|frame| frame.event == "session.changed");
    let data = changes.map(|frame| frame.json()["data"].clone());
    data.map(|data| (data["sessionId"].as_str().unwrap().to_owned(), data)).collect()
}

const SESSIONS: usize = 20;
const ROUNDS: usize = 60;

/// Writes 50 records a second to each of the sessions, some prompts, and the last record.
fn load(home: &Home, program: &Program) {
    for round in 0..ROUNDS {
        for number in 0..SESSIONS {
            let text = format!("{round} of {number}");
            append(&home.transcript_of(&id(number)), &asks_in(&id(number), &text).line);
        }
        program.append(&prompt(&round.to_string()));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn filtered_streams_get_what_others_get_under_load_and_over_reconnects() {
    let home = Home::with(&[asks("go")]);
    for number in 0..SESSIONS {
        append(&home.transcript_of(&id(number)), &asks_in(&id(number), "go").line);
    }
    let program = home.start(&[]);
    wait_until("all are read", || (0..SESSIONS).all(|it| session(&program, &id(it)).is_some()));
    let since = program.backlog(1)["lastEventId"].as_u64().unwrap();
    let of_session = format!("&session={}", id(7));
    let readers = [
        (String::new(), usize::MAX),
        ("?types=transcript.append".to_owned(), 97),
        ("?types=transcript.append,history.append".to_owned(), 250),
        (format!("?types=transcript.append{of_session}"), 9),
        ("?types=session.changed,transcript.append".to_owned(), 61),
    ];
    let (address, home) = (program.address, &home);
    let mut read = thread::scope(|scope| {
        let readers =
            readers.map(|(query, count)| scope.spawn(move || read(address, since, &query, count)));
        load(home, &program);
        wait_until("all is read", || program.counter("lines") == ROUNDS as u64);
        for number in 0..SESSIONS {
            let newest = json!(format!("{} of {number}", ROUNDS - 1));
            wait_until("all is read", || {
                session(&program, &id(number)).is_some_and(|it| it["prompt"] == newest)
            });
        }
        // Each filter has its last event in one of these.
        home.append(&asks(LAST).line);
        append(&home.transcript_of(&id(7)), &asks_in(&id(7), LAST).line);
        readers.map(|reader| reader.join().unwrap())
    });
    assert_eq!(program.counter("resyncs"), 0);
    for frames in &mut read {
        assert!(frames.is_sorted_by(|one, other| one.id < other.id), "ids increase");
        // The last records of two sessions can come in any order.
        frames.retain(|frame| !is_last(frame));
    }
    let [all, records, both, of_session, sessions] = &read;
    let appends = filtered(all, &["transcript.append"], "");
    assert_eq!(appends.len(), SESSIONS * ROUNDS);
    assert!(records.iter().eq(appends.iter().copied()));
    assert!(both.iter().eq(filtered(all, &["transcript.append", "history.append"], "")));
    assert!(of_session.iter().eq(filtered(all, &["transcript.append"], &id(7))));
    assert!(filtered(sessions, &["transcript.append"], "").into_iter().eq(appends));
    assert!(all.iter().any(|frame| frame.event == "history.append"), "without types: every type");
    let (states_of_all, states_of_some) = (states(all), states(sessions));
    for number in (0..SESSIONS).filter(|number| *number != 7) {
        assert!(states_of_all.contains_key(&id(number)), "{number}");
        assert!(states_of_some.contains_key(&id(number)), "{number}");
    }
}

#[test]
fn a_resync_concerns_only_topics_that_were_asked_for() {
    // More than the ring of transcripts holds.
    const RECORDS: usize = 4_500;
    let home = Home::with(&[asks("go")]);
    let program = home.start(&[]);
    wait_until_read(&program);
    program.append(&prompt("old"));
    wait_until("the prompt is there", || !program.backlog_lines().is_empty());
    let since = program.backlog(1)["lastEventId"].as_u64().unwrap();
    program.append(&prompt("new"));
    let last = (RECORDS - 1).to_string();
    let records: Vec<_> = (0..RECORDS).map(|number| asks(&number.to_string())).collect();
    home.append(&lines(&records));
    wait_until("all is read", || {
        let newest = session(&program, SESSION).unwrap();
        newest["prompt"] == last.as_str() && program.backlog_lines().len() == 2
    });
    let query = |types: &str| format!("?since={since}{types}");
    let mut stream = opened(&program, &query("&types=history.append"));
    assert_eq!(stream.lines(1), [prompt("new").trim_end()]);
    let mut stream = opened(&program, &query("&types=session.changed,session.removed"));
    let state = stream.event().json()["data"].clone();
    assert_eq!(state["prompt"], last.as_str(), "the newest state, once");
    for types in ["", "&types=transcript.append", "&types=history.append,transcript.append"] {
        let mut stream = opened(&program, &query(types));
        assert!(is_resync(&stream.event()), "{types}");
    }
    assert_eq!(program.counter("resyncs"), 3);
    let mut stream = opened(&program, "?types=transcript.append");
    let more = asks("one more");
    home.append(&more.line);
    assert_eq!(stream.event().json()["data"]["uuid"], more.uuid.as_str());
}

#[test]
fn a_stream_of_one_session_has_its_prompts_records_and_states_and_no_others() {
    let home = Home::with(&[asks("go")]);
    append(&home.transcript_of(&id(1)), &asks_in(&id(1), "go").line);
    let program = home.start(&[]);
    wait_until("both are read", || {
        session(&program, SESSION).is_some() && session(&program, &id(1)).is_some()
    });
    let mut stream = opened(&program, &format!("?session={SESSION}"));
    append(&home.transcript_of(&id(1)), &asks_in(&id(1), "of another").line);
    program.append(&prompt("of yet another"));
    home.append(&asks("one").line);
    program.append(&prompt("mine").replace("0b6f3c52-2222-4a7e-9c11-3f1f0a2b0002", SESSION));
    home.append(&asks(LAST).line);
    let mut types = BTreeMap::new();
    while ["history.append", "session.changed", "transcript.append"]
        .iter()
        .any(|it| types.get(*it).is_none_or(|count| *count < 1))
        || types["transcript.append"] < 2
    {
        let frame = stream.event();
        let data = &frame.json()["data"];
        let id = [&data["sessionId"], &data["summary"]["sessionId"]];
        assert!(id.contains(&&json!(SESSION)), "{}", frame.data);
        *types.entry(frame.event.clone()).or_insert(0) += 1;
    }
}

#[test]
fn a_stream_that_gets_nothing_pings_and_looks_for_its_client_while_others_get_much() {
    let home = Home::with(&[asks("go")]);
    let program = home.start(&[]);
    wait_until_read(&program);
    let start = Instant::now();
    let mut stream = opened(&program, "?types=history.append");
    let gone = opened(&program, "?types=history.append");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Bounded, so that a failure ends the test.
            for _ in (0..500).take_while(|_| !is_over.load(Relaxed)) {
                home.append(&asks("of another topic").line);
                thread::sleep(Duration::from_millis(50));
            }
        });
        drop(gone);
        let subscribers = || program.get("/healthz").json()["counters"]["subscribers"].clone();
        let held_for = Instant::now();
        while subscribers() != 1 && held_for.elapsed() < PATIENCE {}
        let is_free = subscribers() == 1;
        let ping = stream.frame();
        is_over.store(true, Relaxed);
        assert!(is_free, "a client that is gone keeps its place");
        assert_eq!(ping.unwrap().event, "ping");
    });
    assert!((14..18).contains(&start.elapsed().as_secs()), "after {:?}", start.elapsed());
}
