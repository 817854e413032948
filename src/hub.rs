//! The hub: the newest events in memory, and the news that there are more.
//!
//! Two rings share the events: the newest of all types, from which streams are replayed, and the newest history
//! events, the backlog. A subscriber gets no queue of events but a channel of one token that says "there is
//! something"; it then reads on from the ring after the last id that it has. So joining, resuming and catching up are one
//! operation, there is no seam between replay and live, and a reader that stalls costs nothing but its place.
//!
//! Invariant: `publish` never blocks; under the lock there is no I/O, no JSON, and no work that grows with an event's size.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::event::{Draft, Event, MIN_ID};

/// Events that each of the two rings holds.
pub(crate) const RING_EVENTS: usize = 1000;

/// Bytes of events that each of the two rings holds at most. The design allows 64 MiB; this keeps the whole program
/// under 40 MB whatever the history holds. The newest event is kept whatever its size.
const RING_BYTES: usize = 8 * 1024 * 1024;

/// What an event costs beside its frame: its fields, the shared pointer's counts, and its places in the rings.
const EVENT_OVERHEAD_BYTES: usize = 128;

/// See the module.
pub(crate) struct Hub {
    state: Mutex<State>,
}

struct State {
    last_id: u64,
    /// Streams can be resumed from this id on: that of the newest event that was pushed out of the ring.
    floor_id: u64,
    events: Ring,
    history: Ring,
    subscribers: HashMap<u64, Sender<()>>,
    next_subscriber: u64,
    published: u64,
}

/// What a stream that has seen everything up to an id is to be sent.
pub(crate) enum Replay {
    /// What came after, oldest first; empty when there is nothing.
    Events(Vec<Arc<Event>>),
    /// What came after is not (all) in memory, or the id is of another run.
    Lost { last_id: u64 },
}

/// The newest history events, newest first.
pub(crate) struct Backlog {
    /// The hub's newest id at the same instant: a stream from here on misses and repeats nothing.
    pub(crate) last_id: u64,
    pub(crate) events: Vec<Arc<Event>>,
}

impl Hub {
    /// Ids begin at `first_id`, or at the smallest that has 16 digits.
    pub(crate) fn new(first_id: u64) -> Arc<Hub> {
        let last_id = first_id.max(MIN_ID) - 1;
        Arc::new(Hub {
            state: Mutex::new(State {
                last_id,
                floor_id: last_id,
                events: Ring::default(),
                history: Ring::default(),
                subscribers: HashMap::new(),
                next_subscriber: 0,
                published: 0,
            }),
        })
    }

    /// Takes an event in, gives it the next id, and tells every subscriber.
    pub(crate) fn publish(&self, draft: Draft) -> u64 {
        let mut state = self.state.lock();
        state.published += 1;
        let id = state.push(draft);
        for sender in state.subscribers.values() {
            // A full channel already says that there is something; a closed one is about to be removed.
            let _ = sender.try_send(());
        }
        id
    }

    /// Takes in what was there before the program started: it gets an id, and nobody is told.
    pub(crate) fn seed(&self, draft: Draft) -> u64 {
        self.state.lock().push(draft)
    }

    /// Registers for the news of later events. Ask [`Hub::replay_since`] after, not before.
    pub(crate) fn subscribe(self: &Arc<Hub>) -> Subscription {
        let (sender, news) = bounded(1);
        let mut state = self.state.lock();
        let key = state.next_subscriber;
        state.next_subscriber += 1;
        state.subscribers.insert(key, sender);
        Subscription { news, key, hub: Arc::clone(self) }
    }

    /// What came after the event with this id, as far as it fits into `max_bytes`, but one event at least: what a reader holds while it
    /// writes is memory that the rings do not count.
    pub(crate) fn replay_since(&self, id: u64, max_bytes: usize) -> Replay {
        let state = self.state.lock();
        if id < state.floor_id || id > state.last_id {
            return Replay::Lost { last_id: state.last_id };
        }
        let start = state.events.queue.partition_point(|event| event.id() <= id);
        let mut left_bytes = max_bytes;
        let fits = |event: &&Arc<Event>| {
            let has_room = left_bytes > 0;
            left_bytes = left_bytes.saturating_sub(event.frame().len());
            has_room
        };
        Replay::Events(state.events.queue.range(start..).take_while(fits).cloned().collect())
    }

    pub(crate) fn backlog(&self, limit: usize) -> Backlog {
        let state = self.state.lock();
        let events = state.history.queue.iter().rev().take(limit).cloned().collect();
        Backlog { last_id: state.last_id, events }
    }

