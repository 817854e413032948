//! From a request head to the answer.
//!
//! Invariant: a path is compared with the known ones; no path reaches the file system.

use jiff::Timestamp;

use super::answer::{Answer, Refusal};
use super::head::{Head, check_method};
use super::limit::Permit;
use super::stream::Wanted;
use super::{Site, backlog, encoding, query, sessions, usage};

/// The answer to a request.
pub(crate) enum Route {
    Answer(Answer),
    /// The stream of the events that a client wants, and its permit.
    Stream {
        wanted: Wanted,
        permit: Permit,
    },
}

/// Checks a request and finds its answer.
pub(crate) fn route(head: &Head, site: &Site) -> Route {
    match checked(head, site) {
        Ok(route) => route,
        Err(answer) => Route::Answer(answer),
    }
}

fn checked(head: &Head, site: &Site) -> Result<Route, Answer> {
    site.guard.check(head)?;
    check_method(&head.method)?;
    #[cfg(feature = "fleet")]
    refuse_files_of_a_fleet(head, site)?;
    let answer = match head.path.as_str() {
        "/api/claude/live/backlog" => backlog::answer(head, &site.hub, &site.records)?,
        "/api/claude/stream" => return Ok(stream(head, site)?),
        sessions::PATH => sessions::answer(head, site, Timestamp::now())?,
        "/api/claude/usage" => usage::answer(head, site.usage.as_deref(), Timestamp::now())?,
        "/healthz" => Answer::json(site.health.json(&site.load())),
        "/metrics" => Answer::metrics(usage::with_metrics(
            site.health.metrics(&site.load()),
            site.usage.as_deref(),
        )),
        path => match path.strip_prefix(sessions::PATH).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => sessions::records(head, rest, &site.records)?,
            None => site.assets.answer(path, encoding::takes_deflate(head))?,
        },
    };
    Ok(Route::Answer(answer))
}

/// Files are on the machines of a fleet, each with its own claude-live.
#[cfg(feature = "fleet")]
fn refuse_files_of_a_fleet(head: &Head, site: &Site) -> Result<(), Refusal> {
    let is_of_file = match head.path.as_str() {
        "/api/claude/live/backlog" => head.parameter("before").is_some(),
        "/api/claude/usage" => true,
        path => path.strip_prefix(sessions::PATH).is_some_and(|rest| rest.starts_with('/')),
    };
    if !is_of_file || !site.shows_fleet {
        return Ok(());
    }
    let session = head.path.split('/').nth(4).unwrap_or_default();
    let known = site.hub.sessions().events.into_iter().filter(|it| it.session() == Some(session));
    let machines: Vec<String> =
        known.filter_map(|event| Some(format!("`{}`", event.machine()?))).collect();
    let machines = if machines.is_empty() { "its machine".to_owned() } else { machines.join(", ") };
    let message = format!("files are not published; ask the claude-live of {machines}");
    Err(Refusal::new(404, "other_machine", message))
}

fn stream(head: &Head, site: &Site) -> Result<Route, Refusal> {
    let wanted = Wanted { since: query::since(head)?, filter: query::filter(head)? };
    let permit = site.limiter.stream().ok_or_else(Refusal::busy)?;
    Ok(Route::Stream { wanted, permit })
}
