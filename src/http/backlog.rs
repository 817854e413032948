//! The backlog: the newest history events as one JSON document.

use std::ops::RangeInclusive;

use crate::hub::Hub;

use super::answer::{Answer, Piece, Refusal};
use super::head::Head;

/// Events of a backlog when no limit is given.
const DEFAULT_LIMIT: usize = 200;

/// What a limit is clamped to; the hub holds no more.
const LIMITS: RangeInclusive<usize> = 1..=crate::hub::RING_EVENTS;

pub(crate) fn answer(head: &Head, hub: &Hub) -> Result<Answer, Refusal> {
    let limit = head.parameter("limit").map_or(Ok(DEFAULT_LIMIT), |text| limit(&text))?;
    Ok(Answer::json_of(document(hub, limit)))
}

/// A whole number of any size, clamped.
fn limit(text: &str) -> Result<usize, Refusal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!(
            "limit `{text}`: expected a whole number, which is clamped to 1..{}",
            LIMITS.end()
        );
        return Err(Refusal::new(400, "bad_limit", message));
    }
    let number = if text.starts_with('-') { 0 } else { text.parse().unwrap_or(usize::MAX) };
    Ok(number.clamp(*LIMITS.start(), *LIMITS.end()))
}

fn document(hub: &Hub, limit: usize) -> Vec<Piece> {
    let backlog = hub.backlog(limit);
    let start = format!("{{\"limit\":{limit},\"lastEventId\":{},\"events\":[", backlog.last_id);
    let mut pieces = Vec::with_capacity(backlog.events.len() * 2 + 2);
    pieces.push(Piece::Bytes(start.into_bytes().into()));
    for (index, event) in backlog.events.into_iter().enumerate() {
        if index > 0 {
            pieces.push(Piece::Bytes(b",".into()));
        }
        pieces.push(Piece::Event(event));
    }
    pieces.push(Piece::Bytes(b"]}".into()));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::MIN_ID;
    use crate::history;
    use crate::tail::Line;

    #[track_caller]
    fn check(text: &str, wanted: Option<usize>) {
        assert_eq!(limit(text).ok(), wanted, "{text}");
    }

    #[test]
    fn a_limit_is_clamped_and_must_be_a_whole_number() {
        check("1", Some(1));
        check("1000", Some(1000));
        check("1001", Some(1000));
        check("0", Some(1));
        check("-5", Some(1));
        check("99999999999999999999999", Some(1000));
        for bad in ["", "-", "x", "1.5", " 1", "1e3", "+1"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_document_has_the_newest_first_and_where_to_go_on() {
        let hub = Hub::new(MIN_ID);
        for (seq, text) in
            ["{\"display\":\"a\"}", "{\"display\":\"b\"}", "no json"].iter().enumerate()
        {
            let bytes = text.as_bytes().to_vec();
            let len_bytes = bytes.len() as u64;
            hub.publish(
                history::draft(&Line { seq: seq as u64, offset: 0, bytes, len_bytes }).draft,
            );
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
