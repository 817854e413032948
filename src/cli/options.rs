//! The options of the command line as a table, from which `--help`, the completions and the manual
//! page are printed.
//!
//! Invariant: the table has no effect of its own. `args` parses the options; tests there compare
//! the names, values and defaults with this table.

/// The column in which the help of an option begins.
const HELP_COLUMN: usize = 24;

/// Characters of the help beside an option, so that lines have 80 at most.
const HELP_WIDTH: usize = 80 - HELP_COLUMN;

/// The purpose of the program.
pub(super) const ABOUT: &str = "\
claude-live follows the files that Claude Code writes under ~/.claude and serves
them live: as a page, as JSON and as a stream of Server-Sent Events. It only
reads ~/.claude.";

/// The output and the exit codes.
pub(super) const OUTPUT: &str = "\
Prints `listening on http://ADDRESS:PORT/` to stdout, and log lines to stderr.
Exit codes: 0 success, 1 cannot run, 2 bad arguments.";

/// Options that belong together.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) options: &'static [Opt],
}

/// One option.
pub(crate) struct Opt {
    /// With its two dashes.
    pub(crate) name: &'static str,
    pub(super) value: Value,
    /// Lines of at most [`HELP_WIDTH`] characters. The part before the first `;` is the text of
    /// completions.
    pub(super) help: &'static str,
    /// Printed after the help.
    pub(crate) default: Option<&'static str>,
}

