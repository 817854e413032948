//! What the people of the demo type, and when: lines of a history as Claude Code writes them.
//!
//! A few sessions are open at a time; one is typed into for a while, then another; some end and new ones begin. Prompts
//! come from a table, each once before any a second time. Now and then a line goes wrong, in the ways that real ones do.
//!
//! Invariant: pure: no file, no clock, no thread; the same seed types the same.

use std::collections::BTreeMap;
use std::iter;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::prompts::{self, Prompt, Section};
use super::random::{Cards, Random};

/// What stands before a paste's number in a prompt.
const PASTE_MARK: &str = "[Pasted text #";

/// Prompts of the backlog.
const BACKLOG_LINES: usize = 360;

/// From the first line of the backlog to now.
const BACKLOG_SPAN: Duration = Duration::from_secs(20 * 60 * 60);

/// From one prompt of the backlog to the next, before all of it is stretched over its span.
const THINKING: RangeInclusive<Duration> = Duration::from_secs(8)..=Duration::from_secs(240);

/// Coffee, a meeting, lunch, the night.
const AWAY: RangeInclusive<Duration> = Duration::from_secs(1800)..=Duration::from_secs(14_400);

/// One pause in the backlog in so many is one away from the desk.
const AWAY_ODDS: usize = 40;

/// The last lines of the backlog, before which nobody leaves the desk: about an hour's.
const RECENT_LINES: usize = 60;

/// From one line to the next while the demo runs: busier than people are, so that there is something to see.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(900)..=Duration::from_millis(2100);

/// The longer pauses among them.
const LONG_PAUSE: RangeInclusive<Duration> =
    Duration::from_millis(2500)..=Duration::from_millis(4000);

/// One pause in so many is a long one.
const LONG_ODDS: usize = 8;

/// Between the lines of a burst: prompts that were queued while Claude was busy are written together.
const BURST_PAUSE: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(120);

/// Lines of a burst after its first.
const BURST_LINES: RangeInclusive<usize> = 1..=3;

/// One line in so many begins a burst.
const BURST_ODDS: usize = 10;

/// Between the halves of a line that is written in two parts.
const HALF_PAUSE: RangeInclusive<Duration> =
    Duration::from_millis(300)..=Duration::from_millis(900);

/// One line in so many is written in two parts.
const HALF_ODDS: usize = 25;

/// One line in so many is broken.
const FLAW_ODDS: usize = 150;

/// One line in so many is without a session, as those of 2025 are.
const OLD_ODDS: usize = 200;

/// One deed in so many is an update of the counts.
const STATS_ODDS: usize = 20;

/// One deed in so many is an update of the component list.
const REGISTRY_ODDS: usize = 90;

/// Sessions open at a time.
const SESSIONS: usize = 5;

/// Prompts until a session ends.
const SESSION_PROMPTS: RangeInclusive<usize> = 20..=90;

/// Prompts in a row in one session.
const RUN_PROMPTS: RangeInclusive<usize> = 1..=7;

/// One prompt in so many is one that fits any project.
const ANY_PROJECT_ODDS: usize = 3;

/// Makes a broken line of a whole record and a place within it.
type Flaw = fn(&[u8], usize) -> Vec<u8>;

/// Ways in which a line goes wrong: none of them leaves exactly one JSON object.
const FLAWS: [Flaw; 4] = [
    // The writer was stopped; the next one ended the line.
    |record, cut| record[..cut].to_vec(),
    // The same, and the next one did not.
    |record, cut| [&record[..cut], record].concat(),
    // The line end was lost.
    |record, _| [record, record].concat(),
    // Something that never was a record.
    |_, _| b"null".to_vec(),
];

/// Something to write.
#[derive(Debug)]
pub(super) enum Deed {
    /// Bytes for the end of the history: a line, half a line, the rest of one.
    Append(Vec<u8>),
    /// A new version of the counts.
    Stats,
    /// A new version of the component list.
    Registry,
}

/// A project, and what is typed in it.
struct Project {
    path: &'static str,
    prompts: Cards<Prompt>,
}

impl From<Section> for Project {
    fn from(section: Section) -> Project {
        Project { path: section.project, prompts: Cards::new(section.prompts) }
    }
}

/// Everybody who types, as one.
pub(super) struct Author {
    random: Random,
    projects: Vec<Project>,
    /// Indices of projects, for the sessions to come.
    next_projects: Cards<usize>,
    any_project: Cards<Prompt>,
    sessions: Vec<Session>,
    /// Which session is typed into, and how many prompts more.
    at: usize,
    run: usize,
    /// Lines of the burst still to come.
    burst: usize,
    /// What half a line still lacks.
    rest: Option<Vec<u8>>,
}

