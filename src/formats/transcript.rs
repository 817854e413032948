//! One record of a transcript (`projects/<slug>/<uuid>.jsonl`) as blocks that people can read.
//!
//! The format is internal to Claude Code and changes monthly: every key is optional, and unknown
//! types of records and blocks are passed on as [`Block::Other`]. A line can hold several records:
//! writers that share a file glue them together, and a writer that is killed leaves half of one.
//!
//! Invariant: pure. A line that does not parse is a value, not an error.
//! Source: `claude-files.md`, sections 3 and 7, and the public schemas that it names.

use std::borrow::Cow;

use jiff::Timestamp;
use memchr::memmem;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{
    Raw, absent, excerpt, is_true, keys, lossy, number, text, without_half_surrogates,
};
use super::prices::Terms;

mod blocks;
#[cfg(test)]
mod tests;
mod tools;
mod usage;

pub(crate) use blocks::Location;
pub(crate) use tools::{AgentCall, AgentMeta, AgentResult, Task, Todo, TodoState};
pub(crate) use usage::{Counted, each_counted, reported_cost};

keys! {
    /// The keys of a record.
    Envelope {
        record_type: b"type",
        message: b"message" => Message<'a>,
        timestamp: b"timestamp",
        uuid: b"uuid",
        session_id: b"sessionId",
        agent_id: b"agentId",
        is_sidechain: b"isSidechain",
        cwd: b"cwd",
        git_branch: b"gitBranch",
        version: b"version",
        entrypoint: b"entrypoint",
        request_id: b"requestId",
        permission_mode: b"permissionMode",
        tool_use_result: b"toolUseResult",
        tool_denial_kind: b"toolDenialKind",
        is_meta: b"isMeta",
        is_compact_summary: b"isCompactSummary",
        is_api_error: b"isApiErrorMessage",
        interrupted_message_id: b"interruptedMessageId",
        origin: b"origin" => Origin<'a>,
        prompt_source: b"promptSource",
        subtype: b"subtype",
        content: b"content",
        error: b"error",
        duration_ms: b"durationMs",
        pending_agents: b"pendingBackgroundAgentCount",
        compaction: b"compactMetadata" => Compaction<'a>,
        retry_in_ms: b"retryInMs",
        retry_attempt: b"retryAttempt",
        max_retries: b"maxRetries",
        attachment: b"attachment" => Attachment<'a>,
        operation: b"operation",
        ai_title: b"aiTitle",
        custom_title: b"customTitle",
        agent_name: b"agentName",
        summary: b"summary",
        relocated_cwd: b"relocatedCwd",
        total_cost_usd: b"totalCostUSD",
    }
}

keys! {
    Message {
        id: b"id",
        model: b"model",
        content: b"content" => Content<'a>,
        stop_reason: b"stop_reason",
        usage: b"usage" => UsageKeys<'a>,
    }
}

/// The content of a message: a string or a list of blocks.
#[derive(Default)]
enum Content<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Parts(Vec<BlockKeys<'a>>),
}

impl<'a> Deserialize<'a> for Content<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Content<'a>, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'a> Visitor<'a> for ContentVisitor {
    type Value = Content<'a>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a string or a list")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Content<'a>, E> {
        Ok(Content::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<'a>, E> {
        Ok(Content::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Content<'a>, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = seq.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Content<'a>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Content::Absent)
    }

    absent!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64);
}

keys! {
    UsageKeys {
        input: b"input_tokens",
        output: b"output_tokens",
        cache_read: b"cache_read_input_tokens",
        cache_write: b"cache_creation_input_tokens",
        by_lifetime: b"cache_creation" => Lifetimes<'a>,
        speed: b"speed",
        inference_geo: b"inference_geo",
    }
}

keys! {
    Lifetimes {
        hour: b"ephemeral_1h_input_tokens",
    }
}

keys! {
    Origin {
        kind: b"kind",
    }
}

