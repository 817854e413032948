//! The places of transcripts below `projects`, and the session and subagent of a place.
//!
//! - `<slug>/<session>.jsonl`: a session; the slug is made from its working directory;
//! - `<slug>/<session>/subagents/agent-<id>.jsonl`: a subagent, with an `agent-<id>.meta.json`;
//! - `<slug>/<session>/subagents/workflows/<run>/agent-<id>.jsonl`: an agent of a workflow, which
//!   is counted and not shown;
//! - `<slug>/agent-<id>.jsonl`: a subagent of 2025, whose records name the session.
//!
//! Files named `agent-acompact-*` are compactions and no subagents.

use std::path::{Component, Path, PathBuf};

use crate::follow::tree::Kind;
use crate::usage::{self, Part};

const AGENT: &str = "agent-";
const COMPACTION: &str = "agent-acompact-";
const SUBAGENTS: &str = "subagents";
const WORKFLOWS: &str = "workflows";
const META: &str = ".meta.json";

/// The longest name that is taken for an id; a UUID has 36 characters.
const MAX_ID_BYTES: usize = 64;

/// The owner of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Session {
        id: String,
    },
    Agent {
        id: String,
        session_id: String,
    },
    /// The records name the session.
    OldAgent {
        id: String,
    },
}

/// Whether a directory is searched, or a file is followed or read, at a path below `projects`.
pub(super) fn accepts(path: &Path, kind: Kind) -> bool {
    let Some(names) = names(path) else { return false };
    match (kind, &names[..]) {
        (Kind::Directory, [_]) => true,
        (Kind::Directory, [_, session]) => is_id(session),
        (Kind::Directory, [_, _, subagents]) => *subagents == SUBAGENTS,
        (Kind::File, [_, file]) => owner_of(&[file]).is_some(),
        (Kind::File, [_, session, SUBAGENTS, file]) => {
            owner_of(&[session, SUBAGENTS, file]).is_some() || meta_of(file).is_some()
        }
        _ => false,
    }
}

/// Whether a directory is searched, or a file is read for its tokens, at a path below `projects`:
/// compactions take some too, and so do the agents of workflows.
pub(in crate::sources) fn is_counted(path: &Path, kind: Kind) -> bool {
    match kind {
        Kind::Directory => {
            accepts(path, kind)
                || names(path).is_some_and(|names| match names[..] {
                    [_, session, SUBAGENTS, WORKFLOWS] | [_, session, SUBAGENTS, WORKFLOWS, _] => {
                        is_id(session)
                    }
                    _ => false,
                })
        }
        Kind::File => account(path).is_some(),
    }
}

/// Returns the owner of the tokens in the file at a path below `projects`.
pub(in crate::sources) fn account(path: &Path) -> Option<usage::Owner> {
    let names = names(path)?;
    let (names, session_id) = match &names[..] {
        [_, file] => ([file], None),
        [_, session, SUBAGENTS, file] | [_, session, SUBAGENTS, WORKFLOWS, _, file]
            if is_id(session) =>
        {
            ([file], Some((*session).to_owned()))
        }
        _ => return None,
    };
    let [file] = names;
    let stem = file.strip_suffix(".jsonl").filter(|stem| is_id(stem))?;
    let part = match stem.strip_prefix(AGENT) {
        Some(_) if stem.starts_with(COMPACTION) => Part::Compaction,
        Some(_) => Part::Subagent,
        None if session_id.is_none() => Part::Transcript,
        None => return None,
    };
    let own = (part == Part::Transcript).then(|| stem.to_owned());
    Some(usage::Owner { session_id: own.or(session_id), part })
}

/// Returns a text that stays the same when the transcript at the path is moved.
pub(super) fn key(path: &Path) -> Option<String> {
    Some(match owner(path)? {
        Owner::Session { id } => id,
        Owner::Agent { id, session_id } => format!("{session_id}/{id}"),
        Owner::OldAgent { id } => format!("/{id}"),
    })
}

/// Returns the owner of the transcript at a path; nothing for another file.
pub(super) fn owner(path: &Path) -> Option<Owner> {
    let names: Vec<&str> = path.iter().rev().take(3).map_while(|name| name.to_str()).collect();
    match names[..] {
        [file, SUBAGENTS, session] => owner_of(&[session, SUBAGENTS, file]),
        [file, ..] => owner_of(&[file]),
        [] => None,
    }
}

fn owner_of(names: &[&str]) -> Option<Owner> {
    let stem = names.last()?.strip_suffix(".jsonl")?;
    let agent = stem.strip_prefix(AGENT).filter(|id| is_id(id)).map(str::to_owned);
    if stem.starts_with(COMPACTION) {
        return None;
    }
    match (names, agent) {
        ([session, _, _], Some(id)) if is_id(session) => {
            Some(Owner::Agent { id, session_id: (*session).to_owned() })
        }
        ([_], Some(id)) => Some(Owner::OldAgent { id }),
        ([_], None) if is_id(stem) => Some(Owner::Session { id: stem.to_owned() }),
        _ => None,
    }
}

/// Returns the session and the subagent that a `.meta.json` describes.
pub(super) fn described(path: &Path) -> Option<(&str, &str)> {
    let agent_id = meta_of(path.file_name()?.to_str()?)?;
    let session_id = path.parent()?.parent()?.file_name()?.to_str()?;
    Some((session_id, agent_id))
}

fn meta_of(file: &str) -> Option<&str> {
    file.strip_suffix(META)?.strip_prefix(AGENT).filter(|id| is_id(id))
}

