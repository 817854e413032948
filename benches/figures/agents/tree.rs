//! A Claude directory with 3,000 transcripts of 1 GB, as they are after a month of much work.
//!
//! A tenth of them were written in the last 24 hours, and ten sessions have a process. The
//! directory is in memory where there is room, since other programs on the machine would delay a
//! disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tempfile::TempDir;

use super::template::{Numbers, Template, Values};
use crate::lines::lines;
use crate::process::Peer;

const FILES: usize = 3000;
const LIVE: usize = 10;
const RECENT_BYTES: u64 = 100_000_000;
const HISTORY_LINES: usize = 20_000;

/// More than all of it needs.
const ROOM_BYTES: u64 = 2_000_000_000;

/// Sessions without a process have so many subagents, in turns.
const AGENTS: [usize; 7] = [0, 0, 1, 0, 5, 0, 2];

const PROJECTS: usize = 40;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// See the module. Ends its processes and removes the directory on drop.
pub(super) struct Tree {
    pub(super) live: Vec<Live>,
    /// The transcripts of the last 24 hours.
    pub(super) recent: Vec<PathBuf>,
    pub(super) recent_bytes: u64,
    pub(super) files: usize,
    pub(super) bytes: u64,
    projects: PathBuf,
    session: Template,
    agent: Template,
    dir: TempDir,
}

/// A session with a process.
pub(super) struct Live {
    pub(super) session_id: String,
    pub(super) transcript: PathBuf,
    entry: PathBuf,
    process: Peer,
}

impl Tree {
    pub(super) fn create() -> Tree {
        let mut tree = Tree::empty();
        fs::write(tree.dir.path().join("history.jsonl"), lines(HISTORY_LINES))
            .expect("the directory is ours");
        let mut numbers = Numbers::new();
        for session in 0.. {
            if tree.files >= FILES {
                break;
            }
            tree.add_some_session(session, &mut numbers);
        }
        tree
    }

    /// Returns a directory without sessions.
    pub(super) fn empty() -> Tree {
        let dir = spacious_dir();
        let projects = dir.path().join("projects");
        for dir in [&projects, &dir.path().join("sessions")] {
            fs::create_dir(dir).expect("the directory is ours");
        }
        Tree {
            live: Vec::new(),
            recent: Vec::new(),
            recent_bytes: 0,
            files: 0,
            bytes: 0,
            projects,
            session: Template::new(false),
            agent: Template::new(true),
            dir,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn add_some_session(&mut self, number: usize, numbers: &mut Numbers) {
        let is_live = number < LIVE;
        let is_recent = is_live || self.recent_bytes < RECENT_BYTES;
        let age_seconds = match (is_live, is_recent) {
            (true, _) => 2 * MINUTE,
            (false, true) => numbers.between(3 * MINUTE, 22 * HOUR),
            (false, false) => numbers.between(26 * HOUR, 30 * 24 * HOUR),
        };
        let written_at = SystemTime::now() - Duration::from_secs(age_seconds);
        let session = Session::new(number);
        let transcript = self.transcript(&session);
        let bytes = numbers.size();
        self.add_file(&transcript, &session, written_at, bytes, is_recent);
        let agents = if is_live { 0 } else { AGENTS[number % AGENTS.len()] };
        for agent in 0..agents {
            let name = format!("subagents/agent-a{:06x}.jsonl", number * 8 + agent);
            let agent = transcript.with_extension("").join(name);
            let bytes = numbers.size();
            self.add_file(&agent, &session, written_at, bytes, is_recent);
            let meta = r#"{"agentType":"Explore","description":"Find callers","spawnDepth":1}"#;
            fs::write(agent.with_extension("meta.json"), meta).expect("the directory is ours");
        }
        if is_live {
            let live = Live::start(self.dir.path(), session, transcript);
            live.set_status("busy");
            self.live.push(live);
        }
    }

    /// Adds an old session without subagents, and returns its id and its transcript.
    pub(super) fn add_session(&mut self, bytes: usize) -> (String, PathBuf) {
        let session = Session::new(self.files);
        let transcript = self.transcript(&session);
        let written_at = SystemTime::now() - Duration::from_secs(48 * HOUR);
        self.add_file(&transcript, &session, written_at, bytes, false);
        (session.id, transcript)
    }

    fn transcript(&self, session: &Session) -> PathBuf {
        self.projects.join(&session.slug).join(session.id.clone() + ".jsonl")
    }

    fn add_file(
        &mut self,
        path: &Path,
        session: &Session,
        written_at: SystemTime,
        bytes: usize,
        is_recent: bool,
    ) {
        fs::create_dir_all(path.parent().expect("it is in a project")).expect("it is ours");
        let is_agent = path.parent().is_some_and(|dir| dir.ends_with("subagents"));
        let template = if is_agent { &self.agent } else { &self.session };
        let time = Timestamp::try_from(written_at).expect("it is of this month").to_string();
        let values = Values { session_id: &session.id, cwd: &session.cwd, time: &time };
        let mut file = File::create(path).expect("the directory is ours");
        let written = template.write(&mut file, bytes, self.files, &values);
        file.flush().and_then(|()| file.set_modified(written_at)).expect("the file is ours");
        self.files += 1;
        self.bytes += written;
        if is_recent {
            self.recent.push(path.to_owned());
            self.recent_bytes += written;
        }
    }
}

/// Where a session has its transcript.
struct Session {
    id: String,
    cwd: String,
    slug: String,
}

impl Session {
    fn new(number: usize) -> Session {
        let cwd = format!("/home/demo/src/p{:02}", number % PROJECTS);
        let slug = cwd.replace('/', "-");
        Session { id: format!("0b6f3c52-aaaa-4a7e-9c11-{number:012}"), cwd, slug }
    }
}

impl Live {
    fn start(dir: &Path, session: Session, transcript: PathBuf) -> Live {
        let process = Peer::start(Command::new("sleep").arg("3600"));
        let entry = dir.join("sessions").join(format!("{}.json", process.id()));
        Live { session_id: session.id, transcript, entry, process }
    }

    /// Rewrites the session's entry in the registry in place, as Claude Code does.
    pub(super) fn set_status(&self, status: &str) {
        let pid = self.process.id();
        let slug = self.transcript.parent().and_then(Path::file_name).expect("it has a slug");
        let cwd = slug.to_string_lossy().replace('-', "/");
        let now = Timestamp::now().as_millisecond();
        let entry = format!(
            "{{\"pid\":{pid},\"sessionId\":\"{}\",\"cwd\":\"{cwd}\",\"startedAt\":{now},\
             \"procStart\":\"{}\",\"version\":\"2.1.289\",\"peerProtocol\":1,\
             \"kind\":\"interactive\",\"entrypoint\":\"cli\",\"status\":\"{status}\",\
             \"waitingFor\":\"permission prompt\",\"updatedAt\":{now},\"statusUpdatedAt\":{now}}}",
            self.session_id,
            self.process.started_at(),
        );
        fs::write(&self.entry, entry).expect("the directory is ours");
    }
}

fn spacious_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    let in_memory = (room > ROOM_BYTES).then(|| tempfile::tempdir_in(memory).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("temporary files have a folder"))
}
