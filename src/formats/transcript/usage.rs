//! The tokens that a record shows, without the rest of it: a gigabyte of transcripts is read for
//! them in less than a second.
//!
//! Invariant: pure; a line gives the same here as by [`each_part`].

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Part, Raw, Response, UsageKeys, each_part, is_true, keys, lossy, text, time, trim};

keys! {
    /// The keys of a record that shows tokens.
    Envelope {
        record_type: b"type",
        message: b"message" => Message<'a>,
        timestamp: b"timestamp",
        uuid: b"uuid",
        session_id: b"sessionId",
        is_sidechain: b"isSidechain",
        cwd: b"cwd",
        request_id: b"requestId",
        is_api_error: b"isApiErrorMessage",
    }
}

keys! {
    Message {
        id: b"id",
        model: b"model",
        usage: b"usage" => UsageKeys<'a>,
    }
}

keys! {
    CostState {
        record_type: b"type",
        total_cost_usd: b"totalCostUSD",
    }
}

/// A record that shows the tokens of a response.
pub(crate) struct Counted<'a> {
    /// Its usage is present.
    pub(crate) response: Response<'a>,
    pub(crate) ts: Option<Timestamp>,
    pub(crate) uuid: Option<Cow<'a, str>>,
    pub(crate) session_id: Option<Cow<'a, str>>,
    pub(crate) cwd: Option<Cow<'a, str>>,
    pub(crate) is_sidechain: bool,
}

/// Passes on the records of a line that show tokens.
pub(crate) fn each_counted(line: &[u8], mut each: impl FnMut(Counted)) {
    let text = lossy(line);
    // A line is one record as a rule. `each_part` knows its other shapes.
    if let Ok(keys) = serde_json::from_str::<Envelope>(trim(&text)) {
        return counted(keys).into_iter().for_each(each);
    }
    each_part(line, |part| {
        let Part::Record(record) = part else { return };
        let Some(response) = record.response().filter(|it| it.usage.is_some()) else { return };
        each(Counted {
            response,
            ts: record.ts,
            uuid: record.uuid(),
            session_id: record.session_id(),
            cwd: record.cwd(),
            is_sidechain: record.is_sidechain(),
        });
    });
}

fn counted(keys: Envelope<'_>) -> Option<Counted<'_>> {
    if !is(keys.record_type, "assistant") || is_true(keys.is_api_error) {
        return None;
    }
    let Message { id, model, usage } = keys.message;
    let response = usage.response(id, model, keys.request_id);
    response.usage.is_some().then(|| Counted {
        response,
        ts: time(keys.timestamp),
        uuid: text(keys.uuid),
        session_id: text(keys.session_id),
        cwd: text(keys.cwd).filter(|cwd| !cwd.is_empty()),
        is_sidechain: is_true(keys.is_sidechain),
    })
}

fn is(raw: Raw, wanted: &str) -> bool {
    text(raw).as_deref() == Some(wanted)
}

/// Returns the cost of a session so far from a `cost-state` record, in US dollars, as Claude Code
/// counts it.
pub(crate) fn reported_cost(line: &[u8]) -> Option<f64> {
    let text = lossy(line);
    let keys: CostState = serde_json::from_str(trim(&text)).ok()?;
    let usd: f64 = keys.total_cost_usd?.get().parse().ok()?;
    (is(keys.record_type, "cost-state") && usd.is_finite()).then_some(usd)
}
