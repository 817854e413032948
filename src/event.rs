//! Events and their bytes on the wire.
//!
//! An event is serialised once, as the whole SSE frame that every stream sends; its JSON, which the backlog
//! sends, is a part of those bytes. The id is known only when the hub takes the event in, so a [`Draft`]
//! carries a gap of fixed width in both places where the id stands, and numbering it is two small copies.
//!
//! Invariant: pure. No clock but where a draft is made without a time; no I/O, no lock.

use std::io::{self, Write};
use std::ops::Range;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Digits of every id: microseconds since 1970 have 16 from the year 2001 to 2286.
const ID_DIGITS: usize = 16;

/// The smallest number of [`ID_DIGITS`] digits; ids start here on a machine whose clock stands before 2001.
pub(crate) const MIN_ID: u64 = 10_u64.pow(ID_DIGITS as u32 - 1);

/// What stands where the id will: [`MIN_ID`], as JSON prints it too.
const GAP: &str = "1000000000000000";

/// Bytes of a frame beside its data, and some more.
const ENVELOPE_BYTES: usize = 256;

/// A frame may hold memory for a fifth more than it has bytes: to make it smaller is to move it.
const SPARE_PART: usize = 5;

/// Pieces of a text up to this length are copied by hand.
const SHORT_BYTES: usize = 64;

/// Times are printed with milliseconds, as `Date.toISOString` does.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// What an event says, one variant for each type of the contract.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Data<'a> {
    HistoryAppend(HistoryAppend<'a>),
    FileChanged(FileChanged),
    Notice(Notice),
    Error(Fault),
}

impl Data<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Data::HistoryAppend(_) => "history.append",
            Data::FileChanged(_) => "file.changed",
            Data::Notice(_) => "server.notice",
            Data::Error(_) => "server.error",
        }
    }

    /// About how many bytes the frame will have, so that it is not moved while it grows: a line stands in it twice, with
    /// its quotes escaped once, and what it says in part a third time.
    fn size_hint(&self) -> usize {
        match self {
            Data::HistoryAppend(data) => ENVELOPE_BYTES + 3 * data.raw_line.len(),
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
    /// Byte offset of the line's start in the file. The last field: [`Event::moved_to`] writes it anew.
    pub(crate) offset: u64,
}

/// Whichever of a history line's usual keys are strings, as they were written.
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
#[derive(Serialize)]
pub(crate) struct FileChanged {
    /// Relative to the Claude directory where it lies inside.
    pub(crate) path: String,
    /// `created`, `modified` or `removed`.
    pub(crate) change: &'static str,
    /// In bytes; absent for what is no regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    pub(crate) mtime: Option<Timestamp>,
}

/// Something a reader should know.
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
    /// Of a `stream.resync`: the id from which the stream goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_id: Option<u64>,
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

/// A time as it stands in every JSON of ours: RFC 3339, UTC, milliseconds.
pub(crate) fn print_time(time: Timestamp) -> String {
    PRINTER.timestamp_to_string(&time)
}

/// The envelope around an event's data, with a gap for the id.
#[derive(Serialize)]
struct Envelope<'a> {
    id: u64,
    ts: String,
    r#type: &'static str,
    data: &'a Data<'a>,
}

/// Takes the pieces into which serde_json cuts a text with quotes: most are so short that to call what copies memory takes
/// longer than to copy.
struct Pieces<'a>(&'a mut Vec<u8>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > SHORT_BYTES {
            self.0.extend_from_slice(bytes);
        } else {
            let (chunks, rest) = bytes.as_chunks::<8>();
            chunks.iter().for_each(|chunk| self.0.extend_from_slice(chunk));
            rest.iter().for_each(|byte| self.0.push(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event that has its bytes but no id yet.
pub(crate) struct Draft(Event);

impl Draft {
    /// Without a `ts` the event gets the present time.
    pub(crate) fn new(ts: Option<Timestamp>, data: &Data) -> Draft {
        let r#type = data.type_name();
        let ts = print_time(ts.unwrap_or_else(Timestamp::now));
        let mut frame = Vec::with_capacity(data.size_hint());
        for part in ["event: ", r#type, "\nid: ", GAP, "\ndata: "] {
            frame.extend_from_slice(part.as_bytes());
        }
        let json_start = frame.len();
        serde_json::to_writer(Pieces(&mut frame), &Envelope { id: MIN_ID, ts, r#type, data })
            .expect("writing to memory does not fail, and every key is a string");
        let json = json_start..frame.len();
        frame.extend_from_slice(b"\n\n");
        if frame.capacity() - frame.len() > frame.len() / SPARE_PART {
            frame.shrink_to_fit();
        }
        Draft(Event { id: MIN_ID, line: None, json, frame })
    }

    /// Names the history line that the event is made from, so that the hub can be told when it is gone.
    pub(crate) fn of_line(mut self, seq: u64) -> Draft {
        self.0.line = Some(seq);
        self
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

/// A numbered event.
pub(crate) struct Event {
    id: u64,
    line: Option<u64>,
    json: Range<usize>,
    frame: Vec<u8>,
}

impl Event {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The sequence number of the history line it is made from, if it is one.
    pub(crate) fn line(&self) -> Option<u64> {
        self.line
    }

    /// The whole SSE frame, with the blank line that ends it.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The event's JSON, on one line.
    pub(crate) fn json(&self) -> &[u8] {
        &self.frame[self.json.clone()]
    }

    /// The same history event with its line at another offset of the file.
    pub(crate) fn moved_to(&self, offset: u64) -> Event {
        let json = self.json();
        let after_digits = json.len() - "}}".len();
        let digits = json[..after_digits].iter().rev().take_while(|byte| byte.is_ascii_digit());
        let kept = self.json.start + after_digits - digits.count();
        let frame = [&self.frame[..kept], offset.to_string().as_bytes(), b"}}\n\n"].concat();
        let json = self.json.start..frame.len() - "\n\n".len();
        Event { id: self.id, line: self.line, json, frame }
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
    fn a_moved_line_differs_in_its_offset_alone() {
        let event = Draft::new(noon(), &history(None)).of_line(7).number(ID);
        for offset in [0, 5, 123_456_789] {
            let moved = event.moved_to(offset);
            let wanted = str::from_utf8(event.frame())
                .unwrap()
                .replace("\"offset\":90", &format!("\"offset\":{offset}"));
            assert_eq!(str::from_utf8(moved.frame()).unwrap(), wanted);
            assert_eq!((moved.id(), moved.line()), (ID, Some(7)));
            let parsed: serde_json::Value = serde_json::from_slice(moved.json()).unwrap();
            assert_eq!(parsed["data"]["offset"], offset);
        }
    }
}
