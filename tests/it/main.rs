//! The real binary, started on a temporary directory and talked to over real sockets.

mod agents;
mod process;
mod program;

mod abuse;
mod backlog;
mod clients;
mod command_line;
mod crowd;
mod demo;
mod dist;
mod documents;
mod ending;
mod exhaustion;
mod files;
#[cfg(feature = "fleet")]
mod fleet;
mod follow;
mod guard;
mod page;
mod printed;
mod records;
mod running;
mod sessions;
mod slow;
mod soak;
mod stream;
mod ticks;
mod tidy;
mod tools;
mod topics;
mod transcripts;
mod usage;
mod usage_count;
mod watched;