impl Author {
    pub(super) fn new(mut random: Random) -> Author {
        let (projects, any_project) = prompts::sections();
        let mut next_projects = Cards::new((0..projects.len()).collect());
        let open_session = || Session::new(&mut next_projects, &mut random);
        Author {
            sessions: iter::repeat_with(open_session).take(SESSIONS).collect(),
            random,
            projects: projects.into_iter().map(Project::from).collect(),
            next_projects,
            any_project: Cards::new(any_project.prompts),
            at: 0,
            run: 0,
            burst: 0,
            rest: None,
        }
    }

    /// The lines of the hours before `now_ms` (since 1970), oldest first.
    pub(super) fn backlog(&mut self, now_ms: i64) -> Vec<u8> {
        let pauses: Vec<Duration> =
            (0..BACKLOG_LINES).rev().map(|left| self.past_pause(left < RECENT_LINES)).collect();
        let mut left: Duration = pauses.iter().sum();
        let stretch = BACKLOG_SPAN.as_secs_f64() / left.as_secs_f64();
        let mut lines = Vec::new();
        for pause in pauses {
            let before_now = left.mul_f64(stretch);
            lines.extend(self.line(now_ms - before_now.as_millis() as i64));
            left -= pause;
        }
        lines
    }

    /// What to write at `now_ms` (since 1970), and how long to wait after it.
    pub(super) fn next(&mut self, now_ms: i64) -> (Deed, Duration) {
        (self.deed(now_ms), self.pause())
    }

    fn deed(&mut self, now_ms: i64) -> Deed {
        if let Some(rest) = self.rest.take() {
            return Deed::Append(rest);
        }
        if self.random.one_in(STATS_ODDS) {
            return Deed::Stats;
        }
        if self.random.one_in(REGISTRY_ODDS) {
            return Deed::Registry;
        }
        let mut line = self.line(now_ms);
        if self.random.one_in(HALF_ODDS) {
            self.rest = Some(line.split_off(self.random.within(&(1..=line.len() - 1))));
        }
        Deed::Append(line)
    }

    fn pause(&mut self) -> Duration {
        if self.rest.is_some() {
            return self.random.lasting(&HALF_PAUSE);
        }
        if self.burst == 0 && self.random.one_in(BURST_ODDS) {
            self.burst = self.random.within(&BURST_LINES);
            self.run = self.run.max(self.burst);
        } else {
            self.burst = self.burst.saturating_sub(1);
        }
        let range = match self.burst {
            0 if self.random.one_in(LONG_ODDS) => &LONG_PAUSE,
            0 => &PAUSE,
            _ => &BURST_PAUSE,
        };
        self.random.lasting(range)
    }

    fn past_pause(&mut self, is_recent: bool) -> Duration {
        let is_away = !is_recent && self.random.one_in(AWAY_ODDS);
        let range = if is_away { &AWAY } else { &THINKING };
        self.random.lasting(range)
    }

    fn line(&mut self, timestamp_ms: i64) -> Vec<u8> {
        let mut line = self.record(timestamp_ms);
        if self.random.one_in(FLAW_ODDS) {
            let cut = self.random.within(&(1..=line.len() - 1));
            line = self.random.pick(&FLAWS)(&line, cut);
        }
        line.push(b'\n');
        line
    }

    fn record(&mut self, timestamp_ms: i64) -> Vec<u8> {
        self.turn_to_session();
        let session = &mut self.sessions[self.at];
        session.prompts_left -= 1;
        let project = &mut self.projects[session.project];
        let any_project = self.random.one_in(ANY_PROJECT_ODDS);
        let prompts = if any_project { &mut self.any_project } else { &mut project.prompts };
        let prompt = prompts.draw(&mut self.random);
        let Prompt { text: mut display, paste } = prompt.expanded(&mut self.random);
        if display.starts_with('/') && !display.contains(' ') {
            // The completion of a command leaves a space behind, and Claude Code writes it so.
            display.push(' ');
        }
        let record = Record {
            pasted_contents: pastes(&display, paste, &mut self.random),
            timestamp: timestamp_ms,
            project: project.path,
            session_id: (!self.random.one_in(OLD_ODDS)).then_some(session.id.as_str()),
            display: &display,
        };
        let bytes = serde_json::to_vec(&record).expect("text and numbers are always JSON");
        if display.starts_with("/clear") {
            // Claude Code goes on under a new id then.
            session.id = uuid(&mut self.random);
        }
        bytes
    }

