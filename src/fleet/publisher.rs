//! Publishes the hub's events to the stream of this machine in Redis.
//!
//! Reads the hub like any stream. The id of an entry is the event's, and Redis refuses an id that
//! is not above the last one: an event that is sent twice, because a reply was lost or the program
//! was restarted, is in the stream once. The end of the stream is read after each break.
//! One publisher at a time owns a machine's name, by a lock that expires. A lock whose time runs
//! down is left over from a crash, and the publisher waits for it; a lock that is renewed belongs
//! to a second publisher, and this one stops.
//! Known weakness: if the history is rewritten while the program is down, so that none of its
//! newest 1000 lines is the one published last, lines written meanwhile reach no running viewer.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult};
use serde_json::{Value, json};

use super::address::Address;
use super::connection::{self, TIMEOUT, reason};
use super::{Backoff, HEARTBEAT, Keys, LOCK_TIME, MACHINES, secrets};
use crate::event::{Data, Draft, Event, EventType, Notice};
use crate::hub::{Filter, Hub, RING_EVENTS, Subscription};
use crate::report::fleet::State;
use crate::report::health::Health;
use crate::report::log;
use crate::wake::Wake;

/// See the script.
const PUBLISH: &str = include_str!("publish.lua");

/// Deletes the lock if it is this publisher's.
const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end";

/// The entries that a stream keeps, give or take what Redis finds cheap.
const MAX_ENTRIES: u32 = 100_000;

/// Bytes of events that are sent together: a link of 26 KB/s takes them within the time of a call.
const BATCH_BYTES: usize = 256 * 1024;

/// The longest entry; of a longer line, the first bytes are published, as of any that is too long.
const MAX_ENTRY_BYTES: usize = 1024 * 1024;
const CUT_BYTES: usize = 4 * 1024;

/// The time between two looks at the lock of another.
const LOCK_PERIOD: Duration = Duration::from_secs(1);

/// The events to publish, and the place.
pub(crate) struct Options {
    pub(crate) address: Address,
    pub(crate) machine: String,
    pub(crate) types: Vec<EventType>,
    pub(crate) masks_secrets: bool,
}

/// See the module.
pub(crate) struct Publisher {
    options: Options,
    keys: Keys,
    /// Of this run.
    token: String,
    hub: Arc<Hub>,
    health: Arc<Health>,
    /// The id before the first one of this run.
    start: u64,
    /// The newest id of the history lines that were read at the start.
    lines_end: u64,
    /// The newest event that Redis has, or `start`.
    position: u64,
    /// The last entry of this run that may be in the stream; 0 before the first is sent.
    sent_entry: u64,
    /// Offset from event id to entry id: 0, unless the clock was set back between two runs.
    shift: u64,
    /// The newest entry of the stream.
    last_entry: u64,
    /// Redis has what was there at the start, so a viewer that finds the machine has it too.
    is_resumed: bool,
    is_unavailable: bool,
}

/// Why a connection is not used any more.
enum End {
    /// The program ends.
    Closed,
    Failed(RedisError),
    /// Another publisher has taken the name over.
    Taken,
    /// Another publisher has the name.
    Refused(String),
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> End {
        End::Failed(error)
    }
}

/// Where an event goes.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Stream,
    /// To the newest prompts alone, since it is not new.
    Backlog,
}

/// The publisher that has the lock, and how long the lock lasts if it is not renewed.
type Owner = (String, i64);

impl Publisher {
    /// Publishes new hub events and the known history lines of the run that starts at `first_id`,
    /// and one notice that says so.
    pub(crate) fn new(
        options: Options,
        first_id: u64,
        hub: Arc<Hub>,
        health: Arc<Health>,
    ) -> Publisher {
        let start = first_id - 1;
        let (redis, machine) = (options.address.to_string(), &options.machine);
        health.fleet.start_publishing(&redis, machine);
        let publisher = Publisher {
            keys: Keys::of(machine),
            token: token(),
            start,
            lines_end: hub.last_id(),
            position: start,
            sent_entry: 0,
            shift: 0,
            last_entry: 0,
            is_resumed: false,
            is_unavailable: false,
            options,
            hub,
            health,
        };
        let masked = if publisher.options.masks_secrets { ", with secrets masked" } else { "" };
        publisher.tell(
            "fleet.publishing",
            format!(
                "prompts and what agents do are published to `{redis}` as machine `{}`{masked}; \
                 everyone with access to that Redis can read them",
                publisher.options.machine
            ),
        );
        publisher
    }

