//! Connects to Redis.
//!
//! Invariant: a connection has timeouts for connecting, reading and writing, so a stalled Redis
//! cannot block a thread for good.

use std::fs;
use std::path::Path;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult,
};

use super::address::Address;
use crate::error::Error;

/// The time for connecting, and the longest silence in the middle of a call: a stalled Redis is
/// unavailable after it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns an address with the password in the first line of a file.
///
/// # Errors
///
/// The file cannot be read, or its first line is empty.
pub(crate) fn with_password_of(address: Address, file: &Path) -> Result<Address, Error> {
    let bad_file = |cause| Error::PasswordFile { path: file.to_owned(), cause };
    let text = fs::read_to_string(file).map_err(|cause| bad_file(cause.to_string()))?;
    match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
        Some(password) => Ok(address.with_password(password.to_owned())),
        None => Err(bad_file("expected the password in the first line".to_owned())),
    }
}

/// Connects and logs in.
///
/// # Errors
///
/// Redis cannot be reached, or refuses the login.
pub(crate) fn connect(address: &Address, timeout: Duration) -> RedisResult<Connection> {
    let mut login = RedisConnectionInfo::default().set_db(address.db).set_skip_set_lib_name();
    if let Some(user) = &address.user {
        login = login.set_username(user);
    }
    if let Some(password) = &address.password {
        login = login.set_password(password);
    }
    let info = ConnectionAddr::Tcp(address.host.clone(), address.port).into_connection_info()?;
    let tcp = TcpSettings::default().set_nodelay(true);
    let client = Client::open(info.set_redis_settings(login).set_tcp_settings(tcp))?;
    let connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

/// Returns why a call failed, in words for a person.
pub(crate) fn reason(error: &RedisError) -> String {
    match error.kind() {
        _ if error.is_timeout() => format!("no answer for {} s", TIMEOUT.as_secs()),
        ErrorKind::AuthenticationFailed => "the user name or the password is wrong".to_owned(),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let said = error.detail().or(error.code()).unwrap_or("no reason given");
            format!("Redis refuses: {said}")
        }
        _ => error.to_string(),
    }
}
