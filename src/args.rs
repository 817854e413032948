//! The command line.
//!
//! Invariant: nothing is read or written but the arguments and two environment variables, which tests pass in.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::error::Error;

/// What `--help` prints; the README repeats it, and a test compares the two.
pub(crate) const HELP: &str = "\
claude-live follows what Claude Code writes under ~/.claude and serves it live:
a page, a backlog as JSON and a stream of Server-Sent Events. It only reads.

Usage: claude-live [OPTIONS]

What to follow
  --claude DIR          Claude directory [$CLAUDE_CONFIG_DIR, else ~/.claude]
  --watch PATH          report changes of this file too; a relative path is
                        taken from the Claude directory; may be repeated
  --poll MS             look for new lines every MS milliseconds while a stream
                        is open [20]; otherwise every 100, or MS if that is more
  --demo                follow a made-up Claude directory that keeps being
                        written to, and remove it at the end

Where to serve
  --host ADDRESS        IP address to listen on [127.0.0.1]; any but a loopback
                        address needs --token-file
  --port PORT           0 picks a free one [8080]
  --token-file FILE     ask every client for the token in FILE
  --allow-host NAME     answer requests for this host name too, as a proxy
                        passes them on; may be repeated
  --max-connections N   open at a time, 3/4 of them streams [512]
  --static DIR          serve the page's files from DIR, to work on them

  --help                print this
  --version             print the version

Prints `listening on http://ADDRESS:PORT/` on stdout, everything else on stderr.
Exit codes: 0 asked to print, 1 cannot run, 2 bad arguments.
";

/// Milliseconds between polls that are accepted: an hour is already no following.
const POLL_MS: std::ops::RangeInclusive<u64> = 1..=3_600_000;

/// Connections that are accepted as a bound: four are one page beside three streams.
const MAX_CONNECTIONS: std::ops::RangeInclusive<usize> = 4..=100_000;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Args),
    Help,
    Version,
}

/// How to run.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    /// `None` with `--demo` alone.
    pub(crate) claude_dir: Option<PathBuf>,
    pub(crate) watch: Vec<PathBuf>,
    pub(crate) poll: Duration,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) allow_hosts: Vec<String>,
    pub(crate) max_connections: usize,
    pub(crate) static_dir: Option<PathBuf>,
}

/// Where the Claude directory is by default.
#[derive(Default)]
pub(crate) struct Environment {
    /// `$CLAUDE_CONFIG_DIR`.
    pub(crate) config_dir: Option<OsString>,
    pub(crate) home: Option<PathBuf>,
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// [`Error::Usage`], which names the value and what was expected.
pub(crate) fn parse<I>(args: I, environment: Environment) -> Result<Command, Error>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = lexopt::Parser::from_args(args);
    let mut demo = false;
    let mut args = Args::default();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("claude") => args.claude_dir = Some(path(&mut parser, "--claude")?),
            Long("watch") => args.watch.push(path(&mut parser, "--watch")?),
            Long("poll") => {
                let ms = number(&mut parser, "--poll", POLL_MS)?;
                args.poll = Duration::from_millis(ms);
            }
            Long("demo") => demo = true,
            Long("host") => args.host = host(&mut parser)?,
            Long("port") => args.port = number(&mut parser, "--port", 0..=u16::MAX)?,
            Long("token-file") => args.token_file = Some(path(&mut parser, "--token-file")?),
            Long("allow-host") => args.allow_hosts.push(host_name(&mut parser)?),
            Long("max-connections") => {
                args.max_connections = number(&mut parser, "--max-connections", MAX_CONNECTIONS)?;
            }
            Long("static") => args.static_dir = Some(path(&mut parser, "--static")?),
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            _ => return Err(usage(argument.unexpected())),
        }
    }
    if demo && args.claude_dir.is_some() {
        return Err(Error::Usage("--demo makes its own folder: leave --claude away".to_owned()));
    }
    if !demo && args.claude_dir.is_none() {
        args.claude_dir = Some(default_dir(environment)?);
    }
    if !args.host.is_loopback() && args.token_file.is_none() {
        return Err(Error::Usage(format!(
            "--host `{}` can be reached from other machines, and the history holds prompts: \
             give a --token-file, or listen on 127.0.0.1 and come through an ssh tunnel",
            args.host
        )));
    }
    Ok(Command::Run(args))
}

