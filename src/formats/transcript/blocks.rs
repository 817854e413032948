//! The blocks of a record as `transcript.append` shows them: a kind and a text that is cut.
//!
//! Clients get the whole record by its offset, so an event can stay small.
//! Invariant: pure; the blocks have at most about 3 KiB of JSON.

use crate::event::{BlockData, Data, Draft, TranscriptAppend};

use super::{Block, Record};

/// The longest text of a block, in characters.
const TEXT_CHARS: usize = 500;

/// The most bytes of the blocks of a record, as JSON.
const MAX_BYTES: usize = 3 * 1024;

/// The most blocks that are shown: records of 2025 can have many.
const MAX_BLOCKS: usize = 16;

/// Texts are cut shorter step by step until the blocks fit: JSON spells a control character with
/// six bytes.
const SHORTER: [usize; 4] = [TEXT_CHARS, 200, 80, 20];

/// Where a record is, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Location<'a> {
    pub(crate) session_id: &'a str,
    /// Of a subagent's transcript.
    pub(crate) agent_id: Option<&'a str>,
    /// The working directory of the session, if the record has none.
    pub(crate) project: Option<&'a str>,
    /// The byte offset of the record's line in the file.
    pub(crate) offset: u64,
    /// The length of the line.
    pub(crate) bytes: u64,
}

impl Record<'_> {
    /// Returns a draft of the record's `transcript.append` event.
    pub(crate) fn draft(&self, location: Location) -> Draft {
        // In files of 2025 the records of subagents are among those of their session.
        let sidechain = self.agent_id().filter(|_| self.is_sidechain());
        let (cwd, uuid) = (self.cwd(), self.uuid());
        let data = TranscriptAppend {
            session_id: location.session_id,
            agent_id: location.agent_id.or(sidechain.as_deref()),
            project: cwd.as_deref().or(location.project),
            record_type: &self.record_type,
            uuid: uuid.as_deref(),
            blocks: self.data(),
            bytes: location.bytes,
            offset: location.offset,
        };
        Draft::new(self.ts, &Data::TranscriptAppend(data)).with_session(location.session_id)
    }

    /// Returns the types of the record and of blocks that are unknown.
    pub(crate) fn unknown_types(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Other { kind } => Some(kind.as_ref()),
            _ => None,
        })
    }

    /// Returns the blocks for clients, at most 3 KiB of JSON.
    pub(crate) fn data(&self) -> Vec<BlockData> {
        let shown = &self.blocks[..self.blocks.len().min(MAX_BLOCKS)];
        let data = |chars: &usize| shown.iter().map(|block| block.data(*chars)).collect::<Vec<_>>();
        let size = |data: &Vec<BlockData>| serde_json::to_vec(data).map_or(0, |json| json.len());
        let [fitting @ .., shortest] = &SHORTER;
        let found = fitting.iter().map(data).find(|data| size(data) <= MAX_BYTES);
        found.unwrap_or_else(|| data(shortest))
    }
}

impl Block<'_> {
    fn data(&self, chars: usize) -> BlockData {
        let block = |kind, text: String| BlockData { kind, text, ..BlockData::default() };
        match self {
            Block::Prompt { text, .. } => block("prompt", text.excerpt(chars)),
            Block::Notice { text } | Block::Interrupted { text } => {
                block("notice", text.excerpt(chars))
            }
            Block::TaskEnded { text, .. } => block("notice", text.chars().take(chars).collect()),
            Block::Text { text } => block("text", text.excerpt(chars)),
            Block::Thinking { text } => block("thinking", text.excerpt(chars)),
            Block::ToolUse { id, name, .. } => BlockData {
                tool_use_id: Some(id.chars().take(chars).collect()),
                name: Some(name.chars().take(chars).collect()),
                ..block(tool_kind(name), self.tool_input(chars))
            },
            Block::ToolResult(result) => BlockData {
                tool_use_id: Some(result.tool_use_id.chars().take(chars).collect()),
                is_error: result.is_error,
                duration_ms: result.duration_ms(),
                denied: result.denied.as_ref().map(|kind| kind.chars().take(chars).collect()),
                ..block("tool_result", result.text.excerpt(chars))
            },
            Block::Compaction { text, .. } => block("compaction", text.clone()),
            Block::Error { text, .. } => block("error", text.excerpt(chars)),
            Block::TurnEnd { duration_ms, .. } => {
                BlockData { duration_ms: *duration_ms, ..block("turn_end", String::new()) }
            }
            Block::Title { text, .. } => block("title", text.excerpt(chars)),
            Block::Queue { operation, text } => {
                let text = format!("{operation} {}", text.excerpt(chars));
                block("notice", text.trim_end().to_owned())
            }
            Block::Other { kind } => {
                let name = Some(kind.chars().take(chars).collect());
                BlockData { name, ..block("other", String::new()) }
            }
        }
    }
}

fn tool_kind(name: &str) -> &'static str {
    match name {
        "AskUserQuestion" => "question",
        "ExitPlanMode" => "plan",
        _ => "tool_use",
    }
}
