//! The machines of a fleet as events in the hub.
//!
//! Reads the streams of all machines in Redis, and finds new ones. Each event gets an id of the hub
//! and names its machine. At the start, and when a machine appears, its newest prompts become the
//! backlog and its sessions come from Redis; its stream is read from there on. Sessions of a silent
//! machine are reported as `ended` until it reports again.
//! Invariant: an entry is read once, in order. Each entry names the one before it, so entries that
//! were trimmed before they were read are noticed, and a notice reports them.
//! Known weakness: if Redis loses a stream and the clock of its machine was set back too, the new
//! entries have ids that were read already, and are skipped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use redis::{Connection, RedisResult};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Pacer;
use crate::event::{
    Data, Draft, EventType, Notice, Origin, Rank, SessionRemoved, SourceId, Topic, print_time,
};
use crate::fleet::address::Address;
use crate::fleet::connection::{self, TIMEOUT, reason};
use crate::fleet::{Backoff, EVENTS, Keys, MACHINES, SILENCE};
use crate::hub::{Hub, RING_EVENTS};
use crate::report::fleet::{Machine as Report, State};
use crate::report::health::Health;
use crate::report::log;

/// The time between two looks for new machines and signs of life.
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// The time that a read waits for an entry.
const READ_TIME: Duration = Duration::from_millis(500);

/// The time between two reads: the entries of many machines are read together.
const READ_PERIOD: Duration = Duration::from_millis(8);

/// The most entries of one machine that a read returns: those of fifty machines take 10 MB.
const READ_ENTRIES: usize = 100;

/// Events after which streams are notified, and waited for if they lag.
const BURST: usize = 250;

/// The most prompts of a machine that appears later: those of the others stay in the backlog.
const LATE_PROMPTS: usize = 100;

/// The time for connecting before the address is printed.
const START_TIME: Duration = Duration::from_secs(1);

/// Sessions that a publisher does not report within this time after its start are removed.
const RUN_TIME: Duration = Duration::from_secs(30);

/// Keys that a step of a scan looks at.
const SCAN_KEYS: usize = 1000;

/// The order of the status `ended` among sessions.
const ENDED: u8 = 3;

/// An entry of a stream: its id, and its fields, each behind its name.
type Entry = (String, Vec<Vec<u8>>);

/// Redis's time, the machines' signs of life, and a step of a scan.
type Look = ((u64, u64), BTreeMap<String, u64>, (u64, Vec<String>));

/// See the module.
pub(crate) struct Machines {
    address: Address,
    hub: Arc<Hub>,
    health: Arc<Health>,
    machines: BTreeMap<String, Machine>,
    pacers: [Pacer; 2],
    /// Where the scan for streams goes on.
    cursor: u64,
    start: Instant,
    is_unavailable: bool,
    /// The address is printed: clients may have read the backlog.
    is_serving: bool,
}

/// A machine that is read.
struct Machine {
    name: Arc<str>,
    keys: Keys,
    source: SourceId,
    /// How many prompts were read.
    prompts: u64,
    /// The newest entry that was read.
    position: u64,
    heard: Option<Heard>,
    is_silent: bool,
    /// The newest entry of each session.
    sessions: HashMap<String, u64>,
    /// The entry with which the publisher's run begins, until when sessions of earlier runs stay.
    run: Option<(u64, Instant)>,
    /// A notice has reported an entry that cannot be read.
    is_malformed: bool,
}

#[derive(Clone, Copy)]
struct Heard {
    at: Instant,
    ts: Timestamp,
}

/// The fields that order a list of sessions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionData<'a> {
    status: &'a str,
    #[serde(default)]
    is_live: bool,
    last_at: Option<&'a str>,
}

#[derive(Deserialize)]
struct NoticeData<'a> {
    kind: &'a str,
}

impl Machines {
    pub(crate) fn new(address: Address, hub: Arc<Hub>, health: Arc<Health>) -> Machines {
        health.fleet.start_viewing(&address.to_string());
        let pacers = [Topic::Prompts, Topic::Transcripts];
        Machines {
            address,
            machines: BTreeMap::new(),
            pacers: pacers.map(|topic| Pacer::new(Arc::clone(&hub), topic)),
            cursor: 0,
            start: Instant::now(),
            is_unavailable: false,
            is_serving: false,
            hub,
            health,
        }
    }