impl Default for Args {
    fn default() -> Args {
        Args {
            claude_dir: None,
            watch: Vec::new(),
            poll: Duration::from_millis(20),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            token_file: None,
            allow_hosts: Vec::new(),
            max_connections: 512,
            static_dir: None,
        }
    }
}

fn usage(error: lexopt::Error) -> Error {
    Error::Usage(error.to_string())
}

fn default_dir(environment: Environment) -> Result<PathBuf, Error> {
    if let Some(dir) = environment.config_dir.filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    match environment.home.filter(|home| !home.as_os_str().is_empty()) {
        Some(home) => Ok(home.join(".claude")),
        None => Err(Error::Usage("there is no home directory: give --claude DIR".to_owned())),
    }
}

fn path(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, Error> {
    let value = parser.value().map_err(usage)?;
    if value.is_empty() {
        return Err(Error::Usage(format!("{option} ``: expected a path")));
    }
    Ok(PathBuf::from(value))
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Error> {
    Ok(parser.value().map_err(usage)?.to_string_lossy().into_owned())
}

fn number<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, Error>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let value = text(parser)?;
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        Error::Usage(format!("{option} `{value}`: expected a whole number from {low} to {high}"))
    })
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

fn host_name(parser: &mut lexopt::Parser) -> Result<String, Error> {
    let value = text(parser)?;
    let is_name =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if !is_name {
        return Err(Error::Usage(format!(
            "--allow-host `{value}`: expected a host name, with a port or without"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Command, Error> {
        let home = Some(PathBuf::from("/home/u"));
        parse(args, Environment { home, config_dir: None })
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
    fn without_arguments_the_home_directory_is_followed_on_port_8080() {
        check(&[], defaults());
    }

    #[test]
    fn the_environment_names_the_directory_unless_it_is_empty() {
        let dir = |config_dir: &str| {
            let environment =
                Environment { config_dir: Some(config_dir.into()), home: Some("/home/u".into()) };
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
    fn every_option_is_taken() {
        check(
            &[
                "--claude",
                "/c",
                "--watch=a",
                "--watch",
                "b",
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
            ],
            Args {
                claude_dir: Some("/c".into()),
                watch: vec!["a".into(), "b".into()],
                poll: Duration::from_millis(5),
                host: "::1".parse().unwrap(),
                port: 0,
                token_file: Some("t".into()),
                allow_hosts: vec!["x.example".into()],
                max_connections: 9,
                static_dir: Some("s".into()),
            },
        );
        check(&["--demo"], Args::default());
        check(&["--host", "LocalHost"], defaults());
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert!(matches!(run(&["--help", "--nonsense"]), Ok(Command::Help)));
        assert!(matches!(run(&["-V"]), Ok(Command::Version)));
    }

    #[test]
    fn a_bad_value_is_named_with_what_was_expected() {
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
        check_error(
            &["--allow-host", "a b"],
            "--allow-host `a b`: expected a host name, with a port or without",
        );
        check_error(&["--nonsense"], "invalid option '--nonsense'");
        check_error(&["stray"], "unexpected argument \"stray\"");
        check_error(&["--claude"], "missing argument for option '--claude'");
        check_error(
            &["--demo", "--claude", "/c"],
            "--demo makes its own folder: leave --claude away",
        );
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_token() {
        let error = run(&["--host", "0.0.0.0"]).expect_err("open").to_string();
        assert!(error.contains("--token-file"), "{error}");
        let args =
            Args { host: "0.0.0.0".parse().unwrap(), token_file: Some("t".into()), ..defaults() };
        check(&["--host", "0.0.0.0", "--token-file", "t"], args);
    }
}
