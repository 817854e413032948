//! The backlog: the newest history events as one JSON document, or older lines from the file.
//!
//! The hub holds the JSON of each event, so the newest are written without a copy.
//! Invariant: `lastEventId` is read together with the events; a stream that begins after it misses
//! and repeats nothing.

use crate::hub::Hub;
use crate::sources::records::{Older, Records};

use super::answer::{Answer, Piece, Refusal, list};
use super::head::Head;
use super::query;

/// Answers with the newest lines, or with older ones if a request says before which byte they
/// begin.
pub(crate) fn answer(head: &Head, hub: &Hub, records: &Records) -> Result<Answer, Refusal> {
    let limit = query::limit(head)?;
    let Some(before) = query::before(head)? else {
        return Ok(Answer::json_of(document(hub, limit)));
    };
    let older = records.history_before(before, limit).map_err(|error| {
        Refusal::new(503, "history_unreadable", format!("the history file: {error}"))
    })?;
    Ok(Answer::json_of(older_document(hub.last_id(), limit, older)))
}

fn document(hub: &Hub, limit: usize) -> Vec<Piece> {
    let backlog = hub.backlog(limit);
    let start = format!("{{\"limit\":{limit},\"lastEventId\":{},\"events\":[", backlog.last_id);
    list(start, backlog.events.into_iter().map(Piece::Event))
}

fn older_document(last_id: u64, limit: usize, older: Older) -> Vec<Piece> {
    let before = older.before.map_or("null".to_owned(), |before| before.to_string());
    let start =
        format!("{{\"limit\":{limit},\"lastEventId\":{last_id},\"before\":{before},\"events\":[");
    list(start, older.events.into_iter().map(|json| Piece::Bytes(json.into())))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::{MIN_ID, Origin, SourceId};
    use crate::formats::history::{self, Line};

    #[test]
    fn the_document_has_the_newest_first_and_where_to_go_on() {
        let hub = Hub::new(MIN_ID);
        for (seq, text) in (0..).zip(["{\"display\":\"a\"}", "{\"display\":\"b\"}", "no json"]) {
            let line = Line { bytes: text.as_bytes(), len_bytes: text.len() as u64, offset: 0 };
            let origin = Origin { source: SourceId::HISTORY, seq };
            hub.publish(history::draft(line).draft.with_origin(origin));
        }
        let pieces = document(&hub, 2);
        let bytes = pieces.iter().map(Piece::bytes).collect::<Vec<_>>().concat();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&json["limit"], &json["lastEventId"]), (&2.into(), &(MIN_ID + 2).into()));
        let lines: Vec<_> = json["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["data"]["rawLine"])
            .collect();
        assert_eq!(lines, ["no json", "{\"display\":\"b\"}"]);
    }
}
