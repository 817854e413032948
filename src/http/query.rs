//! Parses the parameters of a request.
//!
//! Invariant: a value that is not valid is refused with 400, never replaced by the default; the
//! message names the value and the expected form. Numbers that are too large are clamped.

use std::ops::RangeInclusive;

use crate::event::EventType;
use crate::hub::{Filter, RING_EVENTS};
use crate::usage::query as usage;

use super::answer::Refusal;
use super::head::Head;

/// Entries of a list when no limit is given.
const DEFAULT_LIMIT: usize = 200;

/// The range that a limit is clamped to; the hub holds no more prompts.
const LIMITS: RangeInclusive<usize> = 1..=RING_EVENTS;

/// Hours of sessions when none are given.
const DEFAULT_HOURS: u32 = 24;

/// More hours than there can be sessions for: a hundred years.
const MAX_HOURS: u32 = 876_000;

/// Returns how many entries a list has at most: `limit`, a whole number of any size, clamped.
pub(super) fn limit(head: &Head) -> Result<usize, Refusal> {
    let Some(text) = head.parameter("limit") else { return Ok(DEFAULT_LIMIT) };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if !is_number(digits) {
        let expected = format!("a whole number, which is clamped to 1..{}", LIMITS.end());
        return Err(bad("limit", "bad_limit", &text, &expected));
    }
    let number = if text.starts_with('-') { 0 } else { text.parse().unwrap_or(usize::MAX) };
    Ok(number.clamp(*LIMITS.start(), *LIMITS.end()))
}

/// Returns the byte offset before which older entries begin; absent: the newest ones.
pub(super) fn before(head: &Head) -> Result<Option<u64>, Refusal> {
    let Some(text) = head.parameter("before") else { return Ok(None) };
    if !is_number(&text) {
        return Err(bad("before", "bad_before", &text, "a byte offset, a whole number"));
    }
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// Returns the hours of `hours`, from 1 to a hundred years.
pub(super) fn hours(head: &Head) -> Result<u32, Refusal> {
    let Some(text) = head.parameter("hours") else { return Ok(DEFAULT_HOURS) };
    let hours = text.parse().unwrap_or(u32::MAX);
    if !is_number(&text) || hours == 0 {
        return Err(bad("hours", "bad_hours", &text, "a number of hours, 1 or more"));
    }
    Ok(hours.min(MAX_HOURS))
}

/// Returns the usage query: `days`, `tz` and `by`.
pub(super) fn usage(head: &Head) -> Result<usage::Query, Refusal> {
    let mut query = usage::Query::default();
    if let Some(text) = head.parameter("days") {
        let bad = |expected| bad("days", "bad_days", &text, expected);
        query.days = usage::days(&text).map_err(bad)?;
    }
    if let Some(text) = head.parameter("tz") {
        let bad = |expected| bad("tz", "bad_tz", &text, expected);
        // Forms write a space as `+`, and so some clients read one.
        query.zone = usage::Zone::parse(&text.replacen(' ', "+", 1)).map_err(bad)?;
    }
    if let Some(text) = head.parameter("by") {
        let bad = |expected| bad("by", "bad_by", &text, expected);
        query.by = usage::By::parse(&text).map_err(bad)?;
    }
    Ok(query)
}

/// Returns whether a flag is set: `1`, or `0`, the default.
pub(super) fn flag(head: &Head, name: &'static str, code: &'static str) -> Result<bool, Refusal> {
    match head.parameter(name).as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(text) => Err(bad(name, code, text, "`1` or `0`")),
    }
}

/// Returns the filter of a stream: `types` and `session`.
pub(super) fn filter(head: &Head) -> Result<Filter, Refusal> {
    let types = head.parameter("types").map(|text| types(&text)).transpose()?;
    let session = head.parameter("session").map(String::into_boxed_str);
    if session.as_deref() == Some("") {
        return Err(bad("session", "bad_session", "", "the id of a session"));
    }
    Ok(Filter { types, session })
}

fn types(text: &str) -> Result<Vec<EventType>, Refusal> {
    let parse = |name| {
        EventType::named(name).ok_or_else(|| {
            let names = EventType::ALL.map(EventType::name).join(", ");
            bad("types", "bad_type", name, &format!("one or more of {names}, separated by commas"))
        })
    };
    text.split(',').map(parse).collect()
}

