//! Events and their bytes on the wire.
//!
//! An event is serialised once, as the SSE frame that every stream sends. Its JSON, which the
//! backlog sends, is a part of these bytes. The id is known only when the hub adds the event, so a
//! [`Draft`] has a placeholder of fixed width in both places of the id, and numbering it is two
//! small copies.
//!
//! Invariant: pure. No I/O, no lock, and no clock except for a draft without a time.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use memchr::memmem;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The digits of an id: microseconds since 1970 have 16 from the year 2001 to 2286.
const ID_DIGITS: usize = 16;

/// The smallest number of [`ID_DIGITS`] digits.
pub(crate) const MIN_ID: u64 = 10_u64.pow(ID_DIGITS as u32 - 1);

/// The placeholder of the id: [`MIN_ID`], as JSON prints it too.
const PLACEHOLDER: &str = "1000000000000000";

/// The bytes of a frame beside its data, rounded up.
const ENVELOPE_BYTES: usize = 256;

/// A frame may have a fifth of its length as spare capacity, since shrinking it copies it.
const SPARE_PART: usize = 5;

/// The key in front of the data; it comes first in the envelope after values of fixed form.
const DATA_KEY: &[u8] = b"\"data\":";

/// Times are printed with milliseconds, as `Date.toISOString` does.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// The data of an event, one variant for each type.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Data<'a> {
    HistoryAppend(HistoryAppend<'a>),
    FileChanged(FileChanged),
    SessionChanged(&'a RawValue),
    SessionRemoved(SessionRemoved<'a>),
    TranscriptAppend(TranscriptAppend<'a>),
    Notice(Notice),
    Error(Fault),
}

/// The types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventType {
    HistoryAppend,
    FileChanged,
    SessionChanged,
    SessionRemoved,
    TranscriptAppend,
    Notice,
    Error,
}

impl EventType {
    pub(crate) const ALL: [EventType; 7] = [
        EventType::HistoryAppend,
        EventType::FileChanged,
        EventType::SessionChanged,
        EventType::SessionRemoved,
        EventType::TranscriptAppend,
        EventType::Notice,
        EventType::Error,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            EventType::HistoryAppend => "history.append",
            EventType::FileChanged => "file.changed",
            EventType::SessionChanged => "session.changed",
            EventType::SessionRemoved => "session.removed",
            EventType::TranscriptAppend => "transcript.append",
            EventType::Notice => "server.notice",
            EventType::Error => "server.error",
        }
    }

    /// Returns the type with a name.
    pub(crate) fn named(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|event_type| event_type.name() == name)
    }

    pub(crate) fn topic(self) -> Topic {
        match self {
            EventType::SessionChanged | EventType::SessionRemoved => Topic::Sessions,
            EventType::TranscriptAppend => Topic::Transcripts,
            _ => Topic::Prompts,
        }
    }
}

/// Events that are kept together: busy agents do not evict prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Prompts,
    Sessions,
    Transcripts,
}

impl Data<'_> {
    fn event_type(&self) -> EventType {
        match self {
            Data::HistoryAppend(_) => EventType::HistoryAppend,
            Data::FileChanged(_) => EventType::FileChanged,
            Data::SessionChanged(_) => EventType::SessionChanged,
            Data::SessionRemoved(_) => EventType::SessionRemoved,
            Data::TranscriptAppend(_) => EventType::TranscriptAppend,
            Data::Notice(_) => EventType::Notice,
            Data::Error(_) => EventType::Error,
        }
    }

    /// Estimates the bytes of the frame, so that it does not move while it grows: a frame has its
    /// line twice, once with escaped quotes, and parts of it a third time.
    fn size_hint(&self) -> usize {
        match self {
            Data::HistoryAppend(data) => ENVELOPE_BYTES + 3 * data.raw_line.len(),
            Data::SessionChanged(data) => ENVELOPE_BYTES + data.get().len(),
            _ => ENVELOPE_BYTES,
        }
    }
}

