//! The manual page in troff's man macros: the options, then the sections of `man.txt`.
//!
//! Invariant: `man.txt` is plain text, so that its commands can be read and copied there too.

use super::options::{ABOUT, GROUPS, Group, OUTPUT, Opt};

/// Blocks between empty lines: a title after `# `, a term after `= ` with its description below,
/// lines of code that are indented, or a paragraph.
const SECTIONS: &str = include_str!("man.txt");

/// The indentation of code in [`SECTIONS`].
const CODE: &str = "    ";

/// The output of `--print-man`.
pub(crate) fn man() -> String {
    let groups: String = GROUPS.iter().map(group).collect();
    let sections: String = SECTIONS.trim_end().split("\n\n").map(block).collect();
    format!(
        ".TH CLAUDE-LIVE 1 \"\" \"claude-live {}\"\n.nh\n.ad l\n.SH NAME\n\
         claude-live \\- live view of Claude Code\n.SH SYNOPSIS\n\
         .B claude-live\n[\\fIOPTIONS\\fR]\n.br\n.B claude-live usage\n[\\fIOPTIONS\\fR]\n\
         .SH DESCRIPTION\n{}\n.SH OPTIONS\n{groups}\
         .SH OUTPUT\n{}\n{sections}",
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
    format!(".TP\n\\fB{}\\fR{value}\n{}\n", escaped(option.name), escaped(&option.text()))
}

fn block(block: &str) -> String {
    if let Some(title) = block.strip_prefix("# ") {
        return format!(".SH {title}\n");
    }
    if let Some((term, text)) = block.strip_prefix("= ").and_then(|item| item.split_once('\n')) {
        return format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(text));
    }
    if let Some(lines) = block.strip_prefix(CODE) {
        let lines = lines.replace(&format!("\n{CODE}"), "\n");
        return format!(".PP\n.nf\n.RS 4\n{}\n.RE\n.fi\n", escaped(&lines));
    }
    format!(".PP\n{}\n", escaped(block))
}

/// Escapes characters that troff would replace, and lines that it would take for macros.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let text = text.replace('`', "\\(ga").replace('~', "\\(ti").replace('^', "\\(ha");
    text.replace("\n.", "\n\\&.")
}

#[cfg(test)]
mod tests {
    use super::super::args::{Environment, parse};
    use super::*;

    #[test]
    fn the_commands_of_the_page_are_valid() {
        let lines = SECTIONS.lines().filter_map(|line| line.strip_prefix(CODE));
        let commands: Vec<_> = lines.filter_map(|line| line.strip_prefix("claude-live ")).collect();
        assert_eq!(commands.len(), 8, "{commands:?}");
        for command in commands {
            let words = command.split_whitespace().filter(|word| !word.starts_with('>'));
            let environment =
                Environment { home: Some("/home/u".into()), ..Environment::default() };
            assert!(parse(words, environment).is_ok(), "{command}");
        }
    }

    #[test]
    fn every_block_has_its_macro() {
        assert_eq!(block("# TITLE"), ".SH TITLE\n");
        assert_eq!(block("= a-b\nc\nd"), ".TP\n\\fBa\\-b\\fR\nc\nd\n");
        assert_eq!(block("    a\n      b"), ".PP\n.nf\n.RS 4\na\n  b\n.RE\n.fi\n");
        assert_eq!(block("a\n.b 'c' \\n^~`"), ".PP\na\n\\&.b \\(aqc\\(aq \\en\\(ha\\(ti\\(ga\n");
    }
}
