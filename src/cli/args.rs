//! Parses the command line.
//!
//! Invariant: reads the arguments and two environment variables, which tests pass in, and nothing
//! else.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::error::Error;
use crate::http::host::Authority;
use crate::usage::query::{By, Query, Zone, days};

use super::completions::Shell;
#[cfg(feature = "fleet")]
use super::fleet::{self, Fleet};
use super::service::Kind;

/// Up to an hour.
const POLL_MS: RangeInclusive<u64> = 1..=3_600_000;

/// The smallest number leaves one connection for a page beside three streams.
const MAX_CONNECTIONS: RangeInclusive<usize> = 4..=100_000;

/// The values of `--print-service`.
const KINDS: [(&str, Kind); 2] = [("systemd", Kind::Systemd), ("launchd", Kind::Launchd)];

/// The values of `--print-completions`.
const SHELLS: [(&str, Shell); 3] =
    [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

/// The options of a fleet, which a build without it explains.
const FLEET: [&str; 6] =
    ["publish", "from", "machine", "publish-types", "mask-secrets", "redis-password-file"];

/// The task that the command line sets.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Args),
    /// Print tokens and cost.
    Usage(Table),
    /// Print a file that starts the program at login.
    Service(Kind),
    Completions(Shell),
    Man,
    Help,
    Version,
}

/// The options of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    /// Absent with `--demo`, and with the `--from` of a fleet.
    pub(crate) claude_dir: Option<PathBuf>,
    pub(crate) watch: Vec<PathBuf>,
    pub(crate) no_transcripts: bool,
    pub(crate) prices: Option<PathBuf>,
    pub(crate) poll: Duration,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) allow_hosts: Vec<Authority>,
    pub(crate) max_connections: usize,
    pub(crate) static_dir: Option<PathBuf>,
    pub(crate) open: bool,
    pub(crate) quiet: bool,
    #[cfg(feature = "fleet")]
    pub(crate) fleet: Box<Fleet>,
}

/// The options of `usage`.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) claude_dir: PathBuf,
    pub(crate) prices: Option<PathBuf>,
    pub(crate) query: Query,
    pub(crate) json: bool,
}

/// The variables that name the default Claude directory, and the Redis of a fleet.
#[derive(Default)]
pub(crate) struct Environment {
    /// `$CLAUDE_CONFIG_DIR`.
    pub(crate) config_dir: Option<OsString>,
    pub(crate) home: Option<PathBuf>,
    /// `$CLAUDE_LIVE_REDIS_URL`.
    #[cfg(feature = "fleet")]
    pub(crate) redis_url: Option<OsString>,
}

