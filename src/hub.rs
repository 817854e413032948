//! The hub: keeps the newest events in memory and notifies the streams of new ones.
//!
//! Events have one sequence of ids and three topics, each with its own retention. A subscriber has
//! no queue: it has a position, the last id it read, and a channel of one token that means "more".
//! It reads the topics that its filter needs, in the order of the ids. Joining, resuming and
//! catching up are therefore one operation, and a stalled subscriber costs only its place. An event
//! is in the ring before a subscriber is notified, and a subscriber registers before it reads, so
//! no event is missed in between.
//! Invariant: `publish` never blocks. Under the locks there is no I/O, no JSON and no work that
//! grows with an event's size; no thread holds both locks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use crate::event::{Draft, Event, EventType, MIN_ID, SourceId, Topic};
use crate::wake::{self, Sleeper, Wake, Waker};

/// The most events in a ring of prompts.
pub(crate) const RING_EVENTS: usize = 1000;

/// The most events in the ring of transcripts, which several busy agents fill in a minute.
const TRANSCRIPT_EVENTS: usize = 4000;

/// The most sessions that are remembered to be gone.
const REMOVED_SESSIONS: usize = 1000;

/// The most bytes of events in a ring: the whole program stays under 40 MB whatever the history
/// holds. The newest event is kept whatever its size.
pub(crate) const RING_BYTES: usize = 8 * 1024 * 1024;

/// The cost of an event beside its frame: its fields, the counts of the shared pointer, its places
/// in the rings.
const EVENT_OVERHEAD_BYTES: usize = 128;

/// No run starts beyond this id, of the year 2255: JavaScript's numbers are exact up to 2^53, a
/// little later.
const MAX_FIRST_ID: u64 = 9_000_000_000_000_000;

/// The range of ids, 11 days, in which a run starts if the clock was never set.
const UNSET_CLOCK_IDS: u64 = 1_000_000_000_000;

/// Returns the first id of a run that starts now: the clock in microseconds, so that ids increase
/// from run to run. If the clock was set back since the last run, the ids of clients are from the
/// future, and a resync makes them read the backlog again.
pub(crate) fn first_id(now: SystemTime) -> u64 {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(since_1970.as_micros()).unwrap_or(MAX_FIRST_ID);
    if clock < MIN_ID {
        // An unset clock is about the same at each start; the ids of two runs must not be.
        return MIN_ID + RandomState::new().hash_one(clock) % UNSET_CLOCK_IDS;
    }
    clock.min(MAX_FIRST_ID)
}

/// See the module.
pub(crate) struct Hub {
    events: Mutex<Events>,
    subscribers: Mutex<Subscribers>,
}

struct Events {
    first_id: u64,
    last_id: u64,
    published: u64,
    prompts: Ring,
    /// The prompts that are records of a file: the backlog.
    records: Ring,
    sessions: Compacted,
    transcripts: Ring,
}

/// Which events a subscriber wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Absent: every type.
    pub(crate) types: Option<Vec<EventType>>,
    /// Absent: of every session, and of none.
    pub(crate) session: Option<Box<str>>,
}

impl Filter {
    fn wants(&self, event: &Event) -> bool {
        let is_type = |types: &Vec<EventType>| types.contains(&event.event_type());
        self.types.as_ref().is_none_or(is_type)
            && self.session.as_deref().is_none_or(|session| event.session() == Some(session))
    }

    fn needs(&self, topic: Topic) -> bool {
        let types = self.types.as_deref().unwrap_or(&EventType::ALL);
        types.iter().any(|event_type| event_type.topic() == topic)
    }
}

#[derive(Default)]
struct Subscribers {
    by_key: HashMap<u64, Subscriber>,
    next_key: u64,
    is_closed: bool,
}

/// The hub's side of a subscription.
struct Subscriber {
    /// Absent once the hub is closed.
    waker: Option<Waker>,
    progress: Arc<Progress>,
}

/// How far a subscriber is.
struct Progress {
    /// The client has been sent everything up to this id.
    acknowledged_id: AtomicU64,
    /// Publishers do not wait for the subscriber until it has caught up.
    is_lagging: AtomicBool,
}

impl Progress {
    fn holds_up(&self, id: u64) -> bool {
        !self.is_lagging.load(Relaxed) && self.acknowledged_id.load(Relaxed) < id
    }
}

