//! From a request head to what answers it.
//!
//! Invariant: a path is compared with known ones; none ever reaches the file system.

use tiny_http::Method;

use super::Site;
use super::answer::{Answer, Refusal};
use super::backlog;
use super::head::Head;

/// What a request gets.
pub(crate) enum Route {
    Answer(Answer),
    /// The stream after the event with this id, or from now on.
    Stream {
        since: Option<u64>,
    },
}

impl From<Refusal> for Route {
    fn from(refusal: Refusal) -> Route {
        Route::Answer(refusal.into())
    }
}

pub(crate) fn route(head: &Head, site: &Site) -> Route {
    match checked(head, site) {
        Ok(route) => route,
        Err(answer) => Route::Answer(answer),
    }
}

fn checked(head: &Head, site: &Site) -> Result<Route, Answer> {
    site.guard.check(head)?;
    if !matches!(head.method, Method::Get | Method::Head) {
        let message = format!("`{}` is not answered here, GET and HEAD are", head.method);
        return Err(Refusal::new(405, "method_not_allowed", message).into());
    }
    let answer = match head.path.as_str() {
        "/api/claude/live/backlog" => backlog::answer(head, &site.hub)?,
        "/api/claude/stream" => return Ok(Route::Stream { since: since(head)? }),
        "/healthz" => Answer::json(site.health.json(&site.hub)),
        "/metrics" => Answer::metrics(site.health.metrics(&site.hub)),
        path => site.assets.answer(path)?,
    };
    Ok(Route::Answer(answer))
}

/// The id after which a stream resumes: `Last-Event-ID`, which `EventSource` sends by itself, before `?since=`.
fn since(head: &Head) -> Result<Option<u64>, Refusal> {
    let header = head.header("Last-Event-ID").map(str::to_owned);
    let (what, id) = match (header, head.parameter("since")) {
        (Some(id), _) => ("Last-Event-ID", id),
        (None, Some(id)) => ("since", id),
        (None, None) => return Ok(None),
    };
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    // An id of more digits than fit is one from the future: it is answered with a resync as any other.
    let number = || id.parse().unwrap_or(u64::MAX);
    is_id.then(number).map(Some).ok_or_else(|| {
        Refusal::new(
            400,
            "bad_id",
            format!("{what} `{id}`: expected the id of an event, a whole number"),
        )
    })
}
