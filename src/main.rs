#![allow(dead_code)]
mod tail;
mod watch;

fn main() {}