/// A line of `history.jsonl`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryAppend<'a> {
    pub(crate) summary: Summary<'a>,
    pub(crate) raw_line: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parse_error: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
    /// The byte offset of the line's start in the file. The last field, since [`Event::moved_to`]
    /// replaces it.
    pub(crate) offset: u64,
}

/// Those of a history line's usual keys that are strings, as they were written.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<&'a RawValue>,
}

/// A watched file was created, modified or removed.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileChanged {
    /// Relative to the Claude directory if the file is inside.
    pub(crate) path: String,
    /// `created`, `modified` or `removed`.
    pub(crate) change: &'static str,
    /// In bytes; absent if the path is no regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    pub(crate) mtime: Option<Timestamp>,
    /// Of a modified JSON file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<ValueChange>,
    /// How many changes are not listed in `changes`; absent if all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) more_changes: Option<usize>,
}

/// A scalar of a JSON file that differs from the file's last state.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ValueChange {
    /// A JSON Pointer (RFC 6901).
    pub(crate) path: String,
    /// Absent if there was no scalar at the path before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Value>,
    /// Absent if there is no scalar at the path now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Value>,
}

/// A session is gone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionRemoved<'a> {
    pub(crate) session_id: &'a str,
    /// `deleted` or `aged`.
    pub(crate) reason: &'static str,
}

/// A record of a transcript: its readable part, and the position of the whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TranscriptAppend<'a> {
    pub(crate) session_id: &'a str,
    /// Of a subagent's transcript; null for the session's own.
    pub(crate) agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<&'a str>,
    pub(crate) record_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uuid: Option<&'a str>,
    pub(crate) blocks: Vec<BlockData>,
    /// The length of the record in the file.
    pub(crate) bytes: u64,
    /// The byte offset of the record's start. The last field, since [`Event::moved_to`] replaces
    /// it.
    pub(crate) offset: u64,
}

/// A readable part of a record.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockData {
    /// `prompt`, `text`, `thinking`, `tool_use`, `tool_result`, `question`, `plan`, `compaction`,
    /// `error`, `turn_end`, `title`, `notice` or `other`.
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_use_id: Option<String>,
    /// Of a tool, or the type of an unknown record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
    /// Why a tool was not allowed: `permission-rule`, `user-rejected` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) denied: Option<String>,
}

/// A message to the reader of a stream.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notice {
    pub(crate) kind: &'static str,
    pub(crate) msg: String,
    /// Of a `history.reset`: `truncated`, `replaced` or `removed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// Of a `source.recovered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Of a `stream.resync`: the id after which the stream goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_id: Option<u64>,
    /// Of a fleet: the machine that the notice is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
}

/// A source that cannot be read.
#[derive(Serialize)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) msg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

fn rfc3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| PRINTER.timestamp_to_string(&time)).serialize(serializer)
}

/// Prints a time as all of our JSON has it: RFC 3339, UTC, milliseconds.
pub(crate) fn print_time(time: Timestamp) -> String {
    PRINTER.timestamp_to_string(&time)
}

/// The envelope of an event's data, with a placeholder for the id.
#[derive(Serialize)]
struct Envelope<'a> {
    id: u64,
    ts: String,
    r#type: &'static str,
    data: &'a Data<'a>,
}

/// A source of records: a file that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceId(u32);

impl SourceId {
    pub(crate) const HISTORY: SourceId = SourceId(0);

    /// The transcript with this number, from 1, or the history of a fleet's machine.
    pub(crate) fn transcript(number: u32) -> SourceId {
        SourceId(number)
    }
}

/// The record that an event is made from. It identifies the events of records that are gone from
/// their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: SourceId,
    /// The position among all records of the source, from 0.
    pub(crate) seq: u64,
}

/// An event that has no id yet.
pub(crate) struct Draft(Event);

