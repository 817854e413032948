//! What the operating system says about a file: which one it is, what state it is in, and its bytes.
//!
//! Only regular files are ever opened (a FIFO would block, a device may act on it), and never blocking, because
//! the path can come to name something else between the look and the opening.
//! Invariant: nothing is written, locked or created; no state is held here.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

/// How much is read at a time, in bytes.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

/// How many pieces of data between holes are passed by in search of one hole; more would take longer than reading it.
const MAX_EXTENTS: usize = 1000;

/// Which file it is; stays true of an open file until it is closed, and not longer: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    dev: u64,
    ino: u64,
}

/// Who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

/// What differs, as a rule, after anything was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) id: Id,
    pub(super) size_bytes: u64,
    pub(super) access: Access,
    /// How many names it has: none once it is removed or another file is renamed over it.
    names: u64,
    /// Seconds and nanoseconds; compared, never ordered.
    mtime: (i64, i64),
    /// As `mtime`; unlike it, nobody can set it back.
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

/// The regular file at the path; without opening it.
///
/// # Errors
/// `NotFound` if nothing is there; otherwise the message says what is wrong, in words that can follow the path.
pub(super) fn look(path: &Path) -> io::Result<Signature> {
    let meta = std::fs::metadata(path).map_err(|err| explain("cannot be looked at", err))?;
    regular(&meta)
}

/// Whether the path's last part is a symbolic link; also if that cannot be said.
pub(super) fn is_link(path: &Path) -> bool {
    !std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// The file at the path, open, and its state.
///
/// # Errors
/// As for [`look`].
pub(super) fn open(path: &Path) -> io::Result<(File, Signature)> {
    look(path)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|err| explain("cannot be opened", err))?;
    let seen = signature(&file)?;
    Ok((file, seen))
}

/// The state of an open file.
pub(super) fn signature(file: &File) -> io::Result<Signature> {
    let meta = file.metadata().map_err(|err| explain("cannot be looked at", err))?;
    regular(&meta)
}

/// Reads what there is at the offset, up to the buffer's length; 0 at the file's end.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        #[cfg(test)]
        let done = fault::strike(offset).and_then(|()| file.read_at(buf, offset));
        #[cfg(not(test))]
        let done = file.read_at(buf, offset);
        match done {
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            _ => return done.map_err(|err| explain("cannot be read", err)),
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

/// The same for a span as long as the buffer; returns how much there was.
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

/// Where data follows, seen from an offset in a hole: the file's end if none does, the offset itself if it is in no hole.
pub(super) fn data_after(file: &File, offset: u64) -> u64 {
    // Asked for first: data that comes meanwhile must not be skipped.
    let end = signature(file).map_or(offset, |seen| seen.size_bytes);
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(Errno::NXIO) => end.max(offset),
        // Not every file system knows its holes.
        Err(_) => offset,
    }
}

/// Where the hole begins that reaches up to the offset; the offset itself if none does.
pub(super) fn data_before(file: &File, offset: u64) -> u64 {
    let mut hole = 0;
    for _ in 0..MAX_EXTENTS {
        match seek(file, SeekFrom::Data(hole)) {
            Ok(data) if data < offset => hole = seek(file, SeekFrom::Hole(data)).unwrap_or(offset),
            Ok(_) | Err(Errno::NXIO) => return hole.min(offset),
            Err(_) => break,
        }
    }
    offset
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

fn explain(what: &str, err: io::Error) -> io::Error {
    io::Error::new(err.kind(), format!("{what}: {}", err.to_string().to_lowercase()))
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

    /// From now on this thread's reads at or after the offset fail.
    pub(in crate::tail) fn set(from: u64) {
        FROM.set(from);
    }

    /// So many of this thread's next reads are interrupted.
    pub(in crate::tail) fn interrupt(times: usize) {
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