    /// Reads the present state of all machines, if Redis answers within [`START_TIME`].
    pub(crate) fn seed(&mut self) {
        let seeded = connection::connect(&self.address, START_TIME).and_then(|mut redis| {
            redis.set_read_timeout(Some(TIMEOUT))?;
            self.look(&mut redis)
        });
        match seeded {
            Ok(()) => self.succeed(),
            Err(error) => self.fail(&reason(&error)),
        }
        self.is_serving = true;
    }

    /// Reads as long as the program runs.
    pub(crate) fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            if let Err(error) = self.follow(&mut backoff) {
                self.fail(&reason(&error));
            }
            let end = Instant::now() + backoff.next();
            while Instant::now() < end {
                thread::sleep(READ_TIME);
                self.note_silence();
            }
        }
    }

    /// Reads over one connection.
    fn follow(&mut self, backoff: &mut Backoff) -> RedisResult<()> {
        let mut redis = connection::connect(&self.address, TIMEOUT)?;
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                self.look(&mut redis)?;
                self.succeed();
                backoff.reset();
                look_at = Instant::now() + LOOK_PERIOD;
            }
            if self.machines.is_empty() {
                thread::sleep(READ_TIME);
                continue;
            }
            let next = Instant::now() + READ_PERIOD;
            // A full read is followed by the next one without a pause.
            if !self.read(&mut redis)? {
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Looks for machines, and when each gave its last sign of life.
    fn look(&mut self, redis: &mut Connection) -> RedisResult<()> {
        let mut look = redis::pipe();
        look.cmd("TIME").cmd("HGETALL").arg(MACHINES);
        look.cmd("SCAN").arg(self.cursor).arg("MATCH").arg(format!("{EVENTS}*"));
        look.arg("COUNT").arg(SCAN_KEYS);
        let ((seconds, micros), heard, (cursor, keys)): Look = look.query(redis)?;
        self.cursor = cursor;
        let streams = keys.iter().filter_map(|key| key.strip_prefix(EVENTS));
        let names = heard.keys().map(String::as_str).chain(streams);
        let mut new: Vec<String> = names.map(str::to_owned).collect();
        new.retain(|name| !self.machines.contains_key(name));
        new.sort();
        new.dedup();
        let now_ms = seconds * 1000 + micros / 1000;
        let heard: BTreeMap<String, Option<Heard>> = heard
            .into_iter()
            .map(|(name, at_ms)| {
                let age = Duration::from_millis(now_ms.saturating_sub(at_ms));
                (name, Heard::before(age))
            })
            .collect();
        for (name, machine) in &mut self.machines {
            // A Redis that lost the entry does not make the machine silent at once.
            machine.heard = heard.get(name).copied().flatten().or(machine.heard);
        }
        self.note_silence();
        let new = new.into_iter().map(|name| {
            let heard = heard.get(&name).copied().flatten();
            (name, heard)
        });
        self.load_all(redis, new.collect())?;
        let back = self.machines.values().filter(|machine| machine.is_back());
        for name in back.map(|machine| Arc::clone(&machine.name)).collect::<Vec<_>>() {
            self.wake(redis, &name)?;
        }
        self.end_runs();
        self.report();
        Ok(())
    }

    /// Reads the prompts and sessions of new machines from Redis.
    fn load_all(
        &mut self,
        redis: &mut Connection,
        machines: Vec<(String, Option<Heard>)>,
    ) -> RedisResult<()> {
        let most = if self.is_serving { LATE_PROMPTS } else { RING_EVENTS };
        let mut prompts: Vec<(String, Draft)> = Vec::new();
        let mut loaded = Ok(());
        for (name, heard) in machines {
            match self.load(redis, &name, heard, most) {
                Ok(more) => prompts.extend(more),
                // The others are loaded with the next look.
                Err(error) => {
                    loaded = Err(error);
                    break;
                }
            }
        }
        prompts.sort_by(|one, other| one.0.cmp(&other.0));
        let skipped = prompts.len().saturating_sub(RING_EVENTS);
        let is_told = self.is_serving && !prompts.is_empty();
        for (_, draft) in prompts.into_iter().skip(skipped) {
            self.hub.remember(draft);
        }
        if is_told {
            let msg = "a machine is new: read the backlog again".to_owned();
            let notice = Notice { kind: "stream.resync", msg, ..Notice::default() };
            self.hub.publish(Draft::new(None, &Data::Notice(notice)));
        }
        loaded
    }

    /// Publishes the sessions of a machine, and returns its newest prompts with their times.
    fn load(
        &mut self,
        redis: &mut Connection,
        name: &str,
        heard: Option<Heard>,
        most: usize,
    ) -> RedisResult<Vec<(String, Draft)>> {
        let number = u32::try_from(self.machines.len()).unwrap_or(u32::MAX);
        let mut machine = Machine::new(name, number, heard);
        let Keys { events, backlog, sessions, .. } = &machine.keys;
        // Together, so that the stream goes on where the rest ends.
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("XREVRANGE").arg(events).arg("+").arg("-").arg("COUNT").arg(1);
        all.cmd("XREVRANGE").arg(backlog).arg("+").arg("-").arg("COUNT").arg(most);
        all.cmd("HGETALL").arg(sessions);
        let (last, lines, sessions): (Vec<Entry>, Vec<Entry>, HashMap<String, String>) =
            all.query(redis)?;
        machine.position = last.first().map_or(0, |(id, _)| self::number(id));
        // Oldest first, also among prompts of the same time.
        let prompts = lines.iter().rev().filter_map(|(_, fields)| {
            let event = Fields::of(fields, EventType::HistoryAppend)?;
            Some((event.ts.to_owned(), machine.draft(&event)?))
        });
        let prompts = prompts.collect();
        self.machines.insert(name.to_owned(), machine);
        for (session, state) in &sessions {
            self.hub_session(name, session, state);
        }
        Ok(prompts)
    }

    /// Reads the entries that came. Returns whether there may be more.
    fn read(&mut self, redis: &mut Connection) -> RedisResult<bool> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(READ_ENTRIES).arg("BLOCK").arg(READ_TIME.as_millis() as u64);
        command.arg("STREAMS");
        for machine in self.machines.values() {
            command.arg(&machine.keys.events);
        }
        for machine in self.machines.values() {
            command.arg(format!("{}-0", machine.position));
        }
        let streams: Option<Vec<(String, Vec<Entry>)>> = command.query(redis)?;
        let mut burst = 0;
        let mut is_full = false;
        for (key, entries) in streams.into_iter().flatten() {
            is_full |= entries.len() >= READ_ENTRIES;
            let name = key.strip_prefix(EVENTS).unwrap_or_default();
            for (id, fields) in &entries {
                self.take(name, number(id), fields);
                burst += 1;
                if burst % BURST == 0 {
                    self.pace();
                }
            }
        }
        self.hub.notify();
        Ok(is_full)
    }

    /// Lets streams send what they have before there is more.
    fn pace(&mut self) {
        self.hub.notify();
        let start = self.start;
        while self.pacers.iter_mut().any(|pacer| pacer.is_held(start.elapsed())) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes in an entry of a machine's stream.
    fn take(&mut self, name: &str, id: u64, fields: &[Vec<u8>]) {
        let Some(machine) = self.machines.get_mut(name) else { return };
        let named = field(fields, "type").and_then(EventType::named);
        let before = field(fields, "before").map_or(0, number);
        let is_lost = before > machine.position && machine.position > 0;
        machine.position = id;
        let event = named.and_then(|event_type| Fields::of(fields, event_type));
        let draft = event.as_ref().and_then(|event| machine.draft(event));
        let is_new_fault = draft.is_none() && !std::mem::replace(&mut machine.is_malformed, true);
        if is_lost {
            let msg = format!("events of machine `{name}` were trimmed before they were read");
            self.tell("fleet.lost", name, msg);
        }
        if is_new_fault {
            let msg = format!("entries of machine `{name}` are not events, the first one is {id}");
            self.tell("fleet.malformed", name, msg);
        }
        let (Some(event), Some(draft)) = (event, draft) else { return };
        let Some(machine) = self.machines.get_mut(name) else { return };
        machine.note(id, &event);
        self.hub.add(draft);
    }

    /// Publishes a session as Redis has it: the entry's id, the time and the data.
    fn hub_session(&mut self, name: &str, session: &str, state: &str) {
        let Some(machine) = self.machines.get_mut(name) else { return };
        let mut parts = state.splitn(3, ' ');
        let (Some(id), Some(ts), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return;
        };
        let id = number(id);
        // A newer entry will be read.
        if id > machine.position {
            return;
        }
        let event_type = EventType::SessionChanged;
        let Ok(data) = serde_json::from_str::<&RawValue>(data) else { return };
        let event = Fields { event_type, ts, session, data };
        if let Some(draft) = machine.draft(&event) {
            machine.note(id, &event);
            self.hub.publish(draft);
        }
    }

    /// Shows the sessions of a machine that reports again.
    fn wake(&mut self, redis: &mut Connection, name: &str) -> RedisResult<()> {
        let Some(machine) = self.machines.get_mut(name) else { return Ok(()) };
        // Before its sessions are read: those of a silent machine are shown as ended.
        machine.is_silent = false;
        let sessions: HashMap<String, String> =
            redis::cmd("HGETALL").arg(&machine.keys.sessions).query(redis)?;
        for (session, state) in &sessions {
            self.hub_session(name, session, state);
        }
        self.report();
        self.tell("machine.heard", name, format!("machine `{name}` reports again"));
        Ok(())
    }

    /// Publishes a notice for each machine that has become silent, and shows its sessions as ended.
    fn note_silence(&mut self) {
        let silent: Vec<(Arc<str>, Option<Heard>)> = self
            .machines
            .values_mut()
            .filter(|machine| machine.has_become_silent())
            .map(|machine| {
                machine.is_silent = true;
                (Arc::clone(&machine.name), machine.heard)
            })
            .collect();
        if silent.is_empty() {
            return;
        }
        self.report();
        for event in self.hub.sessions().events {
            let name = event.machine().filter(|name| silent.iter().any(|(it, _)| it == *name));
            let (Some(name), Some(rank)) = (name, event.rank()) else { continue };
            if rank.status == ENDED && !rank.is_live {
                continue;
            }
            let Some(machine) = self.machines.get(&**name) else { continue };
            let data =
                str::from_utf8(event.data()).ok().and_then(|it| serde_json::from_str(it).ok());
            let fields = data.map(|data: &RawValue| Fields {
                event_type: EventType::SessionChanged,
                ts: event.ts(),
                session: event.session().unwrap_or_default(),
                data,
            });
            if let Some(draft) = fields.and_then(|fields| machine.session_draft(&fields)) {
                self.hub.publish(draft);
            }
        }
        // Last, since a client that reads a notice asks for the machines and their sessions.
        for (name, heard) in &silent {
            let state = match heard {
                Some(heard) => format!("has been silent since {}", print_time(heard.ts)),
                None => "has never reported".to_owned(),
            };
            self.tell("machine.silent", name, format!("machine `{name}` {state}"));
        }
    }

    /// Removes the sessions of earlier runs that a new run has not reported within [`RUN_TIME`].
    fn end_runs(&mut self) {
        let now = Instant::now();
        for machine in self.machines.values_mut() {
            let Some((start, _)) = machine.run.take_if(|(_, due)| now >= *due) else { continue };
            let old = machine.sessions.extract_if(|_, entry| *entry < start);
            for (session, _) in old {
                let removed = SessionRemoved { session_id: &session, reason: "aged" };
                let data = serde_json::value::to_raw_value(&removed).expect("texts are JSON");
                let data = with_machine(&machine.name, data.get());
                let draft = Draft::of_machine(
                    &machine.name,
                    EventType::SessionRemoved,
                    &print_time(Timestamp::now()),
                    &data,
                );
                self.hub.publish(draft.with_session(&session));
            }
        }
    }

    fn report(&self) {
        let machines = self.machines.values().map(|machine| Report {
            name: machine.name.to_string(),
            heard_at: machine.heard.map(|heard| heard.ts),
            is_silent: machine.is_silent,
        });
        self.health.fleet.set_machines(machines.collect());
    }

    fn succeed(&mut self) {
        self.health.fleet.set_state(State::Connected);
        self.health.clear_error(&self.address.to_string());
        if std::mem::take(&mut self.is_unavailable) {
            let msg = format!("`{}` can be read again", self.address);
            self.tell("fleet.recovered", "", msg);
        }
    }

    fn fail(&mut self, cause: &str) {
        self.health.fleet.set_state(State::Unavailable(cause.to_owned()));
        self.health.set_error(&self.address.to_string(), cause);
        if !std::mem::replace(&mut self.is_unavailable, true) {
            let msg = format!("cannot read `{}`: {cause}", self.address);
            self.tell("fleet.unavailable", "", msg);
        }
    }

    /// Logs and publishes a notice about a machine, or about Redis if the name is empty.
    fn tell(&self, kind: &'static str, machine: &str, msg: String) {
        log::warn(&msg);
        let machine = (!machine.is_empty()).then(|| machine.to_owned());
        let notice = Notice { kind, msg, machine, ..Notice::default() };
        self.hub.publish(Draft::new(None, &Data::Notice(notice)));
    }
}

