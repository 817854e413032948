//! Subagents: the calls that start them, joined with their own transcripts.
//!
//! Either can come first, and a background subagent outlives its call, so both are kept and joined
//! when a session is shown.
//! Invariant: pure. A bounded number of calls; of more, ended ones are dropped first.

use jiff::Timestamp;

use crate::formats::transcript::{AgentCall, AgentMeta, AgentResult};

use super::fold::Transcript;

/// The most calls that are kept.
const MAX_CALLS: usize = 100;

/// A subagent by its own transcript.
pub(super) struct Agent {
    pub(super) meta: Option<AgentMeta>,
    pub(super) transcript: Transcript,
}

impl Default for Agent {
    fn default() -> Agent {
        Agent { meta: None, transcript: Transcript::of_agent() }
    }
}

/// A call that started a subagent.
pub(super) struct Call {
    pub(super) tool_use_id: String,
    /// Known from the result.
    pub(super) agent_id: Option<String>,
    pub(super) agent_type: Option<String>,
    pub(super) description: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) state: CallState,
    pub(super) tokens: Option<u64>,
    pub(super) tool_uses: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallState {
    Running,
    /// The call has returned, and the subagent goes on.
    Background,
    Done,
    Failed,
    /// The turn ended without a result.
    Stopped,
}

impl CallState {
    pub(super) fn is_running(self) -> bool {
        matches!(self, CallState::Running | CallState::Background)
    }
}

/// The calls of one transcript.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) calls: Vec<Call>,
}

impl Calls {
    pub(super) fn start(&mut self, tool_use_id: &str, call: AgentCall, since: Option<Timestamp>) {
        if self.calls.len() == MAX_CALLS {
            let ended = self.calls.iter().position(|call| !call.state.is_running());
            self.calls.remove(ended.unwrap_or_default());
        }
        self.calls.push(Call {
            tool_use_id: tool_use_id.to_owned(),
            agent_id: None,
            agent_type: call.agent_type,
            description: call.description,
            since,
            state: CallState::Running,
            tokens: None,
            tool_uses: None,
        });
    }

    /// Takes the result of a call. `result` is called only if the call is one of these.
    pub(super) fn result(
        &mut self,
        tool_use_id: &str,
        is_error: bool,
        result: impl FnOnce() -> Option<AgentResult>,
    ) {
        let Some(call) = self.find(|call| call.tool_use_id == tool_use_id) else { return };
        let result = result();
        let is_background = result.as_ref().is_some_and(|result| result.is_background);
        call.state = match (is_background, is_error) {
            // The news of its end can come before.
            (true, _) if call.state == CallState::Running => CallState::Background,
            (true, _) => call.state,
            (false, true) => CallState::Failed,
            (false, false) => CallState::Done,
        };
        if let Some(result) = result {
            call.agent_id = Some(result.agent_id);
            call.tokens = result.tokens;
            call.tool_uses = result.tool_uses;
        }
    }

    /// A background task has ended; many are no subagents. Returns whether one of these calls
    /// ran until now: the news can come several times, and after the end of the turn.
    pub(super) fn ended(&mut self, task_id: &str, tool_use_id: &str) -> bool {
        let is_it = |call: &Call| {
            call.tool_use_id == tool_use_id || call.agent_id.as_deref() == Some(task_id)
        };
        let Some(call) = self.find(is_it) else { return false };
        let was_running = call.state.is_running();
        if call.state != CallState::Failed {
            call.state = CallState::Done;
        }
        was_running
    }

    /// Ends the calls that the end of a turn leaves open, but for those in the background.
    pub(super) fn stop(&mut self) {
        self.end(|state| state == CallState::Running);
    }

    /// Ends the calls in the background as well.
    pub(super) fn stop_all(&mut self) {
        self.end(CallState::is_running);
    }

    fn end(&mut self, ends: fn(CallState) -> bool) {
        for call in self.calls.iter_mut().filter(|call| ends(call.state)) {
            call.state = CallState::Stopped;
        }
    }

    pub(super) fn in_background(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.state == CallState::Background)
    }

    fn find(&mut self, is_it: impl Fn(&Call) -> bool) -> Option<&mut Call> {
        self.calls.iter_mut().rev().find(|call| is_it(call))
    }
}
