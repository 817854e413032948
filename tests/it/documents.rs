//! What the README says is what the program does.

use std::fs;
use std::process::Command;

use crate::program::command;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn the_readme_repeats_the_help_verbatim() {
    let help = String::from_utf8(command().arg("--help").output().unwrap().stdout).unwrap();
    assert!(
        readme().contains(&format!("```text\n{help}```\n")),
        "copy `claude-live --help` into the README"
    );
}

#[test]
fn every_dependency_has_its_reason_in_the_readme() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let dependencies =
        manifest.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in dependencies.lines() {
        let name = line.split(' ').next().unwrap();
        assert!(
            readme().contains(&format!("| `{name}` |")),
            "`{name}` is not in the README's table"
        );
    }
}

#[test]
fn make_help_names_every_verb_of_the_readme() {
    let help =
        Command::new("make").arg("help").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for verb in ["build", "run", "test", "check", "lint", "fmt", "clean", "help"] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(verb)),
            "{verb} is not in `make help`: {help}"
        );
    }
}
