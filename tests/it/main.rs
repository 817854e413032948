//! The real binary, started on a temporary directory and talked to over real sockets.

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
mod exhaustion;
mod files;
mod follow;
mod guard;
mod page;
mod printed;
mod running;
mod slow;
mod soak;
mod stream;
mod tools;
