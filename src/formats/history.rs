//! One line of `history.jsonl` as an event.
//!
//! The format is internal to Claude Code and changes without notice. The line is therefore always
//! passed on, its JSON object as it was written, and only three keys and the time are interpreted.
//!
//! Invariant: pure. Every line becomes an event; a line that does not parse is a value, not an
//! error.
//! Known weakness: a raw carriage return between the tokens of an object becomes a space in `json`,
//! since it would end a line of the stream.

use std::borrow::Cow;

use jiff::Timestamp;
use memchr::{memchr, memchr2_iter};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{lossy, text};
use crate::event::{Data, Draft, HistoryAppend, Summary};

/// Objects that are nested deeper are not passed on as JSON: the parsers of many clients have a
/// limit, and would lose the whole backlog for one line. serde_json's limit is 128, and the backlog
/// adds four levels around a line.
const MAX_DEPTH: usize = 120;

/// The plausible times of a line, in seconds since 1970: the years 2000 to 2100.
const PLAUSIBLE_SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;

/// A line of the file, without its end.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Of a line that is too long only its beginning.
    pub(crate) bytes: &'a [u8],
    /// The length of the line in the file.
    pub(crate) len_bytes: u64,
    /// The byte offset of the line's start in the file.
    pub(crate) offset: u64,
}

impl Line<'_> {
    fn is_truncated(&self) -> bool {
        self.len_bytes > self.bytes.len() as u64
    }
}

/// Parses a line into a draft of its `history.append` event.
pub(crate) fn draft(line: Line) -> Parsed {
    let text = lossy(line.bytes);
    if line.is_truncated() {
        return truncated(line, &text);
    }
    match object(trim(&text)) {
        Ok((json, object)) => {
            let (time, json) = (object.time(), on_one_line(json));
            let data =
                HistoryAppend { summary: object.summary, json: Some(&json), ..bare(line, &text) };
            Parsed::new(time, data)
        }
        Err(error) => {
            Parsed::new(None, HistoryAppend { parse_error: Some(error), ..bare(line, &text) })
        }
    }
}

/// A draft, and whether its line counts as malformed.
pub(crate) struct Parsed {
    pub(crate) draft: Draft,
    pub(crate) is_malformed: bool,
}

impl Parsed {
    fn new(ts: Option<Timestamp>, data: HistoryAppend) -> Parsed {
        let is_malformed = data.parse_error.is_some() && !data.truncated;
        let session_id = text(data.summary.session_id);
        let draft = Draft::new(ts, &Data::HistoryAppend(data));
        let draft = match session_id {
            Some(id) => draft.with_session(&id),
            None => draft,
        };
        Parsed { draft, is_malformed }
    }
}

fn bare<'a>(line: Line, raw_line: &'a str) -> HistoryAppend<'a> {
    HistoryAppend {
        summary: Summary::default(),
        raw_line,
        json: None,
        parse_error: None,
        truncated: false,
        offset: line.offset,
    }
}

fn truncated(line: Line, text: &str) -> Parsed {
    // A character that was cut decodes to U+FFFD at the end, which is not in the file.
    let whole = match line.bytes.utf8_chunks().last() {
        Some(chunk) if is_cut_character(chunk.invalid()) => text.trim_end_matches('\u{FFFD}'),
        _ => text,
    };
    let error = format!(
        "line of {} bytes is too long to be read as JSON; its first {} bytes are kept",
        line.len_bytes,
        whole.len()
    );
    Parsed::new(
        None,
        HistoryAppend { parse_error: Some(error), truncated: true, ..bare(line, whole) },
    )
}

/// Whether bytes are the beginning of a UTF-8 sequence whose end is missing.
fn is_cut_character(bytes: &[u8]) -> bool {
    let expected = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => 0,
    };
    bytes.len() < expected
}

/// Removes JSON white space, and the NULs that a crash leaves around a record.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\0'])
}

/// Replaces carriage returns, which are white space between tokens and not allowed in strings.
fn on_one_line(json: &RawValue) -> Cow<'_, RawValue> {
    if memchr(b'\r', json.get().as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let spaced = RawValue::from_string(json.get().replace('\r', " "));
    Cow::Owned(spaced.expect("a space for a carriage return leaves JSON valid"))
}

fn object(text: &str) -> Result<(&RawValue, Object<'_>), String> {
    // First as any JSON, so that a value of another type is told from a line that is broken.
    let json: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !text.starts_with('{') {
        return Err(format!("not a JSON object but {} at line 1 column 1", kind_of(text)));
    }
    if let Some(column) = too_deep_at(text) {
        return Err(format!("nested deeper than {MAX_DEPTH} levels at line 1 column {column}"));
    }
    let object = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((json, object))
}

fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Returns the column, from 1, of the first bracket beyond [`MAX_DEPTH`] in valid JSON.
fn too_deep_at(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    memchr2_iter(b'{', b'[', bytes).nth(MAX_DEPTH)?;
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => at = end_of_string(bytes, at),
            _ => {}
        }
        at += 1;
        if depth > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// Returns the index of the quote that closes the string opened at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at
}

/// The interpreted keys of a line's object. If a key occurs twice, the last one counts, as in
/// JavaScript.
#[derive(Default)]
struct Object<'a> {
    summary: Summary<'a>,
    timestamp: Option<&'a RawValue>,
}

impl Object<'_> {
    /// Returns the line's time if it is plausible: milliseconds, seconds, or an RFC 3339 string.
    fn time(&self) -> Option<Timestamp> {
        let raw = self.timestamp?.get();
        if raw.starts_with('"') {
            let time: Timestamp = text_of(raw)?.parse().ok()?;
            return PLAUSIBLE_SECONDS.contains(&(time.as_second() as f64)).then_some(time);
        }
        let number: f64 = raw.parse().ok()?;
        let seconds = if PLAUSIBLE_SECONDS.contains(&number) { number } else { number / 1e3 };
        let is_plausible = PLAUSIBLE_SECONDS.contains(&seconds);
        is_plausible.then(|| Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok())?
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'de>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(Text(key)) = map.next_key()? {
            let slot = match key.as_ref() {
                "sessionId" => &mut object.summary.session_id,
                "project" => &mut object.summary.project,
                "display" => &mut object.summary.display,
                "timestamp" => {
                    object.timestamp = Some(map.next_value()?);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value: &RawValue = map.next_value()?;
            *slot = value.get().starts_with('"').then_some(value);
        }
        Ok(object)
    }
}

/// The text of a JSON string; `None` for any other JSON.
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    let Text(text) = serde_json::from_str(json).ok()?;
    Some(text)
}

