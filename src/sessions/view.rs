//! A session as clients see it: its status by the source that is trusted most, and the rest of its
//! state in at most 4 KiB of JSON.
//!
//! The bound keeps a list of hundreds of sessions small: texts and lists are shortened to fit.
//! Invariant: pure; the caller passes the time. A field that is not known is absent.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::formats::json::rfc3339;
use crate::formats::prices::Cost;
use crate::formats::status::{Entry, EntryStatus};

use super::Session;
use super::agents::{Agent, Call, CallState};
use super::fold::{OpenTool, Transcript, Turn, is_before};

/// The most bytes of a session's JSON.
const MAX_BYTES: usize = 4096;

/// A longer path is left out, since a part of it is of no use.
const MAX_PATH_BYTES: usize = 500;

/// A session without a process has ended when it did nothing for so long.
pub(crate) const SILENCE: SignedDuration = SignedDuration::from_mins(10);

/// The state of the session's process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Liveness {
    /// Its entry is in the registry, and the process runs.
    Alive(Box<Entry>),
    /// The entry or its process went away.
    Gone { since: Timestamp },
    /// There was no entry, or one of another system.
    Unknown,
}

impl Liveness {
    /// When the session's process started, if it runs. Nothing before it goes on.
    fn started_at(&self) -> Option<Timestamp> {
        match self {
            Liveness::Alive(entry) => entry.started_at,
            Liveness::Gone { .. } | Liveness::Unknown => None,
        }
    }
}

/// The session's files, as the source knows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// When one of them was last written.
    pub(crate) written_at: Timestamp,
    /// The path of the session's transcript, relative to the Claude directory.
    pub(crate) path: Option<&'a str>,
    /// The size of the session's transcript.
    pub(crate) bytes: u64,
}

/// In the order in which sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Waiting,
    Working,
    Idle,
    Ended,
}

/// The source of a status, in descending order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Registry,
    Transcript,
    Silence,
}

/// A status and how it is known.
#[derive(Clone, Debug, PartialEq)]
struct Judgement<'a> {
    status: Status,
    from: Source,
    since: Option<Timestamp>,
    waiting_for: Option<&'a str>,
    is_shell: bool,
}

/// The JSON of a session, and the values that order a list of sessions.
pub(crate) struct View {
    pub(crate) status: Status,
    pub(crate) since: Option<Timestamp>,
    pub(crate) is_live: bool,
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) json: Box<RawValue>,
}

/// How much of a session is shown, so that it fits.
#[derive(Clone, Copy)]
struct Limits {
    text_chars: usize,
    items: usize,
}

const LIMITS: [Limits; 4] = [
    Limits { text_chars: 300, items: 12 },
    Limits { text_chars: 160, items: 8 },
    Limits { text_chars: 80, items: 4 },
    Limits { text_chars: 30, items: 1 },
];

impl Session {
    /// Returns the session's state at `now`.
    pub(crate) fn view(&self, liveness: &Liveness, files: Files, now: Timestamp) -> View {
        let judgement = self.judge(liveness, files, now);
        let json = |limits: &Limits| {
            let shown = self.shown(liveness, files, &judgement, *limits);
            to_raw_value(&shown).expect("strings and numbers are JSON")
        };
        let [fitting @ .., smallest] = &LIMITS;
        View {
            status: judgement.status,
            since: judgement.since,
            is_live: matches!(liveness, Liveness::Alive(_)),
            last_at: self.main.last_at,
            json: fitting
                .iter()
                .map(json)
                .find(|json| json.get().len() <= MAX_BYTES)
                .unwrap_or_else(|| json(smallest)),
        }
    }

    /// Returns the status alone, which costs no memory.
    pub(crate) fn status(&self, liveness: &Liveness, files: Files, now: Timestamp) -> Status {
        self.judge(liveness, files, now).status
    }

    fn judge<'a>(&'a self, liveness: &'a Liveness, files: Files, now: Timestamp) -> Judgement<'a> {
        let told = self.judge_transcript(liveness.started_at());
        let active_at = self.active_at(files);
        match liveness {
            Liveness::Alive(entry) => match &entry.status {
                Some(status) => judge_entry(status, entry.since, told),
                None => told,
            },
            // Records after that are those of a process that the registry does not list.
            Liveness::Gone { since } if active_at <= *since => ended(*since),
            _ if now.duration_since(active_at) >= SILENCE => ended(active_at),
            _ => told,
        }
    }

    /// Returns when the session last did anything: by its records, since a file is also written
    /// when a session that has ended gets a title; by its files where the records have no time.
    fn active_at(&self, files: Files) -> Timestamp {
        let agents = self.agents.values().map(|agent| &agent.transcript);
        let agents = agents.filter(|transcript| transcript.records > 0);
        let times = std::iter::once(&self.main).chain(agents).map(|it| it.active_at);
        let latest = times.map(|at| at.unwrap_or(files.written_at)).max();
        // The clock of a record can be ahead.
        latest.map_or(files.written_at, |at| at.min(files.written_at))
    }

