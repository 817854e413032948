//! The sums as rows, and the rows as JSON, as CSV and as a table for a terminal.
//!
//! One list of columns serves all three, so that they show the same figures under the same names.
//! Invariant: pure. A cost without a price is absent, not zero.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::formats::prices::Cost;

use super::query::{By, Day, Query, Zone, print_day};
use super::{Entry, File, Part, Responses, Shown};

/// How many files are known, and how many of them are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    pub(crate) files: usize,
    pub(crate) done: usize,
    /// The files are not all known yet.
    #[serde(skip)]
    pub(crate) is_searching: bool,
}

/// The answer to a [`Query`].
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    days: u32,
    #[serde(serialize_with = "print_zone")]
    tz: Zone,
    #[serde(serialize_with = "print_by")]
    by: By,
    reading: Progress,
    /// Files are not read yet: the sums will grow.
    partial: bool,
    /// Models that have tokens and no price.
    unpriced: Vec<String>,
    total: Sum,
    rows: Vec<Row>,
    /// When the prices were taken from their source.
    #[serde(skip)]
    prices_date: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(flatten)]
    sum: Sum,
    /// The part of a session's subagents, if they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    subagents: Option<Sum>,
    /// The cost of the whole session as Claude Code counts it, whatever the days.
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_cost_usd: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    responses: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    /// Of the responses whose model has a price; absent if none has.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "print_cost")]
    cost_usd: Option<Cost>,
}

/// Tokens and cost of a model since the first record, for `/metrics`.
pub(crate) struct ModelSum {
    pub(crate) model: String,
    /// By the name of the kind.
    pub(crate) tokens: [(&'static str, u64); 4],
    pub(crate) cost_usd: Option<f64>,
}

impl Progress {
    pub(crate) fn is_partial(&self) -> bool {
        self.is_searching || self.done < self.files
    }
}

impl Sum {
    fn add(&mut self, shown: &Shown, cost: Option<Cost>) {
        self.responses += 1;
        self.input += u64::from(shown.input);
        self.output += u64::from(shown.output);
        self.cache_read += u64::from(shown.cache_read);
        self.cache_write += u64::from(shown.cache_write);
        if let Some(cost) = cost {
            self.cost_usd.get_or_insert_default().add(cost);
        }
    }

    fn join(&mut self, other: &Sum) {
        self.responses += other.responses;
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        if let Some(cost) = other.cost_usd {
            self.cost_usd.get_or_insert_default().add(cost);
        }
    }

    fn tokens(&self) -> u64 {
        self.input + self.output + self.cache_read + self.cache_write
    }

    /// In the order of [`COLUMNS`].
    fn values(&self) -> [u64; 5] {
        [self.responses, self.input, self.output, self.cache_read, self.cache_write]
    }
}

/// The columns of the sums but the cost: in JSON and CSV, and in a table.
const COLUMNS: [(&str, &str); 5] = [
    ("responses", "responses"),
    ("input", "input"),
    ("output", "output"),
    ("cacheRead", "cache read"),
    ("cacheWrite", "cache write"),
];

/// The values that a row is grouped by; absent for columns that the query does not name.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Key {
    day: Option<Day>,
    project: Option<u32>,
    model: Option<u16>,
    session: Option<u32>,
}

/// The sums of all responses and of those of subagents.
type Sums = (Sum, Sum);

type Groups = HashMap<Key, Sums>;

impl Responses {
    /// Returns the sums that a query asks for.
    pub(crate) fn report(&self, query: &Query, now: Timestamp, reading: Progress) -> Report {
        let mains = self.mains();
        let groups = self.group(query, query.range(now), &mains);
        let (mut total, mut unpriced) = (Sum::default(), Vec::new());
        for (model, sum) in self.by_model(&groups) {
            if sum.cost_usd.is_none() {
                unpriced.push(model.to_owned());
            }
            total.join(&sum);
        }
        unpriced.sort();
        Report {
            days: query.days,
            tz: query.zone,
            by: query.by,
            reading,
            partial: reading.is_partial(),
            unpriced,
            total,
            rows: self.rows(query.by, groups, &mains),
            prices_date: self.prices.date().map(str::to_owned),
        }
    }

    /// Returns the sums of all days by model.
    pub(crate) fn model_sums(&self) -> Vec<ModelSum> {
        let query = Query { by: By::default(), ..Query::default() };
        let groups = self.group(&query, None, &HashMap::new());
        let sums = self.by_model(&groups).map(|(model, sum)| ModelSum {
            model: model.to_owned(),
            tokens: [
                ("input", sum.input),
                ("output", sum.output),
                ("cacheRead", sum.cache_read),
                ("cacheWrite", sum.cache_write),
            ],
            cost_usd: sum.cost_usd.map(Cost::usd),
        });
        sums.collect()
    }