keys! {
    Compaction {
        trigger: b"trigger",
        pre_tokens: b"preTokens",
        post_tokens: b"postTokens",
    }
}

keys! {
    Attachment {
        attachment_type: b"type",
        prompt: b"prompt",
        total: b"total",
    }
}

keys! {
    /// The keys of a content block.
    BlockKeys {
        block_type: b"type",
        text: b"text",
        thinking: b"thinking",
        id: b"id",
        name: b"name",
        input: b"input",
        tool_use_id: b"tool_use_id",
        content: b"content",
        is_error: b"is_error",
        source: b"source" => Source<'a>,
    }
}

keys! {
    Source {
        media_type: b"media_type",
    }
}

/// A record.
pub(crate) struct Record<'a> {
    /// `type`, of a `system` record with its subtype (`system/turn_duration`).
    pub(crate) record_type: Cow<'a, str>,
    pub(crate) class: Class,
    pub(crate) ts: Option<Timestamp>,
    pub(crate) blocks: Vec<Block<'a>>,
    keys: Envelope<'a>,
}

/// How a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A part of the conversation.
    Conversation,
    /// The session's metadata, appended again whenever it is flushed. It is no activity.
    State,
    /// Context that Claude Code injects: reminders, attachments, hooks, snapshots.
    Injected,
    /// Of an unknown type.
    Unknown,
}

/// The readable parts of a record.
#[derive(Debug)]
pub(crate) enum Block<'a> {
    /// Typed by a person; `is_queued` while a turn ran. Of an attachment, the text names its kind.
    Prompt {
        text: Words<'a>,
        is_queued: bool,
        is_attachment: bool,
    },
    /// Written by a program: a slash command, another agent, the system.
    Notice {
        text: Words<'a>,
    },
    /// A background task has ended.
    TaskEnded {
        task_id: String,
        tool_use_id: String,
        text: String,
    },
    Interrupted {
        text: Words<'a>,
    },
    Text {
        text: Words<'a>,
    },
    Thinking {
        text: Words<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Raw<'a>,
    },
    ToolResult(ToolResult<'a>),
    Compaction {
        text: String,
        /// The size of the context after it, where that is told.
        left_tokens: Option<u64>,
    },
    /// `is_retried`: the turn goes on.
    Error {
        text: Words<'a>,
        is_retried: bool,
    },
    TurnEnd {
        duration_ms: Option<u64>,
        pending_agents: u64,
    },
    Title {
        source: TitleSource,
        text: Words<'a>,
    },
    /// A prompt joins or leaves the queue of a running turn.
    Queue {
        operation: Cow<'a, str>,
        text: Words<'a>,
    },
    Other {
        kind: Cow<'a, str>,
    },
}

#[derive(Debug)]
pub(crate) struct ToolResult<'a> {
    pub(crate) tool_use_id: Cow<'a, str>,
    pub(crate) text: Words<'a>,
    pub(crate) is_error: bool,
    /// `permission-rule`, `user-rejected` or `cancelled`.
    pub(crate) denied: Option<Cow<'a, str>>,
    /// `toolUseResult`, whose shape depends on the tool.
    pub(crate) result: Raw<'a>,
}

/// Where a title comes from, in ascending order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TitleSource {
    Summary,
    AgentName,
    Ai,
    Custom,
}

/// A text that is decoded only as far as it is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Words<'a> {
    /// A JSON string, or a list of content blocks whose texts follow each other.
    Json(Raw<'a>),
    Text(Cow<'a, str>),
}

/// An API response, as far as a record shows it.
pub(crate) struct Response<'a> {
    /// `message.id`; several records can have the same one.
    pub(crate) message_id: Option<Cow<'a, str>>,
    pub(crate) request_id: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) is_end_of_turn: bool,
    /// Absent for errors that Claude Code makes up (`<synthetic>`).
    pub(crate) usage: Option<Usage>,
    pub(crate) terms: Terms,
}

/// Tokens of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    /// The part of `cache_write` that is kept for an hour instead of five minutes.
    pub(crate) cache_write_hour: u64,
}

