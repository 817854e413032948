//! The hub: the newest events in memory, and the news that there are more.
//!
//! Two rings share the events: the newest of all types, from which streams are replayed, and the newest history
//! events, the backlog. A subscriber gets no queue of events but a channel of one token that says "there is
//! something"; it then reads on from the ring after the last id that it has. So joining, resuming and catching up are one
//! operation, there is no seam between replay and live, and a reader that stalls costs nothing but its place.
//!
//! Events and subscribers have a lock each, and no thread holds both: readers that are woken do not wait for the
//! rest to be woken. An event is in the ring before anybody is told, and a reader registers before it looks, so that
//! whatever it did not find there it is told of.
//!
//! The lines that were there before the start are made into events when they are first asked for, under a lock of their own that
//! no publisher takes; the events' lock may be taken under it.
//!
//! Invariant: `publish` never blocks; under the other locks there is no I/O, no JSON, and no work that grows with an event's size.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, Thread};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::event::{Draft, Event, MIN_ID};

/// Events that each of the two rings holds.
pub(crate) const RING_EVENTS: usize = 1000;

/// Bytes of events that each of the two rings holds at most. The design allows 64 MiB; this keeps the whole program
/// under 40 MB whatever the history holds. The newest event is kept whatever its size.
pub(crate) const RING_BYTES: usize = 8 * 1024 * 1024;

/// What an event costs beside its frame: its fields, the shared pointer's counts, and its places in the rings.
const EVENT_OVERHEAD_BYTES: usize = 128;

/// See the module.
pub(crate) struct Hub {
    events: Mutex<Events>,
    seeds: Mutex<Seeds>,
    subscribers: Mutex<Subscribers>,
}

struct Events {
    last_id: u64,
    /// Streams can be resumed from this id on: that of the newest event that was pushed out of the ring.
    floor_id: u64,
    all: Ring,
    history: Ring,
    published: u64,
    /// The id of the next seed.
    seed_id: u64,
    /// The backlog has let go what is newer than the seeds that are left, and has no place for them any more.
    is_past_seeds: bool,
}

/// Lines from before the start that nobody has asked for yet, newest first.
pub(crate) type Seeds = Box<dyn Iterator<Item = Draft> + Send>;

#[derive(Default)]
struct Subscribers {
    readers: HashMap<u64, Arc<Reader>>,
    next_key: u64,
}

/// What the hub knows of a subscriber.
struct Reader {
    news: Sender<()>,
    thread: Thread,
    /// The last id that was sent, or [`NOT_WAITED_FOR`].
    read_id: AtomicU64,
}

