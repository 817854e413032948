//! Sessions as one JSON document, and the records of a session's transcript.
//!
//! Sessions come from the hub, whose JSON is written without a copy; records are read from the
//! file, since a transcript can be too large for memory.
//! Invariant: an id in a path is looked up, and never becomes part of a file name.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::sources::records::{Page, Records, Unavailable, Whose};

use super::Site;
use super::answer::{Answer, Piece, Refusal, list};
use super::head::Head;
use super::query;

/// The path of the list; those of records begin with it.
pub(super) const PATH: &str = "/api/claude/sessions";

/// Answers with the sessions that are alive or were active in the last hours, those that need a
/// person first.
pub(super) fn answer(head: &Head, site: &Site, now: Timestamp) -> Result<Answer, Refusal> {
    let (hub, records) = (&site.hub, &site.records);
    let (limit, hours) = (query::limit(head)?, query::hours(head)?);
    records.want_hours(hours);
    let reading = records.reading();
    let start = now - SignedDuration::from_hours(hours.into());
    let snapshot = hub.sessions();
    let rank = |event: &crate::event::Event| event.rank().expect("a session's event has a rank");
    let mut sessions = snapshot.events;
    sessions.retain(|event| {
        let rank = rank(event);
        rank.is_live || rank.last_at.is_some_and(|at| at >= start)
    });
    sessions.sort_by_cached_key(|event| {
        let rank = rank(event);
        (rank.status, std::cmp::Reverse((rank.is_live, rank.last_at)), event.id())
    });
    sessions.truncate(limit);
    let reading = json!(reading);
    let start = format!("{{\"lastEventId\":{},\"reading\":{reading},", snapshot.last_id);
    #[cfg(feature = "fleet")]
    let start = match site.health.fleet.machines() {
        Some(machines) => {
            let machines = serde_json::to_string(&machines).expect("names and times are JSON");
            format!("{start}\"machines\":{machines},")
        }
        None => start,
    };
    let start = start + "\"sessions\":[";
    Ok(Answer::json_of(list(start, sessions.into_iter().map(Piece::Data))))
}

/// Answers a request for records: `<session>/records`, or `<session>/records/<offset>`.
pub(super) fn records(head: &Head, path: &str, records: &Records) -> Result<Answer, Refusal> {
    let parts: Vec<&str> = path.split('/').collect();
    let agent_id = head.parameter("agent");
    let whose = |session_id| Whose { session_id, agent_id: agent_id.as_deref() };
    match parts[..] {
        [session_id, "records"] => page(head, whose(session_id), records),
        [session_id, "records", offset] => record(whose(session_id), offset, records),
        _ => Err(Refusal::not_found(&head.path)),
    }
}

fn page(head: &Head, whose: Whose, records: &Records) -> Result<Answer, Refusal> {
    let (limit, before) = (query::limit(head)?, query::before(head)?);
    let is_all = query::flag(head, "all", "bad_all")?;
    let Page { records, before } = records
        .transcript_before(whose, before, limit, is_all)
        .map_err(|error| refusal(whose, error))?;
    let id = json!(whose.session_id);
    let before = json!(before);
    let start = format!("{{\"sessionId\":{id},\"limit\":{limit},\"before\":{before},\"records\":[");
    Ok(Answer::json_of(list(start, records.into_iter().map(|json| Piece::Bytes(json.into())))))
}

fn record(whose: Whose, offset: &str, records: &Records) -> Result<Answer, Refusal> {
    let none = || {
        let message = format!("no record begins at offset `{offset}` of this transcript");
        Refusal::new(404, "no_record", message)
    };
    let at = query::offset(offset).ok_or_else(none)?;
    match records.record_at(whose, at) {
        Ok(Some(line)) => Ok(Answer::json(line)),
        Ok(None) => Err(none()),
        Err(error) => Err(refusal(whose, error)),
    }
}

fn refusal(whose: Whose, error: Unavailable) -> Refusal {
    let Whose { session_id, agent_id } = whose;
    match error {
        Unavailable::UnknownSession => {
            let message = format!("session `{session_id}` is unknown; see {PATH}?hours=720");
            Refusal::new(404, "unknown_session", message)
        }
        Unavailable::UnknownAgent => {
            let agent_id = agent_id.unwrap_or_default();
            let message = format!("session `{session_id}` has no subagent `{agent_id}`");
            Refusal::new(404, "unknown_agent", message)
        }
        Unavailable::Unreadable(error) => {
            Refusal::new(503, "transcript_unreadable", format!("the transcript: {error}"))
        }
    }
}