/// The parts of a line.
pub(crate) enum Part<'a> {
    Record(Box<Record<'a>>),
    /// Bytes that are no record.
    Malformed,
}

/// Parses a line and passes on its records: one as a rule, more if writers glued them together.
pub(crate) fn each_part(line: &[u8], mut each: impl FnMut(Part)) {
    each_part_dyn(line, &mut each);
}

/// One copy of the parser in the binary instead of one for each caller.
fn each_part_dyn(line: &[u8], each: &mut dyn FnMut(Part)) {
    let line = lossy(line);
    let mut rest = trim(&line);
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Envelope>();
        match values.next() {
            Some(Ok(keys)) if text(keys.record_type).is_some() => {
                each(Part::Record(Box::new(Record::of(keys))));
            }
            Some(Ok(_)) => each(Part::Malformed),
            // JavaScript writes halves of surrogate pairs: such a line is mended.
            Some(Err(_)) | None => match without_half_surrogates(rest) {
                Some(mended) => return each_part_dyn(mended.as_bytes(), each),
                None => {
                    each(Part::Malformed);
                    rest = next_record(rest);
                    continue;
                }
            },
        }
        rest = trim(&rest[values.byte_offset()..]);
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\0'])
}

/// Returns the rest of a line from the last place on where a record seems to begin: what is glued
/// to a half record is a whole one. The blocks of a message begin with their type too, as records
/// without a parent do.
fn next_record(line: &str) -> &str {
    let inner = &line.as_bytes()[1..];
    let with_parent = memmem::rfind(inner, b"{\"parentUuid\":");
    let start = with_parent.or_else(|| memmem::rfind(inner, b"{\"type\":"));
    start.map_or("", |start| &line[start + 1..])
}

