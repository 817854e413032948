use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::event::{Data, EventType, Notice, Origin, SessionRemoved, TranscriptAppend};
use crate::formats::history::{self, Line};

pub(super) const FIRST: u64 = MIN_ID + 500;

pub(super) fn notice() -> Draft {
    Draft::new(None, &Data::Notice(Notice { kind: "test", ..Notice::default() }))
}

pub(super) fn line(seq: u64, text: &str) -> Draft {
    let (bytes, len_bytes) = (text.as_bytes(), text.len() as u64);
    let origin = Origin { source: SourceId::HISTORY, seq };
    history::draft(Line { bytes, len_bytes, offset: seq * 10 }).draft.with_origin(origin)
}

/// The ids of the events after an id; `None` if they cannot be replayed.
pub(super) fn ids_since(hub: &Hub, id: u64) -> Option<Vec<u64>> {
    let (events, _) = hub.events.lock().after(id, &Filter::default(), usize::MAX)?;
    Some(events.iter().map(|event| event.id()).collect())
}

/// Reads on, and fails where that cannot be done.
#[track_caller]
pub(super) fn read_ids(subscription: &mut Subscription, max_bytes: usize) -> Vec<u64> {
    match subscription.read(max_bytes) {
        Replay::Events(events) => events.iter().map(|event| event.id()).collect(),
        Replay::Lost { id } => panic!("lost, goes on after {id}"),
    }
}

pub(super) fn backlog_ids(hub: &Hub, limit: usize) -> Vec<u64> {
    hub.backlog(limit).events.iter().map(|event| event.id()).collect()
}

#[test]
fn publish_gives_ids_that_grow_by_one_and_a_time_where_there_is_none() {
    let hub = Hub::new(FIRST);
    assert_eq!(hub.last_id(), FIRST - 1);
    assert_eq!(hub.publish(notice()), FIRST);
    assert_eq!(hub.publish(notice()), FIRST + 1);
    let (events, _) = hub.events.lock().after(FIRST, &Filter::default(), 1).unwrap();
    let json: Value = serde_json::from_slice(events[0].json()).unwrap();
    assert_eq!(json["id"], FIRST + 1);
    let ts: Timestamp = json["ts"].as_str().unwrap().parse().unwrap();
    assert!((Timestamp::now() - ts).get_seconds() < 60);
}

#[test]
fn a_run_starts_at_the_clock_within_the_ids_that_javascript_holds() {
    let at = |micros| first_id(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
    assert_eq!(at(1_764_000_000_000_123), 1_764_000_000_000_123);
    assert_eq!(at(u64::MAX / 2), MAX_FIRST_ID);
    const { assert!(MAX_FIRST_ID < 1 << 53) };
}

#[test]
fn runs_whose_clock_was_never_set_have_ids_of_their_own() {
    let ids: Vec<u64> = (0..100).map(|_| first_id(SystemTime::UNIX_EPOCH)).collect();
    assert!(ids.iter().all(|id| (MIN_ID..MIN_ID + UNSET_CLOCK_IDS).contains(id)));
    assert!(ids.windows(2).all(|two| two[0].abs_diff(two[1]) > 1000), "{ids:?}");
}

#[test]
fn a_subscriber_is_notified_once_however_much_it_has_missed() {
    let hub = Hub::new(FIRST);
    let mut subscription = hub.subscribe(None, Filter::default());
    assert_eq!(subscription.wait(Instant::now()), Wake::TimedOut);
    for _ in 0..3 {
        hub.publish(notice());
    }
    assert_eq!(subscription.wait(Instant::now() + Duration::from_secs(5)), Wake::Notified);
    assert_eq!(subscription.wait(Instant::now()), Wake::TimedOut);
    assert_eq!(read_ids(&mut subscription, usize::MAX), [FIRST, FIRST + 1, FIRST + 2]);
    assert_eq!(read_ids(&mut subscription, usize::MAX), [0; 0]);
    assert_eq!(hub.subscribers(), 1);
    drop(subscription);
    assert_eq!(hub.subscribers(), 0);
}

#[test]
fn a_subscription_starts_after_the_newest_event_or_after_an_id() {
    let hub = Hub::new(FIRST);
    (0..3).for_each(|_| _ = hub.publish(notice()));
    assert_eq!(read_ids(&mut hub.subscribe(None, Filter::default()), usize::MAX), [0; 0]);
    let mut subscription = hub.subscribe(Some(FIRST), Filter::default());
    assert_eq!(read_ids(&mut subscription, 1), [FIRST + 1]);
    assert_eq!(read_ids(&mut subscription, 1), [FIRST + 2]);
    assert_eq!(subscription.position(), FIRST + 2);
}

#[test]
fn a_subscription_that_cannot_go_on_gets_an_id_for_its_notice_and_goes_on_after_it() {
    let hub = Hub::new(FIRST);
    let mut other = hub.subscribe(None, Filter::default());
    hub.publish(notice());
    for since in [0, FIRST + 1000] {
        let mut subscription = hub.subscribe(Some(since), Filter::default());
        let Replay::Lost { id } = subscription.read(1) else { panic!("replayed from {since}") };
        assert_eq!((id, hub.last_id()), (subscription.position(), id));
        let next = hub.publish(notice());
        assert_eq!(next, id + 1);
        assert_eq!(read_ids(&mut subscription, usize::MAX), [next]);
    }
    assert_eq!(read_ids(&mut other, usize::MAX), [FIRST, FIRST + 2, FIRST + 4]);
    assert_eq!(hub.published(), 3);
}

#[test]
fn closing_ends_every_wait_and_every_later_subscription() {
    let hub = Hub::new(FIRST);
    let subscription = hub.subscribe(None, Filter::default());
    hub.publish(notice());
    hub.close();
    let end = Instant::now() + Duration::from_secs(5);
    assert_eq!(subscription.wait(end), Wake::Notified);
    assert_eq!(subscription.wait(end), Wake::Closed);
    assert_eq!(hub.subscribe(None, Filter::default()).wait(end), Wake::Closed);
}

#[test]
fn replay_gives_what_came_after_an_id_and_nothing_for_ids_of_other_runs() {
    let hub = Hub::new(FIRST);
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![]));
    hub.publish(line(0, "a"));
    hub.publish(notice());
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST, FIRST + 1]));
    assert_eq!(ids_since(&hub, FIRST), Some(vec![FIRST + 1]));
    assert_eq!(ids_since(&hub, FIRST + 1), Some(vec![]));
    assert_eq!(ids_since(&hub, FIRST + 2), None, "an id from the future");
    assert_eq!(ids_since(&hub, FIRST - 2), None, "an id from before the start");
    assert_eq!(ids_since(&hub, 0), None);
}

