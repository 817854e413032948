//! The fold over the records of one transcript: facts, turn, open tools and the latest texts.
//!
//! A state that is folded record by record needs no second look at the file.
//! Invariant: pure; no clock (times come from the records). Its size has a bound: texts are cut,
//! and lists have a maximum.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::formats::transcript::{Block, Class, Record, Response, TitleSource, ToolResult};

use super::agents::Calls;
use super::todos::Todos;

/// The longest text that is kept, in characters.
const TEXT_CHARS: usize = 300;

/// The longest input of a tool that is kept, in characters.
const INPUT_CHARS: usize = 200;

/// The most open tool calls and queued prompts that are kept.
const MAX_OPEN: usize = 64;

/// The state of one transcript.
#[derive(Default)]
pub(super) struct Transcript {
    is_of_agent: bool,
    pub(super) facts: Facts,
    pub(super) turn: Turn,
    pub(super) tools: Vec<OpenTool>,
    pub(super) calls: Calls,
    pub(super) todos: Todos,
    queue: VecDeque<Queued>,
    /// The text that the last `dequeue` took: its delivery takes no other of the same text.
    dequeued: Option<String>,
    pub(super) prompt: Option<(String, Option<Timestamp>)>,
    pub(super) text: Option<String>,
    pub(super) errors: Errors,
    pub(super) denied: u64,
    /// Tokens of the context after the last response.
    pub(super) context: Option<u64>,
    pub(super) turns: u64,
    pub(super) compactions: u64,
    pub(super) tool_uses: u64,
    /// Background subagents that run on after the turn, by the record of its end.
    pub(super) pending_agents: u64,
    pub(super) started_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    /// The time of the last sign of a process; absent if its record has none.
    pub(super) active_at: Option<Timestamp>,
    pub(super) records: u64,
    pub(super) malformed: u64,
}

/// Facts about the session that its records repeat; the last one counts.
#[derive(Default)]
pub(super) struct Facts {
    titles: [Option<String>; 4],
    pub(super) first_prompt: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) git_branch: Option<String>,
    pub(super) version: Option<String>,
    pub(super) entrypoint: Option<String>,
    pub(super) permission_mode: Option<String>,
    pub(super) model: Option<String>,
    pub(super) window: Option<u64>,
    pub(super) reported_cost_usd: Option<f64>,
}

/// Whether the main chain is in a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// No record of the conversation was seen.
    #[default]
    Unknown,
    Running {
        since: Option<Timestamp>,
    },
    Over {
        since: Option<Timestamp>,
    },
}

/// A tool call without its result.
pub(super) struct OpenTool {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: String,
    pub(super) since: Option<Timestamp>,
}

impl OpenTool {
    /// Whether the call asks the user.
    pub(super) fn is_question(&self) -> bool {
        matches!(self.name.as_str(), "AskUserQuestion" | "ExitPlanMode")
    }
}

#[derive(Default)]
pub(super) struct Errors {
    pub(super) count: u64,
    pub(super) last: Option<(String, Option<Timestamp>)>,
}

/// An entry of the queue: a prompt, or the news that a background task has ended.
struct Queued {
    text: String,
    is_prompt: bool,
    at: Option<Timestamp>,
}

impl Transcript {
    pub(super) fn of_agent() -> Transcript {
        Transcript { is_of_agent: true, ..Transcript::default() }
    }

    /// Folds a record that shows a part of `response`, if it is one of the API's.
    pub(super) fn record(&mut self, record: &Record, response: Option<Response>) {
        self.records += 1;
        // In the files of 2025 the records of subagents are among those of the session.
        let is_of_another = record.is_sidechain() && !self.is_of_agent;
        let response = response.filter(|_| !is_of_another);
        self.facts.update(record, response.as_ref());
        self.hear(record);
        if is_of_another {
            return;
        }
        if matches!(record.class, Class::Conversation | Class::Unknown) {
            self.started_at = earliest(self.started_at, record.ts);
            self.last_at = self.last_at.max(record.ts);
        }
        // A response shows that the turn goes on, before its blocks or its end can end it.
        if let Some(response) = &response {
            self.context = response.usage.map(|usage| usage.context()).or(self.context);
            self.run(record.ts);
        }
        for block in &record.blocks {
            self.block(block, record.ts);
        }
        if let Some((text, is_queued)) = record.prompt() {
            self.prompt(text.excerpt(TEXT_CHARS), is_queued, record.ts);
        }
        if record.starts_turn() {
            self.run(record.ts);
        }
        if response.is_some_and(|response| response.is_end_of_turn) {
            self.end_turn(record.ts);
        }
    }