/// Returns the path of the `.meta.json` beside a subagent's transcript.
pub(super) fn meta(transcript: &Path) -> PathBuf {
    transcript.with_extension("meta.json")
}

/// Returns the directory of a session's subagents.
pub(super) fn subagents(transcript: &Path) -> PathBuf {
    transcript.with_extension("").join(SUBAGENTS)
}

/// Returns the name of the directory for transcripts of sessions that start in `cwd`.
pub(super) fn slug(cwd: &str) -> String {
    let is_kept = |character: char| character.is_ascii_alphanumeric();
    // JavaScript, which names the directory, counts in UTF-16 units.
    cwd.encode_utf16()
        .map(|unit| char::from_u32(unit.into()).filter(|it| is_kept(*it)).unwrap_or('-'))
        .collect()
}

/// Whether a text is taken for the id of a session or a subagent.
pub(super) fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

fn names(path: &Path) -> Option<Vec<&str>> {
    path.components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b8a4b9e-7d7c-4a25-9d3f-0f6b3a1c2d4e";

    #[track_caller]
    fn check_owner(path: &str, wanted: Option<&str>) {
        let path = path.replace("ID", ID);
        assert_eq!(accepts(Path::new(&path), Kind::File), wanted.is_some(), "{path}");
        let full = Path::new("/home/x/.claude/projects").join(&path);
        let wanted = wanted.map(|key| key.replace("ID", ID));
        assert_eq!(key(&full), wanted, "{path}");
    }

    #[test]
    fn a_path_tells_the_session_and_the_subagent() {
        check_owner("-home-x/ID.jsonl", Some("ID"));
        check_owner("-home-x/ID/subagents/agent-a08.jsonl", Some("ID/a08"));
        check_owner("-home-x/agent-a08.jsonl", Some("/a08"));
    }

    #[test]
    fn other_files_are_no_transcripts() {
        for path in [
            "-home-x/agent-acompact-1.jsonl",
            "-home-x/ID/subagents/agent-acompact-1.jsonl",
            "-home-x/ID/subagents/ID.jsonl",
            "-home-x/ID.jsonl.bak",
            "-home-x/ID.json",
            "-home-x/.jsonl",
            "-home-x/a b.jsonl",
            "-home-x/memory/MEMORY.md",
        ] {
            check_owner(path, None);
        }
        assert!(!accepts(Path::new("ID.jsonl"), Kind::File));
    }

    #[track_caller]
    fn check_account(path: &str, wanted: Option<(Option<&str>, Part)>) {
        let owner = account(Path::new(path));
        let owner = owner.as_ref().map(|owner| (owner.session_id.as_deref(), owner.part));
        assert_eq!(owner, wanted, "{path}");
        assert_eq!(is_counted(Path::new(path), Kind::File), wanted.is_some(), "{path}");
    }

    #[test]
    fn a_path_tells_whose_the_tokens_are() {
        check_account("p/s1.jsonl", Some((Some("s1"), Part::Transcript)));
        check_account("p/s1/subagents/agent-a.jsonl", Some((Some("s1"), Part::Subagent)));
        let compaction = "p/s1/subagents/agent-acompact-a.jsonl";
        check_account(compaction, Some((Some("s1"), Part::Compaction)));
        let of_workflow = "p/s1/subagents/workflows/wf_1/agent-a.jsonl";
        check_account(of_workflow, Some((Some("s1"), Part::Subagent)));
        check_account("p/agent-a.jsonl", Some((None, Part::Subagent)));
        check_account("p/agent-acompact-a.jsonl", Some((None, Part::Compaction)));
        for path in
            ["s1.jsonl", "p/s1.json", "p/s1/s2.jsonl", "p/s1/subagents/s2.jsonl", "p/.jsonl"]
        {
            check_account(path, None);
        }
        check_account("p/s1/subagents/workflows/wf_1/journal.jsonl", None);
        for path in ["p/s1/subagents", "p/s1/subagents/workflows", "p/s1/subagents/workflows/wf_1"]
        {
            assert!(is_counted(Path::new(path), Kind::Directory), "{path}");
        }
    }

    #[test]
    fn directories_of_subagents_are_searched_and_no_others() {
        let is_searched = |path: &str| accepts(Path::new(&path.replace("ID", ID)), Kind::Directory);
        assert!(is_searched("-home-x") && is_searched("-home-x/ID"));
        assert!(is_searched("-home-x/ID/subagents"));
        assert!(!is_searched("-home-x/ID/tool-results"));
        assert!(!is_searched("-home-x/ID/subagents/x"));
        assert!(!is_searched("-home-x/a b"));
    }

    #[test]
    fn a_meta_file_describes_a_subagent() {
        let transcript = Path::new("/p/slug/s1/subagents/agent-a08.jsonl");
        let path = meta(transcript);
        assert_eq!(path, Path::new("/p/slug/s1/subagents/agent-a08.meta.json"));
        assert_eq!(described(&path), Some(("s1", "a08")));
        assert!(accepts(path.strip_prefix("/p").unwrap(), Kind::File));
        assert_eq!(key(&path), None);
        assert_eq!(described(transcript), None);
        assert_eq!(subagents(Path::new("/p/slug/s1.jsonl")), transcript.parent().unwrap());
    }

    #[test]
    fn a_slug_has_a_hyphen_for_each_character_but_letters_and_digits() {
        assert_eq!(slug("/home/x/.config/a_b"), "-home-x--config-a-b");
        assert_eq!(slug("/tmp/ä😀"), "-tmp----");
    }
}