/// Parses the arguments after the program's name.
///
/// # Errors
///
/// [`Error::Usage`], which names the value and says what is expected.
pub(crate) fn parse<I>(args: I, environment: Environment) -> Result<Command, Error>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = lexopt::Parser::from_args(args);
    let (mut demo, mut service) = (false, None);
    let mut args = Args::default();
    let (mut is_usage, mut query, mut json) = (false, Query::default(), false);
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("claude") => args.claude_dir = Some(path_of(&mut parser, "--claude")?),
            Long("watch") => args.watch.push(path_of(&mut parser, "--watch")?),
            Long("poll") => {
                let ms = number(&mut parser, "--poll", POLL_MS)?;
                args.poll = Duration::from_millis(ms);
            }
            Long("no-transcripts") => args.no_transcripts = true,
            Long("prices") => args.prices = Some(path_of(&mut parser, "--prices")?),
            Long("demo") => demo = true,
            Value(word) if word == "usage" => is_usage = true,
            Long("days") => query.days = asked(&mut parser, "--days", days)?,
            Long("by") => query.by = asked(&mut parser, "--by", By::parse)?,
            Long("tz") => query.zone = asked(&mut parser, "--tz", Zone::parse)?,
            Long("json") => json = true,
            Long("host") => args.host = host(&mut parser)?,
            Long("port") => args.port = number(&mut parser, "--port", 0..=u16::MAX)?,
            Long("token-file") => args.token_file = Some(path_of(&mut parser, "--token-file")?),
            Long("allow-host") => args.allow_hosts.push(allowed_host(&mut parser)?),
            Long("max-connections") => {
                args.max_connections = number(&mut parser, "--max-connections", MAX_CONNECTIONS)?;
            }
            Long("static") => args.static_dir = Some(path_of(&mut parser, "--static")?),
            Long("open") => args.open = true,
            Long("quiet") => args.quiet = true,
            Long(name) if FLEET.contains(&name) => {
                let name = name.to_owned();
                parse_of_fleet(&name, &mut parser, &environment, &mut args)?;
            }
            Long("print-service") => {
                service = Some(one_of(&mut parser, "--print-service", &KINDS)?)
            }
            Long("print-completions") => {
                let shell = one_of(&mut parser, "--print-completions", &SHELLS)?;
                return Ok(Command::Completions(shell));
            }
            Long("print-man") => return Ok(Command::Man),
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            _ => return Err(usage(argument.unexpected())),
        }
    }
    if is_usage {
        let is_other = demo || service.is_some();
        return Ok(Command::Usage(table(args, is_other, query, json, environment)?));
    }
    if json || query != Query::default() {
        return Err(Error::Usage(
            "`--days`, `--by`, `--tz` and `--json` are options of `claude-live usage`".to_owned(),
        ));
    }
    match service {
        None => Ok(Command::Run(complete(args, demo, environment)?)),
        Some(kind) if args == Args::default() && !demo => Ok(Command::Service(kind)),
        Some(_) => Err(Error::Usage(
            "`--print-service` takes no other options; add them to the file that it prints"
                .to_owned(),
        )),
    }
}

#[cfg(feature = "fleet")]
fn parse_of_fleet(
    name: &str,
    parser: &mut lexopt::Parser,
    environment: &Environment,
    args: &mut Args,
) -> Result<(), Error> {
    fleet::parse(name, parser, environment, &mut args.fleet)
}

#[cfg(not(feature = "fleet"))]
fn parse_of_fleet(
    name: &str,
    _: &mut lexopt::Parser,
    _: &Environment,
    _: &mut Args,
) -> Result<(), Error> {
    Err(Error::Usage(format!(
        "--{name}: this build has no fleet; build with `cargo build --release --features fleet`"
    )))
}

/// Checks the options of `usage`, and fills in the directory.
fn table(
    mut args: Args,
    is_other: bool,
    query: Query,
    json: bool,
    environment: Environment,
) -> Result<Table, Error> {
    let (claude_dir, prices) = (args.claude_dir.take(), args.prices.take());
    if is_other || args != Args::default() {
        return Err(Error::Usage(
            "`claude-live usage` takes --claude, --prices, --days, --by, --tz and --json alone"
                .to_owned(),
        ));
    }
    let claude_dir = claude_dir.map_or_else(|| default_dir(environment), Ok)?;
    Ok(Table { claude_dir, prices, query, json })
}

/// Checks the options against each other, and fills in the directory.
fn complete(mut args: Args, demo: bool, environment: Environment) -> Result<Args, Error> {
    if demo && args.claude_dir.is_some() {
        return Err(Error::Usage("`--demo` cannot be combined with `--claude`".to_owned()));
    }
    #[cfg(feature = "fleet")]
    fleet::check(&args, demo)?;
    #[cfg(feature = "fleet")]
    let demo = demo || args.fleet.from.is_some();
    if !demo && args.claude_dir.is_none() {
        args.claude_dir = Some(default_dir(environment)?);
    }
    if !args.host.is_loopback() && args.token_file.is_none() {
        return Err(Error::Usage(format!(
            "--host `{}` can be reached from other machines, and the history contains prompts; \
             add --token-file, or listen on 127.0.0.1 and use an ssh tunnel",
            args.host
        )));
    }
    Ok(args)
}

