mod demo;
mod tail;
mod watch;

use std::time::{Duration, Instant};

fn main() {
    let mut demo = demo::Demo::create().expect("demo");
    eprintln!("{}", demo.dir().display());
    if let Some(warning) = demo.warning() {
        eprintln!("{warning}");
    }
    fn check_send<T: Send>(_: &T) {}
    check_send(&demo);
    let start = Instant::now();
    let end = std::env::args().nth(1).map_or(3600, |s| s.parse().unwrap());
    while start.elapsed() < Duration::from_secs(end) {
        demo.step(start.elapsed()).expect("step");
        std::thread::sleep(Duration::from_millis(100));
    }
}