    /// Publishes until the hub is closed, or until another publisher has the machine's name.
    pub(crate) fn run(mut self) {
        let mut types = self.options.types.clone();
        // Loss notices are published for any filter.
        types.push(EventType::Notice);
        let filter = Filter { types: Some(types), session: None };
        let mut subscription = self.hub.subscribe(Some(self.start), filter);
        let mut backoff = Backoff::new();
        loop {
            let Err(end) = self.serve(&mut subscription, &mut backoff);
            match end {
                End::Closed => return,
                End::Refused(owner) => return self.refuse(&owner),
                End::Taken => self.fail("another publisher has taken the machine's name over"),
                End::Failed(error) => self.fail(&reason(&error)),
            }
            if !rests(&subscription, backoff.next()) {
                return;
            }
        }
    }

    /// Publishes over one connection.
    fn serve(
        &mut self,
        subscription: &mut Subscription,
        backoff: &mut Backoff,
    ) -> Result<Infallible, End> {
        let mut redis = connection::connect(&self.options.address, TIMEOUT)?;
        self.is_resumed = false;
        self.own(&mut redis, subscription)?;
        self.resume(&mut redis)?;
        self.is_resumed = true;
        subscription.seek(self.position.max(self.lines_end));
        // Each call renews the lock, so a sign of life is sent only where there are no events.
        let mut renew_at = Instant::now();
        loop {
            let (events, is_lost) = subscription.read_held(BATCH_BYTES);
            if is_lost {
                self.tell_lost("events were displaced from memory before Redis could take them");
            }
            if events.is_empty() {
                match subscription.wait(renew_at) {
                    Wake::Closed => {
                        self.release(&mut redis);
                        return Err(End::Closed);
                    }
                    Wake::Notified if Instant::now() < renew_at => continue,
                    _ => {}
                }
            }
            if self.send(&mut redis, Target::Stream, &events)?.is_some() {
                return Err(End::Taken);
            }
            // Not before: Redis can take the lock, but no events.
            self.succeed();
            backoff.reset();
            renew_at = Instant::now() + HEARTBEAT;
        }
    }

    /// Waits until this publisher owns the machine's name.
    fn own(&mut self, redis: &mut Connection, subscription: &Subscription) -> Result<(), End> {
        let mut seen: Option<Owner> = None;
        while let Some((owner, left_ms)) = self.send(redis, Target::Stream, &[])? {
            let is_first = seen.is_none();
            if seen.is_some_and(|(seen, seen_ms)| seen == owner && left_ms >= seen_ms) {
                return Err(End::Refused(owner));
            }
            self.health.fleet.set_state(State::Waiting);
            if is_first {
                let machine = &self.options.machine;
                log::info(format_args!("waiting for machine name `{machine}`, held by `{owner}`"));
            }
            seen = Some((owner, left_ms));
            if !rests(subscription, LOCK_PERIOD) {
                return Err(End::Closed);
            }
        }
        Ok(())
    }

    /// Reads the last id in Redis, and sends the history lines of the start that Redis lacks.
    fn resume(&mut self, redis: &mut Connection) -> Result<(), End> {
        let last = last_entry(redis, &self.keys.events)?;
        if last < self.last_entry {
            self.tell_lost("Redis has lost entries; those that are in memory are published again");
        } else if last > self.sent_entry {
            // They are of an earlier run, or of one that had the name in between.
            self.shift = last.saturating_sub(self.position);
        }
        // Sessions of an earlier run: this one publishes those that there are.
        if self.sent_entry == 0 {
            redis::cmd("DEL").arg(&self.keys.sessions).exec(redis)?;
        }
        self.last_entry = last;
        self.position = last.saturating_sub(self.shift).max(self.start);
        if self.position < self.lines_end {
            self.send_lines(redis)?;
        }
        Ok(())
    }