    /// Returns the sums of models that groups have, by their names.
    fn by_model(&self, groups: &Groups) -> impl Iterator<Item = (&str, Sum)> {
        let mut sums = vec![Sum::default(); self.model_prices.len()];
        for (key, (sum, _)) in groups {
            sums[usize::from(key.model.expect("groups have one"))].join(sum);
        }
        let sums = sums.into_iter().enumerate().filter(|(_, sum)| sum.responses > 0);
        sums.map(|(model, sum)| (self.models.name(model as u32), sum))
    }

    /// Returns the transcripts of sessions, apart from those of subagents; of copies the first.
    fn mains(&self) -> HashMap<u32, &File> {
        let mut mains: HashMap<u32, &File> = HashMap::new();
        for file in self.files.iter().flatten().filter(|file| file.part == Part::Transcript) {
            let Some(session) = file.session else { continue };
            let known = mains.entry(session).or_insert(file);
            if file.path < known.path {
                *known = file;
            }
        }
        mains
    }

    /// Returns the sums of some days, or of all, by what the query asks for and by model.
    fn group(
        &self,
        query: &Query,
        days: Option<RangeInclusive<Day>>,
        mains: &HashMap<u32, &File>,
    ) -> Groups {
        let by = query.by;
        let mut groups = HashMap::new();
        // Neighbours are of the same group as a rule.
        let mut last = (Key::default(), Sums::default());
        for file in self.files.iter().flatten() {
            let main = file.session.and_then(|session| mains.get(&session));
            let project = main.and_then(|main| main.project).or(file.project);
            let project = project.filter(|_| by.project);
            let session = file.session.filter(|_| by.session);
            for entry in file.entries.iter().filter(|entry| entry.is_first) {
                let day = query.zone.day(entry.ms);
                if days.as_ref().is_some_and(|days| !days.contains(&day)) {
                    continue;
                }
                let shown = self.counted(entry);
                let day = by.day.then_some(day);
                let key = Key { day, project, model: Some(shown.model), session };
                if last.0 != key {
                    join(&mut groups, std::mem::replace(&mut last, (key, Sums::default())));
                }
                let cost = self.cost(shown);
                last.1.0.add(shown, cost);
                if entry.is_subagent {
                    last.1.1.add(shown, cost);
                }
            }
        }
        join(&mut groups, last);
        groups
    }

    /// Returns the tokens of a response, of which this is the first entry.
    fn counted<'a>(&'a self, entry: &'a Entry) -> &'a Shown {
        let larger = entry.has_larger.then(|| self.larger.get(&entry.key)).flatten();
        larger.unwrap_or(&entry.shown)
    }

    fn cost(&self, shown: &Shown) -> Option<Cost> {
        let price = self.model_prices[usize::from(shown.model)].as_ref()?;
        Some(price.cost(&shown.usage(), shown.terms))
    }

    /// Orders rows by day, then the dearest first.
    fn compare(&self, one: &(Key, Sums), other: &(Key, Sums)) -> Ordering {
        let rank = |(key, (sum, _)): &(Key, Sums)| (key.day, Reverse((sum.cost_usd, sum.tokens())));
        let names = |key: &Key| {
            (
                key.project.map(|project| self.projects.name(project)),
                key.model.map(|model| self.models.name(model.into())),
                key.session.map(|session| self.sessions.name(session)),
            )
        };
        rank(one).cmp(&rank(other)).then_with(|| names(&one.0).cmp(&names(&other.0)))
    }

