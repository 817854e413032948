//! The command line.
//!
//! Invariant: nothing is read or written but the arguments and two environment variables, which tests pass in.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use lexopt::prelude::*;

use crate::error::Error;
use crate::options::Shell;
use crate::service;

/// Milliseconds between polls that are accepted: an hour is already no following.
const POLL_MS: std::ops::RangeInclusive<u64> = 1..=3_600_000;

/// Connections that are accepted as a bound: four are one page beside three streams.
const MAX_CONNECTIONS: std::ops::RangeInclusive<usize> = 4..=100_000;

/// What `--print-service` can be asked for.
const KINDS: [(&str, service::Kind); 2] =
    [("systemd", service::Kind::Systemd), ("launchd", service::Kind::Launchd)];

/// What `--print-completions` can be asked for.
const SHELLS: [(&str, Shell); 3] =
    [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Args),
    /// Print what makes the system run it so at login.
    Service(service::Kind, Args),
    Completions(Shell),
    Man,
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
    pub(crate) open: bool,
    pub(crate) quiet: bool,
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
    let (mut demo, mut service) = (false, None);
    let mut args = Args::default();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("claude") => args.claude_dir = Some(path_of(&mut parser, "--claude")?),
            Long("watch") => args.watch.push(path_of(&mut parser, "--watch")?),
            Long("poll") => {
                let ms = number(&mut parser, "--poll", POLL_MS)?;
                args.poll = Duration::from_millis(ms);
            }
            Long("demo") => demo = true,
            Long("host") => args.host = host(&mut parser)?,
            Long("port") => args.port = number(&mut parser, "--port", 0..=u16::MAX)?,
            Long("token-file") => args.token_file = Some(path_of(&mut parser, "--token-file")?),
            Long("allow-host") => args.allow_hosts.push(host_name(&mut parser)?),
            Long("max-connections") => {
                args.max_connections = number(&mut parser, "--max-connections", MAX_CONNECTIONS)?;
            }
            Long("static") => args.static_dir = Some(path_of(&mut parser, "--static")?),
            Long("open") => args.open = true,
            Long("quiet") => args.quiet = true,
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
    let args = complete(args, demo, environment)?;
    Ok(match service {
        Some(kind) => Command::Service(kind, args),
        None => Command::Run(args),
    })
}

/// Checks what single options cannot say, and fills in the directory.
fn complete(mut args: Args, demo: bool, environment: Environment) -> Result<Args, Error> {
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
    Ok(args)
}

impl Args {
    /// The options that ask for the same from any directory, without `--open`, in an order that is always the same.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let defaults = Args::default();
        let mut words = Words::default();
        match &self.claude_dir {
            Some(dir) => words.path("--claude", dir),
            None => words.flag("--demo", true),
        }
        // Relative ones are relative to the Claude directory, not to where the program is started.
        self.watch.iter().for_each(|path| words.option("--watch", path));
        if self.poll != defaults.poll {
            words.option("--poll", self.poll.as_millis().to_string());
        }
        if self.host != defaults.host {
            words.option("--host", self.host.to_string());
        }
        if self.port != defaults.port {
            words.option("--port", self.port.to_string());
        }
        self.token_file.iter().for_each(|path| words.path("--token-file", path));
        self.allow_hosts.iter().for_each(|name| words.option("--allow-host", name));
        if self.max_connections != defaults.max_connections {
            words.option("--max-connections", self.max_connections.to_string());
        }
        self.static_dir.iter().for_each(|dir| words.path("--static", dir));
        words.flag("--quiet", self.quiet);
        words.0
    }
}

/// A command line being put together. A value stands behind a `=`, so that one which begins with a dash is one.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value);
        self.0.push(word);
    }

    fn path(&mut self, name: &str, path: &Path) {
        // Fails only without a current directory, and then there is nothing to be relative to.
        let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.option(name, path);
    }

    fn flag(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.0.push(OsString::from(name));
        }
    }
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
            open: false,
            quiet: false,
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

fn path_of(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, Error> {
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
    use crate::options;

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
                "--open",
                "--quiet",
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
                open: true,
                quiet: true,
            },
        );
        check(&["--demo"], Args::default());
        check(&["--host", "LocalHost"], defaults());
    }

    #[test]
    fn the_words_of_arguments_ask_for_the_same_again() {
        let lines: [&[&str]; 4] = [
            &[],
            &["--demo", "--quiet"],
            &["--claude", "/c d", "--watch", "-a", "--watch=b", "--poll=5", "--max-connections=9"],
            &["--host=::", "--port=0", "--token-file=/t", "--allow-host=x", "--static=/s"],
        ];
        for line in lines {
            let Ok(Command::Run(args)) = run(line) else { panic!("{line:?}") };
            let words = args.words();
            let again = parse(words, Environment::default()).unwrap();
            assert!(matches!(again, Command::Run(again) if again == args), "{line:?}");
        }
    }

    #[test]
    fn the_words_name_files_from_the_root_and_do_not_open_a_browser() {
        let Ok(Command::Run(args)) = run(&["--claude", "c", "--open"]) else { panic!() };
        let here = std::env::current_dir().unwrap();
        assert_eq!(args.words(), [format!("--claude={}/c", here.display())].map(OsString::from));
    }

    #[test]
    fn every_option_of_the_help_is_known_and_takes_a_value_when_it_says_so() {
        for option in options::all() {
            let error = run(&[option.name]).err().map(|error| error.to_string());
            let wants_value = error.is_some_and(|error| {
                assert!(error.contains("missing argument"), "{error}");
                true
            });
            assert_eq!(wants_value, option.takes_value(), "{}", option.name);
        }
    }

    #[test]
    fn what_is_to_be_printed_is_named() {
        assert!(matches!(
            run(&["--print-service", "systemd", "--port=1"]),
            Ok(Command::Service(service::Kind::Systemd, Args { port: 1, .. }))
        ));
        assert!(matches!(
            run(&["--print-completions=fish"]),
            Ok(Command::Completions(Shell::Fish))
        ));
        assert!(matches!(run(&["--print-man"]), Ok(Command::Man)));
        check_error(
            &["--print-service=runit"],
            "--print-service `runit`: expected `systemd` or `launchd`",
        );
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
