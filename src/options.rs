//! The options of the command line as a table: `--help`, the completions and the man page are all printed from it.
//!
//! Invariant: says nothing about what an option does, which is `args`' business; a test there compares the two.

mod completions;
mod man;

pub(crate) use completions::{Shell, completions};
pub(crate) use man::man;

/// Where the help of an option begins, in characters from the left.
const HELP_COLUMN: usize = 24;

/// What the program is, in front of the options.
const ABOUT: &str = "\
claude-live follows what Claude Code writes under ~/.claude, reading only, and
serves it live: a page, a backlog as JSON and a stream of Server-Sent Events.";

/// What it prints and how it ends, after the options.
const OUTPUT: &str = "\
Prints `listening on http://ADDRESS:PORT/` on stdout, everything else on stderr.
Exit codes: 0 asked to print, 1 cannot run, 2 bad arguments.";

/// Options that belong together.
struct Group {
    title: &'static str,
    options: &'static [Opt],
}

/// One option.
pub(crate) struct Opt {
    /// With its two dashes.
    pub(crate) name: &'static str,
    value: Value,
    /// Lines of at most 56 characters. What comes before the first `;` or ` [` says enough for a completion.
    help: &'static str,
}

/// What an option takes, with the name under which the help speaks of it.
enum Value {
    Nothing,
    Dir(&'static str),
    File(&'static str),
    /// As `File`, and the option may be repeated.
    Files(&'static str),
    Other(&'static str),
    OneOf(&'static str, &'static [&'static str]),
}

impl Value {
    fn name(&self) -> Option<&'static str> {
        match self {
            Value::Nothing => None,
            Value::Dir(name)
            | Value::File(name)
            | Value::Files(name)
            | Value::Other(name)
            | Value::OneOf(name, _) => Some(name),
        }
    }
}

const GROUPS: [Group; 4] = [
    Group {
        title: "What to follow",
        options: &[
            Opt {
                name: "--claude",
                value: Value::Dir("DIR"),
                help: "Claude directory [$CLAUDE_CONFIG_DIR, else ~/.claude]",
            },
            Opt {
                name: "--watch",
                value: Value::Files("PATH"),
                help: "report changes of this file too; a relative path is\n\
                       taken from the Claude directory; may be repeated",
            },
            Opt {
                name: "--poll",
                value: Value::Other("MS"),
                help: "look for new lines every MS milliseconds while a stream\n\
                       is open [20]; otherwise every 100, or MS if that is more",
            },
            Opt {
                name: "--demo",
                value: Value::Nothing,
                help: "follow a made-up Claude directory that keeps being\n\
                       written to, and remove it at the end",
            },
        ],
    },
    Group {
        title: "Where to serve",
        options: &[
            Opt {
                name: "--host",
                value: Value::Other("ADDRESS"),
                help: "IP address to listen on [127.0.0.1]; any but a loopback\n\
                       address needs --token-file",
            },
            Opt { name: "--port", value: Value::Other("PORT"), help: "0 picks a free one [8080]" },
            Opt {
                name: "--token-file",
                value: Value::File("FILE"),
                help: "ask every client for the token in FILE",
            },
            Opt {
                name: "--allow-host",
                value: Value::Other("NAME"),
                help: "answer requests for this host name too, as a proxy\n\
                       passes them on; may be repeated",
            },
            Opt {
                name: "--max-connections",
                value: Value::Other("N"),
                help: "open at a time, 3/4 of them streams [512]",
            },
            Opt {
                name: "--static",
                value: Value::Dir("DIR"),
                help: "serve the page's files from DIR, to work on them",
            },
        ],
    },
    Group {
        title: "How to run",
        options: &[
            Opt { name: "--open", value: Value::Nothing, help: "open the page in the browser" },
            Opt {
                name: "--quiet",
                value: Value::Nothing,
                help: "say on stderr only what is wrong",
            },
        ],
    },
    Group {
        title: "What to print instead of running",
        options: &[
            Opt {
                name: "--print-service",
                value: Value::OneOf("KIND", &["systemd", "launchd"]),
                help: "systemd: a unit, launchd: a property list, that runs\n\
                       claude-live at login with the options given beside",
            },
            Opt {
                name: "--print-completions",
                value: Value::OneOf("SHELL", &["bash", "zsh", "fish"]),
                help: "completions for bash, zsh or fish",
            },
            Opt { name: "--print-man", value: Value::Nothing, help: "the manual page" },
            Opt { name: "--help", value: Value::Nothing, help: "print this" },
            Opt { name: "--version", value: Value::Nothing, help: "print the version" },
        ],
    },
];

/// Every option, in the order of the help.
pub(crate) fn all() -> impl Iterator<Item = &'static Opt> {
    GROUPS.iter().flat_map(|group| group.options)
}

impl Opt {
    /// With its value, as in `--port PORT`.
    fn usage(&self) -> String {
        let value = self.value.name().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}{value}", self.name)
    }

    #[cfg(test)]
    pub(crate) fn takes_value(&self) -> bool {
        self.value.name().is_some()
    }

    /// On one line, without defaults and details.
    fn summary(&self) -> String {
        let end = self.help.find([';', '[']).unwrap_or(self.help.len());
        self.help[..end].trim_end().replace('\n', " ")
    }
}

/// What `--help` prints; the README repeats it, and a test compares the two.
pub(crate) fn help() -> String {
    let groups: String = GROUPS.iter().map(group_help).collect();
    format!("{ABOUT}\n\nUsage: claude-live [OPTIONS]\n\n{groups}{OUTPUT}\n")
}

fn group_help(group: &Group) -> String {
    let options: String = group.options.iter().map(option_help).collect();
    format!("{}\n{options}\n", group.title)
}

fn option_help(option: &Opt) -> String {
    let indent = " ".repeat(HELP_COLUMN);
    let mut usage = format!("  {}", option.usage());
    if usage.len() + 2 > HELP_COLUMN {
        usage.push('\n');
        usage.push_str(&indent);
    }
    let help = option.help.replace('\n', &format!("\n{indent}"));
    format!("{usage:HELP_COLUMN$}{help}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_terminal_of_80_columns() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_summary_is_one_line_and_ends_before_the_details() {
        let summary = |name| all().find(|option| option.name == name).unwrap().summary();
        assert_eq!(summary("--host"), "IP address to listen on");
        assert_eq!(summary("--watch"), "report changes of this file too");
        assert_eq!(
            summary("--demo"),
            "follow a made-up Claude directory that keeps being written to, and remove it at the end"
        );
        assert!(all().all(|option| !option.summary().is_empty()));
    }
}