impl Default for Args {
    fn default() -> Args {
        Args {
            claude_dir: None,
            watch: Vec::new(),
            no_transcripts: false,
            prices: None,
            poll: Duration::from_millis(20),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            token_file: None,
            allow_hosts: Vec::new(),
            max_connections: 512,
            static_dir: None,
            open: false,
            quiet: false,
            #[cfg(feature = "fleet")]
            fleet: Box::default(),
        }
    }
}

fn usage(error: lexopt::Error) -> Error {
    use lexopt::Error as Cause;
    Error::Usage(match error {
        Cause::MissingValue { option } => {
            format!("{}: expected a value", option.unwrap_or_default())
        }
        Cause::UnexpectedOption(option) => format!("unknown option `{option}`"),
        Cause::UnexpectedArgument(argument) => {
            let argument = argument.to_string_lossy();
            format!("unexpected argument `{argument}`; expected options, or `usage` and options")
        }
        Cause::UnexpectedValue { option, value } => {
            format!("{option} `{}`: the option takes no value", value.to_string_lossy())
        }
        other => other.to_string(),
    })
}

fn default_dir(environment: Environment) -> Result<PathBuf, Error> {
    if let Some(dir) = environment.config_dir.filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    match environment.home.filter(|home| !home.as_os_str().is_empty()) {
        Some(home) => Ok(home.join(".claude")),
        None => Err(Error::Usage("there is no home directory; use --claude DIR".to_owned())),
    }
}

pub(super) fn path_of(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, Error> {
    let value = parser.value().map_err(usage)?;
    if value.is_empty() {
        return Err(Error::Usage(format!("{option} ``: expected a path")));
    }
    Ok(PathBuf::from(value))
}

pub(super) fn text(parser: &mut lexopt::Parser) -> Result<String, Error> {
    Ok(parser.value().map_err(usage)?.to_string_lossy().into_owned())
}

fn number<T: FromStr + PartialOrd + Display>(
    parser: &mut lexopt::Parser,
    option: &str,
    range: RangeInclusive<T>,
) -> Result<T, Error> {
    let value = text(parser)?;
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        Error::Usage(format!("{option} `{value}`: expected a whole number from {low} to {high}"))
    })
}

fn one_of<T: Copy>(
    parser: &mut lexopt::Parser,
    option: &str,
    choices: &[(&str, T)],
) -> Result<T, Error> {
    let value = text(parser)?;
    choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        Error::Usage(format!("{option} `{value}`: expected {}", words.join(" or ")))
    })
}

/// Returns a value that a query can have.
fn asked<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<T, Error> {
    let value = text(parser)?;
    let refuse = |expected| Error::Usage(format!("{option} `{value}`: expected {expected}"));
    parse(&value).map_err(refuse)
}

fn host(parser: &mut lexopt::Parser) -> Result<IpAddr, Error> {
    let value = text(parser)?;
    if value.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    value.parse().map_err(|_| {
        Error::Usage(format!("--host `{value}`: expected an IP address or `localhost`"))
    })
}

