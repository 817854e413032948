//! The hub against models of it: every order of its steps, real threads at full speed, and random operations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::{FIRST, backlog_ids, ids_since, line, notice, seeds};
use super::*;
use crate::event::{Data, Notice};

/// A stream's loop, cut where another thread can come in between.
enum Reader {
    Absent,
    Registered(Subscription),
    Reading(Subscription, Seen),
    Waiting(Subscription, Seen),
}

/// What a reader was given, in this order, and where it began.
struct Seen {
    start: u64,
    ids: Vec<u64>,
}

impl Seen {
    fn last(&self) -> u64 {
        self.ids.last().copied().unwrap_or(self.start)
    }
}

/// Two publishers and a reader on a hub; a publisher's event is two steps, `add` and `tell`.
struct Scene {
    hub: Arc<Hub>,
    publishers: [usize; 2],
    reader: Reader,
}

/// Steps that each publisher has to take.
const PUBLISHER_STEPS: [usize; 2] = [4, 2];

impl Scene {
    fn new() -> Scene {
        Scene { hub: Hub::new(FIRST), publishers: [0, 0], reader: Reader::Absent }
    }

    /// The actors that can take a step: the publishers 0 and 1, the reader 2.
    fn ready(&self) -> Vec<usize> {
        let mut ready: Vec<_> =
            (0..2).filter(|actor| self.publishers[*actor] < PUBLISHER_STEPS[*actor]).collect();
        let waits = matches!(&self.reader, Reader::Waiting(place, _) if place.news.is_empty());
        if !waits {
            ready.push(2);
        }
        ready
    }

    fn step(&mut self, actor: usize) {
        if actor == 2 {
            let reader = std::mem::replace(&mut self.reader, Reader::Absent);
            self.reader = self.read(reader);
            return;
        }
        if self.publishers[actor].is_multiple_of(2) {
            self.hub.add(notice());
        } else {
            self.hub.tell();
        }
        self.publishers[actor] += 1;
    }

    fn read(&self, reader: Reader) -> Reader {
        match reader {
            Reader::Absent => Reader::Registered(self.hub.subscribe()),
            Reader::Registered(place) => {
                Reader::Reading(place, Seen { start: self.hub.last_id(), ids: Vec::new() })
            }
            Reader::Reading(place, mut seen) => {
                let Replay::Events(events) = self.hub.replay_since(seen.last(), 1) else {
                    panic!("lost")
                };
                let Some(event) = events.first() else { return Reader::Waiting(place, seen) };
                seen.ids.push(event.id());
                Reader::Reading(place, seen)
            }
            Reader::Waiting(place, seen) => {
                place.news.try_recv().unwrap();
                Reader::Reading(place, seen)
            }
        }
    }

    #[track_caller]
    fn check_end(&self, order: &[usize]) {
        let Reader::Waiting(_, seen) = &self.reader else { panic!("{order:?}") };
        let wanted: Vec<_> = (seen.start + 1..=self.hub.last_id()).collect();
        assert_eq!(seen.ids, wanted, "in the order {order:?}");
    }
}

#[test]
fn in_every_order_of_steps_a_reader_gets_all_that_came_after_its_start() {
    let mut orders = vec![Vec::new()];
    let mut ends = 0;
    while let Some(order) = orders.pop() {
        let mut scene = Scene::new();
        order.iter().for_each(|actor| scene.step(*actor));
        let ready = scene.ready();
        if ready.is_empty() {
            scene.check_end(&order);
            ends += 1;
        }
        orders.extend(ready.iter().map(|actor| [order.as_slice(), &[*actor]].concat()));
    }
    assert!(ends > 1000, "{ends} orders");
}

/// Reads as a stream does until `count` events are seen, or everything once nobody publishes any more.
/// Returns how many events were seen and how often some were lost.
fn read_some(hub: &Arc<Hub>, count: usize, is_over: &AtomicBool) -> (usize, usize) {
    let place = hub.subscribe();
    let mut last_id = hub.last_id();
    let (mut seen, mut lost) = (0, 0);
    let end = Instant::now() + Duration::from_secs(60);
    while seen < count {
        assert!(Instant::now() < end, "stuck at {last_id}");
        // Looked at first: what was published before it was set is then seen below.
        let was_over = is_over.load(Ordering::SeqCst);
        match hub.replay_since(last_id, 4096) {
            Replay::Events(events) => {
                for event in &events {
                    assert_eq!(event.id(), last_id + 1, "the next one");
                    last_id = event.id();
                }
                seen += events.len();
                if !events.is_empty() {
                    continue;
                }
            }
            Replay::Lost { last_id: current } => {
                assert!(current > last_id + RING_EVENTS as u64, "{last_id} could be replayed");
                last_id = current;
                lost += 1;
            }
        }
        if was_over {
            assert_eq!(last_id, hub.last_id(), "all is seen at the end");
            break;
        }
        let is_told = place.wait(Instant::now() + Duration::from_secs(10));
        assert!(is_told, "not told of what came after {last_id}");
    }
    (seen, lost)
}

