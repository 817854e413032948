//! Tokens and cost, as JSON or as CSV.
//!
//! While transcripts are still being read, JSON has the sums so far, and CSV is refused with 503.
//! Invariant: only a request for usage starts the reading; a scrape of `/metrics` does not.

use jiff::Timestamp;

use crate::sources::usage::Usage;

use super::answer::{Answer, Refusal};
use super::encoding;
use super::head::Head;
use super::query;

/// Answers with the sums of what is read so far. The first request starts the reading.
pub(super) fn answer(
    head: &Head,
    usage: Option<&Usage>,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let query = query::usage(head)?;
    let usage = usage.ok_or_else(|| {
        let message = "usage needs transcripts; start without --no-transcripts";
        Refusal::new(404, "no_transcripts", message)
    })?;
    let report = usage.report(&query, now).map_err(|error| {
        Refusal::new(503, "usage_unavailable", format!("cannot read the transcripts: {error}"))
    })?;
    if !wants_csv(head) {
        return Ok(Answer::json(report.json()));
    }
    // A table cannot say that it is partial.
    if report.is_partial() {
        let message = "the transcripts are still being read; try again later, or ask for JSON";
        return Err(Refusal::new(503, "usage_partial", message));
    }
    Ok(Answer::csv(report.csv()))
}

/// Whether the client names CSV and does not prefer JSON.
fn wants_csv(head: &Head) -> bool {
    let weight = |wanted: &str| encoding::weight(head, "Accept", wanted);
    weight("text/csv")
        .is_some_and(|csv| csv > 0.0 && weight("application/json").is_none_or(|json| csv >= json))
}

/// Adds the tokens and the cost of models to other metrics.
pub(super) fn with_metrics(mut metrics: Vec<u8>, usage: Option<&Usage>) -> Vec<u8> {
    metrics.extend(usage.map(Usage::metrics).unwrap_or_default());
    metrics
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::formats::prices::Prices;
    use crate::http::head::parse;

    fn ask(usage: Option<&Usage>, accept: &str) -> Result<String, (u16, &'static str)> {
        let head = format!("GET /api/claude/usage HTTP/1.1\r\nHost: x\r\nAccept: {accept}");
        let head = parse(head.as_bytes()).unwrap();
        let answer = answer(&head, usage, Timestamp::UNIX_EPOCH);
        let answer = answer.map_err(|refusal| (refusal.status, refusal.code))?;
        let mut bytes = Vec::new();
        answer.write(&mut bytes, &(1, 1).into(), false, false).unwrap();
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn an_answer_before_the_end_says_that_it_is_a_part_and_csv_waits() {
        let nowhere = Path::new("/nowhere");
        let prices = Arc::new(Prices::built_in());
        // The reader never takes a step.
        let usage = Usage::new(nowhere, Arc::clone(&prices), Box::new(|_| Ok(())));
        let json = ask(Some(&usage), "*/*").unwrap();
        let body = "{\"days\":30,\"tz\":\"UTC\",\"by\":[\"day\"],\"reading\":{\"files\":0,\"done\":0},\
            \"partial\":true,\"unpriced\":[],\"total\":{\"responses\":0,\"input\":0,\"output\":0,\
            \"cacheRead\":0,\"cacheWrite\":0},\"rows\":[]}";
        assert!(json.ends_with(&format!("\r\n\r\n{body}")), "{json}");
        assert_eq!(ask(Some(&usage), "text/csv"), Err((503, "usage_partial")));
        assert_eq!(ask(Some(&usage), "text/html, TEXT/CSV; q=0.9"), Err((503, "usage_partial")));
        for json in ["text/csv;q=0", "application/json, text/csv;q=0.1"] {
            assert!(ask(Some(&usage), json).is_ok(), "{json}");
        }
        assert_eq!(ask(None, "*/*"), Err((404, "no_transcripts")));
        let broken = |_| Err(io::Error::from(io::ErrorKind::OutOfMemory));
        let usage = Usage::new(nowhere, prices, Box::new(broken));
        assert_eq!(ask(Some(&usage), "*/*"), Err((503, "usage_unavailable")));
    }
}