/// In place of an id: the reader has not begun, or has been left behind and has not caught up since.
const NOT_WAITED_FOR: u64 = u64::MAX;

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
            events: Mutex::new(Events {
                last_id,
                floor_id: last_id,
                all: Ring::default(),
                history: Ring::default(),
                published: 0,
                seed_id: last_id,
                is_past_seeds: false,
            }),
            seeds: Mutex::new(Box::new(iter::empty())),
            subscribers: Mutex::default(),
        })
    }

    /// Takes an event in, gives it the next id, and tells every subscriber.
    pub(crate) fn publish(&self, draft: Draft) -> u64 {
        let id = self.add(draft);
        self.tell();
        id
    }

    /// As [`Hub::publish`], but nobody is told before [`Hub::tell`]: what belongs together is then sent together.
    pub(crate) fn add(&self, draft: Draft) -> u64 {
        let mut events = self.events.lock();
        events.published += 1;
        let (id, gone) = events.push(draft);
        drop(events);
        // Giving back a large event's memory takes time, which no reader is to wait for.
        drop(gone);
        id
    }

    /// Tells every subscriber that there is something.
    pub(crate) fn tell(&self) {
        for reader in self.subscribers.lock().readers.values() {
            // A full channel already says so, and whoever filled it wakes the thread.
            if reader.news.try_send(()).is_ok() {
                reader.thread.unpark();
            }
        }
    }

    /// Whether some reader has half a ring still to read. Whoever publishes a burst waits a moment then, so that the ring does
    /// not move on under readers that do read; those that do not are left behind with [`Hub::leave_behind`].
    pub(crate) fn is_far_ahead(&self) -> bool {
        let half_id = self.events.lock().all.half_id();
        self.subscribers.lock().readers.values().any(|reader| reader.is_before(half_id))
    }

    /// Does not wait any more for those that [`Hub::is_far_ahead`] speaks of, until they have caught up.
    pub(crate) fn leave_behind(&self) {
        let half_id = self.events.lock().all.half_id();
        for reader in self.subscribers.lock().readers.values() {
            if reader.is_before(half_id) {
                reader.read_id.store(NOT_WAITED_FOR, Relaxed);
            }
        }
    }

    /// Takes in what was there before the program started, of which nobody is told: so many drafts, newest first. They get their ids
    /// now, but are made only when they are asked for: most of them seldom are, and never at once.
    pub(crate) fn seed(&self, count: usize, seeds: Seeds) {
        let mut events = self.events.lock();
        events.last_id += count as u64;
        events.floor_id = events.last_id;
        events.seed_id = events.last_id;
        drop(events);
        *self.seeds.lock() = seeds;
    }

    /// Makes events of all that [`Hub::seed`] took in and the ring has room for. Then there are no seeds any more.
    pub(crate) fn make_seeds(&self) {
        let mut seeds = self.seeds.lock();
        self.make_events(&mut seeds, RING_EVENTS);
        // Whoever brought them counts what is wrong with them when they are made, and they must not come later.
        seeds.by_ref().for_each(drop);
    }

    /// Makes events of seeds until there are so many history events, or no room.
    fn make_events(&self, seeds: &mut Seeds, wanted: usize) {
        while self.events.lock().history.queue.len() < wanted {
            let Some(draft) = seeds.next() else { return };
            if !self.events.lock().push_older(draft) {
                return seeds.by_ref().for_each(drop);
            }
        }
    }

    /// Registers the calling thread for the news of later events. Ask [`Hub::replay_since`] after, not before.
    pub(crate) fn subscribe(self: &Arc<Hub>) -> Subscription {
        let (sender, news) = bounded(1);
        let read_id = AtomicU64::new(NOT_WAITED_FOR);
        let reader = Arc::new(Reader { news: sender, thread: thread::current(), read_id });
        let mut subscribers = self.subscribers.lock();
        let key = subscribers.next_key;
        subscribers.next_key += 1;
        subscribers.readers.insert(key, Arc::clone(&reader));
        Subscription { news, reader, key, hub: Arc::clone(self) }
    }

    /// What came after the event with this id, as far as it fits into `max_bytes`, but one event at least: what a reader holds while it
    /// writes is memory that the rings do not count.
    pub(crate) fn replay_since(&self, id: u64, max_bytes: usize) -> Replay {
        let events = self.events.lock();
        if id < events.floor_id || id > events.last_id {
            return Replay::Lost { last_id: events.last_id };
        }
        let start = events.all.queue.partition_point(|event| event.id() <= id);
        let mut left_bytes = max_bytes;
        let fits = |event: &&Arc<Event>| {
            let has_room = left_bytes > 0;
            left_bytes = left_bytes.saturating_sub(event.frame().len());
            has_room
        };
        let count = events.all.queue.range(start..).take_while(fits).count();
        Replay::Events(events.all.queue.range(start..start + count).cloned().collect())
    }

    pub(crate) fn backlog(&self, limit: usize) -> Backlog {
        if self.events.lock().history.queue.len() < limit {
            self.make_events(&mut self.seeds.lock(), limit);
        }
        let events = self.events.lock();
        let newest = events.history.queue.iter().rev().take(limit).cloned().collect();
        Backlog { last_id: events.last_id, events: newest }
    }

    /// Forgets the history events whose lines are gone from the file; `offsets` has the lines that are still there, by
    /// their sequence numbers, with the offsets at which they now stand.
    pub(crate) fn keep_lines(&self, offsets: &HashMap<u64, u64>) {
        self.make_seeds();
        let history: Vec<_> = self.events.lock().history.queue.iter().cloned().collect();
        let moved: HashMap<u64, Arc<Event>> = history
            .iter()
            .filter_map(|event| {
                let offset = offsets.get(&event.line()?)?;
                Some((event.id(), Arc::new(event.moved_to(*offset))))
            })
            .collect();
        let newest = history.last().map_or(0, |event| event.id());
        let mut events = self.events.lock();
        events.history.replace(newest, &moved);
        events.all.replace(newest, &moved);
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.events.lock().last_id
    }

    pub(crate) fn published(&self) -> u64 {
        self.events.lock().published
    }
}