impl<'a> Record<'a> {
    fn of(mut keys: Envelope<'a>) -> Record<'a> {
        let content = std::mem::take(&mut keys.message.content);
        let mut record_type = text(keys.record_type).unwrap_or_default();
        let subtype = text(keys.subtype);
        let (class, blocks) = match record_type.as_ref() {
            "user" => user(content, &keys),
            "assistant" => (Class::Conversation, assistant(content, &keys)),
            "system" => system(subtype.as_deref().unwrap_or_default(), &keys),
            "attachment" => attachment(&keys.attachment),
            other => state(other, &keys),
        };
        if let (Some(subtype), "system") = (subtype, record_type.as_ref()) {
            record_type = Cow::Owned(format!("system/{subtype}"));
        }
        let ts = time(keys.timestamp);
        Record { record_type, class, ts, blocks, keys }
    }

    /// Whether streams and requests without `all=1` get the record.
    pub(crate) fn is_published(&self) -> bool {
        let is_readable = |block: &Block| match block {
            Block::Thinking { text } | Block::Text { text } => !text.is_empty(),
            _ => true,
        };
        matches!(self.class, Class::Conversation | Class::Unknown)
            && self.blocks.iter().any(is_readable)
    }

    /// Returns the prompt and whether it was queued. A record has one, and its text counts before
    /// what is attached to it.
    pub(crate) fn prompt(&self) -> Option<(&Words<'a>, bool)> {
        let prompts = self.blocks.iter().filter_map(|block| match block {
            Block::Prompt { text, is_queued, is_attachment } => {
                Some((is_attachment, (text, *is_queued)))
            }
            _ => None,
        });
        prompts.min_by_key(|(is_attachment, _)| *is_attachment).map(|(_, prompt)| prompt)
    }

    /// Whether a program wrote the record, and a turn follows it.
    pub(crate) fn starts_turn(&self) -> bool {
        let kind = text(self.keys.origin.kind);
        self.record_type == "user"
            && self.class == Class::Conversation
            && (kind.is_some_and(|kind| kind != "human") || self.tells_of_ended_task())
    }

    fn tells_of_ended_task(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::TaskEnded { .. }))
    }

    pub(crate) fn uuid(&self) -> Option<Cow<'a, str>> {
        text(self.keys.uuid)
    }

    pub(crate) fn session_id(&self) -> Option<Cow<'a, str>> {
        text(self.keys.session_id)
    }

    pub(crate) fn agent_id(&self) -> Option<Cow<'a, str>> {
        text(self.keys.agent_id)
    }

    /// Whether the record belongs to a subagent.
    pub(crate) fn is_sidechain(&self) -> bool {
        is_true(self.keys.is_sidechain)
    }

    /// The working directory, also as `relocated` gives it.
    pub(crate) fn cwd(&self) -> Option<Cow<'a, str>> {
        text(self.keys.relocated_cwd.or(self.keys.cwd)).filter(|cwd| !cwd.is_empty())
    }

    /// The branch; absent on a detached head.
    pub(crate) fn git_branch(&self) -> Option<Cow<'a, str>> {
        text(self.keys.git_branch)
    }

    pub(crate) fn version(&self) -> Option<Cow<'a, str>> {
        text(self.keys.version)
    }

    pub(crate) fn entrypoint(&self) -> Option<Cow<'a, str>> {
        text(self.keys.entrypoint)
    }

    pub(crate) fn permission_mode(&self) -> Option<Cow<'a, str>> {
        text(self.keys.permission_mode)
    }

    /// The size of the context window, of which Claude Code reminds itself.
    pub(crate) fn context_window(&self) -> Option<u64> {
        let attachment = &self.keys.attachment;
        let is_reminder = text(attachment.attachment_type)? == "total_tokens_reminder";
        number(attachment.total).filter(|total| is_reminder && *total > 0)
    }

    /// The cost of the session as Claude Code counts it.
    pub(crate) fn total_cost_usd(&self) -> Option<f64> {
        self.keys.total_cost_usd?.get().parse().ok()
    }

    /// The API response that an `assistant` record is a part of.
    pub(crate) fn response(&self) -> Option<Response<'a>> {
        let message = &self.keys.message;
        if self.record_type != "assistant" || is_true(self.keys.is_api_error) {
            return None;
        }
        Some(Response {
            is_end_of_turn: text(message.stop_reason).as_deref() == Some("end_turn"),
            ..message.usage.response(message.id, message.model, self.keys.request_id)
        })
    }
}

/// More tokens than any response has; sums of them do not overflow.
const MAX_TOKENS: u64 = 1 << 40;

impl<'a> UsageKeys<'a> {
    /// Returns the response that has this usage.
    fn response(&self, message_id: Raw<'a>, model: Raw<'a>, request_id: Raw<'a>) -> Response<'a> {
        let model = text(model);
        let is_synthetic = model.as_deref() == Some("<synthetic>");
        let has_usage = self.input.or(self.output).is_some() && !is_synthetic;
        let is = |raw, wanted| text(raw).as_deref() == Some(wanted);
        Response {
            message_id: text(message_id).filter(|id| !id.is_empty()),
            request_id: text(request_id),
            model: model.filter(|_| !is_synthetic),
            is_end_of_turn: false,
            usage: has_usage.then(|| self.tokens()),
            terms: Terms { is_fast: is(self.speed, "fast"), is_us: is(self.inference_geo, "us") },
        }
    }

    fn tokens(&self) -> Usage {
        let tokens = |raw| number(raw).unwrap_or_default().min(MAX_TOKENS);
        Usage {
            input: tokens(self.input),
            output: tokens(self.output),
            cache_read: tokens(self.cache_read),
            cache_write: tokens(self.cache_write),
            cache_write_hour: tokens(self.by_lifetime.hour).min(tokens(self.cache_write)),
        }
    }
}

impl Usage {
    pub(crate) fn add(&mut self, other: &Usage) {
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.cache_write_hour += other.cache_write_hour;
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, other: &Usage) {
        self.input -= other.input;
        self.output -= other.output;
        self.cache_read -= other.cache_read;
        self.cache_write -= other.cache_write;
        self.cache_write_hour -= other.cache_write_hour;
    }