impl Machine {
    fn new(name: &str, number: u32, heard: Option<Heard>) -> Machine {
        let mut machine = Machine {
            name: name.into(),
            keys: Keys::of(name),
            source: SourceId::transcript(number.saturating_add(1)),
            prompts: 0,
            position: 0,
            heard,
            is_silent: false,
            sessions: HashMap::new(),
            run: None,
            is_malformed: false,
        };
        // Already silent: no notice.
        machine.is_silent = !machine.is_heard();
        machine
    }

    fn has_become_silent(&self) -> bool {
        !self.is_silent && !self.is_heard()
    }

    fn is_back(&self) -> bool {
        self.is_silent && self.is_heard()
    }

    fn is_heard(&self) -> bool {
        self.heard.is_some_and(|heard| heard.at.elapsed() < SILENCE)
    }

    /// Notes an event that is published.
    fn note(&mut self, id: u64, event: &Fields) {
        match event.event_type {
            EventType::HistoryAppend => self.prompts += 1,
            EventType::SessionChanged => _ = self.sessions.insert(event.session.to_owned(), id),
            EventType::SessionRemoved => _ = self.sessions.remove(event.session),
            EventType::Notice => {
                let data = serde_json::from_str::<NoticeData>(event.data.get());
                if data.is_ok_and(|data| data.kind == "fleet.publishing") {
                    self.run = Some((id, Instant::now() + RUN_TIME));
                }
            }
            _ => {}
        }
    }