/// The events after a subscription's position.
pub(crate) enum Replay {
    /// Oldest first; empty when there are no more.
    Events(Vec<Arc<Event>>),
    /// Some of them are no longer in memory, or the position is of another run. The subscription
    /// goes on after `id`, which is new and belongs to the notice that tells the client.
    Lost { id: u64 },
}

/// Events of one kind that are in memory.
pub(crate) struct Snapshot {
    /// The hub's newest id at the same instant: a stream that starts after it misses and repeats
    /// nothing.
    pub(crate) last_id: u64,
    pub(crate) events: Vec<Arc<Event>>,
}

impl Hub {
    /// Ids start at `first_id`, which has 16 digits.
    pub(crate) fn new(first_id: u64) -> Arc<Hub> {
        let events = Events {
            first_id,
            last_id: first_id - 1,
            published: 0,
            prompts: Ring::of(RING_EVENTS),
            records: Ring::of(RING_EVENTS),
            sessions: Compacted::default(),
            transcripts: Ring::of(TRANSCRIPT_EVENTS),
        };
        Arc::new(Hub { events: Mutex::new(events), subscribers: Mutex::default() })
    }

    /// Adds an event that existed before the program started: no subscriber is notified, and it
    /// does not count as published.
    pub(crate) fn seed(&self, draft: Draft) {
        self.events.lock().push(draft);
    }

    /// Adds a line of a history to the backlog alone: streams do not send it.
    #[cfg(feature = "fleet")]
    pub(crate) fn remember(&self, draft: Draft) {
        let mut events = self.events.lock();
        events.last_id += 1;
        let event = Arc::new(draft.number(events.last_id));
        let mut evicted = Vec::new();
        events.records.push(event, &mut evicted);
        drop(events);
        // Freed without the lock, as in `add`.
        drop(evicted);
    }

    /// Adds an event, notifies every subscriber and returns the event's id.
    pub(crate) fn publish(&self, draft: Draft) -> u64 {
        let id = self.add(draft);
        self.notify();
        id
    }

    /// Adds an event without notifying: events that belong together are sent together after one
    /// [`Hub::notify`].
    pub(crate) fn add(&self, draft: Draft) -> u64 {
        let mut events = self.events.lock();
        events.published += 1;
        let (id, evicted) = events.push(draft);
        drop(events);
        // Freeing a large event takes time, for which no subscriber should wait.
        drop(evicted);
        id
    }

    /// Notifies every subscriber of new events.
    pub(crate) fn notify(&self) {
        for subscriber in self.subscribers.lock().by_key.values() {
            if let Some(waker) = &subscriber.waker {
                waker.wake();
            }
        }
    }

    /// Whether a subscriber that keeps up has half a topic's ring still to read. A publisher of a
    /// burst waits a moment then, so that the ring does not move on under subscribers that do read.
    pub(crate) fn has_subscribers_behind(&self, topic: Topic) -> bool {
        let half_id = self.half_id(topic);
        let subscribers = self.subscribers.lock();
        subscribers.by_key.values().any(|subscriber| subscriber.progress.holds_up(half_id))
    }

    /// Stops waiting for the subscribers of [`Hub::has_subscribers_behind`] until they have caught
    /// up.
    pub(crate) fn stop_waiting(&self, topic: Topic) {
        let half_id = self.half_id(topic);
        for subscriber in self.subscribers.lock().by_key.values() {
            if subscriber.progress.holds_up(half_id) {
                subscriber.progress.is_lagging.store(true, Relaxed);
            }
        }
    }

    /// Returns the id behind which a subscriber may lose events of a topic soon. Sessions are never
    /// lost.
    fn half_id(&self, topic: Topic) -> u64 {
        let events = self.events.lock();
        match topic {
            Topic::Prompts => events.prompts.half_id(),
            Topic::Transcripts => events.transcripts.half_id(),
            Topic::Sessions => 0,
        }
    }