    /// Stays with the session of the last prompt, or turns to another one, or opens one in the place of one that has ended.
    fn turn_to_session(&mut self) {
        if self.sessions[self.at].prompts_left == 0 {
            self.sessions[self.at] = Session::new(&mut self.next_projects, &mut self.random);
        } else if self.run == 0 {
            self.at = self.random.below(self.sessions.len());
            self.run = self.random.within(&RUN_PROMPTS);
        }
        self.run = self.run.saturating_sub(1);
    }
}

/// A session of Claude Code, by its id and the index of its project.
struct Session {
    id: String,
    project: usize,
    prompts_left: usize,
}

impl Session {
    fn new(next_projects: &mut Cards<usize>, random: &mut Random) -> Session {
        let project = *next_projects.draw(random);
        Session { id: uuid(random), project, prompts_left: random.within(&SESSION_PROMPTS) }
    }
}

/// A random UUID: version 4, variant 1 (RFC 9562, 5.4).
fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let hex = format!("{high:016x}{low:016x}");
    let variant = random.pick(&["8", "9", "a", "b"]);
    [&hex[..8], "-", &hex[8..12], "-4", &hex[13..16], "-", variant, &hex[17..20], "-", &hex[20..]]
        .concat()
}

/// A line of the history, its keys in the order that Claude Code writes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    display: &'a str,
    pasted_contents: BTreeMap<String, Paste>,
    timestamp: i64,
    project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

/// A pasted text: short ones stand in the line, of long ones only a hash.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paste {
    id: u32,
    r#type: &'static str,
    #[serde(flatten)]
    text: PastedText,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum PastedText {
    Content(String),
    ContentHash(String),
}