    /// Returns the event as this program publishes it; nothing if its data is not valid.
    fn draft(&self, event: &Fields) -> Option<Draft> {
        let draft = match event.event_type {
            EventType::SessionChanged => return self.session_draft(event),
            EventType::SessionRemoved => {
                let data = with_machine(&self.name, event.data.get());
                Draft::of_machine(&self.name, event.event_type, event.ts, &data)
            }
            _ => Draft::of_machine(&self.name, event.event_type, event.ts, event.data),
        };
        let draft =
            if event.session.is_empty() { draft } else { draft.with_session(event.session) };
        Some(match event.event_type {
            EventType::HistoryAppend => {
                draft.with_origin(Origin { source: self.source, seq: self.prompts })
            }
            _ => draft,
        })
    }

    /// Returns a session's event. Sessions of a silent machine have ended.
    fn session_draft(&self, event: &Fields) -> Option<Draft> {
        let data = event.data.get();
        let (data, status, is_live) = match self.is_silent {
            true => (ended(data, self.heard)?, ENDED, false),
            false => {
                let SessionData { status, is_live, .. } = serde_json::from_str(data).ok()?;
                let statuses = ["waiting", "working", "idle"];
                let place = statuses.iter().position(|it| *it == status);
                (data.to_owned(), place.map_or(ENDED, |place| place as u8), is_live)
            }
        };
        let last_at =
            serde_json::from_str(&data).ok().and_then(|it: SessionData| it.last_at?.parse().ok());
        let last_at = last_at.or_else(|| event.ts.parse().ok());
        let data = with_machine(&self.name, &data);
        let draft = Draft::of_machine(&self.name, event.event_type, event.ts, &data);
        Some(draft.with_session(event.session).with_rank(Rank { status, is_live, last_at }))
    }
}

