//! The hub against models of it: every order of its steps, real threads at full speed, and random
//! operations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::{
    FIRST, append, backlog_ids, ids_since, line, notice, read_ids, session_changed, session_removed,
};
use super::*;
use crate::event::{Data, Notice, Origin};

/// A stream's loop, cut where another thread can come in between.
enum Reader {
    Absent,
    Reading(Subscription, Seen),
    Waiting(Subscription, Seen),
}

/// The ids that a reader was given, in this order, and the position at which it began.
struct Seen {
    start: u64,
    ids: Vec<u64>,
}

/// Two publishers and a reader on a hub; a publisher's event is two steps, `add` and `notify`.
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
        let waits = matches!(&self.reader, Reader::Waiting(place, _) if !place.sleeper.has_token());
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
            self.hub.notify();
        }
        self.publishers[actor] += 1;
    }

    fn read(&self, reader: Reader) -> Reader {
        match reader {
            Reader::Absent => {
                let place = self.hub.subscribe(None, Filter::default());
                let start = place.position();
                Reader::Reading(place, Seen { start, ids: Vec::new() })
            }
            Reader::Reading(mut place, mut seen) => {
                let ids = read_ids(&mut place, 1);
                if ids.is_empty() {
                    return Reader::Waiting(place, seen);
                }
                seen.ids.extend(ids);
                Reader::Reading(place, seen)
            }
            Reader::Waiting(place, seen) => {
                assert_eq!(place.wait(Instant::now()), Wake::Notified);
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

/// Reads as a stream does until `count` events are seen, or everything once the publishers have
/// ended. Returns how many events were seen and how often some were lost.
fn read_some(hub: &Arc<Hub>, count: usize, is_over: &AtomicBool) -> (usize, usize) {
    let mut place = hub.subscribe(None, Filter::default());
    let mut last_id = place.position();
    let (mut seen, mut lost) = (0, 0);
    let end = Instant::now() + Duration::from_secs(120);
    while seen < count {
        assert!(Instant::now() < end, "stuck at {last_id}");
        // Looked at first: events that were published before it was set are seen below.
        let was_over = is_over.load(Ordering::SeqCst);
        match place.read(4096) {
            Replay::Events(events) => {
                for event in &events {
                    assert!(event.id() > last_id, "in order");
                    last_id = event.id();
                }
                seen += events.len();
                if !events.is_empty() {
                    continue;
                }
            }
            Replay::Lost { id } => {
                assert!(id > last_id + RING_EVENTS as u64, "{last_id} could be replayed");
                last_id = id;
                lost += 1;
                continue;
            }
        }
        if was_over {
            break;
        }
        let wake = place.wait(Instant::now() + Duration::from_secs(10));
        assert_eq!(wake, Wake::Notified, "not told of the events after {last_id}");
    }
    (seen, lost)
}

#[test]
fn hundreds_of_readers_that_come_and_go_see_every_event_once_or_are_told() {
    const READERS: usize = 300;
    const EVENTS: u64 = 5_000;
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
        hub.notify();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let lost: usize = results.iter().map(|(_, lost)| lost).sum();
    assert_eq!(hub.last_id(), FIRST + 2 * EVENTS - 1 + lost as u64);
    assert_eq!(hub.subscribers(), 0);
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
    /// States of sessions, or that they are gone.
    Sessions {
        count: usize,
        is_removed: bool,
    },
    Records {
        count: usize,
        bytes: usize,
    },
    Backlog {
        limit: usize,
    },
    /// Of every so many records of a file one is gone.
    Retain {
        source: SourceId,
        gone_of: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![4 => 0..200_usize, 1 => 0..RING_BYTES / 2];
    let many = prop_oneof![4 => 1..4_usize, 1 => 1..500_usize];
    // Many and large at once takes too long.
    let amounts = (many, sizes).prop_map(|(count, bytes)| (count, bytes / count));
    let sources = prop_oneof![Just(SourceId::HISTORY), Just(SourceId::transcript(1))];
    prop_oneof![
        3 => amounts.clone().prop_map(|(count, bytes)| Step::Notices { count, bytes }),
        4 => amounts.clone().prop_map(|(count, bytes)| Step::Lines { count, bytes }),
        3 => amounts.prop_map(|(count, bytes)| Step::Records { count: 3 * count, bytes }),
        2 => (1..30_usize, any::<bool>())
            .prop_map(|(count, is_removed)| Step::Sessions { count, is_removed }),
        1 => Just(Step::Sessions { count: REMOVED_SESSIONS + 3, is_removed: true }),
        2 => prop_oneof![1..20_usize, Just(RING_EVENTS)].prop_map(|limit| Step::Backlog { limit }),
        1 => (sources, 1..4_u64)
            .prop_map(|(source, gone_of)| Step::Retain { source, gone_of }),
    ]
}

/// A hub without locks, bytes or sharing: what it holds is found anew each time.
#[derive(Default)]
struct Model {
    prompts: List,
    history: List,
    transcripts: List,
    /// The newest event of each session.
    sessions: List,
    last_id: u64,
    published: u64,
    /// Records of the history and of a transcript.
    seqs: [u64; 2],
}

/// Events in order, and the id of the newest that is gone.
#[derive(Default)]
struct List {
    events: Vec<Known>,
    floor_id: u64,
}

#[derive(Clone)]
struct Known {
    id: u64,
    seq: Option<u64>,
    cost: usize,
    event_type: EventType,
    session: Option<String>,
}

impl List {
    fn push(&mut self, known: &Known, max_events: usize) {
        self.events.push(known.clone());
        let mut bytes = 0;
        let fits = |known: &&Known| {
            bytes += known.cost;
            bytes <= RING_BYTES
        };
        let count = self.events.iter().rev().take(max_events).take_while(fits).count().max(1);
        let mut gone = self.events.drain(..self.events.len() - count);
        self.floor_id = gone.next_back().map_or(self.floor_id, |known| known.id);
    }

    fn push_session(&mut self, known: &Known) {
        self.events.retain(|other| other.session != known.session);
        self.events.push(known.clone());
        let removed = |known: &&Known| known.event_type == EventType::SessionRemoved;
        if self.events.iter().filter(removed).count() > REMOVED_SESSIONS {
            let oldest = self.events.iter().find(removed).unwrap().id;
            self.events.retain(|known| known.id != oldest);
            self.floor_id = oldest;
        }
    }
}

impl Model {
    /// A hub that took in lines of so many bytes before its start.
    fn start(hub: &Hub, sizes: &[usize]) -> Model {
        let mut model = Model { last_id: FIRST - 1, ..Model::default() };
        for size in sizes {
            hub.seed(line(model.seqs[0], &"x".repeat(*size)));
            model.hold(hub, Some(model.seqs[0]));
            model.seqs[0] += 1;
        }
        model
    }

    fn take(&mut self, hub: &Hub, draft: Draft, seq: Option<u64>) {
        self.published += 1;
        assert_eq!(hub.publish(draft), self.last_id + 1);
        self.hold(hub, seq);
    }

    /// Notes the hub's newest event.
    fn hold(&mut self, hub: &Hub, seq: Option<u64>) {
        self.last_id += 1;
        let id = self.last_id;
        let (events, _) = hub.events.lock().after(id - 1, &Filter::default(), usize::MAX).unwrap();
        let event = &events[0];
        let session = event.session().map(str::to_owned);
        let known = Known { id, seq, cost: cost(event), event_type: event.event_type(), session };
        match known.event_type.topic() {
            Topic::Prompts if seq.is_some() => {
                self.history.push(&known, RING_EVENTS);
                self.prompts.push(&known, RING_EVENTS);
            }
            Topic::Prompts => self.prompts.push(&known, RING_EVENTS),
            Topic::Sessions => self.sessions.push_session(&known),
            Topic::Transcripts => self.transcripts.push(&known, TRANSCRIPT_EVENTS),
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
                    let draft = line(self.seqs[0], &"x".repeat(bytes));
                    self.take(hub, draft, Some(self.seqs[0]));
                    self.seqs[0] += 1;
                }
            }
            Step::Records { count, bytes } => {
                for _ in 0..count {
                    let seq = self.seqs[1];
                    let session = format!("s{}", seq % 3);
                    let draft = append(&session, &"x".repeat(bytes), seq * 10);
                    let origin = Origin { source: SourceId::transcript(1), seq };
                    self.take(hub, draft.with_origin(origin), Some(seq));
                    self.seqs[1] += 1;
                }
            }
            Step::Sessions { count, is_removed } => {
                for number in 0..count {
                    let id = format!("s{number}");
                    let draft =
                        if is_removed { session_removed(&id) } else { session_changed(&id) };
                    self.take(hub, draft, None);
                }
            }
            Step::Backlog { limit } => {
                let newest = self.history.events.iter().rev().take(limit).map(|known| known.id);
                assert_eq!(backlog_ids(hub, limit), newest.collect::<Vec<_>>());
            }
            Step::Retain { source, gone_of } => self.retain(hub, source, gone_of),
        }
    }

    fn retain(&mut self, hub: &Hub, source: SourceId, gone_of: u64) {
        let is_history = source == SourceId::HISTORY;
        let seqs = 0..self.seqs[usize::from(!is_history)];
        // The offsets keep their lengths, and so the events their costs.
        let kept = |seq: u64| !seq.is_multiple_of(gone_of);
        hub.retain(source, &seqs.filter(|seq| kept(*seq)).map(|seq| (seq, seq * 10)).collect());
        if is_history {
            self.history.events.retain(|known| known.seq.is_none_or(kept));
        }
    }

    fn check(&self, hub: &Arc<Hub>) {
        assert_eq!((hub.last_id(), hub.published()), (self.last_id, self.published));
        let filter = |types: &[EventType], session: Option<&str>| Filter {
            types: (!types.is_empty()).then(|| types.to_vec()),
            session: session.map(Into::into),
        };
        use EventType::*;
        for filter in [
            filter(&[], None),
            filter(&[HistoryAppend, Notice], None),
            filter(&[SessionChanged, SessionRemoved], None),
            filter(&[TranscriptAppend, SessionChanged], Some("s1")),
            filter(&[], Some("s2")),
        ] {
            self.check_filtered(hub, &filter);
        }
    }

    /// What is replayed is what the unfiltered sequence holds, filtered.
    fn check_filtered(&self, hub: &Arc<Hub>, filter: &Filter) {
        let floor_id = self.floor_id(filter);
        let ids_after = |id| {
            let (events, _) = hub.events.lock().after(id, filter, usize::MAX)?;
            Some(events.iter().map(|event| event.id()).collect::<Vec<_>>())
        };
        for id in [0, floor_id - 1, self.last_id + 1, u64::MAX] {
            assert_eq!(ids_after(id), None, "{id}");
        }
        for id in [floor_id, floor_id.midpoint(self.last_id), self.last_id] {
            assert_eq!(ids_after(id), Some(self.wanted(filter, id)), "{id}");
        }
        self.check_pieces(hub, filter, floor_id);
    }

    fn floor_id(&self, filter: &Filter) -> u64 {
        let floors = [
            (Topic::Prompts, self.prompts.floor_id),
            (Topic::Sessions, self.sessions.floor_id),
            (Topic::Transcripts, self.transcripts.floor_id),
        ];
        let needed = floors.iter().filter(|(topic, _)| filter.needs(*topic));
        needed.map(|(_, floor_id)| *floor_id).max().unwrap_or_default().max(FIRST - 1)
    }

    fn wanted(&self, filter: &Filter, after: u64) -> Vec<u64> {
        let lists = [&self.prompts, &self.sessions, &self.transcripts];
        let is_wanted = |known: &&Known| {
            let is_type = filter.types.as_ref().is_none_or(|it| it.contains(&known.event_type));
            let is_session =
                filter.session.is_none() || filter.session.as_deref() == known.session.as_deref();
            known.id > after && is_type && is_session
        };
        let known = lists.iter().flat_map(|list| &list.events).filter(is_wanted);
        let mut ids: Vec<_> = known.map(|known| known.id).collect();
        ids.sort_unstable();
        ids
    }

    /// A replay in pieces is the replay.
    fn check_pieces(&self, hub: &Arc<Hub>, filter: &Filter, floor_id: u64) {
        let mut place = hub.subscribe(Some(floor_id), filter.clone());
        let mut pieces = Vec::new();
        loop {
            let Replay::Events(events) = place.read(4096) else { panic!("lost") };
            let Some(newest) = events.last() else { break };
            let before_newest: usize =
                events[..events.len() - 1].iter().map(|event| event.frame().len()).sum();
            assert!(before_newest < 4096, "a piece is full once its bytes are");
            assert!([newest.id(), self.last_id].contains(&place.position()));
            pieces.extend(events.iter().map(|event| event.id()));
        }
        assert_eq!(place.position(), hub.last_id());
        assert_eq!(pieces, self.wanted(filter, floor_id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_done_to_it_it_holds_what_the_model_holds(
        seeds in prop::collection::vec(
            prop_oneof![6 => 0..200_usize, 1 => 0..RING_BYTES / 8],
            0..30,
        ),
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
        scope.spawn(|| (0..200).for_each(|_| hub.retain(SourceId::HISTORY, &kept)));
        scope.spawn(|| {
            for _ in 0..200 {
                hub.publish(notice());
            }
        });
    });
    assert_eq!(ids_since(&hub, FIRST - 1), Some((FIRST..=FIRST + 200).collect()));
}

#[test]
fn an_event_is_there_when_its_subscriber_is_notified() {
    const ROUNDS: u64 = 3_000;
    let hub = Hub::new(FIRST);
    let seen = AtomicU64::new(FIRST - 1);
    thread::scope(|scope| {
        // Reads as soon as it is notified, without the time that waking a thread takes.
        scope.spawn(|| {
            let mut place = hub.subscribe(None, Filter::default());
            seen.store(FIRST, Ordering::SeqCst);
            for round in 1..=ROUNDS {
                let end = Instant::now() + Duration::from_secs(20);
                while place.wait(Instant::now()) != Wake::Notified {
                    assert!(Instant::now() < end, "not notified in round {round}");
                }
                assert_eq!(read_ids(&mut place, usize::MAX), [FIRST + round - 1]);
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
