//! The state of a session: a fold over the records of its transcripts, joined with its entry in the
//! registry and the time.
//!
//! Records are folded in file order, whatever their times say. A file that is folded whole, in any
//! cut, or again after a rewrite gives the same state. The state is small: no record is kept.
//!
//! Invariant: pure. An open tool call is never taken for a question to the user, unless it is one.
//! Known weakness: a tool call that a crash left open counts until the next turn, the next process
//! or the silence; and a subagent that goes on after it was stopped is shown as stopped.

mod agents;
mod fold;
mod todos;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use view::{Files, Liveness, SILENCE, Status};

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::formats::prices::{Cost, Prices};
use crate::formats::transcript::{AgentMeta, Record, Response, Usage};

use agents::Agent;
use fold::Transcript;
use view::ShownTokens;

/// A session with its subagents.
pub(crate) struct Session {
    id: String,
    main: Transcript,
    agents: BTreeMap<String, Agent>,
    tokens: Tokens,
}

/// The tokens of a session, each API response counted once over all of its files.
struct Tokens {
    total: Usage,
    /// By message and request: several records show the same response, and before Claude Code
    /// 2.1.98 only the last one with its final usage.
    by_response: HashMap<u64, (Usage, Option<Cost>)>,
    hasher: RandomState,
    /// Of the responses whose model has a price; absent if none has.
    cost: Option<Cost>,
    prices: Arc<Prices>,
}

impl Session {
    pub(crate) fn new(id: &str, prices: Arc<Prices>) -> Session {
        Session {
            id: id.to_owned(),
            main: Transcript::default(),
            agents: BTreeMap::new(),
            tokens: Tokens::new(prices),
        }
    }

    /// Folds a record of the session's transcript, or of a subagent's.
    pub(crate) fn record(&mut self, agent_id: Option<&str>, record: &Record) {
        let response = record.response();
        response.iter().for_each(|response| self.tokens.count(response));
        let transcript = match agent_id {
            None => &mut self.main,
            Some(id) => &mut self.agent(id).transcript,
        };
        transcript.record(record, response);
    }

    /// Counts a part of a line that is no record.
    pub(crate) fn malformed(&mut self, agent_id: Option<&str>) {
        match agent_id {
            None => self.main.malformed += 1,
            Some(id) => self.agent(id).transcript.malformed += 1,
        }
    }

    /// Takes a subagent's `.meta.json`.
    pub(crate) fn agent_meta(&mut self, agent_id: &str, meta: AgentMeta) {
        self.agent(agent_id).meta = Some(meta);
    }

    /// Returns the working directory, as far as records tell it.
    pub(crate) fn project(&self) -> Option<&str> {
        self.main.facts.cwd.as_deref()
    }

    /// Whether a subagent's last turn is not over.
    pub(crate) fn is_agent_in_turn(&self, agent_id: &str) -> bool {
        self.agents.get(agent_id).is_some_and(Agent::is_in_turn)
    }

    fn agent(&mut self, id: &str) -> &mut Agent {
        self.agents.entry(id.to_owned()).or_default()
    }
}

impl Tokens {
    fn new(prices: Arc<Prices>) -> Tokens {
        Tokens {
            total: Usage::default(),
            by_response: HashMap::new(),
            hasher: RandomState::new(),
            cost: None,
            prices,
        }
    }

    fn count(&mut self, response: &Response) {
        let Some(usage) = response.usage else { return };
        let cost = self.prices.cost(response);
        if let Some(message_id) = &response.message_id {
            let key = self.hasher.hash_one((message_id, &response.request_id));
            let known = self.by_response.entry(key).or_default();
            if !usage.exceeds(&known.0) {
                return;
            }
            let (known, known_cost) = std::mem::replace(known, (usage, cost));
            self.total.subtract(&known);
            if let (Some(sum), Some(known)) = (&mut self.cost, known_cost) {
                sum.subtract(known);
            }
        }
        self.total.add(&usage);
        if let Some(cost) = cost {
            self.cost.get_or_insert_default().add(cost);
        }
    }

    fn shown(&self) -> Option<ShownTokens> {
        let Usage { input, output, cache_read, cache_write, .. } = self.total;
        let is_known = self.total != Usage::default();
        is_known.then_some(ShownTokens { input, output, cache_read, cache_write })
    }
}
