//! The terminal: the command line, the texts that are printed in place of a run, and opening the
//! page.
//!
//! Invariant: knows nothing about the files that are followed, of the server only the hosts that
//! `--allow-host` names, of usage only the query, and of a fleet only addresses, names and types.

pub(crate) mod args;
pub(crate) mod browser;
pub(crate) mod completions;
#[cfg(feature = "fleet")]
pub(crate) mod fleet;
pub(crate) mod man;
pub(crate) mod options;
pub(crate) mod progress;
pub(crate) mod service;
pub(crate) mod signals;
