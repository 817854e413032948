//! The token that a client must send, and the file from which it is read.
//!
//! The file can be read again while the program runs, so that a new token needs no restart.
//!
//! Invariant: the token is never printed or logged.
//! Known weakness: a stream that was opened with the old token stays open after the token changed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use crate::error::Error;
use crate::report::log;

/// A longer token may not fit into a request head.
const MAX_TOKEN_BYTES: usize = 1024;

/// Bytes of the file that are read: a file without an end is not read to its end.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// See the module.
pub(crate) struct Token {
    path: PathBuf,
    min_bytes: usize,
    secret: RwLock<String>,
}

impl Token {
    /// Reads the first line of a file. Waits for the writer if the file is a FIFO. Warns on stderr
    /// when other users may read the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its first line is empty, shorter than `min_bytes`, or has
    /// characters that a cookie cannot carry.
    pub(crate) fn read(path: &Path, min_bytes: usize) -> Result<Token, Error> {
        let secret = read_secret(path, min_bytes)?;
        Ok(Token { path: path.to_owned(), min_bytes, secret: RwLock::new(secret) })
    }

    /// Reads the file again; later requests need the new token.
    ///
    /// # Errors
    ///
    /// As [`Token::read`], or the file is not a regular one: reading a FIFO could wait for ever.
    /// The token then stays as it was.
    pub(crate) fn read_again(&self) -> Result<(), Error> {
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            let cause = "expected a regular file to read again".to_owned();
            return Err(bad_file(&self.path, cause));
        }
        let secret = read_secret(&self.path, self.min_bytes)?;
        *self.secret.write() = secret;
        Ok(())
    }

    /// Compares in a time that does not depend on where the first difference is.
    pub(super) fn matches(&self, given: &str) -> bool {
        let secret = self.secret.read();
        let (own, given) = (secret.as_bytes(), given.as_bytes());
        let differences = own.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == given.len() && std::hint::black_box(differences) == 0
    }

    /// The `Set-Cookie` header that makes a browser send the token in a cookie of this name.
    pub(super) fn set_cookie(&self, name: &str, max_age_seconds: u32) -> String {
        let secret = self.secret.read();
        format!("{name}={secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age_seconds}")
    }
}

fn read_secret(path: &Path, min_bytes: usize) -> Result<String, Error> {
    let text = read_start(path).map_err(|error| bad_file(path, error.to_string()))?;
    warn_if_readable_by_others(path);
    let secret = text.lines().next().unwrap_or_default().trim();
    check(secret, min_bytes).map_err(|cause| bad_file(path, cause))?;
    Ok(secret.to_owned())
}

fn bad_file(path: &Path, cause: String) -> Error {
    Error::TokenFile { path: path.to_owned(), cause }
}

fn check(secret: &str, min_bytes: usize) -> Result<(), String> {
    // RFC 6265, 4.1.1, without the characters that would need escapes in a URL.
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if secret.is_empty() {
        return Err("the first line is empty; expected a token".to_owned());
    }
    if secret.len() > MAX_TOKEN_BYTES || !secret.bytes().all(is_safe) {
        return Err(format!("expected at most {MAX_TOKEN_BYTES} of A-Z a-z 0-9 - . _ ~ + / ="));
    }
    let length = secret.len();
    if length < min_bytes {
        return Err(format!(
            "a token of {length} characters can be guessed from other machines; expected at \
             least {min_bytes}"
        ));
    }
    Ok(())
}

fn read_start(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn warn_if_readable_by_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let path = path.display();
        log::warn(format_args!("other users may read the token in `{path}`; run chmod 600 on it"));
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_token_matches_itself_alone() {
        let token = Token::read(file("s3cret\nsecond line\n").path(), 1).unwrap();
        assert!(token.matches("s3cret"));
        for other in ["", "s3cre", "s3crets", "S3cret", "s3cret\n"] {
            assert!(!token.matches(other), "{other}");
        }
    }

    #[test]
    fn a_file_that_was_changed_is_read_again() {
        let file = file("first");
        let token = Token::read(file.path(), 1).unwrap();
        fs::write(file.path(), "second\n").unwrap();
        assert!(token.matches("first") && !token.matches("second"));
        token.read_again().unwrap();
        assert!(token.matches("second") && !token.matches("first"));
        assert!(token.set_cookie("name", 9).starts_with("name=second; HttpOnly;"));
    }

    #[test]
    fn a_file_that_has_become_bad_changes_no_token() {
        let file = file("a-long-token");
        let token = Token::read(file.path(), 8).unwrap();
        for (text, message) in [
            ("", "the first line is empty"),
            ("short", "can be guessed"),
            ("with a space", "expected at most"),
        ] {
            fs::write(file.path(), text).unwrap();
            let error = token.read_again().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(token.matches("a-long-token"), "{text}");
        }
        fs::remove_file(file.path()).unwrap();
        token.read_again().unwrap_err();
        fs::create_dir(file.path()).unwrap();
        let error = token.read_again().unwrap_err().to_string();
        assert!(error.contains("expected a regular file"), "{error}");
        assert!(token.matches("a-long-token"));
        fs::remove_dir(file.path()).unwrap();
    }
}
