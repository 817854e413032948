//! The manual page, in the man macros of troff.

use super::{ABOUT, GROUPS, Group, OUTPUT, Opt};

/// What is read, and the one thing that is written; as troff, like [`EXAMPLES`].
const FILES: &str = "\
.TP
\\fI\\(ti/.claude/history.jsonl\\fR
Followed; \\fB\\-\\-claude\\fR names another directory.
.TP
\\fI\\(ti/.claude/stats\\-cache.json\\fR, \\fI\\(ti/.claude/state/component\\-registry.json\\fR
Watched for changes.
.TP
\\fIclaude\\-live.next\\-id\\fR in $XDG_RUNTIME_DIR, else in $TMPDIR
The next free id of an event, so that ids grow although the clock is set back.
";

const EXAMPLES: &str = "\
.TP
\\fBclaude\\-live \\-\\-open\\fR
Follow \\(ti/.claude and show it in the browser.
.TP
\\fBclaude\\-live \\-\\-demo \\-\\-port 0\\fR
Follow made\\-up sessions, on any free port.
.TP
\\fBcurl \\-sN http://127.0.0.1:8080/api/claude/stream\\fR
Print what is typed as it is written down.
";

/// What `--print-man` prints.
pub(crate) fn man() -> String {
    let groups: String = GROUPS.iter().map(group).collect();
    format!(
        ".TH CLAUDE-LIVE 1 \"\" \"claude-live {}\"\n.nh\n.ad l\n.SH NAME\n\
         claude-live \\- show live what Claude Code writes\n.SH SYNOPSIS\n\
         .B claude-live\n[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n{groups}\
         .SH OUTPUT\n{}\n.SH FILES\n{FILES}.SH EXAMPLES\n{EXAMPLES}",
        env!("CARGO_PKG_VERSION"),
        escaped(ABOUT),
        escaped(OUTPUT),
    )
}

fn group(group: &Group) -> String {
    let options: String = group.options.iter().map(option).collect();
    format!(".SS {}\n{options}", escaped(group.title))
}

fn option(option: &Opt) -> String {
    let value = option.value.name().map(|name| format!(" \\fI{name}\\fR")).unwrap_or_default();
    format!(".TP\n\\fB{}\\fR{value}\n{}\n", escaped(option.name), escaped(option.help))
}

/// A dash would become a hyphen and an apostrophe a quote; a line that begins with either or a dot would be a macro.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    text.replace('`', "\\(ga").replace('~', "\\(ti").replace("\n.", "\n\\&.")
}
