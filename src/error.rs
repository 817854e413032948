//! Errors that keep the program from starting, or end it.
//!
//! All are one enum, so that messages have one manner: lower case, the operand in backticks, the
//! expected value, the cause last.
//! Invariant: no exit code; `main` chooses it. Errors of a request or of a followed file are not
//! here: they are answers and notices.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// See the module.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is wrong. The message names the value and says what is expected.
    Usage(String),
    Bind {
        address: SocketAddr,
        cause: io::Error,
    },
    TokenFile {
        path: PathBuf,
        cause: String,
    },
    /// It does not exist, or is not a directory.
    ClaudeDir(PathBuf),
    StaticDir {
        path: PathBuf,
        cause: io::Error,
    },
    Prices {
        path: PathBuf,
        cause: String,
    },
    #[cfg(feature = "fleet")]
    PasswordFile {
        path: PathBuf,
        cause: String,
    },
    /// The host's name is not a valid machine name.
    #[cfg(feature = "fleet")]
    Machine(String),
    Demo(io::Error),
    Thread(io::Error),
    Signals(io::Error),
    Stdout(io::Error),
    /// `--print-service` cannot name this executable.
    Service(String),
    /// A thread that runs as long as the program does has exited.
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
                    "port `{port}` on `{ip}` is in use; use --port 0 for any free port: {cause}"
                )
            }
            Error::Bind { address, cause } => write!(f, "cannot listen on `{address}`: {cause}"),
            Error::TokenFile { path, cause } => {
                write!(f, "--token-file `{}`: {cause}", path.display())
            }
            Error::ClaudeDir(path) => write!(
                f,
                "`{}` is not a directory; expected the Claude directory, see --claude",
                path.display()
            ),
            Error::StaticDir { path, cause } => write!(f, "--static `{}`: {cause}", path.display()),
            Error::Prices { path, cause } => write!(f, "--prices `{}`: {cause}", path.display()),
            #[cfg(feature = "fleet")]
            Error::PasswordFile { path, cause } => {
                write!(f, "--redis-password-file `{}`: {cause}", path.display())
            }
            #[cfg(feature = "fleet")]
            Error::Machine(name) => write!(
                f,
                "host name `{name}` is not a valid machine name; set --machine to at most 64 \
                 letters, digits, `.`, `_` and `-`"
            ),
            Error::Demo(cause) => write!(f, "cannot start the demo: {cause}"),
            Error::Signals(cause) => write!(f, "cannot handle signals: {cause}"),
            Error::Thread(cause) => write!(f, "cannot start a thread: {cause}"),
            Error::Stdout(cause) => write!(f, "cannot write to standard output: {cause}"),
            Error::Service(cause) => write!(f, "--print-service: {cause}"),
            Error::Ended(thread) => write!(f, "thread `{thread}` exited unexpectedly"),
        }
    }
}
