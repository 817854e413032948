//! claude-live: from a line in `~/.claude/history.jsonl` to a row in the browser.
//!
//! Read in the order of the list below. Threads: "tail" and "watch" poll the files and publish to the hub; "accept"
//! takes connections and gives each a thread of its own; "courier" sends what is new to the streams; the main thread wires
//! them and waits.

mod args;
mod browser;
mod demo;
mod error;
mod event;
mod follow;
mod health;
mod history;
mod http;
mod hub;
mod ids;
mod log;
mod metrics;
mod options;
mod service;
mod tail;
mod watch;
mod worker;

use std::env;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::args::{Args, Command, Environment};
use crate::demo::Demo;
use crate::error::Error;
use crate::health::Health;
use crate::http::guard::{Guard, Token};
use crate::http::{Site, assets::Assets};
use crate::hub::Hub;
use crate::worker::{Alarm, Worker};

/// How often the history is looked at while no stream is open: still well under 200 ms to whoever connects.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// Pause between two batches of a burst, so that streams send the one before the next comes.
const BATCH_PAUSE: Duration = Duration::from_millis(1);

/// The shortest token that guards an address which other machines reach.
const MIN_REMOTE_TOKEN_BYTES: usize = 16;

/// Connections that wait to be accepted: of more that come at the same instant, the others try again after a second. The
/// system lowers it to its own bound (4096 on Linux).
const LISTEN_BACKLOG: i32 = 4096;

/// How often the watched files are looked at.
const WATCH_POLL: Duration = Duration::from_millis(500);

