//! The manual page, in the man macros of troff.

use super::{ABOUT, GROUPS, Group, OUTPUT, Opt};

/// What `--print-man` prints.
pub(crate) fn man() -> String {
    let groups: String = GROUPS.iter().map(group).collect();
    format!(
        ".TH CLAUDE-LIVE 1 \"\" \"claude-live {}\"\n.nh\n.ad l\n.SH NAME\n\
         claude-live \\- show live what Claude Code writes\n.SH SYNOPSIS\n\
         .B claude-live\n[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n{groups}\
         .SH OUTPUT\n{}\n",
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
