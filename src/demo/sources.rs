//! The two small files beside the history: the counts, and the list of components.
//!
//! Only that they change matters to what follows them; they hold enough of the real ones' keys to be looked at.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

/// The layout that Claude Code writes in 2026.
const STATS_VERSION: u32 = 5;

/// Messages a day over two weeks, the newest first: yesterday is the first, as the real file leaves today out.
const DAILY_MESSAGES: [u64; 14] = [412, 388, 97, 12, 640, 531, 476, 502, 455, 61, 0, 380, 718, 604];

/// Messages a session, about.
const MESSAGES_A_SESSION: u64 = 42;

/// Tool calls for each two messages, about.
const MESSAGES_A_TOOL_CALL: u64 = 2;

/// Tokens a message, about.
const TOKENS_A_MESSAGE: u64 = 277;

/// The model that all of it was asked.
const MODEL: &str = "claude-opus-5";

/// Name, kind and description of what the component list holds.
const COMPONENTS: [(&str, &str, &str); 5] = [
    ("release-notes", "skill", "Writes the changelog from the merged pull requests"),
    ("sql-plans", "skill", "Reads query plans and proposes indexes"),
    ("reviewer", "agent", "Looks for what the tests cannot see"),
    ("translator", "agent", "Keeps to the glossary of the handbook"),
    ("cluster", "command", "Health of the nodes, read only"),
];

/// `stats-cache.json` at `now`, with `messages` more than the last days had.
pub(super) fn stats(now: Timestamp, messages: u64) -> Vec<u8> {
    let days: Vec<(Date, u64)> =
        (1..).map(|back| days_ago(now, back)).zip(DAILY_MESSAGES).collect();
    let total = DAILY_MESSAGES.iter().sum::<u64>() + messages;
    json!({
        "version": STATS_VERSION,
        "lastComputedDate": days_ago(now, 1).to_string(),
        "dailyActivity": days.iter().rev().map(|&(date, count)| activity(date, count)).collect::<Vec<_>>(),
        "dailyModelTokens": days.iter().rev().map(|&(date, count)| tokens(date, count)).collect::<Vec<_>>(),
        "totalSessions": total / MESSAGES_A_SESSION,
        "totalMessages": total,
    })
    .to_string()
    .into_bytes()
}

/// `state/component-registry.json` at `now`. Nothing fixes its form: it is whatever its owner's tools keep in it.
pub(super) fn registry(now: Timestamp) -> Vec<u8> {
    let components: Vec<Value> = COMPONENTS
        .iter()
        .map(|(name, kind, description)| json!({ "name": name, "kind": kind, "description": description }))
        .collect();
    json!({ "updated": now.to_string(), "components": components }).to_string().into_bytes()
}

fn activity(date: Date, messages: u64) -> Value {
    json!({
        "date": date.to_string(),
        "messageCount": messages,
        "sessionCount": messages.div_ceil(MESSAGES_A_SESSION),
        "toolCallCount": messages / MESSAGES_A_TOOL_CALL,
    })
}

fn tokens(date: Date, messages: u64) -> Value {
    json!({ "date": date.to_string(), "tokensByModel": { MODEL: messages * TOKENS_A_MESSAGE } })
}

fn days_ago(now: Timestamp, days: u32) -> Date {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    (now - days * DAY).to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_end_yesterday_and_grow() {
        let now: Timestamp = "2026-03-02T00:30:00Z".parse().unwrap();
        let parse = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        let (before, after) = (parse(stats(now, 0)), parse(stats(now, 5)));
        assert_eq!(before["lastComputedDate"], "2026-03-01");
        assert_eq!(before["dailyActivity"][13]["date"], "2026-03-01");
        assert_eq!(before["dailyActivity"][0]["date"], "2026-02-16");
        let total = |stats: &Value| stats["totalMessages"].as_u64().unwrap();
        assert_eq!(total(&after), total(&before) + 5);
    }
}