    /// Judges by the transcripts alone, for a process that started at `start`.
    fn judge_transcript(&self, start: Option<Timestamp>) -> Judgement<'_> {
        let judge = |status, since| Judgement {
            status,
            from: Source::Transcript,
            since,
            waiting_for: None,
            is_shell: false,
        };
        if let Some(tool) = self.question(start) {
            return judge(Status::Waiting, tool.since);
        }
        let is_left = is_before(self.main.last_at, start);
        match self.main.turn {
            // A process does not go on with a turn that the one before it left.
            Turn::Running { .. } if is_left => judge(Status::Idle, start),
            Turn::Running { since } => judge(Status::Working, since),
            Turn::Over { since } if !is_left && self.has_background_agents() => {
                judge(Status::Working, since)
            }
            Turn::Over { since } => judge(Status::Idle, since),
            Turn::Unknown => judge(Status::Idle, self.main.last_at),
        }
    }

    /// Returns the call that asks the user, of the session itself or of a subagent.
    fn question(&self, start: Option<Timestamp>) -> Option<&OpenTool> {
        self.open_tools(start).map(|(_, tool)| tool).find(|tool| tool.is_question())
    }

    /// Returns the open calls of the session itself and of its subagents, with their ids, without
    /// those that a crash before `start` left open.
    fn open_tools(
        &self,
        start: Option<Timestamp>,
    ) -> impl Iterator<Item = (Option<&str>, &OpenTool)> {
        let main = self.main.tools.iter().map(|tool| (None, tool));
        let at_work = self.agents.iter().filter(|(id, agent)| self.is_at_work(id, agent));
        let of_agents = at_work.flat_map(|(id, agent)| {
            agent.transcript.tools.iter().map(|tool| (Some(id.as_str()), tool))
        });
        main.chain(of_agents).filter(move |(_, tool)| !is_before(tool.since, start))
    }

    /// Whether a subagent's turn goes on. One that was stopped writes no end, but its call has one.
    fn is_at_work(&self, id: &str, agent: &Agent) -> bool {
        let is_stopped = |call: &Call| matches!(call.state, CallState::Stopped | CallState::Failed);
        let call = || self.calls().find(|call| agent.is_started_by(id, call));
        agent.is_in_turn() && !call().is_some_and(is_stopped)
    }

    /// Returns the calls that started subagents.
    fn calls(&self) -> impl Iterator<Item = &Call> {
        let agents = self.agents.values().map(|agent| &agent.transcript);
        std::iter::once(&self.main).chain(agents).flat_map(|it| &it.calls.calls)
    }

    /// Whether subagents go on after the turn: by the calls that started them, else by the end of
    /// the turn.
    fn has_background_agents(&self) -> bool {
        let mut calls = self.main.calls.in_background().peekable();
        let is_over = |call: &Call| {
            let mut agents = self.agents.iter();
            let agent = agents.find(|(id, agent)| agent.is_started_by(id, call));
            agent.is_some_and(|(_, agent)| matches!(agent.transcript.turn, Turn::Over { .. }))
        };
        match calls.peek() {
            Some(_) => calls.any(|call| !is_over(call)),
            None => self.main.pending_agents > 0,
        }
    }

    fn shown<'a>(
        &'a self,
        liveness: &'a Liveness,
        files: Files<'a>,
        judgement: &Judgement<'a>,
        limits: Limits,
    ) -> Shown<'a> {
        let (main, facts) = (&self.main, &self.main.facts);
        let entry = match liveness {
            Liveness::Alive(entry) => Some(entry),
            _ => None,
        };
        let cut = |text: &'a str| excerpt(text, limits.text_chars);
        let of_entry =
            |value: fn(&Entry) -> &Option<String>| entry.and_then(|it| value(it).as_deref());
        let is_ended = judgement.status == Status::Ended;
        let start = liveness.started_at();
        let question = self.question(start).filter(|_| judgement.status == Status::Waiting);
        Shown {
            session_id: &self.id,
            title: facts.title().map(cut),
            project: facts.cwd.as_deref().or(of_entry(|it| &it.cwd)).map(|it| excerpt(it, 1000)),
            git_branch: facts.git_branch.as_deref().filter(|it| !it.is_empty()).map(cut),
            version: facts.version.as_deref().or(of_entry(|it| &it.version)).map(cut),
            entrypoint: facts.entrypoint.as_deref().or(of_entry(|it| &it.entrypoint)).map(cut),
            status: judgement.status,
            status_from: judgement.from,
            since: judgement.since,
            waiting_for: judgement.waiting_for.map(cut),
            question: question.map(|tool| cut(first_line(&tool.input))),
            shell: judgement.is_shell,
            ended_mid_turn: is_ended && matches!(main.turn, Turn::Running { .. }),
            is_live: entry.is_some(),
            pid: entry.and_then(|entry| entry.pid),
            model: facts.model.as_deref().map(cut),
            permission_mode: facts.permission_mode.as_deref().map(cut),
            prompt: main.prompt.as_ref().map(|(text, _)| cut(text)),
            prompt_at: main.prompt.as_ref().and_then(|(_, at)| *at),
            text: main.text.as_deref().map(cut),
            queued: main.queued(start),
            tools: if is_ended { Vec::new() } else { self.tools(start, limits) },
            agents: self.shown_agents(is_ended, start, limits),
            todos: main.todos.progress().map(|it| Todos {
                done: it.done,
                total: it.total,
                active: it.active.map(cut),
            }),
            errors: (main.errors.count > 0).then(|| ShownErrors {
                count: main.errors.count,
                last: main.errors.last.as_ref().map(|(text, _)| cut(text)),
                at: main.errors.last.as_ref().and_then(|(_, at)| *at),
            }),
            denied: main.denied,
            context: main.context.map(|tokens| Context { tokens, window: self.window(tokens) }),
            tokens: self.tokens.shown(),
            cost_usd: self.tokens.cost.map(Cost::usd),
            reported_cost_usd: facts.reported_cost_usd,
            turns: main.turns,
            compactions: main.compactions,
            started_at: main.started_at.or(entry.and_then(|entry| entry.started_at)),
            last_at: main.last_at,
            path: files.path.filter(|path| path.len() <= MAX_PATH_BYTES),
            bytes: files.bytes,
            records: main.records,
            malformed: main.malformed,
        }
    }

    /// The size of the context window, if a record has it and the tokens fit.
    fn window(&self, tokens: u64) -> Option<u64> {
        self.main.facts.window.filter(|window| *window >= tokens)
    }

    fn tools(&self, start: Option<Timestamp>, limits: Limits) -> Vec<Tool<'_>> {
        let open = self.open_tools(start).take(limits.items);
        open.map(|(agent_id, tool)| Tool::new(tool, agent_id, limits)).collect()
    }

    /// Subagents with a transcript, and calls that have none yet: running ones first, then the
    /// newest.
    fn shown_agents(
        &self,
        is_ended: bool,
        start: Option<Timestamp>,
        limits: Limits,
    ) -> Vec<ShownAgent<'_>> {
        let is_ended = |call: Option<&Call>, agent: Option<&Agent>| {
            let last_at = agent.and_then(|agent| agent.transcript.last_at);
            is_ended || is_before(last_at.max(call.and_then(|call| call.since)), start)
        };
        let calls: Vec<&Call> = self.calls().collect();
        let mut joined = vec![false; calls.len()];
        let mut shown: Vec<ShownAgent> = Vec::new();
        for (id, agent) in &self.agents {
            let at = calls.iter().position(|call| agent.is_started_by(id, call));
            at.into_iter().for_each(|at| joined[at] = true);
            let call = at.map(|at| calls[at]);
            let is_ended = is_ended(call, Some(agent));
            shown.push(ShownAgent::new(Some(id), call, Some(agent), is_ended, limits));
        }
        for (call, _) in calls.iter().zip(&joined).filter(|(_, is_joined)| !**is_joined) {
            let id = call.agent_id.as_deref();
            let is_ended = is_ended(Some(call), None);
            shown.push(ShownAgent::new(id, Some(call), None, is_ended, limits));
        }
        shown.sort_by_key(|agent| {
            (agent.status != AgentStatus::Running, std::cmp::Reverse(agent.since))
        });
        shown.truncate(limits.items);
        shown
    }
}