impl Draft {
    /// Serialises an event. Without a `ts` it gets the present time.
    pub(crate) fn new(ts: Option<Timestamp>, data: &Data) -> Draft {
        let event_type = data.event_type();
        let r#type = event_type.name();
        let ts = print_time(ts.unwrap_or_else(Timestamp::now));
        let mut frame = Vec::with_capacity(data.size_hint());
        for part in ["event: ", r#type, "\nid: ", PLACEHOLDER, "\ndata: "] {
            frame.extend_from_slice(part.as_bytes());
        }
        let json_start = frame.len();
        serde_json::to_writer(&mut frame, &Envelope { id: MIN_ID, ts, r#type, data })
            .expect("writing to memory does not fail, and every key is a string");
        let json = json_start..frame.len();
        frame.extend_from_slice(b"\n\n");
        if frame.capacity() - frame.len() > frame.len() / SPARE_PART {
            frame.shrink_to_fit();
        }
        let json_bytes = &frame[json.clone()];
        let data = memmem::find(json_bytes, DATA_KEY).expect("an envelope has data");
        let data = json.start + data + DATA_KEY.len();
        Draft(Event {
            id: MIN_ID,
            event_type,
            machine: None,
            session: None,
            rank: None,
            origin: None,
            json,
            data,
            frame,
        })
    }

    /// Builds the event of another machine from its parts. `ts` and `data` are a time and an object
    /// as the machine printed them, on one line.
    #[cfg(feature = "fleet")]
    pub(crate) fn of_machine(
        machine: &Arc<str>,
        event_type: EventType,
        ts: &str,
        data: &RawValue,
    ) -> Draft {
        let (name, data) = (event_type.name(), data.get());
        let machine_json = serde_json::json!(**machine);
        let start = format!("event: {name}\nid: {PLACEHOLDER}\ndata: ");
        let head = format!(
            "{{\"id\":{PLACEHOLDER},\"ts\":\"{ts}\",\"type\":\"{name}\",\
             \"machine\":{machine_json},\"data\":"
        );
        let data_start = start.len() + head.len();
        let json = start.len()..data_start + data.len() + 1;
        let frame = [&start, &head, data, "}\n\n"].concat().into_bytes();
        Draft(Event {
            id: MIN_ID,
            event_type,
            machine: Some(Arc::clone(machine)),
            session: None,
            rank: None,
            origin: None,
            json,
            data: data_start,
            frame,
        })
    }

    /// Sets the session that the event belongs to.
    pub(crate) fn with_session(mut self, session_id: &str) -> Draft {
        self.0.session = Some(session_id.into());
        self
    }

    /// Sets the place of a session in a list.
    pub(crate) fn with_rank(mut self, rank: Rank) -> Draft {
        self.0.rank = Some(rank);
        self
    }

    /// Sets the record that the event is made from.
    pub(crate) fn with_origin(mut self, origin: Origin) -> Draft {
        self.0.origin = Some(origin);
        self
    }

    /// Returns the JSON of an event that the hub does not add, and that therefore has no id.
    pub(crate) fn json_without_id(&self) -> Vec<u8> {
        let after_id = br#"{"id":"#.len() + ID_DIGITS + b",".len();
        [b"{", &self.0.json()[after_id..]].concat()
    }

    /// Fills in the id, which must have 16 digits.
    pub(crate) fn number(self, id: u64) -> Event {
        let mut event = self.0;
        debug_assert!(id >= MIN_ID, "id `{id}`");
        let mut digits = [0; ID_DIGITS];
        write!(&mut digits[..], "{id}").expect("an id has 16 digits");
        let in_json = event.json.start + br#"{"id":"#.len();
        let in_frame = event.json.start - "\ndata: ".len() - ID_DIGITS;
        for start in [in_frame, in_json] {
            event.frame[start..start + ID_DIGITS].copy_from_slice(&digits);
        }
        event.id = id;
        event
    }
}

/// The place of a session in a list: sessions that need a person come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    /// The order of the status, 0 first.
    pub(crate) status: u8,
    pub(crate) is_live: bool,
    pub(crate) last_at: Option<Timestamp>,
}

/// A numbered event.
pub(crate) struct Event {
    id: u64,
    event_type: EventType,
    machine: Option<Arc<str>>,
    session: Option<Box<str>>,
    rank: Option<Rank>,
    origin: Option<Origin>,
    json: Range<usize>,
    /// The start of the data, which ends before the last brace of the JSON.
    data: usize,
    frame: Vec<u8>,
}

impl Event {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn event_type(&self) -> EventType {
        self.event_type
    }