    /// Registers the calling thread as a subscriber that has read everything up to the id `since`,
    /// or up to the newest.
    pub(crate) fn subscribe(self: &Arc<Hub>, since: Option<u64>, filter: Filter) -> Subscription {
        let (waker, sleeper) = wake::pair();
        let progress = Arc::new(Progress {
            acknowledged_id: AtomicU64::new(0),
            // Replaying what came before must not hold up a burst.
            is_lagging: AtomicBool::new(true),
        });
        let mut subscribers = self.subscribers.lock();
        let key = subscribers.next_key;
        subscribers.next_key += 1;
        let waker = (!subscribers.is_closed).then_some(waker);
        subscribers.by_key.insert(key, Subscriber { waker, progress: Arc::clone(&progress) });
        drop(subscribers);
        // After registering: an event in between notifies the subscriber.
        let position = since.unwrap_or_else(|| self.last_id());
        if since.is_none() {
            // There is nothing to replay.
            progress.acknowledged_id.store(position, Relaxed);
            progress.is_lagging.store(false, Relaxed);
        }
        Subscription { position, filter, sleeper, progress, key, hub: Arc::clone(self) }
    }

    /// Ends the waits of every subscription, present and future.
    pub(crate) fn close(&self) {
        let mut subscribers = self.subscribers.lock();
        subscribers.is_closed = true;
        subscribers.by_key.values_mut().for_each(|subscriber| subscriber.waker = None);
    }

    /// Returns how many subscriptions there are, of a closed hub those that are still to be
    /// dropped.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.lock().by_key.len()
    }

    /// Returns the newest `limit` lines of the history, newest first.
    pub(crate) fn backlog(&self, limit: usize) -> Snapshot {
        let events = self.events.lock();
        let newest = events.records.queue.iter().rev().take(limit).cloned().collect();
        Snapshot { last_id: events.last_id, events: newest }
    }

    /// Returns the present state of every session, in the order of their ids.
    pub(crate) fn sessions(&self) -> Snapshot {
        let events = self.events.lock();
        let is_there = |event: &&Arc<Event>| event.event_type() == EventType::SessionChanged;
        let present = events.sessions.by_id.values().filter(is_there).cloned().collect();
        Snapshot { last_id: events.last_id, events: present }
    }

    /// Takes the lines of a source that are gone from its file out of the backlog. `offsets` maps
    /// the sequence numbers of those that are still there to their present offsets.
    ///
    /// Streams still get the lines that are gone, before the notice of the reset: a stream may not
    /// have sent the last lines of a file yet that was replaced.
    pub(crate) fn retain(&self, source: SourceId, offsets: &HashMap<u64, u64>) {
        let is_of_source = |event: &&Arc<Event>| event.is_of(source);
        let events = self.events.lock();
        let rings = [&events.records, &events.transcripts];
        let records = rings.into_iter().flat_map(|ring| &ring.queue).filter(is_of_source);
        let records: Vec<Arc<Event>> = records.cloned().collect();
        // Copying events takes time, for which no subscriber should wait.
        drop(events);
        let moved = records.iter().filter_map(|event| {
            let offset = offsets.get(&event.origin()?.seq)?;
            Some((event.id(), Arc::new(event.moved_to(*offset))))
        });
        let moved: HashMap<u64, Arc<Event>> = moved.collect();
        // Events that were published while the lock was not held stay.
        let newest = records.last().map_or(0, |event| event.id());
        let mut events = self.events.lock();
        let Events { prompts, records, transcripts, .. } = &mut *events;
        records.retain(source, newest, &moved);
        prompts.move_to(&moved);
        transcripts.move_to(&moved);
    }

    /// Returns the newest id that was given to an event or a notice.
    pub(crate) fn last_id(&self) -> u64 {
        self.events.lock().last_id
    }

    /// Returns how many events were published since the start.
    pub(crate) fn published(&self) -> u64 {
        self.events.lock().published
    }
}

impl Events {
    /// Returns the event's id and the events that were evicted.
    fn push(&mut self, draft: Draft) -> (u64, Vec<Arc<Event>>) {
        self.last_id += 1;
        let event = Arc::new(draft.number(self.last_id));
        let mut evicted = Vec::new();
        match event.event_type().topic() {
            Topic::Sessions => self.sessions.push(event, &mut evicted),
            Topic::Transcripts => self.transcripts.push(event, &mut evicted),
            Topic::Prompts => {
                if event.origin().is_some() {
                    self.records.push(Arc::clone(&event), &mut evicted);
                }
                self.prompts.push(event, &mut evicted);
            }
        }
        (self.last_id, evicted)
    }

    /// Returns the wanted events after an id that fit into `max_bytes`, at least one if there is
    /// any, and the id up to which the sequence was read; or `None` if it cannot be continued from
    /// there.
    fn after(&self, id: u64, filter: &Filter, max_bytes: usize) -> Option<(Vec<Arc<Event>>, u64)> {
        // An id of another run can be any number.
        if self.is_lost(id, filter) || id < self.first_id - 1 || id > self.last_id {
            return None;
        }
        Some(self.held_after(id, filter, max_bytes))
    }

