use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::event::{Data, Notice};
use crate::history;
use crate::tail::Line;

pub(super) const FIRST: u64 = MIN_ID + 500;

pub(super) fn notice() -> Draft {
    Draft::new(None, &Data::Notice(Notice { kind: "test", ..Notice::default() }))
}

pub(super) fn line(seq: u64, text: &str) -> Draft {
    let bytes = text.as_bytes().to_vec();
    let len_bytes = bytes.len() as u64;
    history::draft(&Line { seq, offset: seq * 10, bytes, len_bytes }).draft
}

/// Lines that were there before the start, numbered from 0, of so many bytes each.
pub(super) fn seeds(sizes: &[usize]) -> Seeds {
    let sizes: Vec<_> = sizes.iter().copied().enumerate().collect();
    let draft = |(seq, size): (usize, usize)| line(seq as u64, &"x".repeat(size));
    Box::new(sizes.into_iter().rev().map(draft))
}

pub(super) fn ids_since(hub: &Hub, id: u64) -> Option<Vec<u64>> {
    match hub.replay_since(id, usize::MAX) {
        Replay::Events(events) => Some(events.iter().map(|event| event.id()).collect()),
        Replay::Lost { last_id } => {
            assert_eq!(last_id, hub.last_id());
            None
        }
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
    let Replay::Events(events) = hub.replay_since(FIRST, 1) else { panic!("lost") };
    let json: Value = serde_json::from_slice(events[0].json()).unwrap();
    assert_eq!(json["id"], FIRST + 1);
    let ts: Timestamp = json["ts"].as_str().unwrap().parse().unwrap();
    assert!((Timestamp::now() - ts).get_seconds() < 60);
}

#[test]
fn a_clock_before_2001_gives_ids_of_the_same_width() {
    let hub = Hub::new(5);
    assert_eq!(hub.publish(notice()), MIN_ID);
}

#[test]
fn a_subscriber_is_told_once_however_much_it_has_missed() {
    let hub = Hub::new(FIRST);
    let subscription = hub.subscribe();
    assert!(subscription.news.try_recv().is_err());
    for _ in 0..3 {
        hub.publish(notice());
    }
    assert!(subscription.wait(Instant::now() + Duration::from_secs(5)));
    assert!(subscription.news.try_recv().is_err());
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST, FIRST + 1, FIRST + 2]));
    assert_eq!(hub.subscribers.lock().readers.len(), 1);
    drop(subscription);
    assert_eq!(hub.subscribers.lock().readers.len(), 0);
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
fn what_was_there_before_the_start_has_its_ids_at_once_and_is_made_when_it_is_asked_for() {
    let hub = Hub::new(FIRST);
    hub.seed(4, seeds(&[1; 4]));
    assert_eq!((hub.last_id(), hub.published()), (FIRST + 3, 0));
    assert_eq!(hub.publish(line(4, "{}")), FIRST + 4);
    assert_eq!(ids_since(&hub, FIRST + 3), Some(vec![FIRST + 4]));
    assert_eq!(ids_since(&hub, FIRST + 2), None, "nobody can have this id yet");
    assert_eq!(backlog_ids(&hub, 3), [FIRST + 4, FIRST + 3, FIRST + 2]);
    assert_eq!(ids_since(&hub, FIRST + 1), Some(vec![FIRST + 2, FIRST + 3, FIRST + 4]));
    assert_eq!(ids_since(&hub, FIRST), None);
    hub.make_seeds();
    assert_eq!(ids_since(&hub, FIRST - 1), Some((FIRST..FIRST + 5).collect()));
    assert_eq!(backlog_ids(&hub, 1000).len(), 5);
}

#[test]
fn what_was_there_before_the_start_takes_no_room_from_what_came_after() {
    let hub = Hub::new(FIRST);
    hub.seed(3, seeds(&[1; 3]));
    for seq in 3..1 + RING_EVENTS as u64 {
        hub.publish(line(seq, "{}"));
    }
    assert_eq!(backlog_ids(&hub, 1000).last(), Some(&(FIRST + 1)));
    let hub = Hub::new(FIRST);
    hub.seed(3, seeds(&[1, RING_BYTES, 1]));
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 2], "one that has no room ends it");
}

#[test]
fn lines_that_are_gone_are_not_made_later() {
    let hub = Hub::new(FIRST);
    hub.seed(4, seeds(&[1; 4]));
    hub.keep_lines(&HashMap::from([(0, 0), (3, 4)]));
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 3, FIRST]);
}