    /// Takes a record as a sign that its process runs. State is written to sessions that have
    /// ended too; injected context is written by a session at work, but some of it has no time.
    fn hear(&mut self, record: &Record) {
        match (record.class, record.ts) {
            (Class::State, _) | (Class::Injected, None) => {}
            (_, Some(ts)) => self.active_at = self.active_at.max(Some(ts)),
            (_, None) => self.active_at = None,
        }
    }

    fn block(&mut self, block: &Block, ts: Option<Timestamp>) {
        match block {
            Block::TaskEnded { task_id, tool_use_id, .. } => {
                let ended = u64::from(self.calls.ended(task_id, tool_use_id));
                self.pending_agents = self.pending_agents.saturating_sub(ended);
            }
            Block::Interrupted { .. } => self.end_turn(ts),
            Block::Text { text } => {
                self.text = Some(text.excerpt(TEXT_CHARS)).filter(|text| !text.is_empty());
            }
            Block::ToolUse { id, name, .. } => self.tool_use(id, name, block, ts),
            Block::ToolResult(result) => self.tool_result(result, ts),
            Block::Compaction { left_tokens, .. } => {
                self.compactions += 1;
                self.context = *left_tokens;
            }
            Block::Error { text, is_retried } => {
                self.errors.count += 1;
                self.errors.last = Some((text.excerpt(TEXT_CHARS), ts));
                if *is_retried { self.run(ts) } else { self.end_turn(ts) }
            }
            Block::TurnEnd { pending_agents, .. } => {
                self.end_turn(ts);
                self.pending_agents = *pending_agents;
                // None goes on: those that seem to have ended without news.
                if *pending_agents == 0 {
                    self.calls.stop_all();
                }
            }
            Block::Queue { operation, text } => self.queue(operation, text.excerpt(TEXT_CHARS), ts),
            Block::Prompt { .. } | Block::Notice { .. } | Block::Thinking { .. } => {}
            Block::Title { .. } | Block::Other { .. } => {}
        }
    }

    /// The turn goes on, or a new one starts.
    fn run(&mut self, ts: Option<Timestamp>) {
        if !matches!(self.turn, Turn::Running { .. }) {
            self.turn = Turn::Running { since: ts };
        }
    }

    fn end_turn(&mut self, ts: Option<Timestamp>) {
        // `turn_duration` follows `end_turn`: the turn was over before.
        if !matches!(self.turn, Turn::Over { .. }) {
            self.turn = Turn::Over { since: ts };
        }
        self.tools.clear();
        self.calls.stop();
    }

    fn prompt(&mut self, text: String, is_queued: bool, ts: Option<Timestamp>) {
        let dequeued = self.dequeued.take();
        if is_queued {
            // `dequeue` took it out already, and an equal one may still wait.
            if dequeued.as_ref() != Some(&text) {
                self.unqueue(&text);
            }
        } else {
            if self.is_of_agent && text.starts_with("<fork-boilerplate>") {
                self.forget_copies();
            }
            // A call that a crash left open has no result any more.
            self.end_turn(ts);
            // It was the answer to something else.
            self.text = None;
        }
        if !matches!(self.turn, Turn::Running { .. }) {
            self.turns += 1;
        }
        self.run(ts);
        self.facts.first_prompt.get_or_insert_with(|| text.clone());
        self.prompt = Some((text, ts));
    }

    /// A fork begins with copies of its session's records, whose calls and turns are not its own.
    fn forget_copies(&mut self) {
        *self = Transcript {
            facts: std::mem::take(&mut self.facts),
            active_at: self.active_at,
            last_at: self.last_at,
            context: self.context,
            records: self.records,
            malformed: self.malformed,
            ..Transcript::of_agent()
        };
    }

