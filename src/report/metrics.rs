//! The counters of `GET /healthz` in the text format of Prometheus, for `GET /metrics`.
//!
//! Invariant: pure. Names and values come from `health`, so that both reports agree.
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{Display, Write};

/// The `Content-Type` of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a number only increases, or goes up and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// The text so far.
#[derive(Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Adds a number as `claude_live_NAME`, or `claude_live_NAME_total` for a counter. The name
    /// contains the unit.
    pub(crate) fn add(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        let name = self.family(name, kind, help);
        writeln!(self.0, "{name} {value}").expect("writing to a string does not fail");
    }

    /// Adds numbers under one name, distinguished by labels.
    pub(crate) fn add_labelled<'a, const LABELS: usize, Value: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'a str); LABELS], Value)>,
    ) {
        let name = self.family(name, kind, help);
        for (labels, value) in values {
            let labels = labels.map(|(label, text)| format!("{label}=\"{}\"", escaped(text)));
            writeln!(self.0, "{name}{{{}}} {value}", labels.join(","))
                .expect("writing to a string does not fail");
        }
    }

    /// Adds the version as a label, since it is not a number.
    pub(crate) fn add_version(&mut self, version: &str) {
        let values = [([("version", version)], 1)];
        let help = "The version of the program.";
        self.add_labelled("build_info", Kind::Gauge, help, values);
    }

    /// Begins the numbers of a name, which is returned in full.
    fn family(&mut self, name: &str, kind: Kind, help: &str) -> String {
        let (ending, kind) = match kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
        };
        let name = format!("claude_live_{name}{ending}");
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("writing to a string does not fail");
        name
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Converts a name from `/healthz`: `parseErrors` becomes `parse_errors`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_printed_with_its_help_and_kind() {
        let mut metrics = Metrics::default();
        metrics.add_version("1.2.3");
        metrics.add(&snake_case("parseErrors"), Kind::Counter, "Lines that are not JSON.", 7);
        metrics.add("connections", Kind::Gauge, "Connections that are open.", 0);
        let wanted = "\
# HELP claude_live_build_info The version of the program.
# TYPE claude_live_build_info gauge
claude_live_build_info{version=\"1.2.3\"} 1
# HELP claude_live_parse_errors_total Lines that are not JSON.
# TYPE claude_live_parse_errors_total counter
claude_live_parse_errors_total 7
# HELP claude_live_connections Connections that are open.
# TYPE claude_live_connections gauge
claude_live_connections 0
";
        assert_eq!(String::from_utf8(metrics.into_bytes()).unwrap(), wanted);
    }
}