    /// Sends the history lines that were read at the start. Those after the line that an earlier
    /// run published last go to the stream.
    fn send_lines(&mut self, redis: &mut Connection) -> Result<(), End> {
        let mut lines = self.hub.backlog(RING_EVENTS).events;
        lines.retain(|line| line.id() <= self.lines_end);
        if !self.options.types.contains(&EventType::HistoryAppend) {
            lines.clear();
        }
        let newest = newest_prompt(redis, &self.keys.backlog)?;
        let known = newest.as_ref().and_then(|newest| self.find(&lines, newest));
        if newest.is_some() && known.is_none() && !lines.is_empty() {
            self.tell_lost("the prompt that was published last is not among the newest lines");
        }
        let target = if known.is_some() { Target::Stream } else { Target::Backlog };
        lines.truncate(known.unwrap_or(lines.len()));
        lines.reverse();
        for batch in lines.chunk_by(in_batches()) {
            if self.send(redis, target, batch)?.is_some() {
                return Err(End::Taken);
            }
        }
        Ok(())
    }

    /// Returns the place of the line that is published with this data; at another offset if its
    /// file was rewritten.
    fn find(&self, lines: &[Arc<Event>], published: &[u8]) -> Option<usize> {
        let data: Vec<Vec<u8>> = lines.iter().map(|line| self.data(line)).collect();
        let same = data.iter().position(|data| data == published);
        let text = without_offset(published);
        same.or_else(|| data.iter().position(|data| without_offset(data) == text))
    }

    /// Sends events, or a sign of life without any. Returns the owner of the name if it is another.
    fn send(
        &mut self,
        redis: &mut Connection,
        target: Target,
        events: &[Arc<Event>],
    ) -> RedisResult<Option<Owner>> {
        let Keys { events: stream, backlog, sessions, lock } = &self.keys;
        let mut command = redis::cmd("EVAL");
        command.arg(PUBLISH).arg(5).arg(&[lock, MACHINES, stream, backlog, sessions]);
        let machine = if self.is_resumed { &self.options.machine } else { "" };
        command.arg(&self.token).arg(LOCK_TIME.as_millis() as u64).arg(machine);
        command.arg(MAX_ENTRIES).arg(RING_EVENTS).arg(format!("{}-0", self.last_entry));
        let target_name = if target == Target::Stream { "stream" } else { "backlog" };
        for event in events {
            let id = event.id() + self.shift;
            command.arg(format!("{id}-0")).arg(target_name).arg(event.event_type().name());
            command.arg(event.ts()).arg(event.session().unwrap_or_default());
            command.arg(self.data(event));
        }
        let last = events.last().filter(|_| target == Target::Stream).map(|event| event.id());
        if let Some(last) = last {
            // Before the call, whose reply can be lost although Redis has the events.
            self.sent_entry = self.sent_entry.max(last + self.shift);
        }
        let owner: Option<Owner> = command.query(redis)?;
        if owner.is_none() {
            self.health.fleet.published.add(events.len() as u64);
            if let Some(last) = last {
                (self.position, self.last_entry) = (last, last + self.shift);
            }
        }
        Ok(owner)
    }

    /// Returns the data of an event as it is published.
    fn data(&self, event: &Event) -> Vec<u8> {
        let data = event.data();
        let data = if data.len() > MAX_ENTRY_BYTES { cut(data) } else { data.to_vec() };
        if self.options.masks_secrets { secrets::mask_json(&data) } else { data }
    }

    /// Gives the name back, so that a restart need not wait.
    fn release(&self, redis: &mut Connection) {
        let mut command = redis::cmd("EVAL");
        // Without an answer the lock expires.
        let _ = command.arg(RELEASE).arg(1).arg(&self.keys.lock).arg(&self.token).exec(redis);
    }

    /// Reports that Redis is available, with a notice if it was not before.
    fn succeed(&mut self) {
        self.health.fleet.set_state(State::Connected);
        if std::mem::take(&mut self.is_unavailable) {
            let redis = &self.options.address;
            self.tell("fleet.recovered", format!("`{redis}` takes events again"));
        }
    }

    /// Reports that Redis is unavailable, with one notice.
    fn fail(&mut self, cause: &str) {
        self.health.fleet.set_state(State::Unavailable(cause.to_owned()));
        if !std::mem::replace(&mut self.is_unavailable, true) {
            let redis = &self.options.address;
            self.tell("fleet.unavailable", format!("cannot publish to `{redis}`: {cause}"));
        }
    }

    fn refuse(&self, owner: &str) {
        let machine = &self.options.machine;
        let msg = format!(
            "`{owner}` publishes as machine `{machine}` too, so this program has stopped \
             publishing; give it another name with --machine"
        );
        self.health.fleet.set_state(State::Refused(msg.clone()));
        self.tell("fleet.refused", msg);
    }

