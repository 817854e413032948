//! Reads small files as a whole.
//!
//! Invariant: does not block on a FIFO or a device, and reads no more than the bound, even from a
//! file that grows.

use std::fs::{Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Returns the content of a regular file of at most `max_bytes`, and its state before the content
/// was read; nothing if the path does not lead to one that can be read.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Option<(Metadata, Vec<u8>)> {
    // Non-blocking, because the path can have come to name a FIFO since the caller looked at it.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let meta = file.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= max_bytes)?;
    let mut content = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
    file.take(max_bytes + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= max_bytes).then_some((meta, content))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_regular_file_that_is_small_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(read(&path, 3).is_none());
        fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path, 3).unwrap().1, b"abc");
        assert!(read(&path, 2).is_none());
        assert!(read(dir.path(), 3).is_none());
    }
}