#[test]
fn the_ring_holds_the_newest_thousand_and_says_when_it_has_moved_on() {
    let hub = Hub::new(FIRST);
    for _ in 0..RING_EVENTS + 2 {
        hub.publish(notice());
    }
    let newest = FIRST + RING_EVENTS as u64 + 1;
    assert_eq!(ids_since(&hub, FIRST + 1), Some((FIRST + 2..=newest).collect()));
    assert_eq!(ids_since(&hub, FIRST), None);
}

#[test]
fn the_backlog_has_history_alone_newest_first_and_outlives_other_events() {
    let hub = Hub::new(FIRST);
    for seq in 0..3 {
        hub.publish(line(seq, "{}"));
    }
    for _ in 0..RING_EVENTS {
        hub.publish(notice());
    }
    assert_eq!(backlog_ids(&hub, 2), [FIRST + 2, FIRST + 1]);
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 2, FIRST + 1, FIRST]);
    assert_eq!(hub.backlog(1).last_id, hub.last_id());
    assert_eq!(hub.published(), RING_EVENTS as u64 + 3);
}

#[test]
fn what_was_there_before_the_start_is_in_the_backlog_and_not_news() {
    let hub = Hub::new(FIRST);
    let subscription = hub.subscribe(None, Filter::default());
    (0..4).for_each(|seq| hub.seed(line(seq, "{}")));
    assert_eq!((hub.last_id(), hub.published()), (FIRST + 3, 0));
    assert_eq!(subscription.wait(Instant::now()), Wake::TimedOut);
    assert_eq!(hub.publish(line(4, "{}")), FIRST + 4);
    assert_eq!(ids_since(&hub, FIRST + 1), Some(vec![FIRST + 2, FIRST + 3, FIRST + 4]));
    assert_eq!(backlog_ids(&hub, 3), [FIRST + 4, FIRST + 3, FIRST + 2]);
}

#[test]
fn the_rings_are_bounded_in_bytes_too() {
    let hub = Hub::new(FIRST);
    let text = "x".repeat(RING_BYTES / 4);
    for seq in 0..6 {
        hub.publish(line(seq, &text));
    }
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 5, FIRST + 4, FIRST + 3]);
    assert_eq!(ids_since(&hub, FIRST + 2), Some(vec![FIRST + 3, FIRST + 4, FIRST + 5]));
    assert_eq!(ids_since(&hub, FIRST + 1), None);
    hub.publish(line(6, &"x".repeat(2 * RING_BYTES)));
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 6], "the newest is kept whatever its size");
}

