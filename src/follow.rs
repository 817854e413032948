//! Following files by polling: one file line by line, and small files as a whole.
//!
//! Invariant: imports no other room; no clock, no thread, no printing, no knowledge of a file's
//! meaning.

pub(crate) mod process;
pub(crate) mod small;
pub(crate) mod tail;
pub(crate) mod tails;
pub(crate) mod tree;
pub(crate) mod watch;
