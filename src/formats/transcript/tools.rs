//! Summarizes the input and the result of a tool in a few words.
//!
//! Invariant: pure. A tool whose input is unknown is shown by one of its strings, else as JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{Raw, excerpt, keys, number, text};
use super::{Block, Compaction, ToolResult, Words};

keys! {
    /// The keys of a tool's input that say most, the most telling first.
    Input {
        command: b"command",
        file_path: b"file_path",
        notebook_path: b"notebook_path",
        pattern: b"pattern",
        url: b"url",
        query: b"query",
        description: b"description",
        subject: b"subject",
        skill: b"skill",
        subagent_type: b"subagent_type",
        questions: b"questions",
        plan: b"plan",
        todos: b"todos",
        task_id: b"taskId",
        status: b"status",
        active_form: b"activeForm",
        message: b"message",
        prompt: b"prompt",
    }
}

keys! {
    Question {
        question: b"question",
    }
}

keys! {
    TodoKeys {
        content: b"content",
        status: b"status",
        active_form: b"activeForm",
    }
}

keys! {
    /// The keys of `toolUseResult` that are looked at.
    ResultKeys {
        agent_id: b"agentId",
        status: b"status",
        tokens: b"totalTokens",
        tool_uses: b"totalToolUseCount",
        total_duration_ms: b"totalDurationMs",
        duration_ms: b"durationMs",
        task: b"task" => TaskKeys<'a>,
    }
}

keys! {
    TaskKeys {
        id: b"id",
    }
}

keys! {
    /// An error of the API in the shapes that are known.
    ApiError {
        formatted: b"formatted",
        message: b"message",
        error: b"error" => Inner<'a>,
    }
}

keys! {
    Inner {
        message: b"message",
        error: b"error" => Innermost<'a>,
    }
}

keys! {
    Innermost {
        message: b"message",
    }
}

/// The longest text of a todo or a subagent's description, in characters.
const LABEL_CHARS: usize = 120;

/// An entry of a todo list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Todo {
    pub(crate) text: String,
    pub(crate) state: TodoState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TodoState {
    Pending,
    Active,
    Done,
    Deleted,
}

/// A change of the task list, the successor of todos.
pub(crate) enum Task {
    /// The result of the call has the task's id.
    Created {
        text: String,
    },
    Updated {
        id: String,
        text: Option<String>,
        state: Option<TodoState>,
    },
}

/// A subagent is started.
pub(crate) struct AgentCall {
    pub(crate) agent_type: Option<String>,
    pub(crate) description: Option<String>,
}

/// A subagent's `.meta.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentMeta {
    pub(crate) agent_type: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tool_use_id: Option<String>,
}

keys! {
    MetaKeys {
        agent_type: b"agentType",
        description: b"description",
        tool_use_id: b"toolUseId",
    }
}

impl AgentMeta {
    /// Returns nothing for half-written JSON.
    pub(crate) fn parse(bytes: &[u8]) -> Option<AgentMeta> {
        let keys: MetaKeys = serde_json::from_slice(bytes).ok()?;
        let label = |raw| excerpt(raw, LABEL_CHARS);
        Some(AgentMeta {
            agent_type: label(keys.agent_type),
            description: label(keys.description),
            tool_use_id: text(keys.tool_use_id).map(Cow::into_owned),
        })
    }
}

/// A subagent's result, or the news that it runs in the background.
pub(crate) struct AgentResult {
    pub(crate) agent_id: String,
    pub(crate) is_background: bool,
    pub(crate) tokens: Option<u64>,
    pub(crate) tool_uses: Option<u64>,
}

impl Block<'_> {
    /// Returns what a tool is asked to do, up to `max_chars` characters; for a question or a plan
    /// its text. Empty for other blocks.
    pub(crate) fn tool_input(&self, max_chars: usize) -> String {
        let Block::ToolUse { name, input: Some(input), .. } = self else { return String::new() };
        tool_input(name, input.get(), max_chars)
    }

    /// The todo list that a tool call writes.
    pub(crate) fn todos(&self) -> Option<Vec<Todo>> {
        let input = self.input_of(&["TodoWrite"])?;
        let todos: Vec<TodoKeys> = serde_json::from_str(input.todos?.get()).ok()?;
        Some(todos.iter().map(TodoKeys::todo).collect())
    }

    /// The change of the task list that a tool call asks for.
    pub(crate) fn task(&self) -> Option<Task> {
        if let Some(input) = self.input_of(&["TaskCreate"]) {
            let text = excerpt(input.active_form.or(input.subject), LABEL_CHARS);
            return Some(Task::Created { text: text.unwrap_or_default() });
        }
        let input = self.input_of(&["TaskUpdate"])?;
        let id = text(input.task_id).map(Cow::into_owned);
        let id = id.or_else(|| number(input.task_id).map(|id| id.to_string()))?;
        let state = text(input.status).and_then(|status| todo_state(&status));
        let text = excerpt(input.active_form.or(input.subject), LABEL_CHARS);
        Some(Task::Updated { id, text, state })
    }

    /// The subagent that a tool call starts.
    pub(crate) fn agent_call(&self) -> Option<AgentCall> {
        let input = self.input_of(&["Agent", "Task"])?;
        Some(AgentCall {
            agent_type: text(input.subagent_type).map(Cow::into_owned),
            description: excerpt(input.description.or(input.prompt), LABEL_CHARS),
        })
    }

    fn input_of(&self, names: &[&str]) -> Option<Input<'_>> {
        match self {
            Block::ToolUse { name, input: Some(input), .. } if names.contains(&name.as_ref()) => {
                serde_json::from_str(input.get()).ok()
            }
            _ => None,
        }
    }
}

