//! The table: a row for each figure, with the same figure of other programs, the ratios, and aims.

use std::time::Instant;

use crate::process::output_of;

/// One figure, in a [`Unit`].
pub(crate) struct Row {
    figure: String,
    unit: Unit,
    ours: f64,
    /// Absent values are of peers that are not installed.
    beside: Vec<(&'static str, Option<f64>)>,
    aims: Vec<String>,
    method: &'static str,
}

/// Prints a value.
pub(crate) type Unit = fn(f64) -> String;

impl Row {
    pub(crate) fn new(
        figure: impl Into<String>,
        unit: Unit,
        ours: f64,
        method: &'static str,
    ) -> Row {
        Row { figure: figure.into(), unit, ours, beside: Vec::new(), aims: Vec::new(), method }
    }

    pub(crate) fn beside(mut self, peer: &'static str, value: impl Into<Option<f64>>) -> Row {
        self.beside.push((peer, value.into()));
        self
    }

    pub(crate) fn at_most(self, bound: f64) -> Row {
        let (aim, is_met) = (format!("≤ {}", (self.unit)(bound)), self.ours <= bound);
        self.aim(aim, is_met)
    }

    pub(crate) fn at_least(self, bound: f64) -> Row {
        let (aim, is_met) = (format!("≥ {}", (self.unit)(bound)), self.ours >= bound);
        self.aim(aim, is_met)
    }

    /// Aims at so many times the figure of a peer, if that is installed.
    pub(crate) fn at_most_times(self, times: f64, peer: &str) -> Row {
        let value = self.beside.iter().find(|beside| beside.0 == peer).and_then(|beside| beside.1);
        match value {
            Some(value) => {
                let is_met = self.ours <= times * value;
                self.aim(format!("≤ {times}× {peer}"), is_met)
            }
            None => self,
        }
    }

    /// Aims at a bounded difference from the figure of a peer.
    pub(crate) fn at_most_above(self, difference: f64, peer: &str) -> Row {
        let value = self.beside.iter().find(|beside| beside.0 == peer).and_then(|beside| beside.1);
        let is_met = value.is_some_and(|value| self.ours <= value + difference);
        let aim = format!("≤ {peer} + {}", (self.unit)(difference));
        self.aim(aim, is_met)
    }

    fn aim(mut self, aim: String, is_met: bool) -> Row {
        self.aims.push(format!("{aim}: {}", if is_met { "met" } else { "missed" }));
        self
    }

    fn line(&self) -> String {
        let beside = self.beside.iter().map(|&(peer, value)| match value {
            Some(value) if value > 0.0 => {
                let ratio = digits(self.ours / value);
                format!("{peer}: {} ({ratio}×)", (self.unit)(value))
            }
            Some(value) => format!("{peer}: {}", (self.unit)(value)),
            None => format!("{peer}: not installed"),
        });
        let beside = beside.collect::<Vec<_>>().join("; ");
        let (ours, aims) = ((self.unit)(self.ours), self.aims.join(", "));
        format!("| {} | {ours} | {beside} | {aims} | {} |", self.figure, self.method)
    }
}

/// Prints the table below a line about the machine.
#[expect(clippy::print_stdout, reason = "the table is the product")]
pub(crate) fn print(rows: &[Row]) {
    let machine = "echo \"$(date +%F): $(nproc) cores of\
        $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), $(uname -sr), $(rustc --version), \
        load average $(cut -d' ' -f1 /proc/loadavg) at the end.\"";
    println!("claude-live {}, {}\n", env!("CARGO_PKG_VERSION"), output_of("sh", &["-c", machine]));
    println!("| figure | claude-live | beside (ratio) | aim | method |\n|---|---|---|---|---|");
    for row in rows {
        println!("{}", row.line());
    }
}

pub(crate) fn time(seconds: f64) -> String {
    scaled(seconds, [(1e-6, "µs"), (1e-3, "ms"), (1.0, "s")])
}

pub(crate) fn size(bytes: f64) -> String {
    scaled(bytes, [(1e3, "KB"), (1e6, "MB"), (1e9, "GB")])
}

pub(crate) fn throughput(bytes_per_second: f64) -> String {
    size(bytes_per_second) + "/s"
}

/// Takes a share of one core, 1 being all of it.
pub(crate) fn share(of_core: f64) -> String {
    digits(of_core * 100.0) + "%"
}

pub(crate) fn count(things: f64) -> String {
    things.to_string()
}

/// Prints a value in the largest of these units that it reaches.
fn scaled(value: f64, units: [(f64, &str); 3]) -> String {
    let (factor, unit) = *units.iter().rfind(|unit| value >= unit.0).unwrap_or(&units[0]);
    format!("{} {unit}", digits(value / factor))
}

/// Prints two or three significant digits.
fn digits(value: f64) -> String {
    let decimals = if value >= 10.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        2
    };
    if value < 0.01 { format!("{value:.3}") } else { format!("{value:.decimals$}") }
}

/// Measures each alternative so many times, in turns, and returns the medians of its figures.
pub(crate) fn in_turns<const N: usize, const K: usize>(
    rounds: usize,
    mut alternatives: [&mut dyn FnMut() -> [f64; K]; N],
) -> [[f64; K]; N] {
    let mut figures = [(); N].map(|()| [(); K].map(|()| Vec::new()));
    for _ in 0..rounds {
        for (measure, figures) in alternatives.iter_mut().zip(&mut figures) {
            for (figure, figures) in measure().into_iter().zip(figures) {
                figures.push(figure);
            }
        }
    }
    figures.map(|figures| figures.map(|values| median(&values)))
}

/// Returns how many seconds the work takes.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// Returns the smallest value that more than this share of the values do not exceed.
///
/// # Panics
///
/// There are no values.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}
