//! The options of a fleet. A build without the feature `fleet` says so.
//!
//! Invariant: a file with a password is read by `main`.

use std::path::PathBuf;

use crate::error::Error;
use crate::event::EventType;
use crate::fleet::address::Address;
use crate::fleet::is_name;

use super::args::{Args, Environment, path_of, text};

/// The value of `--publish` and `--from` that stands for [`Environment::redis_url`].
const FROM_ENVIRONMENT: &str = "-";

/// The options of a fleet, as they are given.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fleet {
    pub(crate) publish: Option<Address>,
    pub(crate) from: Option<Address>,
    /// The default is the host's name.
    pub(crate) machine: Option<String>,
    /// The default is all but records of transcripts, which are many.
    pub(crate) publish_types: Option<Vec<EventType>>,
    pub(crate) masks_secrets: bool,
    pub(crate) password_file: Option<PathBuf>,
    /// A password is on the command line, where other users of the machine can see it.
    pub(crate) shows_password: bool,
}

/// Parses an option with its value, if it is one of a fleet.
///
/// # Errors
///
/// The value is not valid.
pub(super) fn parse(
    name: &str,
    parser: &mut lexopt::Parser,
    environment: &Environment,
    fleet: &mut Fleet,
) -> Result<(), Error> {
    match name {
        "publish" => fleet.publish = Some(address(parser, "--publish", environment, fleet)?),
        "from" => fleet.from = Some(address(parser, "--from", environment, fleet)?),
        "machine" => fleet.machine = Some(machine(parser)?),
        "publish-types" => fleet.publish_types = Some(types(&text(parser)?)?),
        "mask-secrets" => fleet.masks_secrets = true,
        _ => fleet.password_file = Some(path_of(parser, "--redis-password-file")?),
    }
    Ok(())
}

fn address(
    parser: &mut lexopt::Parser,
    option: &str,
    environment: &Environment,
    fleet: &mut Fleet,
) -> Result<Address, Error> {
    let value = text(parser)?;
    if value == FROM_ENVIRONMENT {
        let url = environment.redis_url.as_ref().ok_or_else(|| {
            Error::Usage(format!("{option} `-`: `$CLAUDE_LIVE_REDIS_URL` is not set"))
        })?;
        return Address::parse(&url.to_string_lossy()).map_err(|expected| {
            Error::Usage(format!("{option} `-`: `$CLAUDE_LIVE_REDIS_URL`: {expected}"))
        });
    }
    let address = Address::parse(&value);
    // The value is not repeated, since it can have a password.
    let address = address.map_err(|expected| Error::Usage(format!("{option}: {expected}")))?;
    fleet.shows_password |= address.has_password();
    Ok(address)
}

fn machine(parser: &mut lexopt::Parser) -> Result<String, Error> {
    let name = text(parser)?;
    if !is_name(&name) {
        return Err(Error::Usage(format!(
            "--machine `{name}`: expected at most 64 letters, digits, `.`, `_` and `-`"
        )));
    }
    Ok(name)
}

fn types(text: &str) -> Result<Vec<EventType>, Error> {
    let parse = |name| {
        EventType::named(name).ok_or_else(|| {
            let names = EventType::ALL.map(EventType::name).join(", ");
            Error::Usage(format!(
                "--publish-types `{name}`: expected one or more of {names}, separated by commas"
            ))
        })
    };
    text.split(',').map(parse).collect()
}

/// Checks the options against each other and the rest.
pub(super) fn check(args: &Args, demo: bool) -> Result<(), Error> {
    let fleet = &args.fleet;
    let together = |one: &str, other: &str| {
        Err(Error::Usage(format!("`{one}` cannot be combined with `{other}`")))
    };
    let without = |one: &str| Err(Error::Usage(format!("`{one}` requires `--publish`")));
    if fleet.from.is_some() {
        let is_given = [
            ("--publish", fleet.publish.is_some()),
            ("--claude", args.claude_dir.is_some()),
            ("--demo", demo),
            ("--watch", !args.watch.is_empty()),
            ("--no-transcripts", args.no_transcripts),
        ];
        if let Some((other, _)) = is_given.iter().find(|(_, is_given)| *is_given) {
            return together("--from", other);
        }
    }
    if fleet.publish.is_none() {
        let is_given = [
            ("--machine", fleet.machine.is_some()),
            ("--publish-types", fleet.publish_types.is_some()),
            ("--mask-secrets", fleet.masks_secrets),
        ];
        if let Some((option, _)) = is_given.iter().find(|(_, is_given)| *is_given) {
            return without(option);
        }
    }
    if fleet.password_file.is_some() && fleet.publish.is_none() && fleet.from.is_none() {
        return Err(Error::Usage(
            "`--redis-password-file` requires `--publish` or `--from`".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::args::{Command, parse};
    use super::*;

    fn run(args: &[&str]) -> Result<Fleet, String> {
        let environment = Environment {
            home: Some("/home/u".into()),
            redis_url: Some("redis://:secret@env/".into()),
            ..Environment::default()
        };
        match parse(args, environment) {
            Ok(Command::Run(args)) => Ok(*args.fleet),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_options_of_a_publisher_and_a_viewer_are_parsed() {
        let address = |url| Some(Address::parse(url).unwrap());
        let publisher = run(&[
            "--publish=redis://h/1",
            "--machine",
            "a-1",
            "--publish-types",
            "history.append,session.changed",
            "--mask-secrets",
            "--redis-password-file",
            "p",
        ]);
        let wanted = Fleet {
            publish: address("redis://h/1"),
            machine: Some("a-1".into()),
            publish_types: Some(vec![EventType::HistoryAppend, EventType::SessionChanged]),
            masks_secrets: true,
            password_file: Some("p".into()),
            ..Fleet::default()
        };
        assert_eq!(publisher, Ok(wanted));
        let viewer = Fleet { from: address("redis://h"), ..Fleet::default() };
        assert_eq!(run(&["--from", "redis://h"]), Ok(viewer));
    }

    #[test]
    fn a_password_on_the_command_line_is_known_and_one_in_the_environment_is_not_there() {
        let from = run(&["--from", "-"]).unwrap();
        assert!(from.from.unwrap().has_password() && !from.shows_password);
        assert!(run(&["--from", "redis://:secret@h"]).unwrap().shows_password);
    }

    #[track_caller]
    fn check(args: &[&str], message: &str) {
        assert_eq!(run(args), Err(format!("{message} (see `claude-live --help`)")));
    }

    #[test]
    fn an_error_says_what_is_expected_and_does_not_repeat_a_password() {
        check(
            &["--publish", "http://:secret@h"],
            "--publish: expected `redis://`, as in `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`",
        );
        check(
            &["--publish=redis://h", "--machine=a b"],
            "--machine `a b`: expected at most 64 letters, digits, `.`, `_` and `-`",
        );
        check(&["--from=redis://h", "--demo"], "`--from` cannot be combined with `--demo`");
        check(
            &["--from=redis://h", "--publish=redis://h"],
            "`--from` cannot be combined with `--publish`",
        );
        check(&["--machine=a"], "`--machine` requires `--publish`");
        let error = run(&["--publish=redis://h", "--publish-types=x"]).unwrap_err();
        assert!(error.starts_with("--publish-types `x`: expected one or more of "), "{error}");
        let error = parse(["--from", "-"], Environment::default()).unwrap_err().to_string();
        assert!(error.contains("`$CLAUDE_LIVE_REDIS_URL` is not set"), "{error}");
    }
}