    /// Whether this is the later one of two states of a response: output grows while it streams.
    pub(crate) fn exceeds(&self, other: &Usage) -> bool {
        (self.output, self.context()) > (other.output, other.context())
    }

    /// Returns the size of the context after the response.
    pub(crate) fn context(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.output
    }
}

impl Words<'_> {
    /// Decodes up to `max_chars` characters.
    pub(crate) fn excerpt(&self, max_chars: usize) -> String {
        match self {
            Words::Text(text) => text.chars().take(max_chars).collect(),
            Words::Json(raw) => excerpt(*raw, max_chars).unwrap_or_else(|| {
                let parts: Vec<BlockKeys> =
                    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
                let texts = parts.iter().filter_map(|part| part_text(part, max_chars));
                let texts: Vec<String> = texts.collect();
                texts.join("\n").chars().take(max_chars).collect()
            }),
        }
    }

    fn is_empty(&self) -> bool {
        self.excerpt(1).is_empty()
    }
}

fn part_text(part: &BlockKeys, max_chars: usize) -> Option<String> {
    excerpt(part.text, max_chars).or_else(|| {
        let kind = text(part.source.media_type).or(text(part.block_type))?;
        Some(format!("[{kind}]"))
    })
}

/// Parses the time of a record: an RFC 3339 string as a rule, milliseconds in some old ones.
fn time(raw: Raw) -> Option<Timestamp> {
    match text(raw) {
        Some(text) => text.parse().ok(),
        None => Timestamp::from_millisecond(i64::try_from(number(raw)?).ok()?).ok(),
    }
}

/// A `user` record: a prompt, the result of a tool, or a message that a program wrote.
fn user<'a>(content: Content<'a>, keys: &Envelope<'a>) -> (Class, Vec<Block<'a>>) {
    let is_injected = is_true(keys.is_compact_summary) || is_true(keys.is_meta);
    let blocks: Vec<Block> = match content {
        Content::Text(text) if !is_injected => said(Words::Text(text), keys).into_iter().collect(),
        Content::Parts(parts) => {
            let is_heard = |part: &&BlockKeys| !is_injected || is_type(part, "tool_result");
            parts.iter().filter(is_heard).filter_map(|part| user_part(part, keys)).collect()
        }
        _ => Vec::new(),
    };
    (if blocks.is_empty() { Class::Injected } else { Class::Conversation }, blocks)
}

fn is_type(part: &BlockKeys, block_type: &str) -> bool {
    text(part.block_type).as_deref() == Some(block_type)
}

fn user_part<'a>(part: &BlockKeys<'a>, keys: &Envelope<'a>) -> Option<Block<'a>> {
    match text(part.block_type)?.as_ref() {
        "tool_result" => Some(Block::ToolResult(ToolResult {
            tool_use_id: text(part.tool_use_id).unwrap_or_default(),
            text: Words::Json(part.content),
            is_error: is_true(part.is_error),
            denied: text(keys.tool_denial_kind),
            result: keys.tool_use_result,
        })),
        "text" => said(Words::Json(part.text), keys),
        "image" => Some(prompt(Words::Text(Cow::Borrowed("[image]")), true, keys)),
        "document" => Some(prompt(Words::Text(Cow::Borrowed("[document]")), true, keys)),
        other => Some(Block::Other { kind: Cow::Owned(other.to_owned()) }),
    }
}

fn prompt<'a>(text: Words<'a>, is_attachment: bool, keys: &Envelope) -> Block<'a> {
    let is_queued = self::text(keys.prompt_source).as_deref() == Some("queued");
    Block::Prompt { text, is_queued, is_attachment }
}

/// Characters at the start of a text that decide its kind.
const MARK_CHARS: usize = 40;