/// A JSON string in which half a surrogate pair (`"\ud83d"`, which JavaScript writes for a cut
/// emoji) is U+FFFD instead of an error: serde_json allows them in bytes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a string")
    }

    /// A string without escapes is taken from where it stands.
    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(lossy(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(lossy(bytes).into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(bytes: &(impl AsRef<[u8]> + ?Sized)) -> Line<'_> {
        let bytes = bytes.as_ref();
        Line { bytes, len_bytes: bytes.len() as u64, offset: 40 }
    }

    fn event(line: Line) -> Value {
        let event = draft(line).draft.number(crate::event::MIN_ID);
        assert!(!event.json().contains(&b'\r') && !event.json().contains(&b'\n'));
        serde_json::from_slice(event.json()).unwrap()
    }

    #[track_caller]
    fn check(bytes: impl AsRef<[u8]>, data: Value) {
        assert_eq!(event(line(&bytes))["data"], data);
    }

    #[track_caller]
    fn check_error(bytes: impl AsRef<[u8]>, error: &str) {
        let raw_line = String::from_utf8_lossy(bytes.as_ref()).into_owned();
        check(
            bytes,
            json!({"summary": {}, "rawLine": raw_line, "parseError": error, "offset": 40}),
        );
    }

    #[track_caller]
    fn check_time(timestamp: &str, ts: Option<&str>) {
        let event = event(line(&format!("{{\"timestamp\":{timestamp}}}")));
        let now = Timestamp::now();
        match ts {
            Some(ts) => assert_eq!(event["ts"], ts),
            None => {
                let read: Timestamp = event["ts"].as_str().unwrap().parse().unwrap();
                assert!((now - read).get_seconds().abs() < 60, "{timestamp} gave {read}");
            }
        }
    }

    #[test]
    fn an_object_is_passed_on_as_it_was_written() {
        let text = r#"{"b": 1e999,  "a":1.0,"display":"x","project":"/p","sessionId":"s", "b":2}"#;
        let draft = draft(line(text)).draft.number(crate::event::MIN_ID);
        let json = str::from_utf8(draft.json()).unwrap();
        assert!(json.contains(&format!("\"json\":{text},\"offset\":40")), "{json}");
        assert!(
            json.contains(r#""summary":{"sessionId":"s","project":"/p","display":"x"}"#),
            "{json}"
        );
    }

    #[test]
    fn only_strings_reach_the_summary_and_the_last_one_counts() {
        let text = r#"{"display":12,"project":null,"sessionId":["x"],"pastedContents":"x"}"#;
        assert_eq!(event(line(text))["data"]["summary"], json!({}));
        let text = r#"{"display":"a","display":"b"}"#;
        assert_eq!(event(line(text))["data"]["summary"], json!({"display": "b"}));
    }

    #[test]
    fn half_a_surrogate_pair_does_not_cost_the_line() {
        let text = r#"{"display":"cut \ud83d","\ud800":1}"#;
        let data = &event_text(text);
        assert!(data.contains(r#""summary":{"display":"cut \ud83d"}"#), "{data}");
        assert!(data.contains(text), "{data}");
    }

    fn event_text(text: &str) -> String {
        let event = draft(line(text)).draft.number(crate::event::MIN_ID);
        String::from_utf8(event.json().to_vec()).unwrap()
    }

    #[test]
    fn what_is_no_object_says_why() {
        check_error("[]", "not a JSON object but an array at line 1 column 1");
        check_error("\"just a string\"", "not a JSON object but a string at line 1 column 1");
        check_error("42", "not a JSON object but a number at line 1 column 1");
        check_error("null", "not a JSON object but null at line 1 column 1");
        check_error("true", "not a JSON object but a boolean at line 1 column 1");
        check_error("{\"display\":\"cut", "EOF while parsing a string at line 1 column 15");
        check_error("{\"a\":1}{\"b\":2}", "trailing characters at line 1 column 8");
        check_error("\u{2028}", "expected value at line 1 column 1");
        check_error(b"\xff{}", "expected value at line 1 column 1");
    }

    #[test]
    fn nuls_and_white_space_around_a_record_are_tolerated() {
        let raw = "\0\0 {\"a\":1}\t\0\r";
        check(raw, json!({"summary": {}, "rawLine": raw, "json": {"a": 1}, "offset": 40}));
    }

    #[test]
    fn a_carriage_return_between_tokens_does_not_break_the_frame() {
        let raw = "{\"a\":\r1}";
        check(raw, json!({"summary": {}, "rawLine": raw, "json": {"a": 1}, "offset": 40}));
    }

    #[test]
    fn a_carriage_return_in_a_string_is_no_json() {
        check_error(
            "{\"a\":\"x\ry\"}",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 7",
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        check(
            b"{\"display\":\"\xff\xc3\"}",
            json!({"summary": {"display": "\u{FFFD}\u{FFFD}"},
                   "rawLine": "{\"display\":\"\u{FFFD}\u{FFFD}\"}",
                   "json": {"display": "\u{FFFD}\u{FFFD}"}, "offset": 40}),
        );
    }

    #[test]
    fn nesting_is_passed_on_to_a_depth_that_every_parser_reads() {
        let nested =
            |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let data = &event(line(&nested(MAX_DEPTH)))["data"];
        assert!(data["json"].is_object());
        check_error(nested(MAX_DEPTH + 1), "nested deeper than 120 levels at line 1 column 125");
        check_error(nested(200_000), "nested deeper than 120 levels at line 1 column 125");
        let brackets_in_a_string = format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(500));
        assert!(event(line(&brackets_in_a_string))["data"]["json"].is_object());
    }

    #[test]
    fn a_line_that_is_too_long_says_how_long_and_is_cut_at_a_character() {
        let kept = "x".repeat(4095);
        check_long(&(kept.clone() + "é").as_bytes()[..4096], kept.clone());
        check_long(&[kept.as_bytes(), b"\xff"].concat(), kept + "\u{FFFD}");
    }

    #[track_caller]
    fn check_long(bytes: &[u8], raw_line: String) {
        let line = Line { len_bytes: 5_000_000, ..line(bytes) };
        let error = format!(
            "line of 5000000 bytes is too long to be read as JSON; its first {} bytes are kept",
            raw_line.len()
        );
        let wanted = json!({"summary": {}, "rawLine": raw_line, "parseError": error,
                            "truncated": true, "offset": 40});
        assert_eq!(event(line)["data"], wanted);
        assert!(!draft(line).is_malformed);
    }

    #[test]
    fn the_lines_own_time_counts_where_it_is_plausible() {
        check_time("1787600000001", Some("2026-08-24T19:33:20.001Z"));
        check_time("1787600000", Some("2026-08-24T19:33:20.000Z"));
        check_time("1787600000.25", Some("2026-08-24T19:33:20.250Z"));
        check_time("1787600000001.0", Some("2026-08-24T19:33:20.001Z"));
        check_time("\"2026-08-24T21:33:20.5+02:00\"", Some("2026-08-24T19:33:20.500Z"));
        for implausible in [
            "0",
            "-1",
            "12",
            "1e300",
            "1787600000001000",
            "\"1787600080000\"",
            "\"0001-01-01T00:00:00Z\"",
            "null",
            "[1]",
        ] {
            check_time(implausible, None);
        }
    }
}
