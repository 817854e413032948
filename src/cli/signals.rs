//! Receives the signals that end the program, or make it read its token again.
//!
//! Invariant: a thread waits for signals and sends them to `main`; none of this program's code runs
//! in a signal handler.

use std::thread;

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use crate::error::Error;

/// A request by a signal.
pub(crate) enum Signal {
    /// Read the token file again.
    ReadAgain,
    End {
        name: &'static str,
    },
}

/// Receives SIGTERM and SIGINT from now on, also as process 1 of a container, for which Linux
/// ignores signals that have no handler. Receives SIGHUP if there is a token file to read again;
/// otherwise a terminal that is closed ends the program, as usual.
///
/// # Errors
///
/// The system allows no handler or no thread.
pub(crate) fn receive(has_token_file: bool) -> Result<Receiver<Signal>, Error> {
    let all = [SIGTERM, SIGINT, SIGHUP];
    let handled = if has_token_file { &all[..] } else { &all[..2] };
    let mut signals = Signals::new(handled).map_err(Error::Signals)?;
    let (sender, receiver) = unbounded();
    let thread = thread::Builder::new().name("signals".to_owned());
    thread
        .spawn(move || {
            for signal in signals.forever() {
                let signal = match signal {
                    SIGHUP => Signal::ReadAgain,
                    other => Signal::End { name: signal_name(other).unwrap_or("a signal") },
                };
                // Without a receiver the program is already ending.
                let _ = sender.send(signal);
            }
        })
        .map_err(Error::Thread)?;
    Ok(receiver)
}