/// Returns the block of a text of a `user` record, by its author; `None` for reminders.
fn said<'a>(words: Words<'a>, keys: &Envelope<'a>) -> Option<Block<'a>> {
    let start = words.excerpt(MARK_CHARS);
    let start = start.trim_start();
    if keys.interrupted_message_id.is_some() || start.starts_with("[Request interrupted by user") {
        return Some(Block::Interrupted { text: words });
    }
    if is_notification(&words) {
        return Some(task_ended(&words));
    }
    let is_injected = ["<system-reminder>", "<local-command-caveat>", "<ide_", "Caveat: "];
    if is_injected.iter().any(|mark| start.starts_with(mark)) {
        return None;
    }
    let marks = ["<command-", "<local-command-", "<bash-", "<user-memory-input>"];
    if marks.iter().any(|mark| start.starts_with(mark)) {
        let text = Some(command(&words)).filter(|text| !text.is_empty())?;
        return Some(Block::Notice { text: Words::Text(Cow::Owned(text)) });
    }
    match text(keys.origin.kind).as_deref() {
        None | Some("human") => Some(prompt(words, false, keys)),
        Some(_) => Some(Block::Notice { text: words }),
    }
}

/// Whether a text is the news that a background task has ended.
fn is_notification(words: &Words) -> bool {
    words.excerpt(MARK_CHARS).trim_start().starts_with("<task-notification>")
}

/// The longest part of a tagged text that is looked through: ids and names come first.
const TAGGED_CHARS: usize = 4000;

/// Returns the content of an element, or the start of one that was cut.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>")).map_or(rest, |(content, _)| content).trim())
}

fn task_ended<'a>(words: &Words) -> Block<'a> {
    let text = words.excerpt(TAGGED_CHARS);
    let part = |name: &str| element(&text, name).map(str::to_owned);
    Block::TaskEnded {
        task_id: part("task-id").unwrap_or_default(),
        tool_use_id: part("tool-use-id").unwrap_or_default(),
        text: part("summary").unwrap_or_else(|| "a background task ended".to_owned()),
    }
}

/// Returns a command as it was typed, or its output.
fn command(words: &Words) -> String {
    let text = words.excerpt(TAGGED_CHARS);
    let part = |name: &str| element(&text, name).filter(|part| !part.is_empty());
    let all = |parts: [Option<&str>; 2], between: &str| {
        parts.into_iter().flatten().collect::<Vec<_>>().join(between)
    };
    if let Some(name) = part("command-name") {
        return all([Some(name), part("command-args")], " ");
    }
    let typed = [("bash-input", "!"), ("user-memory-input", "#")];
    if let Some((typed, sign)) = typed.iter().find_map(|(name, sign)| Some((part(name)?, sign))) {
        return format!("{sign} {typed}");
    }
    let outputs = ["local-command", "bash"].map(|whose| {
        let output = ["stdout", "stderr"].map(|stream| part(&format!("{whose}-{stream}")));
        all(output, "\n")
    });
    outputs.concat()
}

fn assistant<'a>(content: Content<'a>, keys: &Envelope<'a>) -> Vec<Block<'a>> {
    let is_error = is_true(keys.is_api_error);
    let error = |text| vec![Block::Error { text, is_retried: false }];
    match content {
        Content::Text(text) if is_error => error(Words::Text(text)),
        Content::Text(text) => vec![Block::Text { text: Words::Text(text) }],
        Content::Parts(parts) if is_error => {
            error(Words::Json(parts.first().and_then(|part| part.text)))
        }
        Content::Parts(parts) => parts.iter().filter_map(assistant_part).collect(),
        Content::Absent => Vec::new(),
    }
}

fn assistant_part<'a>(part: &BlockKeys<'a>) -> Option<Block<'a>> {
    Some(match text(part.block_type)?.as_ref() {
        "text" => Block::Text { text: Words::Json(part.text) },
        "thinking" => Block::Thinking { text: Words::Json(part.thinking) },
        "redacted_thinking" => Block::Thinking { text: Words::Text(Cow::Borrowed("")) },
        "tool_use" | "server_tool_use" | "mcp_tool_use" => Block::ToolUse {
            id: text(part.id).unwrap_or_default(),
            name: text(part.name).unwrap_or_default(),
            input: part.input,
        },
        other => Block::Other { kind: Cow::Owned(other.to_owned()) },
    })
}

