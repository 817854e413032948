mod tail;
mod watch;

fn main() {}