#[test]
fn lines_that_are_gone_leave_the_backlog_and_the_others_keep_their_ids() {
    let hub = Hub::new(FIRST);
    for seq in 0..3 {
        hub.publish(line(seq, "{}"));
    }
    hub.publish(notice());
    hub.retain(SourceId::HISTORY, &HashMap::from([(0, 0), (2, 4)]));
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 2, FIRST]);
    let all: Vec<u64> = (FIRST..=FIRST + 3).collect();
    assert_eq!(
        ids_since(&hub, FIRST - 1).as_ref(),
        Some(&all),
        "a stream may still have to send it"
    );
    let json: Value = serde_json::from_slice(hub.backlog(1).events[0].json()).unwrap();
    assert_eq!(json["data"]["offset"], 4);
    hub.retain(SourceId::HISTORY, &HashMap::new());
    assert_eq!(backlog_ids(&hub, 1000), Vec::<u64>::new());
    assert_eq!(ids_since(&hub, FIRST - 1), Some(all));
}

#[test]
fn a_burst_waits_for_subscribers_that_keep_up() {
    let hub = Hub::new(FIRST);
    let mut subscription = hub.subscribe(Some(FIRST - 1), Filter::default());
    let publish_half = || (0..RING_EVENTS / 2).for_each(|_| _ = hub.publish(notice()));
    publish_half();
    publish_half();
    assert!(
        !hub.has_subscribers_behind(Topic::Prompts),
        "one that has not caught up yet is not waited for"
    );
    while !read_ids(&mut subscription, usize::MAX).is_empty() {}
    publish_half();
    assert!(
        !hub.has_subscribers_behind(Topic::Prompts),
        "a subscriber may have half a ring before it"
    );
    hub.publish(notice());
    assert!(hub.has_subscribers_behind(Topic::Prompts));
    read_ids(&mut subscription, 1);
    assert!(
        hub.has_subscribers_behind(Topic::Prompts),
        "reading does not acknowledge what it returns"
    );
    read_ids(&mut subscription, 1);
    assert!(!hub.has_subscribers_behind(Topic::Prompts));
}

#[test]
fn a_burst_waits_for_a_subscriber_that_has_nothing_to_replay() {
    let hub = Hub::new(FIRST);
    hub.publish(notice());
    let _subscription = hub.subscribe(None, Filter::default());
    (0..RING_EVENTS / 2).for_each(|_| _ = hub.publish(notice()));
    assert!(!hub.has_subscribers_behind(Topic::Prompts));
    hub.publish(notice());
    assert!(hub.has_subscribers_behind(Topic::Prompts));
}

#[test]
fn a_subscriber_that_lags_is_not_waited_for_until_it_has_caught_up() {
    let hub = Hub::new(FIRST);
    let mut subscription = hub.subscribe(None, Filter::default());
    read_ids(&mut subscription, 1);
    let publish_half = || (0..RING_EVENTS / 2).for_each(|_| _ = hub.publish(notice()));
    publish_half();
    hub.publish(notice());
    assert!(hub.has_subscribers_behind(Topic::Prompts));
    hub.stop_waiting(Topic::Prompts);
    assert!(!hub.has_subscribers_behind(Topic::Prompts));
    read_ids(&mut subscription, 1);
    publish_half();
    assert!(!hub.has_subscribers_behind(Topic::Prompts));
    while !read_ids(&mut subscription, usize::MAX).is_empty() {}
    publish_half();
    hub.publish(notice());
    assert!(hub.has_subscribers_behind(Topic::Prompts));
    drop(subscription);
    assert!(!hub.has_subscribers_behind(Topic::Prompts));
}

#[test]
fn a_burst_of_large_events_waits_too() {
    let hub = Hub::new(FIRST);
    let mut subscription = hub.subscribe(None, Filter::default());
    read_ids(&mut subscription, 1);
    let text = "x".repeat(RING_BYTES / 4);
    for seq in 0..2 {
        assert!(!hub.has_subscribers_behind(Topic::Prompts));
        hub.publish(line(seq, &text));
    }
    assert!(hub.has_subscribers_behind(Topic::Prompts));
}

pub(super) fn session_changed(id: &str) -> Draft {
    let json = serde_json::value::to_raw_value(&serde_json::json!({ "sessionId": id })).unwrap();
    Draft::new(None, &Data::SessionChanged(&json)).with_session(id)
}

pub(super) fn session_removed(id: &str) -> Draft {
    let removed = SessionRemoved { session_id: id, reason: "deleted" };
    Draft::new(None, &Data::SessionRemoved(removed)).with_session(id)
}

pub(super) fn append(session_id: &str, text: &str, offset: u64) -> Draft {
    let append = TranscriptAppend {
        session_id,
        agent_id: None,
        project: Some(text),
        record_type: "user",
        uuid: None,
        blocks: Vec::new(),
        bytes: 5,
        offset,
    };
    Draft::new(None, &Data::TranscriptAppend(append)).with_session(session_id)
}