fn system<'a>(subtype: &str, keys: &Envelope<'a>) -> (Class, Vec<Block<'a>>) {
    let block = match subtype {
        "turn_duration" => Block::TurnEnd {
            duration_ms: number(keys.duration_ms),
            pending_agents: number(keys.pending_agents).unwrap_or_default(),
        },
        "compact_boundary" | "microcompact_boundary" => {
            let left_tokens = number(keys.compaction.post_tokens);
            Block::Compaction { text: tools::compaction(&keys.compaction), left_tokens }
        }
        "api_error" => Block::Error {
            text: tools::api_error(keys.error),
            is_retried: keys.retry_in_ms.is_some(),
        },
        "informational"
        | "away_summary"
        | "memory_saved"
        | "agents_killed"
        | "permission_retry"
        | "scheduled_task_fire"
        | "model_refusal_fallback" => Block::Notice { text: Words::Json(keys.content) },
        "stop_hook_summary" | "bridge_status" | "local_command" => {
            return (Class::Injected, Vec::new());
        }
        other => {
            let block = Block::Other { kind: Cow::Owned(format!("system/{other}")) };
            return (Class::Unknown, vec![block]);
        }
    };
    (Class::Conversation, vec![block])
}

fn attachment<'a>(attachment: &Attachment<'a>) -> (Class, Vec<Block<'a>>) {
    if text(attachment.attachment_type).as_deref() != Some("queued_command") {
        return (Class::Injected, Vec::new());
    }
    let words = Words::Json(attachment.prompt);
    let block = if is_notification(&words) {
        task_ended(&words)
    } else {
        Block::Prompt { text: words, is_queued: true, is_attachment: false }
    };
    (Class::Conversation, vec![block])
}

/// Records of the session's metadata, and records of unknown types.
fn state<'a>(record_type: &str, keys: &Envelope<'a>) -> (Class, Vec<Block<'a>>) {
    let title = |source, text| vec![Block::Title { source, text: Words::Json(text) }];
    let blocks = match record_type {
        "custom-title" => title(TitleSource::Custom, keys.custom_title),
        "ai-title" => title(TitleSource::Ai, keys.ai_title),
        "agent-name" => title(TitleSource::AgentName, keys.agent_name),
        "summary" => title(TitleSource::Summary, keys.summary),
        "queue-operation" => queue(keys),
        "progress" | "file-history-snapshot" | "file-history-delta" | "content-replacement" => {
            return (Class::Injected, Vec::new());
        }
        known if STATE_TYPES.contains(&known) || known.starts_with("artifact-") => Vec::new(),
        other => {
            let block = Block::Other { kind: Cow::Owned(other.to_owned()) };
            return (Class::Unknown, vec![block]);
        }
    };
    (Class::State, blocks)
}

fn queue<'a>(keys: &Envelope<'a>) -> Vec<Block<'a>> {
    let text = Words::Json(keys.content);
    let ended = is_notification(&text).then(|| task_ended(&text));
    let operation = self::text(keys.operation).unwrap_or_default();
    std::iter::once(Block::Queue { operation, text }).chain(ended).collect()
}

/// Known types of metadata without anything to read.
const STATE_TYPES: [&str; 19] = [
    "agent-color",
    "agent-setting",
    "tag",
    "last-prompt",
    "mode",
    "permission-mode",
    "bridge-session",
    "atis-latch",
    "frame-link",
    "worktree-state",
    "pr-link",
    "relocated",
    "history-suppression",
    "attribution-snapshot",
    "task-summary",
    "fork-context-ref",
    "started",
    "result",
    "cost-state",
];
