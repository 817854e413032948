//! The state of a fleet, for `GET /healthz` and the list of sessions: the connection of a
//! publisher, or when each machine last reported.
//!
//! Invariant: observes and controls nothing; an address here has no password.

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::event::print_time;
use crate::report::health::Counter;
use crate::report::transcripts::print_optional_time;

/// See the module. Empty unless the program publishes or shows a fleet.
#[derive(Default)]
pub(crate) struct Fleet {
    link: Mutex<Option<Link>>,
    /// Absent unless the program shows a fleet.
    machines: Mutex<Option<Vec<Machine>>>,
    /// Events that Redis has taken.
    pub(crate) published: Counter,
}

/// The connection to Redis.
struct Link {
    redis: String,
    /// Of a publisher.
    machine: Option<String>,
    state: State,
    since: Timestamp,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Connecting,
    Connected,
    /// Another publisher has the machine's name, or had it until a moment ago.
    Waiting,
    /// The connection is retried.
    Unavailable(String),
    /// The connection is not retried.
    Refused(String),
}

/// A machine of a fleet.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) name: String,
    /// Absent if the machine has never reported.
    #[serde(serialize_with = "print_optional_time")]
    pub(crate) heard_at: Option<Timestamp>,
    pub(crate) is_silent: bool,
}

/// The part of `/healthz`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// `publish` or `from`.
    role: &'static str,
    redis: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    state: &'static str,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machines: Option<Vec<Machine>>,
}

impl Fleet {
    /// Reports that events are published as those of a machine.
    pub(crate) fn start_publishing(&self, redis: &str, machine: &str) {
        *self.link.lock() = Some(Link::new(redis, Some(machine.to_owned())));
    }

    /// Reports that the machines of a fleet are shown.
    pub(crate) fn start_viewing(&self, redis: &str) {
        *self.link.lock() = Some(Link::new(redis, None));
        *self.machines.lock() = Some(Vec::new());
    }

    /// Reports the state of the connection.
    pub(crate) fn set_state(&self, state: State) {
        let mut link = self.link.lock();
        if let Some(link) = link.as_mut().filter(|link| link.state != state) {
            (link.state, link.since) = (state, Timestamp::now());
        }
    }

    /// Reports the machines that are shown.
    pub(crate) fn set_machines(&self, machines: Vec<Machine>) {
        *self.machines.lock() = Some(machines);
    }

    /// Returns the machines; absent unless the program shows a fleet.
    pub(crate) fn machines(&self) -> Option<Vec<Machine>> {
        self.machines.lock().clone()
    }

    /// Returns nothing without a fleet.
    pub(super) fn report(&self) -> Option<Report> {
        let link = self.link.lock();
        let link = link.as_ref()?;
        let (state, error) = match &link.state {
            State::Connecting => ("connecting", None),
            State::Connected => ("connected", None),
            State::Waiting => ("waiting", None),
            State::Unavailable(msg) => ("unavailable", Some(msg)),
            State::Refused(msg) => ("refused", Some(msg)),
        };
        Some(Report {
            role: if link.machine.is_some() { "publish" } else { "from" },
            redis: link.redis.clone(),
            machine: link.machine.clone(),
            state,
            since: print_time(link.since),
            error: error.cloned(),
            published: link.machine.is_some().then(|| self.published.get()),
            machines: self.machines(),
        })
    }
}

impl Link {
    fn new(redis: &str, machine: Option<String>) -> Link {
        let since = Timestamp::now();
        Link { redis: redis.to_owned(), machine, state: State::Connecting, since }
    }
}