    fn rows(&self, by: By, mut groups: Groups, mains: &HashMap<u32, &File>) -> Vec<Row> {
        if !by.model {
            let of_models = std::mem::take(&mut groups);
            let keys = of_models.into_iter().map(|(key, sums)| (Key { model: None, ..key }, sums));
            keys.for_each(|group| join(&mut groups, group));
        }
        // Beside the one row of a session, since it is that of all its days and models.
        let is_whole = by.session && !by.day && !by.model;
        let reported = |session| mains.get(&session).and_then(|main| main.reported_cost);
        let mut rows: Vec<_> = groups.into_iter().collect();
        rows.sort_unstable_by(|one, other| self.compare(one, other));
        let name = |text: &str| text.to_owned();
        let rows = rows.into_iter().map(|(key, (sum, subagents))| Row {
            day: key.day.map(print_day),
            project: key.project.map(|project| name(self.projects.name(project))),
            model: key.model.map(|model| name(self.models.name(model.into()))),
            session_id: key.session.map(|session| name(self.sessions.name(session))),
            sum,
            subagents: Some(subagents).filter(|it| by.session && it.responses > 0),
            reported_cost_usd: key.session.filter(|_| is_whole).and_then(reported),
        });
        rows.collect()
    }
}

fn join(groups: &mut Groups, (key, sums): (Key, Sums)) {
    if sums.0.responses > 0 {
        let known = groups.entry(key).or_default();
        known.0.join(&sums.0);
        known.1.join(&sums.1);
    }
}

fn print_zone<S: Serializer>(zone: &Zone, serializer: S) -> Result<S::Ok, S::Error> {
    zone.name().serialize(serializer)
}

fn print_by<S: Serializer>(by: &By, serializer: S) -> Result<S::Ok, S::Error> {
    by.names().serialize(serializer)
}

fn print_cost<S: Serializer>(cost: &Option<Cost>, serializer: S) -> Result<S::Ok, S::Error> {
    cost.map(Cost::usd).serialize(serializer)
}

impl Report {
    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// Returns the rows as CSV (RFC 4180, but with line feeds alone): the columns that the query
    /// names, those of the sums, and of sessions those of their subagents. Without a cost its field
    /// is empty.
    pub(crate) fn csv(&self) -> String {
        let names = self.by.names().into_iter();
        let mut head: Vec<&str> =
            names.map(|name| if name == "session" { "sessionId" } else { name }).collect();
        head.extend(COLUMNS.iter().map(|(name, _)| *name));
        head.push("costUsd");
        if self.by.session {
            head.extend(["subagentResponses", "subagentCostUsd"]);
        }
        let mut csv = head.join(",") + "\n";
        for row in &self.rows {
            let mut fields: Vec<String> = row.names(self.by).into_iter().map(csv_field).collect();
            fields.extend(row.sum.values().map(|value| value.to_string()));
            let cost = |sum: &Sum| sum.cost_usd.map(|cost| cost.usd().to_string());
            fields.push(cost(&row.sum).unwrap_or_default());
            if self.by.session {
                let of_subagents = row.subagents.unwrap_or_default();
                fields.push(of_subagents.responses.to_string());
                fields.push(cost(&of_subagents).unwrap_or_default());
            }
            csv += &(fields.join(",") + "\n");
        }
        csv
    }

    /// Returns the rows and their total for a terminal, with notes.
    pub(crate) fn table(&self) -> String {
        let names = self.by.names();
        let mut lines: Vec<Vec<String>> = vec![names.iter().map(|&name| name.to_owned()).collect()];
        lines[0].extend(COLUMNS.iter().map(|(_, name)| (*name).to_owned()));
        lines[0].push("cost".to_owned());
        for row in &self.rows {
            let names = row.names(self.by).into_iter().map(printable);
            lines.push(names.chain(figures(&row.sum)).collect());
        }
        let total = names.iter().enumerate().map(|(at, _)| if at == 0 { "total" } else { "" });
        lines.push(total.map(str::to_owned).chain(figures(&self.total)).collect());
        let mut table = aligned(&lines, names.len());
        if !self.unpriced.is_empty() {
            let models: Vec<_> = self.unpriced.iter().map(|model| printable(model)).collect();
            table += &format!("\nno price, and not in the cost: {}\n", models.join(", "));
        }
        if let Some(date) = &self.prices_date {
            table += &format!("\nprices of {date}; --prices FILE takes newer ones\n");
        }
        table
    }
}

impl Row {
    /// Returns the values of the columns that the query names.
    fn names(&self, by: By) -> Vec<&str> {
        let columns = [
            (by.day, &self.day),
            (by.project, &self.project),
            (by.model, &self.model),
            (by.session, &self.session_id),
        ];
        let columns = columns.into_iter().filter(|(is_set, _)| *is_set);
        columns.map(|(_, name)| name.as_deref().unwrap_or_default()).collect()
    }
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// Replaces characters that a terminal would take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it }).collect()
}

fn figures(sum: &Sum) -> impl Iterator<Item = String> {
    let cost = sum.cost_usd.map_or_else(|| "-".to_owned(), |cost| format!("${:.2}", cost.usd()));
    sum.values().map(grouped).into_iter().chain([cost])
}

/// Returns a number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns how many columns of a terminal a text takes: two for a character of East Asia or an
/// emoji, none for a mark that joins others (a part of Unicode's UAX 11).
fn columns(text: &str) -> usize {
    let width = |letter: char| match u32::from(letter) {
        0x300..=0x36F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF => 2,
        0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 => 2,
        0x1F300..=0x1FAFF | 0x20000..=0x3FFFD => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

/// Returns lines in columns two apart, of which the first `names` are aligned to the left.
fn aligned(lines: &[Vec<String>], names: usize) -> String {
    let width_of =
        |column: usize| lines.iter().map(|line| columns(&line[column])).max().unwrap_or_default();
    let widths: Vec<usize> = (0..lines[0].len()).map(width_of).collect();
    let mut table = String::new();
    for line in lines {
        for (column, (text, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if column > 0 { "  " } else { "" };
            let padding = " ".repeat(width - columns(text));
            table.extend(match column < names {
                true => [gap, text, &padding],
                false => [gap, &padding, text],
            });
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_aligned_beside_wide_characters() {
        let lines = [["a", "1"], ["ハンド", "22"], ["e\u{301}🎉", "3"]];
        let lines = lines.map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(aligned(&lines, 1), "a        1\nハンド  22\ne\u{301}🎉      3\n");
    }
}
