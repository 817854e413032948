//! claude-live: from a line in `~/.claude/history.jsonl` to a row in the browser.
//!
//! Read in the order of the list below. Threads: "tail" and "watch" poll the files and publish to
//! the hub; "accept" takes connections and gives each a thread of its own; "usage" counts tokens
//! once a client asks for them; the main thread wires them and waits.

mod cli;
mod demo;
mod error;
mod event;
#[cfg(feature = "fleet")]
mod fleet;
mod follow;
mod formats;
mod http;
mod hub;
mod report;
mod sessions;
mod sources;
mod usage;
mod wake;
mod worker;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
#[cfg(feature = "fleet")]
use std::net::TcpListener;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::cli::args::{self, Args, Command, Environment, Table};
use crate::cli::signals::{self, Signal};
use crate::cli::{browser, completions, man, options, progress, service};
use crate::demo::Demo;
use crate::error::Error;
#[cfg(feature = "fleet")]
use crate::fleet::address::Address;
#[cfg(feature = "fleet")]
use crate::fleet::connection;
#[cfg(feature = "fleet")]
use crate::fleet::publisher::{self, Publisher};
use crate::formats::prices::Prices;
use crate::http::guard::Guard;
use crate::http::limit::Limiter;
use crate::http::token::Token;
use crate::http::{Site, assets::Assets, listener};
use crate::hub::Hub;
use crate::report::health::Health;
use crate::report::log;
use crate::sources::history::{self, History};
#[cfg(feature = "fleet")]
use crate::sources::machines::Machines;
use crate::sources::records::Records;
use crate::sources::transcripts::Transcripts;
use crate::sources::usage::{Reader, Usage, read_once};
use crate::sources::watched::{self, Watched};
use crate::worker::{Alarm, Worker};

/// The time between two polls while no stream is open: a client that connects waits less than
/// 200 ms for the newest events.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// The same of the registry and of transcripts: a client without a stream asks for the sessions
/// every few seconds at most. A multiple of [`IDLE_POLL`], with which it shares its wakes.
const IDLE_SESSIONS_POLL: Duration = Duration::from_millis(200);

/// The pause between two batches of a burst, in which streams send the first before the second
/// comes.
const BATCH_PAUSE: Duration = Duration::from_millis(1);

/// The shortest token for an address that other machines can reach, where it can be guessed at.
const MIN_REMOTE_TOKEN_BYTES: usize = 16;

/// The time between two looks whether the address is printed.
const START_POLL: Duration = Duration::from_millis(1);

/// The time between two polls of the watched files.
const WATCH_POLL: Duration = Duration::from_millis(500);