    fn tell_lost(&self, cause: &str) {
        let machine = &self.options.machine;
        self.tell("fleet.lost", format!("events of machine `{machine}` may be missing: {cause}"));
    }

    fn tell(&self, kind: &'static str, msg: String) {
        match kind {
            "fleet.publishing" | "fleet.recovered" => log::info(&msg),
            _ => log::warn(&msg),
        }
        let machine = Some(self.options.machine.clone());
        let notice = Notice { kind, msg, machine, ..Notice::default() };
        self.hub.publish(Draft::new(None, &Data::Notice(notice)));
    }
}

/// Returns a name for this run by which a person can find it.
fn token() -> String {
    let number = RandomState::new().hash_one(process::id());
    format!("process {} on {}, run {number:016x}", process::id(), host_name())
}

/// Returns the types that are published by default: all but the records of transcripts, which are
/// many.
pub(crate) fn default_types() -> Vec<EventType> {
    let is_default = |event_type: &EventType| *event_type != EventType::TranscriptAppend;
    EventType::ALL.into_iter().filter(is_default).collect()
}

/// Returns the name of this machine.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Waits, whatever happens in the hub. Returns whether the program goes on.
fn rests(subscription: &Subscription, pause: Duration) -> bool {
    let end = Instant::now() + pause;
    loop {
        match subscription.wait(end) {
            Wake::Closed => return false,
            Wake::TimedOut => return true,
            Wake::Notified => {}
        }
    }
}

/// Returns the number of the last id that a stream has given; 0 if there is no such stream.
fn last_entry(redis: &mut Connection, stream: &str) -> RedisResult<u64> {
    let info: RedisResult<Vec<redis::Value>> =
        redis::cmd("XINFO").arg("STREAM").arg(stream).query(redis);
    let info = match info {
        Err(error) if error.detail().is_some_and(|detail| detail.contains("no such key")) => {
            return Ok(0);
        }
        info => info?,
    };
    let mut values = info.iter().skip_while(|value| text(value) != "last-generated-id");
    let id = values.nth(1).map(text).unwrap_or_default();
    Ok(id.split('-').next().and_then(|number| number.parse().ok()).unwrap_or_default())
}

fn text(value: &redis::Value) -> &str {
    match value {
        redis::Value::BulkString(bytes) => str::from_utf8(bytes).unwrap_or_default(),
        redis::Value::SimpleString(text) => text,
        _ => "",
    }
}

/// Returns the data of the newest prompt.
fn newest_prompt(redis: &mut Connection, backlog: &str) -> RedisResult<Option<Vec<u8>>> {
    let newest: Vec<(String, Vec<Vec<u8>>)> =
        redis::cmd("XREVRANGE").arg(backlog).arg("+").arg("-").arg("COUNT").arg(1).query(redis)?;
    Ok(newest.into_iter().next().and_then(|(_, mut fields)| fields.pop()))
}

/// Returns whether two neighbours are sent together.
fn in_batches() -> impl FnMut(&Arc<Event>, &Arc<Event>) -> bool {
    let mut bytes = 0;
    move |one, _| {
        bytes += one.frame().len();
        let fits = bytes < BATCH_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    }
}

/// The data of a line without its last field.
fn without_offset(data: &[u8]) -> &[u8] {
    let end = memchr::memmem::rfind(data, b"\"offset\":").unwrap_or(data.len());
    &data[..end]
}

/// Returns the data of a line of the history with the first bytes of the line, as of one that is
/// too long to be read.
fn cut(data: &[u8]) -> Vec<u8> {
    let Ok(mut parsed) = serde_json::from_slice::<Value>(data) else { return data.to_vec() };
    let max = MAX_ENTRY_BYTES;
    let error = format!("the event has {} bytes; at most {max} are published", data.len());
    for text in parsed["summary"].as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        *text = json!(beginning(text));
    }
    // The offset comes last, as in every line.
    format!(
        "{{\"summary\":{},\"rawLine\":{},\"parseError\":{},\"truncated\":true,\"offset\":{}}}",
        parsed["summary"],
        json!(beginning(&parsed["rawLine"])),
        json!(error),
        parsed["offset"]
    )
    .into_bytes()
}

fn beginning(value: &Value) -> &str {
    let text = value.as_str().unwrap_or_default();
    let end = (0..=CUT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