    /// Returns whether wanted events after an id may have been evicted.
    fn is_lost(&self, id: u64, filter: &Filter) -> bool {
        let floors = [
            (Topic::Prompts, self.prompts.floor_id),
            (Topic::Sessions, self.sessions.floor_id),
            (Topic::Transcripts, self.transcripts.floor_id),
        ];
        floors.iter().any(|(topic, floor)| filter.needs(*topic) && id < *floor)
    }

    /// Returns the same as [`Events::after`], of the events that are in memory.
    fn held_after(&self, id: u64, filter: &Filter, max_bytes: usize) -> (Vec<Arc<Event>>, u64) {
        // Counted first: a vector that grows leaves its former sizes behind in the memory of each
        // stream's thread.
        let mut left_bytes = max_bytes;
        let fits = |event: &&Arc<Event>| {
            let has_room = left_bytes > 0;
            left_bytes = left_bytes.saturating_sub(event.frame().len());
            has_room
        };
        let wanted = || self.merged(id, filter);
        let count = wanted().take_while(fits).count();
        let mut events = Vec::with_capacity(count);
        events.extend(wanted().take(count).cloned());
        let is_all = left_bytes > 0;
        let last = events.last().filter(|_| !is_all).map_or(self.last_id, |event| event.id());
        (events, last)
    }

    /// Returns the wanted events of all topics after an id, in the order of their ids.
    fn merged<'a>(&'a self, id: u64, filter: &'a Filter) -> impl Iterator<Item = &'a Arc<Event>> {
        let of = |topic, ring: &'a Ring| {
            let start = if filter.needs(topic) { ring.after(id) } else { ring.queue.len() };
            ring.queue.range(start..).filter(|event| filter.wants(event)).peekable()
        };
        let mut prompts = of(Topic::Prompts, &self.prompts);
        let mut transcripts = of(Topic::Transcripts, &self.transcripts);
        let sessions = filter.needs(Topic::Sessions).then(|| self.sessions.by_id.range(id + 1..));
        let sessions = sessions.into_iter().flatten().map(|(_, event)| event);
        let mut sessions = sessions.filter(|event| filter.wants(event)).peekable();
        std::iter::from_fn(move || {
            let id = |event: Option<&&Arc<Event>>| event.map_or(u64::MAX, |event| event.id());
            let ids = [id(prompts.peek()), id(sessions.peek()), id(transcripts.peek())];
            match ids.iter().min() {
                Some(least) if *least == ids[0] => prompts.next(),
                Some(least) if *least == ids[1] => sessions.next(),
                _ => transcripts.next(),
            }
        })
    }
}

/// A session: the machine, of a fleet, and the id.
type Key = (Option<Arc<str>>, Box<str>);

fn key(event: &Event) -> Key {
    (event.machine().cloned(), event.session().unwrap_or_default().into())
}

/// The newest event of each session, as a compacted log keeps the newest record of a key.
#[derive(Default)]
struct Compacted {
    by_id: BTreeMap<u64, Arc<Event>>,
    ids: HashMap<Key, u64>,
    /// Events that say that a session is gone, oldest first.
    removed: BTreeSet<u64>,
    /// Streams can resume from this id or from any later one.
    floor_id: u64,
}

impl Compacted {
    fn push(&mut self, event: Arc<Event>, evicted: &mut Vec<Arc<Event>>) {
        let id = event.id();
        if let Some(old) = self.ids.insert(key(&event), id) {
            self.removed.remove(&old);
            evicted.extend(self.by_id.remove(&old));
        }
        if event.event_type() == EventType::SessionRemoved {
            self.removed.insert(id);
        }
        self.by_id.insert(id, event);
        if self.removed.len() > REMOVED_SESSIONS
            && let Some(oldest) = self.removed.pop_first()
            && let Some(event) = self.by_id.remove(&oldest)
        {
            // A stream that resumes from before would not learn that the session is gone.
            self.ids.remove(&key(&event));
            self.floor_id = oldest;
            evicted.push(event);
        }
    }
}

/// Events in the order of their ids, bounded in number and bytes.
struct Ring {
    max_events: usize,
    queue: VecDeque<Arc<Event>>,
    held_bytes: usize,
    /// The id of the newest event that was evicted: streams can resume from it or from any later
    /// one.
    floor_id: u64,
}