    fn tool_use(&mut self, id: &str, name: &str, block: &Block, ts: Option<Timestamp>) {
        self.tool_uses += 1;
        if let Some(call) = block.agent_call() {
            self.calls.start(id, call, ts);
        } else if let Some(todos) = block.todos() {
            self.todos.write(todos);
        } else if let Some(task) = block.task() {
            self.todos.change(id, task);
        }
        if self.tools.len() == MAX_OPEN {
            self.tools.remove(0);
        }
        let input = block.tool_input(INPUT_CHARS);
        self.tools.push(OpenTool { id: id.to_owned(), name: name.to_owned(), input, since: ts });
    }

    /// Closes a call. A result whose call is not open, since its turn is over, changes nothing
    /// else.
    fn tool_result(&mut self, result: &ToolResult, ts: Option<Timestamp>) {
        if matches!(result.denied.as_deref(), Some("permission-rule" | "user-rejected")) {
            self.denied += 1;
        }
        let id = result.tool_use_id.as_ref();
        self.calls.result(id, result.is_error, || result.agent());
        self.todos.created(id, || result.task_id());
        if let Some(at) = self.tools.iter().position(|tool| tool.id == id) {
            self.tools.remove(at);
            self.run(ts);
        }
    }

    fn queue(&mut self, operation: &str, text: String, ts: Option<Timestamp>) {
        match operation {
            "enqueue" => {
                if self.queue.len() == MAX_OPEN {
                    self.queue.pop_front();
                }
                let is_prompt = !text.trim_start().starts_with("<task-notification>");
                self.queue.push_back(Queued { text, is_prompt, at: ts });
            }
            "popAll" => self.queue.clear(),
            _ if !text.is_empty() => self.unqueue(&text),
            _ => self.dequeued = self.queue.pop_front().map(|queued| queued.text),
        }
    }

    fn unqueue(&mut self, text: &str) {
        if let Some(at) = self.queue.iter().position(|queued| queued.text == text) {
            self.queue.remove(at);
        }
    }

    /// Returns how many prompts wait for the turn, in a process that started at `start`.
    pub(super) fn queued(&self, start: Option<Timestamp>) -> usize {
        let is_waiting = |queued: &&Queued| queued.is_prompt && !is_before(queued.at, start);
        self.queue.iter().filter(is_waiting).count()
    }
}

/// Whether a time is known to be before the start of the process.
pub(super) fn is_before(time: Option<Timestamp>, start: Option<Timestamp>) -> bool {
    time.zip(start).is_some_and(|(time, start)| time < start)
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Facts {
    fn update(&mut self, record: &Record, response: Option<&Response>) {
        set(&mut self.cwd, record.cwd());
        set(&mut self.git_branch, record.git_branch());
        set(&mut self.version, record.version());
        set(&mut self.entrypoint, record.entrypoint());
        set(&mut self.permission_mode, record.permission_mode());
        set(&mut self.model, response.and_then(|response| response.model.clone()));
        self.window = record.context_window().or(self.window);
        self.reported_cost_usd = record.total_cost_usd().or(self.reported_cost_usd);
        for block in &record.blocks {
            if let Block::Title { source, text } = block {
                let title = text.excerpt(TEXT_CHARS);
                self.titles[*source as usize] = Some(title).filter(|title| !title.is_empty());
            }
        }
    }

    /// Returns the most trusted title, else the first prompt.
    pub(super) fn title(&self) -> Option<&str> {
        let sources =
            [TitleSource::Custom, TitleSource::Ai, TitleSource::AgentName, TitleSource::Summary];
        let given = sources.iter().find_map(|source| self.titles[*source as usize].as_deref());
        given.or(self.first_prompt.as_deref())
    }
}

/// Sets a value that is present and differs, without copying one that is the same.
fn set(slot: &mut Option<String>, value: Option<std::borrow::Cow<str>>) {
    if let Some(value) = value
        && slot.as_deref() != Some(value.as_ref())
    {
        *slot = Some(value.into_owned());
    }
}