fn ended<'a>(since: Timestamp) -> Judgement<'a> {
    Judgement {
        status: Status::Ended,
        from: Source::Silence,
        since: Some(since),
        waiting_for: None,
        is_shell: false,
    }
}

/// Judges by the registry. It says `idle` while a question is asked, which the transcript knows.
fn judge_entry<'a>(
    status: &'a EntryStatus,
    since: Option<Timestamp>,
    told: Judgement<'a>,
) -> Judgement<'a> {
    let is_asking = told.status == Status::Waiting;
    let is_shell = *status == EntryStatus::Shell;
    let (status, waiting_for) = match status {
        EntryStatus::Idle | EntryStatus::Shell if is_asking => return told,
        EntryStatus::Busy => (Status::Working, None),
        EntryStatus::Waiting { waiting_for } => (Status::Waiting, waiting_for.as_deref()),
        EntryStatus::Idle | EntryStatus::Shell => (Status::Idle, None),
    };
    Judgement { status, from: Source::Registry, since: since.or(told.since), waiting_for, is_shell }
}

impl Agent {
    fn is_started_by(&self, id: &str, call: &Call) -> bool {
        let tool_use_id = self.meta.as_ref().and_then(|meta| meta.tool_use_id.as_deref());
        match tool_use_id {
            Some(tool_use_id) => tool_use_id == call.tool_use_id,
            None => call.agent_id.as_deref() == Some(id),
        }
    }