impl ToolResult<'_> {
    /// The subagent that the result speaks of.
    pub(crate) fn agent(&self) -> Option<AgentResult> {
        let keys = self.keys()?;
        let status = text(keys.status).unwrap_or_default();
        Some(AgentResult {
            agent_id: text(keys.agent_id)?.into_owned(),
            is_background: matches!(status.as_ref(), "async_launched" | "remote_launched"),
            tokens: number(keys.tokens),
            tool_uses: number(keys.tool_uses),
        })
    }

    /// The id of a task that was created: of the result, else of its text (`Task #3 created …`).
    pub(crate) fn task_id(&self) -> Option<String> {
        let keys = self.keys().unwrap_or_default();
        let id = text(keys.task.id).map(Cow::into_owned);
        id.or_else(|| number(keys.task.id).map(|id| id.to_string())).or_else(|| {
            let said = self.text.excerpt(LABEL_CHARS);
            let (_, rest) = said.split_once('#')?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (!digits.is_empty()).then_some(digits)
        })
    }

    /// How long the tool took, where its result says so.
    pub(crate) fn duration_ms(&self) -> Option<u64> {
        let keys = self.keys()?;
        number(keys.total_duration_ms.or(keys.duration_ms))
    }

    fn keys(&self) -> Option<ResultKeys<'_>> {
        serde_json::from_str(self.result?.get()).ok()
    }
}

impl TodoKeys<'_> {
    fn todo(&self) -> Todo {
        let state = text(self.status).and_then(|status| todo_state(&status));
        let state = state.unwrap_or(TodoState::Pending);
        let label = if state == TodoState::Active { self.active_form } else { self.content };
        let text = excerpt(label.or(self.content), LABEL_CHARS).unwrap_or_default();
        Todo { text, state }
    }
}

fn todo_state(status: &str) -> Option<TodoState> {
    match status {
        "pending" => Some(TodoState::Pending),
        "in_progress" => Some(TodoState::Active),
        "completed" => Some(TodoState::Done),
        "deleted" => Some(TodoState::Deleted),
        _ => None,
    }
}

fn tool_input(name: &str, json: &str, max_chars: usize) -> String {
    let keys: Input = serde_json::from_str(json).unwrap_or_default();
    let of = |raw: Raw| excerpt(raw, max_chars).filter(|text| !text.is_empty());
    let told = match name {
        "AskUserQuestion" => question(keys.questions, max_chars),
        "ExitPlanMode" => of(keys.plan),
        "TodoWrite" => return String::new(),
        "TaskUpdate" => task_update(&keys),
        _ => [
            keys.command,
            keys.file_path,
            keys.notebook_path,
            keys.pattern,
            keys.url,
            keys.query,
            keys.description,
            keys.subject,
            keys.skill,
            keys.message,
            keys.prompt,
        ]
        .into_iter()
        .find_map(of),
    };
    told.or_else(|| any_string(json, max_chars)).unwrap_or_else(|| {
        let is_empty = json.trim_matches(['{', '}', ' ']).is_empty();
        if is_empty { String::new() } else { json.chars().take(max_chars).collect() }
    })
}

/// Returns the first question that is asked.
fn question(questions: Raw, max_chars: usize) -> Option<String> {
    let questions: Vec<Question> = serde_json::from_str(questions?.get()).ok()?;
    excerpt(questions.first()?.question, max_chars)
}

fn task_update(keys: &Input) -> Option<String> {
    let task = text(keys.task_id)?;
    let change = text(keys.status).or(text(keys.subject)).unwrap_or(Cow::Borrowed("changed"));
    Some(format!("#{task} {change}"))
}

/// Returns a value of an object that is a string.
fn any_string(json: &str, max_chars: usize) -> Option<String> {
    let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let string = values.values().find_map(|value| value.as_str())?;
    Some(string.chars().take(max_chars).collect())
}

pub(super) fn compaction(keys: &Compaction) -> String {
    let trigger = text(keys.trigger).unwrap_or(Cow::Borrowed("auto"));
    match (number(keys.pre_tokens), number(keys.post_tokens)) {
        (Some(before), Some(after)) => format!("{trigger}: {before} to {after} tokens"),
        (Some(before), None) => format!("{trigger}: from {before} tokens"),
        _ => trigger.into_owned(),
    }
}

pub(super) fn api_error<'a>(error: Raw<'a>) -> Words<'a> {
    if error.is_none_or(|error| error.get().starts_with('"')) {
        return Words::Json(error);
    }
    let json = error.map_or("{}", RawValue::get);
    let keys: ApiError = serde_json::from_str(json).unwrap_or_default();
    let inner = keys.error.error.message.or(keys.error.message);
    match keys.formatted.or(inner).or(keys.message) {
        None => Words::Text(Cow::Borrowed("the API returned an error")),
        told => Words::Json(told),
    }
}
