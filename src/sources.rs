//! Sources: the files that are followed, as events in the hub.
//!
//! Invariant: the only room that knows both the files and the hub.

pub(crate) mod history;
#[cfg(feature = "fleet")]
pub(crate) mod machines;
pub(crate) mod records;
pub(crate) mod statuses;
pub(crate) mod transcripts;
pub(crate) mod usage;
pub(crate) mod watched;

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Data, Draft, Fault, Notice, Topic};
use crate::hub::Hub;
use crate::report::health::Health;
use crate::report::log;

fn fault(health: &Health, kind: &'static str, msg: String, path: &str) -> Draft {
    health.set_error(path, &msg);
    log::warn(format_args!("cannot read `{path}`: {msg}"));
    Draft::new(None, &Data::Error(Fault { kind, msg, path: Some(path.to_owned()) }))
}

fn recovered(health: &Health, path: &str) -> Draft {
    health.clear_error(path);
    let msg = format!("`{path}` can be read again");
    log::info(&msg);
    let notice =
        Notice { kind: "source.recovered", msg, path: Some(path.to_owned()), ..Notice::default() };
    Draft::new(None, &Data::Notice(notice))
}

/// How long a burst waits for subscribers that are half a ring behind. One that has stalled delays
/// the others for as long, once; a smaller burst never waits.
const READER_TIME: Duration = Duration::from_millis(250);

/// Holds a source up so that the ring of its topic does not move on under subscribers that read.
struct Pacer {
    hub: Arc<Hub>,
    topic: Topic,
    held_since: Option<Duration>,
}

impl Pacer {
    fn new(hub: Arc<Hub>, topic: Topic) -> Pacer {
        Pacer { hub, topic, held_since: None }
    }

    /// Whether subscribers have to catch up before there may be more.
    fn is_held(&mut self, now: Duration) -> bool {
        if !self.hub.has_subscribers_behind(self.topic) {
            self.held_since = None;
            return false;
        }
        let since = *self.held_since.get_or_insert(now);
        let is_over = now >= since + READER_TIME;
        if is_over {
            self.hub.stop_waiting(self.topic);
            self.held_since = None;
        }
        !is_over
    }
}