    pub(super) fn is_in_turn(&self) -> bool {
        matches!(self.transcript.turn, Turn::Running { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum AgentStatus {
    Running,
    Done,
    Failed,
    /// It did not end by itself.
    Stopped,
}

impl AgentStatus {
    fn of(call: Option<&Call>, transcript: Option<&Transcript>, is_ended: bool) -> AgentStatus {
        let is_over = transcript.is_some_and(|it| matches!(it.turn, Turn::Over { .. }));
        match call.map(|call| call.state) {
            Some(CallState::Done) => AgentStatus::Done,
            Some(CallState::Failed) => AgentStatus::Failed,
            Some(CallState::Background) | None if is_over => AgentStatus::Done,
            Some(CallState::Stopped) => AgentStatus::Stopped,
            Some(CallState::Running | CallState::Background) | None if is_ended => {
                AgentStatus::Stopped
            }
            Some(CallState::Running | CallState::Background) | None => AgentStatus::Running,
        }
    }
}

/// The JSON of a session. Absent values are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_branch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<&'a str>,
    status: Status,
    status_from: Source,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shell: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended_mid_turn: bool,
    is_live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission_mode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    prompt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    queued: usize,
    tools: Vec<Tool<'a>>,
    agents: Vec<ShownAgent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    todos: Option<Todos<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<ShownErrors<'a>>,
    denied: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<ShownTokens>,
    /// Of its tokens, by our table of prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    /// As Claude Code counts it, in the transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_cost_usd: Option<f64>,
    turns: u64,
    compactions: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    last_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    bytes: u64,
    records: u64,
    malformed: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    id: &'a str,
    name: &'a str,
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    since: Option<Timestamp>,
    agent_id: Option<&'a str>,
}

impl<'a> Tool<'a> {
    fn new(tool: &'a OpenTool, agent_id: Option<&'a str>, limits: Limits) -> Tool<'a> {
        let cut = |text| excerpt(text, limits.text_chars);
        Tool {
            id: cut(&tool.id),
            name: cut(&tool.name),
            input: cut(&tool.input),
            since: tool.since,
            agent_id,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownAgent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    /// The call that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    agent_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: AgentStatus,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    since: Option<Timestamp>,
    tools: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
}

impl<'a> ShownAgent<'a> {
    fn new(
        id: Option<&'a str>,
        call: Option<&'a Call>,
        agent: Option<&'a Agent>,
        is_ended: bool,
        limits: Limits,
    ) -> ShownAgent<'a> {
        let transcript = agent.map(|agent| &agent.transcript);
        let meta = agent.and_then(|agent| agent.meta.as_ref());
        let status = AgentStatus::of(call, transcript, is_ended);
        let cut = |text: &'a String| excerpt(text, limits.text_chars.min(120));
        let started_at = transcript.and_then(|it| it.started_at);
        let tool = transcript.filter(|_| status == AgentStatus::Running);
        let tool = tool.and_then(|it| it.tools.last()).map(|tool| {
            let text = format!("{} {}", tool.name, first_line(&tool.input));
            excerpt(&text, limits.text_chars.min(120)).trim_end().to_owned()
        });
        ShownAgent {
            agent_id: id,
            tool_use_id: meta
                .and_then(|meta| meta.tool_use_id.as_ref())
                .or(call.map(|call| &call.tool_use_id))
                .map(cut),
            agent_type: meta
                .and_then(|meta| meta.agent_type.as_ref())
                .or(call.and_then(|call| call.agent_type.as_ref()))
                .map(cut),
            description: meta
                .and_then(|meta| meta.description.as_ref())
                .or(call.and_then(|call| call.description.as_ref()))
                .map(cut),
            status,
            since: call.and_then(|call| call.since).or(started_at),
            tools: call
                .and_then(|call| call.tool_uses)
                .unwrap_or(transcript.map_or(0, |it| it.tool_uses)),
            tokens: call.and_then(|call| call.tokens).or(transcript.and_then(|it| it.context)),
            tool,
        }
    }
}

#[derive(Serialize)]
struct Todos<'a> {
    done: usize,
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownErrors<'a> {
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Context {
    tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownTokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

fn excerpt(text: &str, max_chars: usize) -> &str {
    let end = text.char_indices().nth(max_chars).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or_default()
}