/// Returns the id after which a stream resumes. `Last-Event-ID`, which `EventSource` sends by
/// itself, wins over `?since=`.
pub(super) fn since(head: &Head) -> Result<Option<u64>, Refusal> {
    let header = head.header("Last-Event-ID").map(str::to_owned);
    let (name, id) = match (header, head.parameter("since")) {
        (Some(id), _) => ("Last-Event-ID", id),
        (None, Some(id)) => ("since", id),
        (None, None) => return Ok(None),
    };
    if !is_number(&id) {
        return Err(bad(name, "bad_id", &id, "the id of an event, a whole number"));
    }
    // An id with more digits than fit is unknown, as any other from the future.
    Ok(Some(id.parse().unwrap_or(u64::MAX)))
}

/// Returns the byte offset that a text spells.
pub(super) fn offset(text: &str) -> Option<u64> {
    // The parser of the standard library takes a sign, too.
    if is_number(text) { text.parse().ok() } else { None }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn bad(name: &str, code: &'static str, value: &str, expected: &str) -> Refusal {
    Refusal::new(400, code, format!("{name} `{value}`: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::parse;

    fn head(query: &str) -> Head {
        parse(format!("GET /?{query} HTTP/1.1\r\nHost: x").as_bytes()).unwrap()
    }

    #[track_caller]
    fn check_limit(text: &str, wanted: Option<usize>) {
        assert_eq!(limit(&head(&format!("limit={text}"))).ok(), wanted, "{text}");
    }

    #[test]
    fn a_limit_is_clamped_and_must_be_a_whole_number() {
        check_limit("1", Some(1));
        check_limit("1000", Some(1000));
        check_limit("1001", Some(1000));
        check_limit("0", Some(1));
        check_limit("-5", Some(1));
        check_limit("99999999999999999999999", Some(1000));
        for bad in ["", "-", "x", "1.5", "%201", "1e3", "%2B1"] {
            check_limit(bad, None);
        }
        assert_eq!(limit(&head("")), Ok(200));
    }

    #[track_caller]
    fn check_hours(query: &str, wanted: Result<u32, &str>) {
        let hours = hours(&head(query)).map_err(|refusal| refusal.code);
        assert_eq!(hours, wanted, "{query}");
    }

    #[test]
    fn hours_are_one_or_more() {
        check_hours("", Ok(24));
        check_hours("hours=1", Ok(1));
        check_hours("hours=99999999999999999999", Ok(MAX_HOURS));
        for bad in ["", "0", "-1", "x", "1.5"] {
            check_hours(&format!("hours={bad}"), Err("bad_hours"));
        }
    }

    #[test]
    fn an_offset_has_digits_alone() {
        assert_eq!(offset("0"), Some(0));
        assert_eq!(offset("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "+0", "-1", "1.5", "0x1", " 1", "18446744073709551616"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }

    #[test]
    fn flags_and_sessions_have_their_values() {
        let all = |query: &str| flag(&head(query), "all", "bad_all").map_err(|it| it.code);
        assert_eq!([all(""), all("all=0"), all("all=1")], [Ok(false), Ok(false), Ok(true)]);
        assert_eq!([all("all="), all("all=yes")], [Err("bad_all"), Err("bad_all")]);
        let session = |query: &str| filter(&head(query)).map(|it| it.session);
        assert_eq!(session("session=a%2Fb").unwrap().as_deref(), Some("a/b"));
        assert_eq!(session("session=").unwrap_err().code, "bad_session");
    }

    #[track_caller]
    fn check_types(query: &str, wanted: Result<Option<&[EventType]>, &str>) {
        let types = filter(&head(query)).map(|filter| filter.types);
        let wanted = wanted.map(|types| types.map(<[_]>::to_vec));
        assert_eq!(types.map_err(|refusal| refusal.code), wanted, "{query}");
    }

    #[test]
    fn types_are_names_of_events_and_anything_else_is_refused() {
        let both = [EventType::HistoryAppend, EventType::SessionChanged];
        check_types("", Ok(None));
        check_types("types=history.append,session.changed", Ok(Some(&both)));
        check_types("types=history.append%2Csession.changed", Ok(Some(&both)));
        for bad in ["", "x", "history.append,", "ping", "History.Append"] {
            check_types(&format!("types={bad}"), Err("bad_type"));
        }
    }

    #[test]
    fn a_refusal_names_the_value_and_what_is_expected() {
        let refusal = filter(&head("types=a")).unwrap_err();
        assert_eq!(
            refusal.message,
            "types `a`: expected one or more of history.append, file.changed, session.changed, \
             session.removed, transcript.append, server.notice, server.error, separated by commas"
        );
        let refusal = before(&head("before=-1")).unwrap_err();
        assert_eq!(refusal.message, "before `-1`: expected a byte offset, a whole number");
    }
}
