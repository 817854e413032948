//! An entry of the registry of running sessions, `sessions/<pid>.json`.
//!
//! Claude Code writes it when the status changes, not as a heartbeat, and not atomically. Entries
//! of sessions that crashed stay until the next start of Claude Code.
//!
//! Invariant: pure. An entry does not tell whether its process is alive.
//! Source: `claude-files.md`, section 4.1.

use std::borrow::Cow;

use jiff::Timestamp;

use super::json::{Raw, keys, number, text};

keys! {
    EntryKeys {
        pid: b"pid",
        session_id: b"sessionId",
        old_session_id: b"session_id",
        cwd: b"cwd",
        started_at: b"startedAt",
        proc_start: b"procStart",
        pid_domain: b"pidDomain",
        version: b"version",
        entrypoint: b"entrypoint",
        status: b"status",
        status_updated_at: b"statusUpdatedAt",
        waiting_for: b"waitingFor",
        name: b"name",
    }
}

/// The registry's word on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) session_id: String,
    /// Absent in the oldest entries, whose file name has it.
    pub(crate) pid: Option<u32>,
    /// When the process started, as the system of its writer spells it: clock ticks since boot on
    /// Linux, a date on macOS.
    pub(crate) proc_start: Option<String>,
    /// The system whose process ids are meant.
    pub(crate) pid_domain: Option<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) entrypoint: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    /// Absent: the entry only says that the session runs.
    pub(crate) status: Option<EntryStatus>,
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryStatus {
    Busy,
    Waiting {
        waiting_for: Option<String>,
    },
    Idle,
    /// The turn is over, and a shell in the background runs.
    Shell,
}

/// Parses an entry. Returns nothing for half-written JSON and for files without a session.
pub(crate) fn parse(bytes: &[u8]) -> Option<Entry> {
    let keys: EntryKeys = serde_json::from_slice(bytes).ok()?;
    let owned = |raw: Raw| text(raw).map(Cow::into_owned);
    let time = |raw: Raw| Timestamp::from_millisecond(i64::try_from(number(raw)?).ok()?).ok();
    let status = match text(keys.status).as_deref() {
        Some("busy") => Some(EntryStatus::Busy),
        // Of any other status it is left over from an earlier one.
        Some("waiting") => Some(EntryStatus::Waiting { waiting_for: owned(keys.waiting_for) }),
        Some("idle") => Some(EntryStatus::Idle),
        Some("shell") => Some(EntryStatus::Shell),
        _ => None,
    };
    Some(Entry {
        session_id: owned(keys.session_id.or(keys.old_session_id))?,
        pid: number(keys.pid).and_then(|pid| u32::try_from(pid).ok()),
        proc_start: owned(keys.proc_start),
        pid_domain: owned(keys.pid_domain),
        cwd: owned(keys.cwd),
        version: owned(keys.version),
        entrypoint: owned(keys.entrypoint),
        started_at: time(keys.started_at),
        status,
        since: time(keys.status_updated_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Option<EntryStatus> {
        parse(json.as_bytes()).unwrap().status
    }

    #[test]
    fn an_entry_is_read_as_claude_code_writes_it() {
        let entry = parse(
            br#"{"pid":40211,"sessionId":"s","cwd":"/p","startedAt":1789891199000,
                "procStart":"20095994","version":"2.1.260","kind":"interactive","entrypoint":"cli",
                "status":"busy","statusUpdatedAt":1789891261000,"name":"alpha-3f"}"#,
        );
        let wanted = Entry {
            session_id: "s".into(),
            pid: Some(40211),
            proc_start: Some("20095994".into()),
            pid_domain: None,
            cwd: Some("/p".into()),
            version: Some("2.1.260".into()),
            entrypoint: Some("cli".into()),
            started_at: Some("2026-09-20T07:59:59Z".parse().unwrap()),
            status: Some(EntryStatus::Busy),
            since: Some("2026-09-20T08:01:01Z".parse().unwrap()),
        };
        assert_eq!(entry, Some(wanted));
    }

    #[test]
    fn what_a_session_waits_for_counts_only_while_it_waits() {
        let waiting_for = Some("permission prompt".to_owned());
        let json = r#"{"sessionId":"s","status":"waiting","waitingFor":"permission prompt"}"#;
        assert_eq!(status(json), Some(EntryStatus::Waiting { waiting_for }));
        assert_eq!(status(&json.replace("\"waiting\"", "\"idle\"")), Some(EntryStatus::Idle));
        assert_eq!(status(&json.replace("\"waiting\"", "\"shell\"")), Some(EntryStatus::Shell));
        assert_eq!(status(&json.replace("\"waiting\"", "\"dreaming\"")), None);
    }

    #[test]
    fn an_entry_of_any_age_is_read_and_half_of_one_is_not() {
        let old = parse(br#"{"session_id":"s","cwd":"/home/demo/old"}"#).unwrap();
        assert_eq!((old.session_id.as_str(), old.pid, old.status), ("s", None, None));
        let odd = parse(br#"{"pid":-1,"sessionId":"s","startedAt":"x","status":7}"#).unwrap();
        assert_eq!((odd.pid, odd.started_at, odd.status), (None, None, None));
        for none in ["", "{\"pid\":1,\"sess", "{\"pid\":1}", "[]", "null", "{\"sessionId\":5}"] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }
}
