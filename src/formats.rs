//! Claude Code's formats: a line or a file as a value.
//!
//! Invariant: pure; a line that does not parse is a value, not an error.

pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod json_changes;
pub(crate) mod prices;
pub(crate) mod status;
pub(crate) mod transcript;