impl Heard {
    /// Returns the moment that was `age` ago, by Redis's clock.
    fn before(age: Duration) -> Option<Heard> {
        let ts = Timestamp::now().checked_sub(SignedDuration::try_from(age).ok()?).ok()?;
        // An instant before the machine was started cannot be named: it is long ago.
        let at = Instant::now().checked_sub(age);
        at.map(|at| Heard { at, ts })
    }
}

/// An event as an entry has it.
struct Fields<'a> {
    event_type: EventType,
    ts: &'a str,
    session: &'a str,
    data: &'a RawValue,
}

impl<'a> Fields<'a> {
    /// Returns nothing if a field is missing, or is not what it should be.
    fn of(fields: &'a [Vec<u8>], event_type: EventType) -> Option<Fields<'a>> {
        let ts = field(fields, "ts")?;
        ts.parse::<Timestamp>().ok()?;
        let data = field(fields, "data")?;
        let is_object = data.starts_with('{') && !data.contains(['\n', '\r']);
        let data = serde_json::from_str(data).ok().filter(|_| is_object)?;
        Some(Fields { event_type, ts, session: field(fields, "session")?, data })
    }
}

/// Returns the value behind a name.
fn field<'a>(fields: &'a [Vec<u8>], name: &str) -> Option<&'a str> {
    let mut pairs = fields.chunks_exact(2);
    let pair = pairs.find(|pair| pair[0] == name.as_bytes())?;
    str::from_utf8(&pair[1]).ok()
}

