//! The table: one row a figure, with what stands beside it and the ratio of the two.

use std::fmt::Write;
use std::time::Duration;

/// What a figure counts, and so how it is printed.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Given in seconds.
    Time,
    Bytes,
    /// Bytes a second.
    Throughput,
    /// Requests a second.
    Rate,
    /// A share of one core, 1 for all of it.
    Share,
    Count,
}

/// One line of the table.
pub(crate) struct Row {
    figure: String,
    unit: Unit,
    ours: f64,
    beside: Vec<Beside>,
    aim: Option<Aim>,
    how: &'static str,
}

struct Beside {
    name: &'static str,
    /// `None` when the peer is not installed.
    value: Option<f64>,
}

struct Aim {
    text: String,
    is_met: bool,
}

impl Row {
    pub(crate) fn new(figure: impl Into<String>, unit: Unit, ours: f64, how: &'static str) -> Row {
        Row { figure: figure.into(), unit, ours, beside: Vec::new(), aim: None, how }
    }

    pub(crate) fn beside(mut self, name: &'static str, value: Option<f64>) -> Row {
        self.beside.push(Beside { name, value });
        self
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Row {
        let text = format!("≤ {}", self.unit.print(bound));
        self.add_aim(text, self.ours <= bound);
        self
    }

    pub(crate) fn at_least(mut self, bound: f64) -> Row {
        let text = format!("≥ {}", self.unit.print(bound));
        self.add_aim(text, self.ours >= bound);
        self
    }

    /// At most so many times the figure of a peer; without the peer there is nothing to meet.
    pub(crate) fn at_most_times(mut self, times: f64, peer: &str) -> Row {
        let beside = self.beside.iter().find(|beside| beside.name == peer);
        if let Some(value) = beside.and_then(|beside| beside.value) {
            let text = format!("≤ {times}× {peer}");
            self.add_aim(text, self.ours <= times * value);
        }
        self
    }

    fn add_aim(&mut self, text: String, is_met: bool) {
        let (mut all, mut are_met) = (text, is_met);
        if let Some(aim) = self.aim.take() {
            all = format!("{}, {all}", aim.text);
            are_met &= aim.is_met;
        }
        self.aim = Some(Aim { text: all, is_met: are_met });
    }

    fn cells(&self) -> [String; 6] {
        let beside = self.beside.iter().map(|beside| match beside.value {
            Some(value) => format!("{}: {}", beside.name, self.unit.print(value)),
            None => format!("{}: not installed", beside.name),
        });
        let ratios = self.beside.iter().map(|beside| match beside.value {
            Some(value) if value > 0.0 => format!("{}×", digits(self.ours / value)),
            _ => "–".to_owned(),
        });
        let aim = self.aim.as_ref().map_or_else(String::new, |aim| {
            format!("{}: {}", aim.text, if aim.is_met { "met" } else { "missed" })
        });
        [
            self.figure.clone(),
            self.unit.print(self.ours),
            beside.collect::<Vec<_>>().join("; "),
            ratios.collect::<Vec<_>>().join("; "),
            aim,
            self.how.to_owned(),
        ]
    }
}

impl Unit {
    fn print(self, value: f64) -> String {
        match self {
            Unit::Time => time(value),
            Unit::Bytes => bytes(value),
            Unit::Throughput => format!("{}/s", bytes(value)),
            Unit::Rate => format!("{value:.0}/s"),
            Unit::Share => format!("{}%", digits(value * 100.0)),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-3 => format!("{} µs", digits(seconds * 1e6)),
        _ if seconds < 1.0 => format!("{} ms", digits(seconds * 1e3)),
        _ => format!("{} s", digits(seconds)),
    }
}

fn bytes(count: f64) -> String {
    match count {
        _ if count < 1e5 => format!("{} KB", digits(count / 1e3)),
        _ if count < 1e9 => format!("{} MB", digits(count / 1e6)),
        _ => format!("{} GB", digits(count / 1e9)),
    }
}

/// Two or three digits that say something.
fn digits(value: f64) -> String {
    match value.abs() {
        large if large >= 10.0 => format!("{value:.0}"),
        middle if middle >= 1.0 => format!("{value:.1}"),
        small if small >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Prints the table with a line about the machine above it.
pub(crate) fn print(machine: &str, rows: &[Row]) {
    let header = ["figure", "claude-live", "beside", "ratio", "aim", "how"].map(str::to_owned);
    let mut text = format!("{machine}\n\n");
    for cells in std::iter::once(header).chain(rows.iter().map(Row::cells)) {
        let is_header = !text.contains('|');
        writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes everything");
        if is_header {
            text.push_str("|---|---|---|---|---|---|\n");
        }
    }
    #[expect(clippy::print_stdout, reason = "the table is what the bench is for")]
    {
        print!("{text}");
    }
}

/// The middle one, or the mean of the two in the middle.
///
/// # Panics
///
/// There are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    (percentile(values, 0.5 - 1e-9) + percentile(values, 0.5)) / 2.0
}

/// The smallest value that at least this share of the values does not exceed.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// Seconds of each.
pub(crate) fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}