/// How often the demo looks whether something is to be written: the lines of a burst are 5 to 120 ms apart.
const DEMO_STEP: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    let environment = Environment {
        config_dir: env::var_os("CLAUDE_CONFIG_DIR"),
        home: env::var_os("HOME").map(PathBuf::from),
    };
    let outcome = match args::parse(env::args_os().skip(1), environment) {
        Ok(Command::Run(args)) => run(&args),
        Ok(Command::Service(kind, args)) => print_service(kind, &args),
        Ok(Command::Completions(shell)) => print(&options::completions(shell)),
        Ok(Command::Man) => print(&options::man()),
        Ok(Command::Help) => print(&options::help()),
        Ok(Command::Version) => print(concat!("claude-live ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::fail(&error);
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Follows and serves for as long as the process lives.
fn run(args: &Args) -> Result<(), Error> {
    if args.quiet {
        log::be_quiet();
    }
    // First of all, since it may be written to a FIFO later: until then nobody is listened to.
    let token = token(args)?;
    let (listener, address) = bind(SocketAddr::new(args.host, args.port))?;
    let guard = Guard::new(address, &args.allow_hosts, token);
    let assets = Assets::new(args.static_dir.as_deref())?;
    let Some(claude_dir) = &args.claude_dir else {
        let demo = Demo::create().map_err(Error::Demo)?;
        log::info(format_args!("the demo writes to `{}`", demo.dir().display()));
        if let Some(warning) = demo.warning() {
            log::warn(warning);
        }
        let dir = demo.dir().to_owned();
        let _writer = write_demo(demo)?;
        return serve(args, &dir, (listener, address), guard, assets);
    };
    // Without a current directory it stays as it was given.
    let claude_dir = path::absolute(claude_dir).unwrap_or_else(|_| claude_dir.clone());
    log::info(format_args!("following `{}`", claude_dir.display()));
    serve(args, &claude_dir, (listener, address), guard, assets)
}

fn serve(
    args: &Args,
    claude_dir: &Path,
    (listener, address): (TcpListener, SocketAddr),
    guard: Guard,
    assets: Assets,
) -> Result<(), Error> {
    let memory = ids::memory(["XDG_RUNTIME_DIR", "TMPDIR"].map(env::var_os));
    // A demo leaves nothing behind.
    let memory = memory.filter(|_| args.claude_dir.is_some());
    // Nothing is ever written where Claude Code writes, even if temporary files are to go there.
    let memory = memory.filter(|file| !is_within(file, claude_dir));
    let hub = Hub::new(ids::first(memory.as_deref()));
    let watched = follow::watched(claude_dir, &args.watch);
    let health = Arc::new(health(claude_dir, &watched));

    let mut history = follow::History::new(claude_dir, Arc::clone(&hub), Arc::clone(&health));
    history.seed();
    if health.is_waiting() {
        let path = follow::history_path(claude_dir);
        log::warn(format_args!("`{}` is not there yet: waiting for it", path.display()));
    }
    let mut watched =
        follow::Watched::new(claude_dir, watched, Arc::clone(&hub), Arc::clone(&health));
    let site = Site::new(args.max_connections, guard, assets, hub, Arc::clone(&health));

    let (sender, ended) = bounded(1);
    let alarm = |name| Alarm { name, sender: sender.clone() };
    let poll = args.poll;
    let _tail = worker::spawn(alarm("tail"), move |now| {
        let more = history.step(now);
        pause(more, health.counters.streams.get() > 0, poll)
    })
    .map_err(Error::Thread)?;
    let _watch = worker::spawn(alarm("watch"), move |now| {
        watched.step(now);
        WATCH_POLL
    })
    .map_err(Error::Thread)?;
    http::serve(alarm, listener, site).map_err(Error::Thread)?;

    print(&format!("listening on http://{address}/\n"))?;
    if !args.host.is_loopback() {
        let port = address.port();
        log::info(format_args!(
            "from other machines: http://ADDRESS:{port}/?token=TOKEN, and by a name with --allow-host"
        ));
    }
    if args.open {
        browser::open(address);
    }
    let thread = ended.recv().expect("a sender lives in this function");
    Err(Error::Ended(thread))
}

fn print_service(kind: service::Kind, args: &Args) -> Result<(), Error> {
    if args.port == 0 {
        log::warn("with --port 0 the service has another address after each start");
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let service = service::Service {
        program: &env::current_exe().map_err(Error::Program)?,
        words: &args.words(),
        max_connections: args.max_connections,
        is_demo: args.claude_dir.is_none(),
        home: home.as_deref(),
    };
    print(&service::print(kind, &service))
}

/// Whether a file that may not be there lies in the directory, whichever way leads there.
fn is_within(file: &Path, dir: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file.parent().is_some_and(|parent| real(parent).starts_with(real(dir)))
}

/// Listens, and says on which port if any was to do.
fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let error = |cause| Error::Bind { address, cause };
    let listener = TcpListener::bind(address).map_err(error)?;
    // The standard library asks for 128, which is fixed; asking again is allowed and only changes the number.
    rustix::net::listen(&listener, LISTEN_BACKLOG).map_err(|cause| error(cause.into()))?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

fn token(args: &Args) -> Result<Option<Token>, Error> {
    // Who can only be on this machine has few tries; from elsewhere a short token can be guessed.
    let min_bytes = if args.host.is_loopback() { 1 } else { MIN_REMOTE_TOKEN_BYTES };
    args.token_file.as_deref().map(|file| Token::read(file, min_bytes)).transpose()
}

fn health(claude_dir: &Path, watched: &[PathBuf]) -> Health {
    let watched = watched.iter().map(|path| follow::shown(claude_dir, path)).collect();
    Health::new(claude_dir, &follow::history_path(claude_dir), watched)
}

/// How long the tailer sleeps.
fn pause(more: bool, is_streaming: bool, poll: Duration) -> Duration {
    match (more, is_streaming) {
        (true, false) => Duration::ZERO,
        (true, true) => BATCH_PAUSE,
        (false, true) => poll,
        (false, false) => poll.max(IDLE_POLL),
    }
}

fn write_demo(mut demo: Demo) -> Result<Worker, Error> {
    // Nobody listens: a demo that cannot write any more is still one to look at.
    let (sender, _) = bounded(1);
    let mut could_write = true;
    worker::spawn(Alarm { name: "demo", sender }, move |now| {
        let written = demo.step(now);
        if let (true, Err(error)) = (could_write, &written) {
            log::warn(format_args!("the demo cannot write: {error}"));
        }
        could_write = written.is_ok();
        DEMO_STEP
    })
    .map_err(Error::Thread)
}

fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(more: bool, is_streaming: bool, poll_ms: u64, wanted: Duration) {
        assert_eq!(pause(more, is_streaming, Duration::from_millis(poll_ms)), wanted);
    }

    #[test]
    fn whichever_way_leads_to_a_directory_what_is_in_it_is_known_to_be() {
        let place = tempfile::tempdir().unwrap();
        let (dir, other) = (place.path().join("dir"), place.path().join("other"));
        std::fs::create_dir_all(dir.join("inner")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&dir, place.path().join("link")).unwrap();
        for way in ["dir", "link", "other/../dir", "./dir"].map(|way| place.path().join(way)) {
            assert!(is_within(&dir.join("file"), &way), "{}", way.display());
            assert!(is_within(&way.join("inner/file"), &dir), "{}", way.display());
            assert!(!is_within(&other.join("file"), &way), "{}", way.display());
        }
        assert!(is_within(Path::new("/missing/d/file"), Path::new("/missing")));
    }

    #[test]
    fn the_tailer_sleeps_as_long_as_nobody_waits_and_lets_streams_keep_up_with_a_burst() {
        check(false, false, 20, Duration::from_millis(100));
        check(false, false, 250, Duration::from_millis(250));
        check(false, true, 20, Duration::from_millis(20));
        check(true, false, 20, Duration::ZERO);
        check(true, true, 20, Duration::from_millis(1));
    }
}
