//! The counters of `GET /healthz` in the text format of Prometheus, for `GET /metrics`.
//!
//! Invariant: pure; names and values come from `health`, so that both tell the same.
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{Display, Write};

/// What the format asks for as `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// The text of an answer, being put together.
#[derive(Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Adds a number under `claude_live_` and its name, which says the unit; a counter's also gets the usual `_total`.
    pub(crate) fn add(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        let (ending, kind) = match kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
        };
        let name = format!("claude_live_{name}{ending}");
        self.family(&name, kind, help);
        writeln!(self.0, "{name} {value}").expect("a string takes everything");
    }

    /// Adds the version, which is a label, since it is no number.
    pub(crate) fn add_version(&mut self, version: &str) {
        self.family("claude_live_build_info", "gauge", "The version that runs.");
        writeln!(self.0, "claude_live_build_info{{version=\"{version}\"}} 1")
            .expect("a string takes everything");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("a string takes everything");
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// A name of `/healthz` as Prometheus spells names: `parseErrors` as `parse_errors`.
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
    fn a_number_is_printed_with_its_help_and_its_kind() {
        let mut metrics = Metrics::default();
        metrics.add_version("1.2.3");
        metrics.add(&snake_case("parseErrors"), Kind::Counter, "Lines that are no JSON.", 7);
        metrics.add("connections", Kind::Gauge, "Connections that are open.", 0);
        let wanted = "\
# HELP claude_live_build_info The version that runs.
# TYPE claude_live_build_info gauge
claude_live_build_info{version=\"1.2.3\"} 1
# HELP claude_live_parse_errors_total Lines that are no JSON.
# TYPE claude_live_parse_errors_total counter
claude_live_parse_errors_total 7
# HELP claude_live_connections Connections that are open.
# TYPE claude_live_connections gauge
claude_live_connections 0
";
        assert_eq!(String::from_utf8(metrics.into_bytes()).unwrap(), wanted);
    }
}
