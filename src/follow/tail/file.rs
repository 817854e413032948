//! The file at a path as the operating system shows it: its identity, its state and its bytes.
//!
//! Only regular files are opened: opening a FIFO blocks, and opening a device can have effects. The
//! opening itself does not block, because the path can have come to name a FIFO since the look.
//! Invariant: nothing is written, locked or created; no state is held here.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// How much is read at a time, in bytes.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

/// The identity of a file, as long as the file is open. After that the numbers can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    dev: u64,
    ino: u64,
}

/// The mode and the owners, on which the right to read depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

/// The state of a file; as a rule, it differs after each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) id: Id,
    pub(super) size_bytes: u64,
    pub(super) access: Access,
    /// The number of its names: zero once it is removed or another file is renamed over it.
    names: u64,
    /// Seconds and nanoseconds; compared, never ordered.
    mtime: (i64, i64),
    /// As `mtime`, but a program cannot set it.
    ctime: (i64, i64),
}

impl Signature {
    fn of(meta: &Metadata) -> Signature {
        Signature {
            id: Id { dev: meta.dev(), ino: meta.ino() },
            size_bytes: meta.size(),
            access: Access { mode: meta.mode(), uid: meta.uid(), gid: meta.gid() },
            names: meta.nlink(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Returns the state of the regular file at the path, without opening it.
///
/// # Errors
/// `NotFound` if there is no file. Otherwise the message says what is wrong, and can follow the
/// path.
pub(super) fn look(path: &Path) -> io::Result<Signature> {
    let meta = std::fs::metadata(path).map_err(|error| explain("cannot be accessed", error))?;
    regular(&meta)
}

/// Opens the regular file at the path.
///
/// # Errors
/// As for [`look`].
pub(super) fn open(path: &Path) -> io::Result<(File, Signature)> {
    look(path)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| explain("cannot be opened", error))?;
    let seen = signature(&file)?;
    Ok((file, seen))
}

/// Returns the state of an open file.
pub(super) fn signature(file: &File) -> io::Result<Signature> {
    let meta = file.metadata().map_err(|error| explain("cannot be accessed", error))?;
    regular(&meta)
}

/// Reads up to the buffer's length at the offset. Returns 0 at the file's end.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        #[cfg(test)]
        let done = fault::strike(offset).and_then(|()| file.read_at(buf, offset));
        #[cfg(not(test))]
        let done = file.read_at(buf, offset);
        match done {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return done.map_err(|error| explain("cannot be read", error)),
        }
    }
}

/// Reads as much of the span as there is.
pub(super) fn read_span(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; to.saturating_sub(from) as usize];
    let len = fill(file, &mut bytes, from)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Fills the buffer from the offset on. Returns how many bytes there were before the file's end.
pub(super) fn fill(file: &File, buf: &mut [u8], from: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match read_at(file, &mut buf[len..], from + len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

fn regular(meta: &Metadata) -> io::Result<Signature> {
    let kind = meta.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(Signature::of(meta)),
        _ if kind.is_dir() => "is a directory",
        _ if kind.is_fifo() => "is a FIFO",
        _ if kind.is_socket() => "is a socket",
        _ => "is a device",
    };
    Err(io::Error::other(format!("{what}, not a file")))
}

fn explain(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", error.to_string().to_lowercase()))
}

/// Lets reads fail in tests, as a bad disk or a lost mount would.
#[cfg(test)]
pub(super) mod fault {
    use std::cell::Cell;
    use std::io;

    /// `errno` of a bad disk, and of a call that a signal broke off.
    const EIO: i32 = 5;
    const EINTR: i32 = 4;

    thread_local! {
        static FROM: Cell<u64> = const { Cell::new(u64::MAX) };
        static INTERRUPTIONS: Cell<usize> = const { Cell::new(0) };
    }

    /// Makes this thread's reads at or after the offset fail from now on.
    pub(in crate::follow::tail) fn set(from: u64) {
        FROM.set(from);
    }

    /// Interrupts so many of this thread's next reads.
    pub(in crate::follow::tail) fn interrupt(times: usize) {
        INTERRUPTIONS.set(times);
    }

    pub(super) fn strike(offset: u64) -> io::Result<()> {
        let errno = match INTERRUPTIONS.get() {
            0 if offset < FROM.get() => return Ok(()),
            0 => EIO,
            times => {
                INTERRUPTIONS.set(times - 1);
                EINTR
            }
        };
        Err(io::Error::from_raw_os_error(errno))
    }
}