fn filter(types: &[EventType], session: Option<&str>) -> Filter {
    let types = (!types.is_empty()).then(|| types.to_vec());
    Filter { types, session: session.map(Into::into) }
}

#[track_caller]
fn check_filtered(hub: &Arc<Hub>, filter: Filter, wanted: &[u64]) {
    let mut subscription = hub.subscribe(Some(FIRST - 1), filter);
    let wanted: Vec<_> = wanted.iter().map(|at| FIRST + at).collect();
    assert_eq!(read_ids(&mut subscription, usize::MAX), wanted);
    assert_eq!(subscription.position(), hub.last_id());
}

#[test]
fn a_stream_gets_the_types_and_the_session_that_it_asks_for() {
    let hub = Hub::new(FIRST);
    for draft in [
        append("a", "", 0),
        notice(),
        session_changed("a"),
        append("b", "", 0),
        session_changed("b"),
    ] {
        hub.publish(draft);
    }
    use EventType::*;
    check_filtered(&hub, filter(&[], None), &[0, 1, 2, 3, 4]);
    check_filtered(&hub, filter(&[TranscriptAppend], None), &[0, 3]);
    check_filtered(&hub, filter(&[TranscriptAppend, Notice], None), &[0, 1, 3]);
    check_filtered(&hub, filter(&[], Some("a")), &[0, 2]);
    check_filtered(&hub, filter(&[SessionChanged], Some("b")), &[4]);
    check_filtered(&hub, filter(&[HistoryAppend], None), &[]);
}

#[test]
fn a_session_is_kept_as_its_newest_event() {
    let hub = Hub::new(FIRST);
    for draft in [session_changed("a"), session_changed("b"), session_changed("a")] {
        hub.publish(draft);
    }
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST + 1, FIRST + 2]));
    let snapshot = hub.sessions();
    let ids: Vec<_> = snapshot.events.iter().map(|event| event.id()).collect();
    assert_eq!((snapshot.last_id, ids), (FIRST + 2, vec![FIRST + 1, FIRST + 2]));
    assert_eq!(snapshot.events[1].data(), br#"{"sessionId":"a"}"#);
    hub.publish(session_removed("a"));
    assert_eq!(hub.sessions().events.len(), 1);
    assert_eq!(ids_since(&hub, FIRST + 2), Some(vec![FIRST + 3]), "streams are told");
    hub.publish(session_changed("a"));
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST + 1, FIRST + 4]));
}

#[test]
fn busy_agents_do_not_evict_prompts_and_only_their_readers_lose_something() {
    let hub = Hub::new(FIRST);
    hub.publish(line(0, "{}"));
    hub.publish(session_changed("a"));
    for _ in 0..=TRANSCRIPT_EVENTS {
        hub.publish(append("a", "", 0));
    }
    use EventType::*;
    check_filtered(&hub, filter(&[HistoryAppend, SessionChanged], None), &[0, 1]);
    for lost in [filter(&[TranscriptAppend], None), filter(&[], None), filter(&[], Some("b"))] {
        let mut subscription = hub.subscribe(Some(FIRST - 1), lost);
        assert!(matches!(subscription.read(1), Replay::Lost { .. }));
    }
    assert_eq!(backlog_ids(&hub, 10), [FIRST]);
}

#[test]
fn so_many_removed_sessions_are_remembered_and_no_more() {
    let hub = Hub::new(FIRST);
    for number in 0..=REMOVED_SESSIONS {
        hub.publish(session_removed(&number.to_string()));
    }
    let sessions = || filter(&[EventType::SessionChanged], None);
    assert!(matches!(hub.subscribe(Some(FIRST - 1), sessions()).read(1), Replay::Lost { .. }));
    assert!(matches!(hub.subscribe(Some(FIRST), sessions()).read(1), Replay::Events(_)));
}

#[test]
fn records_that_are_still_there_have_their_new_offsets_in_the_ring_of_transcripts() {
    let hub = Hub::new(FIRST);
    let of = |source: u32, seq| {
        append("a", "", 0).with_origin(Origin { source: SourceId::transcript(source), seq })
    };
    for (source, seq) in [(1, 0), (1, 1), (2, 0)] {
        hub.publish(of(source, seq));
    }
    hub.retain(SourceId::transcript(1), &HashMap::from([(1, 40)]));
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST, FIRST + 1, FIRST + 2]));
    let (events, _) = hub.events.lock().after(FIRST, &Filter::default(), 1).unwrap();
    let data: Value = serde_json::from_slice(events[0].data()).unwrap();
    assert_eq!(data["offset"], 40);
}
