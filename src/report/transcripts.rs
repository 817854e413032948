//! Counters and state of transcripts and sessions, for `GET /healthz` and `GET /metrics`.
//!
//! Invariant: observes and controls nothing, and never contains the text of a record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::report::health::Counter;
use crate::report::metrics::{Kind, Metrics};

/// The most unknown types that are counted by name, and the most characters of a name.
const MAX_UNKNOWN_TYPES: usize = 50;
const MAX_TYPE_CHARS: usize = 64;

/// Counts of records since the start, and the state of now.
#[derive(Default)]
pub(crate) struct Transcripts {
    pub(crate) records: Counter,
    /// Parts of lines that are not a record.
    pub(crate) malformed: Counter,
    /// How often each unknown type of record or block has come.
    unknown_types: Mutex<BTreeMap<String, u64>>,
    /// Absent while transcripts are not followed.
    state: Mutex<Option<State>>,
}

/// The followed files and the sessions at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) files: Files,
    pub(crate) sessions: Sessions,
    /// Start of the longest current wait; absent if no session waits.
    #[serde(serialize_with = "print_optional_time")]
    pub(crate) waiting_since: Option<Timestamp>,
}

/// How many files are polled how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Files {
    /// With every poll.
    pub(crate) hot: usize,
    /// Every second, or when their session is at work.
    pub(crate) warm: usize,
    /// With a scan of the tree.
    pub(crate) cold: usize,
    pub(crate) open: usize,
}

/// How many sessions have each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sessions {
    pub(crate) waiting: usize,
    pub(crate) working: usize,
    pub(crate) idle: usize,
    pub(crate) ended: usize,
}

/// The part of `/healthz`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    #[serde(flatten)]
    state: State,
    records: u64,
    malformed: u64,
    unknown_types: BTreeMap<String, u64>,
}

impl Transcripts {
    /// Counts a record of an unknown type, or an unknown block.
    pub(crate) fn count_unknown(&self, unknown_type: &str) {
        let mut types = self.unknown_types.lock();
        if let Some(count) = types.get_mut(unknown_type) {
            *count += 1;
        } else if types.len() < MAX_UNKNOWN_TYPES {
            types.insert(unknown_type.chars().take(MAX_TYPE_CHARS).collect(), 1);
        }
    }

    /// Reports the followed files and the sessions.
    pub(crate) fn set_state(&self, state: State) {
        *self.state.lock() = Some(state);
    }

    /// Returns nothing while transcripts are not followed.
    pub(super) fn report(&self) -> Option<Report> {
        let state = (*self.state.lock())?;
        let unknown_types = self.unknown_types.lock().clone();
        let (records, malformed) = (self.records.get(), self.malformed.get());
        Some(Report { state, records, malformed, unknown_types })
    }

    pub(super) fn add_to(&self, metrics: &mut Metrics) {
        let Some(Report { state, records, malformed, unknown_types }) = self.report() else {
            return;
        };
        let State { files, sessions, waiting_since } = state;
        metrics.add("records", Kind::Counter, "Records that were read from transcripts.", records);
        let help = "Parts of lines of transcripts that are not a record.";
        metrics.add("malformed_records", Kind::Counter, help, malformed);
        let help = "Transcripts by how often they are polled.";
        let classes = [("hot", files.hot), ("warm", files.warm), ("cold", files.cold)];
        let classes = classes.map(|(class, count)| ([("class", class)], count));
        metrics.add_labelled("transcripts", Kind::Gauge, help, classes);
        metrics.add(
            "open_transcripts",
            Kind::Gauge,
            "Transcripts with an open handle.",
            files.open,
        );
        let help = "Sessions by status.";
        let statuses = [
            ("waiting", sessions.waiting),
            ("working", sessions.working),
            ("idle", sessions.idle),
            ("ended", sessions.ended),
        ];
        let statuses = statuses.map(|(status, count)| ([("status", status)], count));
        metrics.add_labelled("sessions", Kind::Gauge, help, statuses);
        if let Some(since) = waiting_since {
            let help = "Start of the longest current wait, in seconds since 1970; absent if no \
                session waits.";
            let seconds = since.as_millisecond() as f64 / 1e3;
            metrics.add("waiting_since_timestamp_seconds", Kind::Gauge, help, seconds);
        }
        if !unknown_types.is_empty() {
            let help = "Records and blocks of a type that is unknown.";
            let types = unknown_types.iter();
            let types = types.map(|(name, count)| ([("type", name.as_str())], *count));
            metrics.add_labelled("unknown_records", Kind::Counter, help, types);
        }
    }
}

pub(super) fn print_optional_time<S: serde::Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(crate::event::print_time).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_are_counted_by_name_up_to_a_bound() {
        let transcripts = Transcripts::default();
        (0..60).for_each(|number| transcripts.count_unknown(&format!("type{number:02}")));
        transcripts.count_unknown("type07");
        transcripts.set_state(State::default());
        let types = transcripts.report().unwrap().unknown_types;
        assert_eq!(types.len(), MAX_UNKNOWN_TYPES);
        assert_eq!((types["type07"], types["type08"]), (2, 1));
    }

    #[test]
    fn labels_are_escaped_and_absent_numbers_are_left_out() {
        let transcripts = Transcripts::default();
        transcripts.count_unknown("a\"b\\c\nd");
        let print = || {
            let mut metrics = Metrics::default();
            transcripts.add_to(&mut metrics);
            String::from_utf8(metrics.into_bytes()).unwrap()
        };
        assert_eq!(print(), "", "nothing is followed");
        let mut state = State::default();
        state.sessions.waiting = 2;
        transcripts.set_state(state);
        let text = print();
        assert!(text.contains("{type=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
        assert!(text.contains("claude_live_sessions{status=\"waiting\"} 2\n"), "{text}");
        assert!(!text.contains("waiting_since"), "{text}");
        state.waiting_since = Some(Timestamp::from_millisecond(1_787_600_000_500).unwrap());
        transcripts.set_state(state);
        let wanted = "\nclaude_live_waiting_since_timestamp_seconds 1787600000.5\n";
        assert!(print().contains(wanted));
    }
}