#[test]
fn hundreds_of_readers_that_come_and_go_see_every_event_once_or_are_told() {
    const READERS: usize = 300;
    const EVENTS: u64 = 20_000;
    let hub = Hub::new(FIRST);
    let is_over = AtomicBool::new(false);
    let results: Vec<_> = thread::scope(|scope| {
        let publish = || {
            for _ in 0..EVENTS {
                hub.publish(notice());
            }
        };
        let publishers = [scope.spawn(publish), scope.spawn(publish)];
        let (hub, is_over) = (&hub, &is_over);
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                // Some go soon, some stay to the end.
                let count = if number % 3 == 0 { usize::MAX } else { number * 7 };
                scope.spawn(move || read_some(hub, count, is_over))
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        hub.tell();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert_eq!(hub.last_id(), FIRST + 2 * EVENTS - 1);
    assert_eq!(hub.subscribers.lock().readers.len(), 0);
    assert!(results.iter().map(|(seen, _)| seen).sum::<usize>() > 0);
}

/// What can be done to a hub.
#[derive(Clone, Debug)]
enum Step {
    Notices {
        count: usize,
        bytes: usize,
    },
    Lines {
        count: usize,
        bytes: usize,
    },
    Backlog {
        limit: usize,
    },
    /// Of every so many lines one is gone.
    KeepLines {
        gone_of: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![4 => 0..200_usize, 1 => 0..RING_BYTES / 2];
    let many = prop_oneof![4 => 1..4_usize, 1 => 1..500_usize];
    // Many and large at once takes too long.
    let amounts = (many, sizes).prop_map(|(count, bytes)| (count, bytes / count));
    prop_oneof![
        3 => amounts.clone().prop_map(|(count, bytes)| Step::Notices { count, bytes }),
        4 => amounts.prop_map(|(count, bytes)| Step::Lines { count, bytes }),
        2 => prop_oneof![1..20_usize, Just(RING_EVENTS)].prop_map(|limit| Step::Backlog { limit }),
        1 => (1..4_u64).prop_map(|gone_of| Step::KeepLines { gone_of }),
    ]
}

/// A hub without locks, bytes or sharing: what it holds is found anew each time.
#[derive(Default)]
struct Model {
    all: Vec<Known>,
    history: Vec<Known>,
    last_id: u64,
    floor_id: u64,
    published: u64,
    lines: u64,
    /// Costs of the lines from before the start that are not made yet, oldest first.
    seeds: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Known {
    id: u64,
    seq: Option<u64>,
    cost: usize,
}

/// Cuts a list to its longest end that is within the bounds. Returns the last id before it if something had to go.
fn keep_newest(list: &mut Vec<Known>) -> Option<u64> {
    let mut bytes = 0;
    let fits = |known: &&Known| {
        bytes += known.cost;
        bytes <= RING_BYTES
    };
    let count = list.iter().rev().take(RING_EVENTS).take_while(fits).count().max(1);
    let mut gone = list.drain(..list.len() - count);
    gone.next_back().map(|known| known.id)
}

impl Model {
    fn start(hub: &Hub, sizes: &[usize]) -> Model {
        let count = sizes.len() as u64;
        hub.seed(sizes.len(), seeds(sizes));
        let costs = seeds(sizes).map(|draft| cost(&draft.number(FIRST)));
        let mut costs: Vec<_> = costs.collect();
        costs.reverse();
        let newest = FIRST + count - 1;
        Model { last_id: newest, floor_id: newest, lines: count, seeds: costs, ..Model::default() }
    }

    fn make_seeds(&mut self, wanted: usize) {
        while self.history.len() < wanted
            && let Some(cost) = self.seeds.pop()
        {
            let seq = self.seeds.len() as u64;
            let known = Known { id: FIRST + seq, seq: Some(seq), cost };
            let list = |list: &[Known]| [&[known], list].concat();
            let (mut history, mut all) = (list(&self.history), list(&self.all));
            if keep_newest(&mut history).is_some() {
                self.seeds.clear();
                return;
            }
            self.history = history;
            if self.floor_id == known.id && keep_newest(&mut all).is_none() {
                self.all = all;
                self.floor_id -= 1;
            }
        }
    }

    fn take(&mut self, hub: &Hub, draft: Draft, seq: Option<u64>) {
        self.last_id += 1;
        self.published += 1;
        assert_eq!(hub.publish(draft), self.last_id);
        let id = self.last_id;
        let Replay::Events(events) = hub.replay_since(id - 1, usize::MAX) else { panic!("lost") };
        let known = Known { id, seq, cost: cost(&events[0]) };
        self.all.push(known);
        self.floor_id = keep_newest(&mut self.all).unwrap_or(self.floor_id);
        if seq.is_some() {
            self.history.push(known);
            if keep_newest(&mut self.history).is_some() {
                self.seeds.clear();
            }
        }
    }

    fn run(&mut self, hub: &Hub, step: &Step) {
        match *step {
            Step::Notices { count, bytes } => {
                for _ in 0..count {
                    let notice =
                        Notice { kind: "test", msg: "x".repeat(bytes), ..Notice::default() };
                    self.take(hub, Draft::new(None, &Data::Notice(notice)), None);
                }
            }
            Step::Lines { count, bytes } => {
                for _ in 0..count {
                    let draft = line(self.lines, &"x".repeat(bytes));
                    self.take(hub, draft, Some(self.lines));
                    self.lines += 1;
                }
            }
            Step::Backlog { limit } => {
                self.make_seeds(limit);
                let newest = self.history.iter().rev().take(limit).map(|known| known.id);
                assert_eq!(backlog_ids(hub, limit), newest.collect::<Vec<_>>());
            }
            Step::KeepLines { gone_of } => {
                self.make_seeds(RING_EVENTS);
                self.seeds.clear();
                // The offsets keep their lengths, and so the events their costs.
                let kept = |seq: u64| !seq.is_multiple_of(gone_of);
                hub.keep_lines(
                    &(0..self.lines).filter(|seq| kept(*seq)).map(|seq| (seq, seq * 10)).collect(),
                );
                self.all.retain(|known| known.seq.is_none_or(kept));
                self.history.retain(|known| known.seq.is_none_or(kept));
            }
        }
    }

    fn check(&self, hub: &Hub) {
        let ids = |list: &[Known]| list.iter().map(|known| known.id).collect::<Vec<_>>();
        assert_eq!((hub.last_id(), hub.published()), (self.last_id, self.published));
        for id in [0, self.floor_id - 1, self.last_id + 1, u64::MAX] {
            assert_eq!(ids_since(hub, id), None, "{id}");
        }
        for id in [self.floor_id, self.floor_id.midpoint(self.last_id), self.last_id] {
            let wanted = ids(&self.all).into_iter().filter(|known| *known > id).collect();
            assert_eq!(ids_since(hub, id), Some(wanted), "{id}");
        }
        self.check_pieces(hub);
    }

    /// A replay in pieces is the replay.
    fn check_pieces(&self, hub: &Hub) {
        let mut last_id = self.floor_id;
        let mut pieces = Vec::new();
        loop {
            let Replay::Events(events) = hub.replay_since(last_id, 4096) else { panic!("lost") };
            let Some(newest) = events.last() else { break };
            let before_newest: usize =
                events[..events.len() - 1].iter().map(|event| event.frame().len()).sum();
            assert!(before_newest < 4096, "a piece is full once its bytes are");
            last_id = newest.id();
            pieces.extend(events.iter().map(|event| event.id()));
        }
        assert_eq!(Some(pieces), ids_since(hub, self.floor_id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_it_it_holds_what_the_model_holds(
        seeds in prop::collection::vec(prop_oneof![6 => 0..200_usize, 1 => 0..RING_BYTES / 8], 0..30),
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let hub = Hub::new(FIRST);
        let mut model = Model::start(&hub, &seeds);
        for step in &steps {
            model.run(&hub, step);
            model.check(&hub);
        }
        model.run(&hub, &Step::Backlog { limit: RING_EVENTS });
        model.check(&hub);
    }
}

#[test]
fn lines_that_are_published_while_others_are_dropped_stay() {
    let hub = Hub::new(FIRST);
    hub.publish(line(0, "{}"));
    let kept = HashMap::from([(0, 0)]);
    thread::scope(|scope| {
        scope.spawn(|| (0..200).for_each(|_| hub.keep_lines(&kept)));
        scope.spawn(|| {
            for _ in 0..200 {
                hub.publish(notice());
            }
        });
    });
    assert_eq!(ids_since(&hub, FIRST - 1), Some((FIRST..=FIRST + 200).collect()));
}

#[test]
fn what_a_reader_is_told_of_is_there() {
    const ROUNDS: u64 = 3_000;
    let hub = Hub::new(FIRST);
    let seen = AtomicU64::new(FIRST - 1);
    thread::scope(|scope| {
        // Reads as soon as it is told, without the time that waking a thread takes.
        scope.spawn(|| {
            let place = hub.subscribe();
            seen.store(FIRST, Ordering::SeqCst);
            for round in 1..=ROUNDS {
                let end = Instant::now() + Duration::from_secs(20);
                while place.news.try_recv().is_err() {
                    assert!(Instant::now() < end, "not told in round {round}");
                }
                assert_eq!(ids_since(&hub, FIRST + round - 2), Some(vec![FIRST + round - 1]));
                seen.store(FIRST + round, Ordering::SeqCst);
            }
        });
        for round in 0..ROUNDS {
            let event = notice();
            let end = Instant::now() + Duration::from_secs(20);
            while seen.load(Ordering::SeqCst) < FIRST + round {
                assert!(Instant::now() < end, "the reader has stopped");
                thread::yield_now();
            }
            hub.publish(event);
        }
    });
}