    /// Returns the machine that the event comes from; absent if it is this one.
    pub(crate) fn machine(&self) -> Option<&Arc<str>> {
        self.machine.as_ref()
    }

    /// Returns the time as the JSON has it.
    #[cfg(feature = "fleet")]
    pub(crate) fn ts(&self) -> &str {
        let start = br#"{"id":,"ts":""#.len() + ID_DIGITS;
        let ts = self.json()[start..].split(|byte| *byte == b'"').next().unwrap_or_default();
        str::from_utf8(ts).expect("a time is printed in ASCII")
    }

    /// Returns the session that the event belongs to; absent if it belongs to none.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Returns the place of a session in a list; absent for other events.
    pub(crate) fn rank(&self) -> Option<Rank> {
        self.rank
    }

    /// Returns the JSON of the data.
    pub(crate) fn data(&self) -> &[u8] {
        &self.frame[self.data..self.json.end - 1]
    }

    /// Returns the record that the event is made from; absent if it is not made from one.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Whether the event is made from a record of the source.
    pub(crate) fn is_of(&self, source: SourceId) -> bool {
        self.origin.is_some_and(|origin| origin.source == source)
    }

    /// Returns the SSE frame, with the blank line that ends it.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Returns the JSON, on one line.
    pub(crate) fn json(&self) -> &[u8] {
        &self.frame[self.json.clone()]
    }