/// The time between two steps of the demo; the lines of a burst are 5 to 120 ms apart.
const DEMO_STEP: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    let environment = Environment {
        config_dir: env::var_os("CLAUDE_CONFIG_DIR"),
        home: env::var_os("HOME").map(PathBuf::from),
        #[cfg(feature = "fleet")]
        redis_url: env::var_os("CLAUDE_LIVE_REDIS_URL"),
    };
    let outcome = match args::parse(env::args_os().skip(1), environment) {
        Ok(Command::Run(args)) => run(&args),
        Ok(Command::Usage(table)) => print_usage(&table),
        Ok(Command::Service(kind)) => print_service(kind),
        Ok(Command::Completions(shell)) => print(&completions::completions(shell)),
        Ok(Command::Man) => print(&man::man()),
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

/// Follows and serves until a signal ends the program.
fn run(args: &Args) -> Result<(), Error> {
    if args.quiet {
        log::be_quiet();
    }
    // The token comes first: its file can be a FIFO, and nothing is served before it is read.
    let token = token(args)?;
    let prices = Arc::new(prices(args.prices.as_deref())?);
    let signals = signals::receive(token.is_some())?;
    let (listener, address) = listener::bind(SocketAddr::new(args.host, args.port))?;
    let guard = Guard::new(address, &args.allow_hosts, token);
    let assets = Assets::new(args.static_dir.as_deref())?;
    #[cfg(feature = "fleet")]
    if let Some(redis) = args.fleet.from.clone() {
        return show_fleet(args, redis, guard, assets, (listener, address), &signals);
    }
    let (claude_dir, _demo) = claude_dir(args)?;

    let first_id = hub::first_id(SystemTime::now());
    let hub = Hub::new(first_id);
    let watched = watched::watched(&claude_dir, &args.watch);
    let health = Arc::new(health(&claude_dir, &watched));
    let mut history = History::new(&claude_dir, Arc::clone(&hub), Arc::clone(&health));
    history.seed();
    warn_if_absent(&claude_dir, &health);
    let (sender, ended) = bounded(1);
    let usage = usage(&claude_dir, prices, &sender);
    let watched = Watched::new(&claude_dir, watched, Arc::clone(&hub), Arc::clone(&health));
    let site = Arc::new(Site {
        limiter: Limiter::new(args.max_connections),
        guard,
        assets,
        hub,
        records: Arc::new(Records::new(history::history_path(&claude_dir))),
        usage: (!args.no_transcripts).then(|| Arc::clone(&usage)),
        #[cfg(feature = "fleet")]
        shows_fleet: false,
        health,
    });

    #[cfg(feature = "fleet")]
    publish(args, first_id, &site, &sender)?;
    let _watch = follow_watched(watched, &sender)?;
    let transcripts = (!args.no_transcripts).then(|| transcripts(&claude_dir, &site, usage));
    let is_announced = Arc::new(AtomicBool::new(false));
    let is_ready = Arc::clone(&is_announced);
    // Before there are clients: where threads are few, theirs could take the last ones.
    let _tail = follow(history, transcripts, Arc::clone(&site.hub), args.poll, is_ready, &sender)?;
    http::serve(alarm("accept", &sender), listener, Arc::clone(&site)).map_err(Error::Thread)?;
    announce(args, address)?;
    is_announced.store(true, Ordering::Relaxed);
    wait(&site, &ended, &signals)
}

/// Returns the directory to follow, and the worker that writes to it if it is a demo.
fn claude_dir(args: &Args) -> Result<(PathBuf, Option<Worker>), Error> {
    let Some(dir) = &args.claude_dir else {
        let demo = Demo::create().map_err(Error::Demo)?;
        log::info(format_args!("the demo writes to `{}`", demo.dir().display()));
        if let Some(warning) = demo.warning() {
            log::warn(warning);
        }
        return Ok((demo.dir().to_owned(), Some(write_demo(demo)?)));
    };
    // A relative path stays as it is if there is no current directory.
    let dir = path::absolute(dir).unwrap_or_else(|_| dir.clone());
    log::info(format_args!("following `{}`", dir.display()));
    Ok((dir, None))
}

fn warn_if_absent(claude_dir: &Path, health: &Health) {
    if health.is_waiting() {
        let path = history::history_path(claude_dir);
        log::warn(format_args!("`{}` does not exist yet: waiting for it", path.display()));
    }
}

fn transcripts(claude_dir: &Path, site: &Site, usage: Arc<Usage>) -> Transcripts {
    Transcripts::new(
        claude_dir,
        Arc::clone(&site.hub),
        Arc::clone(&site.health),
        Arc::clone(&site.records),
        usage,
        Timestamp::now(),
        site.limiter.transcripts(),
    )
}

/// Follows the history and the transcripts once `is_ready`: there can be a gigabyte of them, and
/// the address is printed before. One thread does both, since to wake a thread costs more than the
/// poll that it wakes for.
fn follow(
    mut history: History,
    mut transcripts: Option<Transcripts>,
    hub: Arc<Hub>,
    poll: Duration,
    is_ready: Arc<AtomicBool>,
    ended: &Sender<&'static str>,
) -> Result<Worker, Error> {
    let step = move |now| {
        if !is_ready.load(Ordering::Relaxed) {
            return START_POLL;
        }
        let is_streaming = hub.subscribers() > 0;
        let period = if is_streaming { poll } else { poll.max(IDLE_SESSIONS_POLL) };
        let history_pause = pause(history.step(now), is_streaming, poll);
        let transcripts = transcripts.as_mut().map(|it| it.step(now, Timestamp::now(), period));
        transcripts.map_or(history_pause, |pause| pause.min(history_pause))
    };
    worker::spawn(alarm("tail", ended), step).map_err(Error::Thread)
}

/// Serves the machines of a fleet until a signal ends the program.
#[cfg(feature = "fleet")]
fn show_fleet(
    args: &Args,
    redis: Address,
    guard: Guard,
    assets: Assets,
    (listener, address): (TcpListener, SocketAddr),
    signals: &Receiver<Signal>,
) -> Result<(), Error> {
    let redis = with_password(args, redis)?;
    log::info(format_args!("showing the machines that publish to `{redis}`"));
    let dir = PathBuf::from(redis.to_string());
    let health = Arc::new(Health::new(&dir, Path::new(""), Vec::new()));
    let hub = Hub::new(hub::first_id(SystemTime::now()));
    let mut machines = Machines::new(redis, Arc::clone(&hub), Arc::clone(&health));
    machines.seed();
    let records = Arc::new(Records::new(PathBuf::new()));
    let limiter = Limiter::new(args.max_connections);
    let site = Arc::new(Site {
        limiter,
        guard,
        assets,
        hub,
        records,
        usage: None,
        shows_fleet: true,
        health,
    });
    let (sender, ended) = bounded(1);
    fleet::spawn(alarm("fleet", &sender), || machines.run()).map_err(Error::Thread)?;
    http::serve(alarm("accept", &sender), listener, Arc::clone(&site)).map_err(Error::Thread)?;
    announce(args, address)?;
    wait(&site, &ended, signals)
}

/// Publishes to the Redis of a fleet if `--publish` is given.
#[cfg(feature = "fleet")]
fn publish(
    args: &Args,
    first_id: u64,
    site: &Site,
    ended: &Sender<&'static str>,
) -> Result<(), Error> {
    let Some(address) = args.fleet.publish.clone() else { return Ok(()) };
    let machine = args.fleet.machine.clone().unwrap_or_else(publisher::host_name);
    if !fleet::is_name(&machine) {
        return Err(Error::Machine(machine));
    }
    let types = args.fleet.publish_types.clone().unwrap_or_else(publisher::default_types);
    let options = publisher::Options {
        address: with_password(args, address)?,
        machine,
        types,
        masks_secrets: args.fleet.masks_secrets,
    };
    let (hub, health) = (Arc::clone(&site.hub), Arc::clone(&site.health));
    let publisher = Publisher::new(options, first_id, hub, health);
    fleet::spawn(alarm("publish", ended), || publisher.run()).map_err(Error::Thread)
}

#[cfg(feature = "fleet")]
fn with_password(args: &Args, address: Address) -> Result<Address, Error> {
    if args.fleet.shows_password {
        log::warn("other users can see a password on the command line; see --redis-password-file");
    }
    match &args.fleet.password_file {
        Some(file) => connection::with_password_of(address, file),
        None => Ok(address),
    }
}

fn follow_watched(mut watched: Watched, ended: &Sender<&'static str>) -> Result<Worker, Error> {
    let step = move |now| {
        watched.step(now);
        WATCH_POLL
    };
    worker::spawn(alarm("watch", ended), step).map_err(Error::Thread)
}

/// Returns the source of tokens, whose thread begins with the first request.
fn usage(claude_dir: &Path, prices: Arc<Prices>, ended: &Sender<&'static str>) -> Arc<Usage> {
    let (slot, ended) = (Mutex::new(None), ended.clone());
    let start = move |mut reader: Reader| {
        let worker = worker::spawn(alarm("usage", &ended), move |now| reader.step(now))?;
        // A worker that is dropped ends.
        *slot.lock() = Some(worker);
        Ok(())
    };
    Arc::new(Usage::new(claude_dir, prices, Box::new(start)))
}

fn alarm(name: &'static str, sender: &Sender<&'static str>) -> Alarm {
    Alarm { name, sender: sender.clone() }
}

/// Prints the address, and opens the page if `--open` is given.
fn announce(args: &Args, address: SocketAddr) -> Result<(), Error> {
    print(&format!("listening on http://{address}/\n"))?;
    if !args.host.is_loopback() {
        let port = address.port();
        log::info(format_args!(
            "from other machines: http://ADDRESS:{port}/?token=TOKEN; by a name with --allow-host"
        ));
    }
    if args.open {
        browser::open(address);
    }
    Ok(())
}

/// Waits for a signal or the unexpected end of a thread.
fn wait(
    site: &Site,
    ended: &Receiver<&'static str>,
    signals: &Receiver<Signal>,
) -> Result<(), Error> {
    loop {
        select! {
            recv(ended) -> thread => {
                return Err(Error::Ended(thread.expect("the caller has a sender")));
            }
            recv(signals) -> signal => match signal.expect("the thread that sends does not end") {
                Signal::ReadAgain => site.guard.read_token_again(),
                Signal::End { name } => {
                    log::info(format_args!("ending after {name}"));
                    http::end_streams(&site.hub);
                    return Ok(());
                }
            },
        }
    }
}

/// Prints the tokens and the cost that the query selects, without serving.
fn print_usage(table: &Table) -> Result<(), Error> {
    let prices = Arc::new(prices(table.prices.as_deref())?);
    if !table.claude_dir.is_dir() {
        return Err(Error::ClaudeDir(table.claude_dir.clone()));
    }
    let projects = table.claude_dir.join("projects");
    if !projects.is_dir() {
        log::warn(format_args!("`{}` is not a directory with transcripts", projects.display()));
    }
    let mut bar = progress::Bar::new();
    let show = |progress: usage::Progress| bar.show(progress.done, progress.files);
    let now = Timestamp::now();
    let report = read_once(&table.claude_dir, prices, &table.query, now, show);
    drop(bar);
    if table.json {
        return print(&format!("{}\n", String::from_utf8_lossy(&report.json())));
    }
    print(&report.table())
}

/// Returns the prices of a file in the format of LiteLLM, or those of the program.
fn prices(file: Option<&Path>) -> Result<Prices, Error> {
    let Some(path) = file else { return Ok(Prices::built_in()) };
    let parsed = fs::read(path).map_err(|cause| cause.to_string());
    let parsed = parsed.and_then(|json| Prices::parse(&json));
    parsed.map_err(|cause| Error::Prices { path: path.to_owned(), cause })
}

fn print_service(kind: service::Kind) -> Result<(), Error> {
    let program = env::current_exe().map_err(|cause| {
        Error::Service(format!("cannot determine the path of this executable: {cause}"))
    })?;
    print(&service::print(kind, &program)?)
}

fn token(args: &Args) -> Result<Option<Token>, Error> {
    let min_bytes = if args.host.is_loopback() { 1 } else { MIN_REMOTE_TOKEN_BYTES };
    args.token_file.as_deref().map(|file| Token::read(file, min_bytes)).transpose()
}

fn health(claude_dir: &Path, watched: &[PathBuf]) -> Health {
    let watched = watched.iter().map(|path| watched::shown(claude_dir, path)).collect();
    Health::new(claude_dir, &history::history_path(claude_dir), watched)
}

/// Returns the time until the next poll.
fn pause(more: bool, is_streaming: bool, poll: Duration) -> Duration {
    match (more, is_streaming) {
        (true, false) => Duration::ZERO,
        (true, true) => BATCH_PAUSE,
        (false, true) => poll,
        (false, false) => poll.max(IDLE_POLL),
    }
}

fn write_demo(mut demo: Demo) -> Result<Worker, Error> {
    // The demo's end is not reported: the page stays usable when writing fails.
    let (sender, _) = bounded(1);
    worker::spawn(Alarm { name: "demo", sender }, move |now| {
        match demo.step(now) {
            Some(Err(error)) => log::warn(format_args!("the demo cannot write: {error}")),
            Some(Ok(())) => log::info("the demo can write again"),
            None => {}
        }
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
    fn polls_are_rare_without_a_stream_and_leave_streams_time_in_a_burst() {
        check(false, false, 20, Duration::from_millis(100));
        check(false, false, 250, Duration::from_millis(250));
        check(false, true, 20, Duration::from_millis(20));
        check(true, false, 20, Duration::ZERO);
        check(true, true, 20, Duration::from_millis(1));
    }
}
