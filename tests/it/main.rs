//! The real binary, started on a temporary directory and talked to over real sockets.

mod program;

mod backlog;
mod command_line;
mod demo;
mod dist;
mod documents;
mod follow;
mod page;
mod printed;
mod running;
mod stream;
mod tools;