    /// Returns the same event with its line at another offset of the file.
    pub(crate) fn moved_to(&self, offset: u64) -> Event {
        let json = self.json();
        let after_digits = json.len() - "}}".len();
        let digits = json[..after_digits].iter().rev().take_while(|byte| byte.is_ascii_digit());
        let kept = self.json.start + after_digits - digits.count();
        let frame = [&self.frame[..kept], offset.to_string().as_bytes(), b"}}\n\n"].concat();
        let json = self.json.start..frame.len() - "\n\n".len();
        let (machine, session) = (self.machine.clone(), self.session.clone());
        Event { machine, session, json, frame, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 1_764_000_000_000_123;

    fn noon() -> Option<Timestamp> {
        Some("2026-01-01T12:00:00Z".parse().unwrap())
    }

    #[track_caller]
    fn check(data: Data, frame: &str) {
        let event = Draft::new(noon(), &data).number(ID);
        assert_eq!(str::from_utf8(event.frame()).unwrap(), frame);
        let json = frame.split_once("\ndata: ").unwrap().1.trim_end();
        assert_eq!(str::from_utf8(event.json()).unwrap(), json);
        assert_eq!(event.id(), ID);
    }

    fn history(json: Option<&RawValue>) -> Data<'_> {
        let display = serde_json::from_str(r#""hi""#).unwrap();
        Data::HistoryAppend(HistoryAppend {
            summary: Summary { display: Some(display), ..Summary::default() },
            raw_line: "{\"display\": \"hi\"}\r",
            json,
            parse_error: None,
            truncated: false,
            offset: 90,
        })
    }

    #[test]
    fn the_four_types_have_these_frames() {
        let json: &RawValue = serde_json::from_str(r#"{"display": "hi"}"#).unwrap();
        check(
            history(Some(json)),
            "event: history.append\nid: 1764000000000123\ndata: {\"id\":1764000000000123,\"ts\":\"2026-01-01T12:00:00.000Z\",\
             \"type\":\"history.append\",\"data\":{\"summary\":{\"display\":\"hi\"},\"rawLine\":\"{\\\"display\\\": \\\"hi\\\"}\\r\",\
             \"json\":{\"display\": \"hi\"},\"offset\":90}}\n\n",
        );
        check(
            Data::FileChanged(FileChanged {
                path: "stats-cache.json".into(),
                change: "modified",
                size: Some(12),
                mtime: noon(),
                ..FileChanged::default()
            }),
            "event: file.changed\nid: 1764000000000123\ndata: {\"id\":1764000000000123,\"ts\":\"2026-01-01T12:00:00.000Z\",\
             \"type\":\"file.changed\",\"data\":{\"path\":\"stats-cache.json\",\"change\":\"modified\",\"size\":12,\
             \"mtime\":\"2026-01-01T12:00:00.000Z\"}}\n\n",
        );
        check(
            Data::Notice(Notice {
                kind: "history.reset",
                msg: "m".into(),
                reason: Some("truncated"),
                ..Notice::default()
            }),
            "event: server.notice\nid: 1764000000000123\ndata: {\"id\":1764000000000123,\"ts\":\"2026-01-01T12:00:00.000Z\",\
             \"type\":\"server.notice\",\"data\":{\"kind\":\"history.reset\",\"msg\":\"m\",\"reason\":\"truncated\"}}\n\n",
        );
        check(
            Data::Error(Fault { kind: "history.unreadable", msg: "m".into(), path: None }),
            "event: server.error\nid: 1764000000000123\ndata: {\"id\":1764000000000123,\"ts\":\"2026-01-01T12:00:00.000Z\",\
             \"type\":\"server.error\",\"data\":{\"kind\":\"history.unreadable\",\"msg\":\"m\"}}\n\n",
        );
    }

    #[test]
    fn a_change_of_a_json_file_lists_the_scalars_that_differ() {
        let change = |path: &str, from, to| ValueChange { path: path.into(), from, to };
        check(
            Data::FileChanged(FileChanged {
                path: "stats-cache.json".into(),
                change: "modified",
                changes: vec![
                    change("/totalSessions", Some(61.into()), Some(62.into())),
                    change("/new", None, Some(Value::Null)),
                    change("/old", Some("x".into()), None),
                ],
                more_changes: Some(3),
                ..FileChanged::default()
            }),
            "event: file.changed\nid: 1764000000000123\ndata: {\"id\":1764000000000123,\"ts\":\"2026-01-01T12:00:00.000Z\",\
             \"type\":\"file.changed\",\"data\":{\"path\":\"stats-cache.json\",\"change\":\"modified\",\
             \"changes\":[{\"path\":\"/totalSessions\",\"from\":61,\"to\":62},{\"path\":\"/new\",\"to\":null},\
             {\"path\":\"/old\",\"from\":\"x\"}],\"moreChanges\":3}}\n\n",
        );
    }

    #[test]
    fn an_event_that_is_not_added_has_no_id() {
        let draft = Draft::new(noon(), &history(None));
        let without = String::from_utf8(draft.json_without_id()).unwrap();
        let with = String::from_utf8(draft.number(ID).json().to_vec()).unwrap();
        assert_eq!(without, with.replace(&format!("\"id\":{ID},"), ""));
    }

    #[test]
    fn a_moved_line_differs_only_in_its_offset() {
        let origin = Origin { source: SourceId::HISTORY, seq: 7 };
        let event = Draft::new(noon(), &history(None)).with_origin(origin).number(ID);
        for offset in [0, 5, 123_456_789] {
            let moved = event.moved_to(offset);
            let wanted = str::from_utf8(event.frame())
                .unwrap()
                .replace("\"offset\":90", &format!("\"offset\":{offset}"));
            assert_eq!(str::from_utf8(moved.frame()).unwrap(), wanted);
            assert_eq!((moved.id(), moved.origin()), (ID, Some(origin)));
            let parsed: serde_json::Value = serde_json::from_slice(moved.json()).unwrap();
            assert_eq!(parsed["data"]["offset"], offset);
        }
    }
}