    /// Forgets the history events whose lines are gone from the file; `offsets` has the lines that are still there, by
    /// their sequence numbers, with the offsets at which they now stand.
    pub(crate) fn keep_lines(&self, offsets: &HashMap<u64, u64>) {
        let history: Vec<_> = self.state.lock().history.queue.iter().cloned().collect();
        let moved: HashMap<u64, Arc<Event>> = history
            .iter()
            .filter_map(|event| {
                let offset = offsets.get(&event.line()?)?;
                Some((event.id(), Arc::new(event.moved_to(*offset))))
            })
            .collect();
        let newest = history.last().map_or(0, |event| event.id());
        let mut state = self.state.lock();
        state.history.replace(newest, &moved);
        state.events.replace(newest, &moved);
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.state.lock().last_id
    }

    pub(crate) fn published(&self) -> u64 {
        self.state.lock().published
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.state.lock().subscribers.len()
    }
}

impl State {
    fn push(&mut self, draft: Draft) -> u64 {
        self.last_id += 1;
        let event = Arc::new(draft.number(self.last_id));
        if event.line().is_some() {
            self.history.push(Arc::clone(&event));
        }
        if let Some(id) = self.events.push(event) {
            self.floor_id = id;
        }
        self.last_id
    }
}

/// Events in the order of their ids, bounded in number and bytes.
#[derive(Default)]
struct Ring {
    queue: VecDeque<Arc<Event>>,
    held_bytes: usize,
}

impl Ring {
    /// The id of the newest event that had to go to make room.
    fn push(&mut self, event: Arc<Event>) -> Option<u64> {
        self.held_bytes += cost(&event);
        self.queue.push_back(event);
        let mut gone = None;
        while self.queue.len() > RING_EVENTS
            || (self.held_bytes > RING_BYTES && self.queue.len() > 1)
        {
            let event = self.queue.pop_front().expect("a ring that is too full is not empty");
            self.held_bytes -= cost(&event);
            gone = Some(event.id());
        }
        gone
    }

    /// Of the history events up to the id `newest`, puts those in `moved` in their old selves' places and drops the others.
    fn replace(&mut self, newest: u64, moved: &HashMap<u64, Arc<Event>>) {
        self.queue.retain_mut(|event| {
            if event.line().is_none() || event.id() > newest {
                return true;
            }
            let Some(same) = moved.get(&event.id()) else { return false };
            *event = Arc::clone(same);
            true
        });
        self.held_bytes = self.queue.iter().map(|event| cost(event)).sum();
    }
}

fn cost(event: &Event) -> usize {
    event.frame().len() + EVENT_OVERHEAD_BYTES
}

/// A place among the hub's subscribers, given up on drop.
pub(crate) struct Subscription {
    /// Has a token when something was published since the last one was taken.
    pub(crate) news: Receiver<()>,
    key: u64,
    hub: Arc<Hub>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.state.lock().subscribers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::event::{Data, Notice};
    use crate::history;
    use crate::tail::Line;

    const FIRST: u64 = MIN_ID + 500;

    fn notice() -> Draft {
        Draft::new(None, &Data::Notice(Notice { kind: "test", ..Notice::default() }))
    }

    fn line(seq: u64, text: &str) -> Draft {
        let bytes = text.as_bytes().to_vec();
        let len_bytes = bytes.len() as u64;
        history::draft(&Line { seq, offset: seq * 10, bytes, len_bytes }).draft
    }

    fn ids_since(hub: &Hub, id: u64) -> Option<Vec<u64>> {
        match hub.replay_since(id, usize::MAX) {
            Replay::Events(events) => Some(events.iter().map(|event| event.id()).collect()),
            Replay::Lost { last_id } => {
                assert_eq!(last_id, hub.last_id());
                None
            }
        }
    }

    fn backlog_ids(hub: &Hub, limit: usize) -> Vec<u64> {
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
        subscription.news.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(subscription.news.try_recv().is_err());
        assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![FIRST, FIRST + 1, FIRST + 2]));
        assert_eq!(hub.subscribers(), 1);
        drop(subscription);
        assert_eq!(hub.subscribers(), 0);
    }

    #[test]
    fn replay_gives_what_came_after_an_id_and_nothing_for_ids_of_other_runs() {
        let hub = Hub::new(FIRST);
        assert_eq!(ids_since(&hub, FIRST - 1), Some(vec![]));
        hub.seed(line(0, "a"));
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
            hub.seed(line(seq, "{}"));
        }
        for _ in 0..RING_EVENTS {
            hub.publish(notice());
        }
        assert_eq!(backlog_ids(&hub, 2), [FIRST + 2, FIRST + 1]);
        assert_eq!(backlog_ids(&hub, 1000), [FIRST + 2, FIRST + 1, FIRST]);
        assert_eq!(hub.backlog(1).last_id, hub.last_id());
        assert_eq!(hub.published(), RING_EVENTS as u64);
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
}