impl Events {
    /// The event's id, and what had to go to make room.
    fn push(&mut self, draft: Draft) -> (u64, Vec<Arc<Event>>) {
        self.last_id += 1;
        let event = Arc::new(draft.number(self.last_id));
        let mut gone = Vec::new();
        if event.line().is_some() {
            self.history.push(Arc::clone(&event), &mut gone);
        }
        let still_resumable = gone.len();
        self.is_past_seeds |= still_resumable > 0;
        self.all.push(event, &mut gone);
        if let Some(newest) = gone[still_resumable..].last() {
            self.floor_id = newest.id();
        }
        (self.last_id, gone)
    }

    /// Takes in the next seed. Returns whether there was room for it.
    fn push_older(&mut self, draft: Draft) -> bool {
        let event = Arc::new(draft.number(self.seed_id));
        if self.is_past_seeds || !self.history.has_room(&event) {
            return false;
        }
        if self.floor_id == self.seed_id && self.all.has_room(&event) {
            self.floor_id -= 1;
            self.all.push_older(Arc::clone(&event));
        }
        self.history.push_older(event);
        self.seed_id -= 1;
        true
    }
}

/// Events in the order of their ids, bounded in number and bytes.
#[derive(Default)]
struct Ring {
    queue: VecDeque<Arc<Event>>,
    held_bytes: usize,
}

impl Ring {
    /// Adds to `gone` what has to go to make room, oldest first.
    fn push(&mut self, event: Arc<Event>, gone: &mut Vec<Arc<Event>>) {
        self.held_bytes += cost(&event);
        self.queue.push_back(event);
        while self.queue.len() > RING_EVENTS
            || (self.held_bytes > RING_BYTES && self.queue.len() > 1)
        {
            let event = self.queue.pop_front().expect("a ring that is too full is not empty");
            self.held_bytes -= cost(&event);
            gone.push(event);
        }
    }

    fn push_older(&mut self, event: Arc<Event>) {
        self.held_bytes += cost(&event);
        self.queue.push_front(event);
    }

    fn has_room(&self, event: &Event) -> bool {
        let fits = self.queue.len() < RING_EVENTS && self.held_bytes + cost(event) <= RING_BYTES;
        self.queue.is_empty() || fits
    }

    /// The id from which on half a full ring follows; 0 while there are fewer events.
    fn half_id(&self) -> u64 {
        let mut bytes = 0;
        let newer_half = self.queue.iter().rev().take(RING_EVENTS / 2).take_while(|event| {
            bytes += cost(event);
            bytes <= RING_BYTES / 2
        });
        let count = newer_half.count();
        self.queue.iter().rev().nth(count).map_or(0, |event| event.id())
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

impl Reader {
    fn is_before(&self, id: u64) -> bool {
        self.read_id.load(Relaxed) < id
    }
}

/// A place among the hub's subscribers, given up on drop.
pub(crate) struct Subscription {
    /// Has a token when something was published since the last one was taken.
    news: Receiver<()>,
    reader: Arc<Reader>,
    key: u64,
    hub: Arc<Hub>,
}

impl Subscription {
    /// Notes that there is nobody to send to: no publisher waits then.
    pub(crate) fn is_not_waited_for(&self) {
        self.reader.read_id.store(NOT_WAITED_FOR, Relaxed);
    }

    /// Notes that everything up to this id was sent, and there may be more.
    pub(crate) fn has_read(&self, id: u64) {
        // One that was left behind stays so.
        let _ = self
            .reader
            .read_id
            .fetch_update(Relaxed, Relaxed, |before| (before != NOT_WAITED_FOR).then_some(id));
    }

    /// Notes that everything up to this id was sent, and that there was no more.
    pub(crate) fn has_caught_up(&self, id: u64) {
        self.reader.read_id.store(id, Relaxed);
    }

    /// Waits for the news that something was published. Returns whether there was any before the deadline. To be called by
    /// the thread that subscribed.
    ///
    /// The channel's own blocking `recv` yields the processor four times before it sleeps, which whoever writes needs itself.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        loop {
            if self.news.try_recv().is_ok() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.subscribers.lock().readers.remove(&self.key);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
