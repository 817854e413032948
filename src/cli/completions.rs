//! Completions for three shells.
//!
//! Known weakness: only apostrophes and colons are escaped; the summaries contain no other
//! characters that a shell would interpret.

use super::options::{Opt, USAGE_COMMAND, Value, all};

/// A shell with completions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The script that the shell reads.
pub(crate) fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

fn bash() -> String {
    let mut cases = String::new();
    for option in all() {
        let reply = match &option.value {
            Value::Absent => continue,
            Value::Dir(_) => compgen("-d"),
            Value::File(_) | Value::Files(_) => compgen("-f"),
            Value::Other(_) => "()".to_owned(),
            Value::OneOf(_, words) => compgen(&word_list(words)),
        };
        cases.push_str(&format!("        {}) COMPREPLY={reply} ;;\n", option.name));
    }
    let names: Vec<_> = [USAGE_COMMAND].into_iter().chain(all().map(|it| it.name)).collect();
    let names = compgen(&word_list(&names));
    format!(
        "# bash completion for claude-live
_claude_live() {{
    local IFS=$'\\n' current=${{COMP_WORDS[COMP_CWORD]}}
    case ${{COMP_WORDS[COMP_CWORD-1]}} in
{cases}        *) COMPREPLY={names} ;;
    esac
}}
complete -o filenames -F _claude_live claude-live
"
    )
}

/// Without `mapfile`, which the bash of macOS does not have.
fn compgen(kind: &str) -> String {
    format!("($(compgen {kind} -- \"$current\"))")
}

/// Separated by line ends, as in the function's `IFS`.
fn word_list(words: &[&str]) -> String {
    format!("-W $'{}'", words.join("\\n"))
}

fn zsh() -> String {
    let specs: String = all().map(zsh_spec).collect();
    let command = format!("  '1::command:({USAGE_COMMAND})' \\\n");
    format!("#compdef claude-live\n_arguments -S \\\n{specs}{command}  && return 0\n")
}

fn zsh_spec(option: &Opt) -> String {
    let repeats = if matches!(option.value, Value::Files(_)) { "\\*" } else { "" };
    let value = match &option.value {
        Value::Absent => String::new(),
        Value::Dir(name) => format!(":{name}:_files -/"),
        Value::File(name) | Value::Files(name) => format!(":{name}:_files"),
        Value::Other(name) => format!(":{name}: "),
        Value::OneOf(name, words) => format!(":{name}:({})", words.join(" ")),
    };
    let summary = option.summary().replace('\'', "'\\''").replace(':', "\\:");
    format!("  {repeats}'{}[{summary}]{value}' \\\n", option.name)
}

fn fish() -> String {
    let lines: String = all().map(fish_line).collect();
    format!(
        "complete --command claude-live --no-files\n\
         complete --command claude-live --condition __fish_use_subcommand \
         --arguments {USAGE_COMMAND} --description 'print tokens and cost'\n{lines}"
    )
}

fn fish_line(option: &Opt) -> String {
    let value = match &option.value {
        Value::Absent => String::new(),
        Value::Dir(_) => " --exclusive --arguments '(__fish_complete_directories)'".to_owned(),
        Value::File(_) | Value::Files(_) => " --require-parameter --force-files".to_owned(),
        Value::Other(_) => " --exclusive".to_owned(),
        Value::OneOf(_, words) => format!(" --exclusive --arguments '{}'", words.join(" ")),
    };
    let name = option.name.trim_start_matches('-');
    let summary = option.summary().replace('\'', "\\'");
    format!(
        "complete --command claude-live --long-option {name}{value} --description '{summary}'\n"
    )
}