fn allowed_host(parser: &mut lexopt::Parser) -> Result<Authority, Error> {
    let value = text(parser)?;
    Authority::parse(&value).ok_or_else(|| {
        Error::Usage(format!(
            "--allow-host `{value}`: expected a host name or an IP address, with or without a port"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    fn run(args: &[&str]) -> Result<Command, Error> {
        let home = Some(PathBuf::from("/home/u"));
        parse(args, Environment { home, ..Environment::default() })
    }

    #[track_caller]
    fn check(args: &[&str], wanted: Args) {
        match run(args) {
            Ok(Command::Run(args)) => assert_eq!(args, wanted),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check_error(args: &[&str], message: &str) {
        let error = run(args).expect_err("bad arguments").to_string();
        assert_eq!(error, format!("{message} (see `claude-live --help`)"));
    }

    fn defaults() -> Args {
        Args { claude_dir: Some("/home/u/.claude".into()), ..Args::default() }
    }

    #[test]
    fn without_arguments_the_directory_in_home_is_followed() {
        check(&[], defaults());
    }

    #[test]
    fn the_environment_names_the_directory_unless_it_is_empty() {
        let dir = |config_dir: &str| {
            let environment = Environment {
                config_dir: Some(config_dir.into()),
                home: Some("/home/u".into()),
                #[cfg(feature = "fleet")]
                redis_url: None,
            };
            match parse([""; 0], environment) {
                Ok(Command::Run(args)) => args.claude_dir.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(dir("/c"), PathBuf::from("/c"));
        assert_eq!(dir(""), PathBuf::from("/home/u/.claude"));
        let error = parse([""; 0], Environment::default()).expect_err("no home").to_string();
        assert!(error.starts_with("there is no home directory"), "{error}");
    }

    #[test]
    fn every_option_is_parsed() {
        check(
            &[
                "--claude",
                "/c",
                "--watch=a",
                "--watch",
                "b",
                "--no-transcripts",
                "--prices",
                "p",
                "--poll",
                "5",
                "--host",
                "::1",
                "--port=0",
                "--token-file",
                "t",
                "--allow-host",
                "x.example",
                "--max-connections",
                "9",
                "--static",
                "s",
                "--open",
                "--quiet",
            ],
            Args {
                claude_dir: Some("/c".into()),
                no_transcripts: true,
                prices: Some("p".into()),
                watch: vec!["a".into(), "b".into()],
                poll: Duration::from_millis(5),
                host: "::1".parse().unwrap(),
                port: 0,
                token_file: Some("t".into()),
                allow_hosts: vec![Authority::parse("x.example").unwrap()],
                max_connections: 9,
                static_dir: Some("s".into()),
                open: true,
                quiet: true,
                #[cfg(feature = "fleet")]
                fleet: Box::default(),
            },
        );
        check(&["--demo"], Args::default());
        check(&["--host", "LocalHost"], defaults());
    }

    #[track_caller]
    fn check_table(args: &[&str], query: Query, json: bool) {
        let wanted = Table { claude_dir: "/home/u/.claude".into(), prices: None, query, json };
        match run(args) {
            Ok(Command::Usage(table)) => assert_eq!(table, wanted),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn usage_has_options_of_its_own() {
        let by = By { model: true, session: true, ..By::default() };
        let query = Query { days: 7, zone: Zone::parse("-05:30").unwrap(), by };
        check_table(&["usage"], Query::default(), false);
        let args = ["usage", "--days", "7", "--by=session,model", "--tz=-05:30", "--json"];
        check_table(&args, query, true);
        let message = "`--days`, `--by`, `--tz` and `--json` are options of `claude-live usage`";
        check_error(&["--json"], message);
        check_error(&["--days=7"], message);
        let message =
            "`claude-live usage` takes --claude, --prices, --days, --by, --tz and --json alone";
        check_error(&["usage", "--port=0"], message);
        check_error(&["usage", "--demo"], message);
        check_error(
            &["usage", "--days=0"],
            "--days `0`: expected a number of days, 1 or more; 3650 for all",
        );
        check_error(&["usage", "--tz=2"], "--tz `2`: expected `UTC` or an offset such as `+02:00`");
        check_error(
            &["usage", "--by="],
            "--by ``: expected one or more of day, project, model, session, separated by commas",
        );
    }

    #[test]
    fn every_default_in_the_help_is_the_one_in_use() {
        let options = options::all().filter_map(|option| Some((option.name, option.default?)));
        let options: Vec<_> = options.collect();
        assert_eq!(options.len(), 8, "{options:?}");
        let help = options::help();
        for (name, default) in options {
            assert!(help.contains(&format!("[default: {default}]\n")), "{help}");
            let value = default.trim_start_matches("$CLAUDE_CONFIG_DIR or ");
            if options::is_of_usage(name) {
                check_table(&["usage", name, value], Query::default(), false);
                continue;
            }
            check(&[name, &value.replace('~', "/home/u")], defaults());
        }
    }

    #[cfg(not(feature = "fleet"))]
    #[test]
    fn a_build_without_a_fleet_says_so() {
        for option in FLEET {
            let message = "this build has no fleet; build with `cargo build --release --features \
                           fleet`";
            check_error(&[&format!("--{option}")], &format!("--{option}: {message}"));
        }
    }

    #[test]
    fn an_allowed_host_must_be_one() {
        let expected = "expected a host name or an IP address, with or without a port";
        for host in ["http://a.example", "a.example/", "a b", "*.example", "a.example:x", ""] {
            check_error(&["--allow-host", host], &format!("--allow-host `{host}`: {expected}"));
        }
    }

    #[test]
    fn every_option_of_the_help_is_known_and_takes_a_value_if_it_has_one() {
        for option in options::all() {
            let is_of_usage = options::is_of_usage(option.name);
            let args = if is_of_usage { &["usage", option.name][..] } else { &[option.name] };
            let error = run(args).err().map(|error| error.to_string());
            let wants_value =
                error.as_ref().is_some_and(|error| error.contains("expected a value"));
            assert_eq!(wants_value, option.takes_value(), "{}", option.name);
            // An option of a fleet can need another one.
            let is_of_fleet = FLEET.contains(&option.name.trim_start_matches("--"));
            assert!(wants_value || is_of_fleet || error.is_none(), "{error:?}");
        }
    }

    #[test]
    fn an_option_names_the_text_to_print() {
        let service = run(&["--print-service", "systemd"]);
        assert!(matches!(service, Ok(Command::Service(Kind::Systemd))));
        assert!(matches!(
            run(&["--print-completions=fish"]),
            Ok(Command::Completions(Shell::Fish))
        ));
        assert!(matches!(run(&["--print-man"]), Ok(Command::Man)));
        check_error(
            &["--print-service=runit"],
            "--print-service `runit`: expected `systemd` or `launchd`",
        );
        let message =
            "`--print-service` takes no other options; add them to the file that it prints";
        check_error(&["--print-service=systemd", "--port=1"], message);
        check_error(&["--demo", "--print-service=systemd"], message);
    }

    #[test]
    fn help_and_version_win_over_later_options() {
        assert!(matches!(run(&["--help", "--nonsense"]), Ok(Command::Help)));
        assert!(matches!(run(&["-V"]), Ok(Command::Version)));
    }

    #[test]
    fn an_error_names_the_value_and_says_what_is_expected() {
        check_error(&["--port", "80x"], "--port `80x`: expected a whole number from 0 to 65535");
        check_error(
            &["--port", "65536"],
            "--port `65536`: expected a whole number from 0 to 65535",
        );
        check_error(&["--poll", "0"], "--poll `0`: expected a whole number from 1 to 3600000");
        check_error(
            &["--max-connections=3"],
            "--max-connections `3`: expected a whole number from 4 to 100000",
        );
        check_error(
            &["--host", "nowhere"],
            "--host `nowhere`: expected an IP address or `localhost`",
        );
        check_error(&["--claude", ""], "--claude ``: expected a path");
        check_error(&["--nonsense"], "unknown option `--nonsense`");
        check_error(&["-x"], "unknown option `-x`");
        check_error(
            &["stray"],
            "unexpected argument `stray`; expected options, or `usage` and options",
        );
        check_error(&["--claude"], "--claude: expected a value");
        check_error(&["--quiet=x"], "--quiet `x`: the option takes no value");
        check_error(&["--demo", "--claude", "/c"], "`--demo` cannot be combined with `--claude`");
    }

    #[test]
    fn an_address_that_other_machines_can_reach_needs_a_token() {
        let error = run(&["--host", "0.0.0.0"]).expect_err("open").to_string();
        assert!(error.contains("--token-file"), "{error}");
        let args =
            Args { host: "0.0.0.0".parse().unwrap(), token_file: Some("t".into()), ..defaults() };
        check(&["--host", "0.0.0.0", "--token-file", "t"], args);
    }
}
