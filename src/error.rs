//! What can keep the program from starting, or end it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// See the module. `main` chooses the exit code.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is wrong: which value, and what was expected.
    Usage(String),
    Bind {
        address: SocketAddr,
        cause: io::Error,
    },
    TokenFile {
        path: PathBuf,
        cause: String,
    },
    StaticDir {
        path: PathBuf,
        cause: io::Error,
    },
    Demo(io::Error),
    Thread(io::Error),
    Stdout(io::Error),
    /// Where the program itself lies is not known.
    Program(io::Error),
    /// A thread that should run for as long as the program has ended.
    Ended(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Usage(message) => write!(f, "{message} (see `claude-live --help`)"),
            Error::Bind { address, cause } if cause.kind() == io::ErrorKind::AddrInUse => {
                let (port, ip) = (address.port(), address.ip());
                write!(
                    f,
                    "port `{port}` on `{ip}` is in use, and --port 0 picks a free one: {cause}"
                )
            }
            Error::Bind { address, cause } => write!(f, "cannot listen on `{address}`: {cause}"),
            Error::TokenFile { path, cause } => {
                write!(f, "--token-file `{}`: {cause}", path.display())
            }
            Error::StaticDir { path, cause } => write!(f, "--static `{}`: {cause}", path.display()),
            Error::Demo(cause) => write!(f, "cannot write the demo's folder: {cause}"),
            Error::Thread(cause) => write!(f, "cannot start a thread: {cause}"),
            Error::Stdout(cause) => write!(f, "cannot write to standard output: {cause}"),
            Error::Program(cause) => write!(f, "cannot tell where this program lies: {cause}"),
            Error::Ended(thread) => write!(f, "the thread `{thread}` ended, which it should not"),
        }
    }
}