/// The value of an option, with its name in the help.
pub(super) enum Value {
    Absent,
    Dir(&'static str),
    File(&'static str),
    /// A file; the option may be repeated.
    Files(&'static str),
    Other(&'static str),
    OneOf(&'static str, &'static [&'static str]),
}

impl Value {
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Value::Absent => None,
            Value::Dir(name)
            | Value::File(name)
            | Value::Files(name)
            | Value::Other(name)
            | Value::OneOf(name, _) => Some(name),
        }
    }
}

/// An option without a default.
const fn option(name: &'static str, value: Value, help: &'static str) -> Opt {
    Opt { name, value, help, default: None }
}

/// The word that comes before the options of [`USAGE`].
pub(super) const USAGE_COMMAND: &str = "usage";

/// The options of `claude-live usage` alone.
const USAGE: Group = Group {
    title: "Options of `claude-live usage`, which prints tokens and cost",
    options: &[
        Opt {
            name: "--days",
            value: Value::Other("N"),
            help: "today and the days before it, N in all; 3650 for\neverything",
            default: Some("30"),
        },
        Opt {
            name: "--by",
            value: Value::Other("NAMES"),
            help: "a row for each day, project, model, session, or several\n\
                   of them, separated by commas",
            default: Some("day"),
        },
        Opt {
            name: "--tz",
            value: Value::Other("OFFSET"),
            help: "the time zone of days, such as +02:00",
            default: Some("UTC"),
        },
        option("--json", Value::Absent, "JSON instead of a table"),
    ],
};

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Follow",
        options: &[
            Opt {
                name: "--claude",
                value: Value::Dir("DIR"),
                help: "the Claude directory",
                default: Some("$CLAUDE_CONFIG_DIR or ~/.claude"),
            },
            option(
                "--watch",
                Value::Files("PATH"),
                "also report changes of this file; a relative path\n\
                 starts at the Claude directory; may be repeated",
            ),
            option(
                "--no-transcripts",
                Value::Absent,
                "follow only the prompts, not the agents' sessions",
            ),
            option(
                "--prices",
                Value::File("FILE"),
                "prices of models, in the format of LiteLLM's\n\
                 model_prices_and_context_window.json; by default the\n\
                 built-in prices",
            ),
            Opt {
                name: "--poll",
                value: Value::Other("MS"),
                help: "milliseconds between polls while a stream is open;\n\
                       otherwise 100, or MS if that is longer",
                default: Some("20"),
            },
            option(
                "--demo",
                Value::Absent,
                "follow generated activity in a temporary directory, and\n\
                 delete the directory on exit",
            ),
        ],
    },
    Group {
        title: "Serve",
        options: &[
            Opt {
                name: "--host",
                value: Value::Other("ADDRESS"),
                help: "IP address to listen on; an address that is not\n\
                       loopback requires --token-file",
                default: Some("127.0.0.1"),
            },
            Opt {
                name: "--port",
                value: Value::Other("PORT"),
                help: "port to listen on; 0 for any free port",
                default: Some("8080"),
            },
            option(
                "--token-file",
                Value::File("FILE"),
                "require the token in the first line of FILE",
            ),
            option(
                "--allow-host",
                Value::Other("NAME"),
                "also accept requests for this host name, such as those\n\
                 of a proxy; with a port, only for that port; may be\n\
                 repeated",
            ),
            Opt {
                name: "--max-connections",
                value: Value::Other("N"),
                help: "maximum number of open connections; at most 3/4 may be\nstreams",
                default: Some("512"),
            },
            option(
                "--static",
                Value::Dir("DIR"),
                "serve the page's files from DIR, for development",
            ),
        ],
    },
    #[cfg(feature = "fleet")]
    Group {
        title: "Fleet",
        options: &[
            option(
                "--publish",
                Value::Other("URL"),
                "publish to redis://[USER:PASSWORD@]HOST[:PORT][/DB];\n\
                 - for the URL in $CLAUDE_LIVE_REDIS_URL",
            ),
            option(
                "--machine",
                Value::Other("NAME"),
                "publish this machine under NAME; by default under the\n\
                 name of the host",
            ),
            option(
                "--publish-types",
                Value::Other("T,T"),
                "publish only these types of events; by default all but\n\
                 transcript.append",
            ),
            option("--mask-secrets", Value::Absent, "mask secrets in published events"),
            option(
                "--from",
                Value::Other("URL"),
                "show the machines that publish to URL, instead of a\n\
                 directory",
            ),
            option(
                "--redis-password-file",
                Value::File("FILE"),
                "the password is the first line of FILE",
            ),
        ],
    },
    Group {
        title: "Run",
        options: &[
            option("--open", Value::Absent, "open the page in the default browser"),
            option("--quiet", Value::Absent, "log only warnings and errors"),
        ],
    },
    USAGE,
    Group {
        title: "Print and exit",
        options: &[
            option(
                "--print-service",
                Value::OneOf("KIND", &["systemd", "launchd"]),
                "a systemd unit or a launchd property list that starts\n\
                 this binary at login",
            ),
            option(
                "--print-completions",
                Value::OneOf("SHELL", &["bash", "zsh", "fish"]),
                "completions for bash, zsh or fish",
            ),
            option("--print-man", Value::Absent, "the manual page"),
            option("--help", Value::Absent, "this help; also -h"),
            option("--version", Value::Absent, "the version; also -V"),
        ],
    },
];

/// All options, in the order of the help.
pub(crate) fn all() -> impl Iterator<Item = &'static Opt> {
    GROUPS.iter().flat_map(|group| group.options)
}

/// Whether an option is one of `claude-live usage` alone.
#[cfg(test)]
pub(crate) fn is_of_usage(name: &str) -> bool {
    USAGE.options.iter().any(|option| option.name == name)
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

    /// On one line, without details and the default.
    pub(super) fn summary(&self) -> String {
        let end = self.help.find(';').unwrap_or(self.help.len());
        self.help[..end].replace('\n', " ")
    }

    /// In lines, with the default.
    pub(super) fn text(&self) -> String {
        let Some(default) = self.default else { return self.help.to_owned() };
        let default = format!("[default: {default}]");
        let last_line = self.help.lines().last().unwrap_or_default();
        let fits = last_line.len() + 1 + default.len() <= HELP_WIDTH;
        format!("{}{}{default}", self.help, if fits { ' ' } else { '\n' })
    }
}

/// The output of `--help`. The README repeats it, and a test compares the two.
pub(crate) fn help() -> String {
    let groups: String = GROUPS.iter().map(group_help).collect();
    let usage = "Usage: claude-live [OPTIONS]\nUsage: claude-live usage [OPTIONS]";
    format!("{ABOUT}\n\n{usage}\n\n{groups}{OUTPUT}\n")
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
    let help = option.text().replace('\n', &format!("\n{indent}"));
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
    fn a_summary_is_a_single_line_without_details() {
        let summary = |name| all().find(|option| option.name == name).unwrap().summary();
        assert_eq!(summary("--host"), "IP address to listen on");
        assert_eq!(
            summary("--demo"),
            "follow generated activity in a temporary directory, and delete the directory on exit"
        );
        assert!(all().all(|option| !option.summary().is_empty()));
    }
}