impl Ring {
    fn of(max_events: usize) -> Ring {
        Ring { max_events, queue: VecDeque::new(), held_bytes: 0, floor_id: 0 }
    }

    /// Returns the place of the first event after an id.
    fn after(&self, id: u64) -> usize {
        self.queue.partition_point(|event| event.id() <= id)
    }

    /// Adds the events that make room to `evicted`, oldest first.
    fn push(&mut self, event: Arc<Event>, evicted: &mut Vec<Arc<Event>>) {
        self.held_bytes += cost(&event);
        self.queue.push_back(event);
        while self.queue.len() > self.max_events
            || (self.held_bytes > RING_BYTES && self.queue.len() > 1)
        {
            let event = self.queue.pop_front().expect("a ring that is too full is not empty");
            self.held_bytes -= cost(&event);
            self.floor_id = event.id();
            evicted.push(event);
        }
    }

    /// Returns the id after which half a full ring follows; 0 while there are fewer events.
    fn half_id(&self) -> u64 {
        let mut bytes = 0;
        let newer_half = self.queue.iter().rev().take(self.max_events / 2).take_while(|event| {
            bytes += cost(event);
            bytes <= RING_BYTES / 2
        });
        let count = newer_half.count();
        self.queue.iter().rev().nth(count).map_or(0, |event| event.id())
    }

    /// Of a source's events up to the id `newest`, drops those that are not in `moved`.
    fn retain(&mut self, source: SourceId, newest: u64, moved: &HashMap<u64, Arc<Event>>) {
        self.queue.retain(|event| {
            !event.is_of(source) || event.id() > newest || moved.contains_key(&event.id())
        });
        self.move_to(moved);
    }

    /// Replaces the events in `moved`.
    fn move_to(&mut self, moved: &HashMap<u64, Arc<Event>>) {
        for event in &mut self.queue {
            if let Some(same) = moved.get(&event.id()) {
                *event = Arc::clone(same);
            }
        }
        self.held_bytes = self.queue.iter().map(|event| cost(event)).sum();
    }
}

fn cost(event: &Event) -> usize {
    event.frame().len() + EVENT_OVERHEAD_BYTES
}

/// A position in the sequence of events. Dropping it ends the subscription.
pub(crate) struct Subscription {
    /// The id up to which everything was read.
    position: u64,
    filter: Filter,
    sleeper: Sleeper,
    progress: Arc<Progress>,
    key: u64,
    hub: Arc<Hub>,
}

impl Subscription {
    /// Returns the id up to which everything was read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads on, up to `max_bytes` but one event at least: events that a subscriber holds are
    /// memory that the rings do not count. Reading acknowledges what the last call returned.
    pub(crate) fn read(&mut self, max_bytes: usize) -> Replay {
        self.progress.acknowledged_id.store(self.position, Relaxed);
        let mut events = self.hub.events.lock();
        let Some((replay, position)) = events.after(self.position, &self.filter, max_bytes) else {
            events.last_id += 1;
            self.position = events.last_id;
            return Replay::Lost { id: self.position };
        };
        self.position = position;
        drop(events);
        // It has caught up: bursts wait for it from now on.
        if replay.is_empty() {
            self.progress.is_lagging.store(false, Relaxed);
        }
        Replay::Events(replay)
    }

    /// Goes to another position.
    #[cfg(feature = "fleet")]
    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// Reads on as [`Subscription::read`] does, but goes on with the events that are in memory
    /// where some are not. Returns them, and whether some may be missing before them.
    #[cfg(feature = "fleet")]
    pub(crate) fn read_held(&mut self, max_bytes: usize) -> (Vec<Arc<Event>>, bool) {
        self.progress.acknowledged_id.store(self.position, Relaxed);
        let events = self.hub.events.lock();
        let is_lost = events.is_lost(self.position, &self.filter);
        let (held, position) = events.held_after(self.position, &self.filter, max_bytes);
        drop(events);
        self.position = position;
        if held.is_empty() {
            self.progress.is_lagging.store(false, Relaxed);
        }
        (held, is_lost)
    }

    /// Waits until there is more to read. [`Wake::Closed`] means that the hub is closed.
    pub(crate) fn wait(&self, deadline: Instant) -> Wake {
        self.sleeper.sleep_until(deadline)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.subscribers.lock().by_key.remove(&self.key);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