#[test]
fn lines_that_are_gone_are_not_made_later_where_the_ring_had_no_room_for_them() {
    let hub = Hub::new(FIRST);
    hub.seed(4, seeds(&[1; 4]));
    for seq in 4..4 + RING_EVENTS as u64 {
        hub.publish(line(seq, "{}"));
    }
    hub.keep_lines(&HashMap::new());
    assert_eq!(backlog_ids(&hub, 1000), Vec::<u64>::new());
}

#[test]
fn every_seed_is_made_so_that_it_can_be_counted_where_it_has_no_room_too() {
    for published in [0, RING_EVENTS] {
        let hub = Hub::new(FIRST);
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let count = move |_: &Draft| _ = counter.fetch_add(1, Relaxed);
        hub.seed(4, Box::new(seeds(&[1, RING_BYTES, 1, 1]).inspect(count)));
        (0..published).for_each(|seq| _ = hub.publish(line(4 + seq as u64, "{}")));
        hub.make_seeds();
        assert_eq!(made.load(Relaxed), 4);
    }
}

#[test]
fn what_was_there_before_the_start_does_not_stand_beyond_a_gap() {
    let hub = Hub::new(FIRST);
    hub.seed(4, seeds(&[1; 4]));
    hub.publish(line(4, "{}"));
    for seq in 5..9 {
        // Two fit, and leave room for what is small.
        hub.publish(line(seq, &"x".repeat(RING_BYTES / 3)));
    }
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 8, FIRST + 7]);
}

#[test]
fn readers_that_ask_at_once_make_each_seed_once() {
    for _ in 0..50 {
        let hub = Hub::new(FIRST);
        hub.seed(20, seeds(&[1; 20]));
        thread::scope(|scope| {
            scope.spawn(|| (20..40).for_each(|seq| _ = hub.publish(line(seq, "{}"))));
            for limit in [7, 30, 1000] {
                let hub = &hub;
                scope.spawn(move || {
                    let backlog = hub.backlog(limit);
                    let newest: Vec<_> = (FIRST..=backlog.last_id).rev().take(limit).collect();
                    let ids: Vec<_> = backlog.events.iter().map(|event| event.id()).collect();
                    assert_eq!(ids, newest);
                });
            }
        });
    }
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
fn lines_that_are_gone_leave_memory_and_the_others_keep_their_ids() {
    let hub = Hub::new(FIRST);
    for seq in 0..3 {
        hub.publish(line(seq, "{}"));
    }
    hub.publish(notice());
    hub.keep_lines(&HashMap::from([(0, 0), (2, 4)]));
    assert_eq!(backlog_ids(&hub, 1000), [FIRST + 2, FIRST]);
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST, FIRST + 2, FIRST + 3]));
    assert_eq!(ids_since(&hub, FIRST + 1), Some(vec![FIRST + 2, FIRST + 3]));
    let json: Value = serde_json::from_slice(hub.backlog(1).events[0].json()).unwrap();
    assert_eq!(json["data"]["offset"], 4);
    hub.keep_lines(&HashMap::new());
    assert_eq!(backlog_ids(&hub, 1000), Vec::<u64>::new());
    assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST + 3]));
}

#[test]
fn a_burst_waits_for_readers_until_they_are_left_behind() {
    let hub = Hub::new(FIRST);
    let reader = hub.subscribe();
    let publish_half = || (0..RING_EVENTS / 2).for_each(|_| _ = hub.publish(notice()));
    publish_half();
    publish_half();
    assert!(!hub.is_far_ahead(), "one that has not begun is not waited for");
    reader.has_caught_up(hub.last_id());
    publish_half();
    assert!(!hub.is_far_ahead(), "half a ring is what a reader may have before it");
    hub.publish(notice());
    assert!(hub.is_far_ahead());
    reader.has_read(hub.last_id() - RING_EVENTS as u64 / 2);
    assert!(!hub.is_far_ahead());
    hub.publish(notice());
    hub.leave_behind();
    assert!(!hub.is_far_ahead());
    reader.has_read(hub.last_id() - 1);
    publish_half();
    publish_half();
    assert!(
        !hub.is_far_ahead(),
        "one that was left behind is not waited for before it has caught up"
    );
    reader.has_caught_up(hub.last_id());
    publish_half();
    hub.publish(notice());
    assert!(hub.is_far_ahead());
    drop(reader);
    assert!(!hub.is_far_ahead());
}

#[test]
fn a_burst_of_large_events_waits_for_readers_too() {
    let hub = Hub::new(FIRST);
    let reader = hub.subscribe();
    reader.has_caught_up(hub.last_id());
    let text = "x".repeat(RING_BYTES / 4);
    for seq in 0..2 {
        assert!(!hub.is_far_ahead());
        hub.publish(line(seq, &text));
    }
    assert!(hub.is_far_ahead());
}
