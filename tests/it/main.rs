//! The real binary, started on a temporary directory and talked to over real sockets.

mod program;

mod backlog;
mod command_line;
mod demo;
mod documents;
mod follow;
mod page;
mod stream;