/// Returns the number of an entry's id.
fn number(id: &str) -> u64 {
    id.split('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Returns an object with the machine as its first key.
fn with_machine(machine: &str, data: &str) -> Box<RawValue> {
    let machine = serde_json::json!(machine);
    let data = data.strip_prefix('{').unwrap_or("}");
    let comma = if data.trim_start().starts_with('}') { "" } else { "," };
    RawValue::from_string(format!("{{\"machine\":{machine}{comma}{data}"))
        .expect("an object with one more key is one")
}

/// Returns the data of a silent machine's session, as of one that has ended.
fn ended(data: &str, heard: Option<Heard>) -> Option<String> {
    let mut session: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(data).ok()?;
    for key in ["machine", "waitingFor", "question", "pid", "shell"] {
        session.remove(key);
    }
    let mut set = |key: &str, value| session.insert(key.to_owned(), value);
    set("status", "ended".into());
    set("statusFrom", "machine".into());
    set("isLive", false.into());
    set("tools", serde_json::json!([]));
    if let Some(heard) = heard {
        set("since", print_time(heard.ts).into());
    }
    for agent in session.get_mut("agents").and_then(|it| it.as_array_mut()).into_iter().flatten() {
        if agent["status"] == "running" {
            agent["status"] = "stopped".into();
        }
    }
    serde_json::to_string(&session).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Event, MIN_ID};
    use crate::hub::Filter;

    const TS: &str = "2026-01-01T12:00:00.000Z";

    /// A viewer of one machine, which has just reported.
    fn machines() -> Machines {
        let nowhere = Path::new("/nowhere");
        let health = Arc::new(Health::new(nowhere, nowhere, Vec::new()));
        let address = Address::parse("redis://h").unwrap();
        let mut machines = Machines::new(address, Hub::new(MIN_ID), health);
        let machine = Machine::new("one", 0, Heard::before(Duration::ZERO));
        machines.machines.insert("one".to_owned(), machine);
        machines
    }

    fn take(machines: &mut Machines, id: u64, kind: &str, session: &str, data: &str) {
        let before = (id - 1).to_string();
        let fields = ["type", kind, "ts", TS, "session", session, "before", &before, "data", data];
        machines.take("one", id, &fields.map(|text| text.as_bytes().to_vec()));
    }

    fn sessions(machines: &Machines) -> Vec<Value> {
        let events = machines.hub.sessions().events;
        events.iter().map(|event| serde_json::from_slice(event.data()).unwrap()).collect()
    }

    /// The kinds of the notices that were published.
    fn kinds(machines: &Machines) -> Vec<String> {
        let mut all = machines.hub.subscribe(Some(MIN_ID - 1), Filter::default());
        let (events, _) = all.read_held(usize::MAX);
        let json = |event: &Arc<Event>| serde_json::from_slice::<Value>(event.json()).unwrap();
        let kinds = events.iter().map(|event| json(event)["data"]["kind"].clone());
        kinds.filter_map(|kind| Some(kind.as_str()?.to_owned())).collect()
    }

    fn state(session: &str, status: &str) -> String {
        json!({"sessionId": session, "status": status, "isLive": true, "tools": [1]}).to_string()
    }

    #[test]
    fn sessions_that_a_new_run_does_not_tell_of_are_removed_after_its_first_time() {
        let mut machines = machines();
        for (id, session) in [(1, "old"), (2, "kept")] {
            take(&mut machines, id, "session.changed", session, &state(session, "working"));
        }
        take(&mut machines, 3, "server.notice", "", r#"{"kind":"fleet.publishing","msg":"m"}"#);
        take(&mut machines, 4, "session.changed", "kept", &state("kept", "idle"));
        machines.end_runs();
        assert_eq!(sessions(&machines).len(), 2, "there is still time");
        let machine = machines.machines.get_mut("one").unwrap();
        machine.run.as_mut().unwrap().1 = Instant::now();
        machines.end_runs();
        let left = sessions(&machines);
        assert_eq!(left.len(), 1);
        assert_eq!((&left[0]["sessionId"], &left[0]["machine"]), (&json!("kept"), &json!("one")));
    }

    #[test]
    fn an_entry_that_is_no_event_is_told_of_once_and_skipped() {
        let mut machines = machines();
        take(&mut machines, 1, "history.append", "", "no JSON");
        take(&mut machines, 2, "history.append", "", "{\"a\":\n1}");
        take(&mut machines, 3, "unknown.type", "", "{}");
        take(&mut machines, 4, "file.changed", "", r#"{"kind":"last"}"#);
        assert_eq!(kinds(&machines), ["fleet.malformed", "last"]);
    }

    #[test]
    fn a_gap_between_two_entries_is_told_of() {
        let mut machines = machines();
        take(&mut machines, 5, "file.changed", "", "{}");
        take(&mut machines, 6, "file.changed", "", "{}");
        assert_eq!(kinds(&machines), [""; 0], "nothing is known of what came before the first");
        take(&mut machines, 8, "file.changed", "", "{}");
        assert_eq!(kinds(&machines), ["fleet.lost"]);
    }

    #[test]
    fn the_sessions_of_a_silent_machine_have_ended_and_have_no_open_tools() {
        let mut machines = machines();
        take(&mut machines, 1, "session.changed", "a", &state("a", "waiting"));
        let machine = machines.machines.get_mut("one").unwrap();
        machine.heard = Heard::before(SILENCE);
        machines.note_silence();
        let session = &sessions(&machines)[0];
        let wanted = json!({"sessionId": "a", "machine": "one", "status": "ended",
            "statusFrom": "machine", "isLive": false, "tools": [], "since": session["since"]});
        assert_eq!(*session, wanted);
        // A client that reads the notice asks for what it tells of.
        let known = machines.hub.sessions();
        assert!(known.events[0].id() < known.last_id, "the notice comes last");
        machines.note_silence();
        assert_eq!(kinds(&machines), ["machine.silent"], "it is told once");
    }

    #[test]
    fn the_machine_is_the_first_key_of_an_object() {
        assert_eq!(with_machine("a", "{}").get(), r#"{"machine":"a"}"#);
        assert_eq!(with_machine("a\"", r#"{"b":1}"#).get(), r#"{"machine":"a\"","b":1}"#);
    }
}
