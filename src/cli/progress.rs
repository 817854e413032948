//! A progress bar for reading, on stderr.
//!
//! Invariant: writes to a terminal only, and removes the bar at the end, so that output in a file
//! or a pipe is not changed.

use std::io::{self, IsTerminal, Write};

const WIDTH: usize = 30;

/// Draws on stderr if that is a terminal.
pub(crate) struct Bar {
    is_terminal: bool,
    drawn: String,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        Bar { is_terminal: io::stderr().is_terminal(), drawn: String::new() }
    }

    /// Draws the bar if it differs from before.
    pub(crate) fn show(&mut self, done: usize, files: usize) {
        if self.is_terminal {
            let bar = bar(done, files);
            if bar != self.drawn {
                self.draw(&format!("\r{bar}"));
                self.drawn = bar;
            }
        }
    }

    fn draw(&self, text: &str) {
        // The table follows whether or not the terminal takes the bar.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if !self.drawn.is_empty() {
            self.draw("\r\x1b[K");
        }
    }
}

/// Returns the bar and the per cent, which change a hundred times at most.
fn bar(done: usize, files: usize) -> String {
    let files = files.max(1);
    let (filled, percent) = (done * WIDTH / files, done * 100 / files);
    let (filled, empty) = ("#".repeat(filled), ".".repeat(WIDTH - filled));
    format!("reading transcripts [{filled}{empty}] {percent:3} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_with_the_files() {
        let wanted = |filled: usize, percent| {
            let dots = ".".repeat(WIDTH - filled);
            format!("reading transcripts [{}{dots}] {percent} %", "#".repeat(filled))
        };
        assert_eq!(bar(0, 0), wanted(0, "  0"));
        assert_eq!(bar(1, 2), wanted(15, " 50"));
        assert_eq!(bar(2, 2), wanted(30, "100"));
    }
}