/// The pastes that `display` speaks of: the first is `inline` where there is such a text, of the others only a hash is known.
fn pastes(
    display: &str,
    mut inline: Option<String>,
    random: &mut Random,
) -> BTreeMap<String, Paste> {
    let number = |after: &str| after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let paste = |id: u32| {
        let hash = || PastedText::ContentHash(format!("{:016x}", random.next()));
        let text = inline.take().map_or_else(hash, PastedText::Content);
        (id.to_string(), Paste { id, r#type: "text", text })
    };
    display.split(PASTE_MARK).skip(1).filter_map(number).map(paste).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn author() -> Author {
        Author::new(Random::seeded(7))
    }

    fn parse(line: &[u8]) -> Option<Value> {
        serde_json::from_slice(line).ok().filter(Value::is_object)
    }

    #[test]
    fn a_line_looks_as_claude_code_writes_it() {
        let record = Record {
            display: "erklär [Pasted text #1 +1 lines] und [Pasted text #2]",
            pasted_contents: pastes(
                "erklär [Pasted text #1 +1 lines] und [Pasted text #2]",
                Some("a\tb".to_owned()),
                &mut Random::seeded(1),
            ),
            timestamp: NOW_MS,
            project: r"C:\src",
            session_id: Some("0b6f3c52-1111-4a7e-9c11-3f1f0a2b0001"),
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            concat!(
                r#"{"display":"erklär [Pasted text #1 +1 lines] und [Pasted text #2]","#,
                r#""pastedContents":{"1":{"id":1,"type":"text","content":"a\tb"},"#,
                r#""2":{"id":2,"type":"text","contentHash":"47e4ce4b896cdd1d"}},"#,
                r#""timestamp":1790000000000,"project":"C:\\src","#,
                r#""sessionId":"0b6f3c52-1111-4a7e-9c11-3f1f0a2b0001"}"#,
            )
        );
    }

    #[test]
    fn the_same_seed_types_the_same() {
        assert_eq!(author().backlog(NOW_MS), author().backlog(NOW_MS));
    }

    #[test]
    fn the_backlog_fills_the_hours_before_now_in_order() {
        let lines = author().backlog(NOW_MS);
        let times: Vec<i64> = lines
            .split(|&byte| byte == b'\n')
            .filter_map(parse)
            .map(|record| record["timestamp"].as_i64().unwrap())
            .collect();
        assert!(times.len() > BACKLOG_LINES - 30, "{}", times.len());
        assert!(times.is_sorted() && *times.last().unwrap() < NOW_MS);
        let span_ms = BACKLOG_SPAN.as_millis() as i64;
        assert!((NOW_MS - span_ms..NOW_MS - span_ms + 1_000_000).contains(&times[0]), "{times:?}");
        let of_last_hour = times.iter().filter(|&&time| time > NOW_MS - 3_600_000).count();
        assert!(of_last_hour > RECENT_LINES / 2, "{of_last_hour}");
    }

    /// What an hour of the demo writes into the history, and how long its pauses are.
    fn an_hour() -> (Vec<u8>, Vec<Duration>) {
        let mut author = author();
        let (mut history, mut pauses) = (Vec::new(), Vec::new());
        let mut elapsed = Duration::ZERO;
        while elapsed < Duration::from_secs(3600) {
            let (deed, pause) = author.next(NOW_MS + elapsed.as_millis() as i64);
            if let Deed::Append(bytes) = deed {
                history.extend(bytes);
            }
            elapsed += pause;
            pauses.push(pause);
        }
        (history, pauses)
    }

    #[test]
    fn a_line_comes_every_second_or_two_with_bursts_and_pauses() {
        let (_, pauses) = an_hour();
        let mean = pauses.iter().sum::<Duration>() / u32::try_from(pauses.len()).unwrap();
        assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&mean), "{mean:?}");
        let count =
            |range| pauses.iter().filter(|&pause| RangeInclusive::contains(range, pause)).count();
        for range in [&PAUSE, &LONG_PAUSE, &BURST_PAUSE, &HALF_PAUSE] {
            assert!(count(range) > pauses.len() / 50, "{range:?}");
        }
        assert!(pauses.iter().all(|pause| pause <= LONG_PAUSE.end()));
    }

    #[test]
    fn most_lines_are_whole_and_some_are_not() {
        let (history, _) = an_hour();
        let lines: Vec<&[u8]> = history.split(|&byte| byte == b'\n').collect();
        let broken = lines.iter().filter(|line| parse(line).is_none()).count();
        let wanted = lines.len() / FLAW_ODDS;
        assert!((wanted / 2..wanted * 2).contains(&broken), "{broken} of {}", lines.len());
    }

    #[test]
    fn an_hour_shows_every_kind_of_prompt() {
        let (history, _) = an_hour();
        let records: Vec<Value> = history.split(|&byte| byte == b'\n').filter_map(parse).collect();
        let display = |record: &Value| record["display"].as_str().unwrap().to_owned();
        for sought in [
            "/clear ",
            "/model sonnet",
            "! cargo test -q",
            "sk-ant-api03-EXAMPLE",
            "[Image #1]",
            "🎉",
            "\n",
        ] {
            assert!(records.iter().any(|record| display(record).contains(sought)), "{sought:?}");
        }
        assert!(records.iter().any(|record| record.get("sessionId").is_none()));
        for key in ["content", "contentHash"] {
            assert!(
                records.iter().any(|record| record["pastedContents"]["1"].get(key).is_some()),
                "{key}"
            );
        }
        assert!(
            !records.iter().any(|record| display(record).contains('{')),
            "a choice is not made"
        );
        let distinct: HashSet<String> = records.iter().map(display).collect();
        assert!(distinct.len() > 250, "{}", distinct.len());
        let projects: HashSet<&str> =
            records.iter().map(|record| record["project"].as_str().unwrap()).collect();
        assert_eq!(projects.len(), 6, "{projects:?}");
        assert!(projects.contains(r"C:\Users\mira\source\Inventory"));
    }

    #[test]
    fn sessions_come_and_go_and_stay_in_their_project() {
        let (history, _) = an_hour();
        let mut projects: HashMap<String, Value> = HashMap::new();
        let mut turns = 0;
        let mut last = String::new();
        let records: Vec<Value> = history.split(|&byte| byte == b'\n').filter_map(parse).collect();
        for record in &records {
            let Some(session) = record.get("sessionId").and_then(Value::as_str) else { continue };
            turns += usize::from(last != session);
            session.clone_into(&mut last);
            let project = projects.entry(last.clone()).or_insert_with(|| record["project"].clone());
            assert_eq!(project, &record["project"]);
        }
        assert!((SESSIONS * 2..records.len() / 10).contains(&projects.len()), "{}", projects.len());
        assert!((projects.len()..records.len() / 2).contains(&turns), "{turns}");
    }

    #[test]
    fn a_uuid_has_its_form() {
        let mut random = Random::seeded(3);
        for _ in 0..100 {
            let uuid = uuid(&mut random);
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid[14..].starts_with('4') && "89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }
}
