//! Reports about the program itself: `/healthz`, `/metrics` and the log on stderr.
//!
//! Invariant: observes and controls nothing.

#[cfg(feature = "fleet")]
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod transcripts;
