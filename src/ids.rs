//! Where a run's ids begin: at the clock, or after those of earlier runs where the clock was set back.
//!
//! Streams are resumed by ids, so they must grow from one run to the next. The clock alone does that until somebody
//! sets it back; so each run leaves a number in the session's runtime directory, never in the Claude directory, and
//! the next one begins after it.
//!
//! Invariant: nothing fails. Without a place for the number ids begin at the clock; the worst that a clock set back then
//! does is that clients are told to read the backlog again, since their ids are from the future.
//! Known weakness: so it is too where a run gives out more than [`RUN_IDS`] events and the clock is set back behind its start.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use crate::event::MIN_ID;

/// Ids that are set aside for a run: those of one second by the clock, so that a program which is restarted again and
/// again does not run ahead of it.
const RUN_IDS: u64 = 1_000_000;

/// No run begins beyond this id, of the year 2255: JavaScript's numbers are exact up to 2^53, a little later.
const MAX_FIRST_ID: u64 = 9_000_000_000_000_000;

/// Where a run begins at random if the clock was never set: within 11 days of the first of all ids.
const UNSET_SPREAD: u64 = 1_000_000_000_000;

/// Bytes of the number's file at most: 16 digits and a line end, however it is spelled.
const MAX_NUMBER_BYTES: u64 = 32;

/// The number's file.
const FILE_NAME: &str = "claude-live.next-id";

/// The first id of a run that starts now; `memory` is the file with the number, if there is a place for it.
pub(crate) fn first(memory: Option<&Path>) -> u64 {
    first_at(plausible(now_micros()), memory)
}

/// The file with the number, in the first of these directories that is set: `$XDG_RUNTIME_DIR`, `$TMPDIR`.
pub(crate) fn memory(dirs: [Option<std::ffi::OsString>; 2]) -> Option<PathBuf> {
    let mut dirs = dirs.into_iter().flatten().map(PathBuf::from);
    // The XDG Base Directory Specification has relative paths ignored.
    let dir = dirs.find(|dir| dir.is_absolute())?;
    Some(dir.join(FILE_NAME))
}

fn first_at(clock: u64, memory: Option<&Path>) -> u64 {
    let Some(path) = memory else { return clock.clamp(MIN_ID, MAX_FIRST_ID) };
    let remembered = remembered(path).unwrap_or_default();
    let first = clock.max(remembered).clamp(MIN_ID, MAX_FIRST_ID);
    // Without the number the next run begins at the clock, see the module.
    let _ = remember(path, first + RUN_IDS);
    first
}

/// What the last run left; a number that no run can have left counts for nothing.
fn remembered(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_NUMBER_BYTES {
        return None;
    }
    let number = fs::read_to_string(path).ok()?.trim_end().parse().ok()?;
    (number <= MAX_FIRST_ID).then_some(number)
}

/// Puts the number there as a whole, in place of whatever had the name: a link that another user left is not followed.
fn remember(path: &Path, number: u64) -> io::Result<()> {
    let new = path.with_extension(process::id().to_string());
    let written = fs::File::create_new(&new)
        .and_then(|mut file| io::Write::write_all(&mut file, format!("{number}\n").as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Already the clean-up; a directory that cannot be written has nothing to remove.
        let _ = fs::remove_file(&new);
    }
    written
}

/// A clock that nobody has set says much the same at each start, and ids of two runs must not be the same.
fn plausible(clock: u64) -> u64 {
    let random = || RandomState::new().hash_one(clock) % UNSET_SPREAD;
    if clock < MIN_ID { MIN_ID + random() } else { clock }
}

fn now_micros() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(MAX_FIRST_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u64 = 1_764_000_000_000_123;
    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn a_run_begins_at_the_clock_or_after_the_ids_of_earlier_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let first = |clock| first_at(clock, Some(&path));
        assert_eq!(first(CLOCK), CLOCK);
        assert_eq!(first(CLOCK - HOUR), CLOCK + RUN_IDS);
        assert_eq!(first(CLOCK - HOUR), CLOCK + 2 * RUN_IDS);
        assert_eq!(first(CLOCK + HOUR), CLOCK + HOUR);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn runs_whose_clock_was_never_set_have_ids_of_their_own() {
        let ids: Vec<u64> = (0..100).map(|_| plausible(5)).collect();
        assert!(ids.iter().all(|id| (MIN_ID..MIN_ID + UNSET_SPREAD).contains(id)));
        assert!(ids.windows(2).all(|two| two[0].abs_diff(two[1]) > 1000), "{ids:?}");
        assert_eq!(plausible(CLOCK), CLOCK);
    }

    #[test]
    fn without_a_place_or_with_nonsense_in_it_the_clock_alone_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(first_at(CLOCK, None), CLOCK);
        assert_eq!(first_at(CLOCK, Some(&dir.path().join("missing/file"))), CLOCK);
        assert_eq!(first_at(CLOCK, Some(dir.path())), CLOCK);
        let path = dir.path().join(FILE_NAME);
        for nonsense in ["", "x", "-5", "99999999999999999", "99999999999999999999999"] {
            fs::write(&path, nonsense).unwrap();
            assert_eq!(first_at(CLOCK, Some(&path)), CLOCK, "{nonsense}");
        }
    }

    #[test]
    fn ids_stay_within_what_16_digits_and_javascript_hold() {
        assert_eq!(first_at(0, None), MIN_ID);
        assert_eq!(first_at(u64::MAX, None), MAX_FIRST_ID);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, "17\n").unwrap();
        assert_eq!(first_at(5, Some(&path)), MIN_ID);
        const { assert!(MAX_FIRST_ID + RUN_IDS < 1 << 53) };
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_files_place_is_replaced_and_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let other = dir.path().join("other");
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        first_at(CLOCK, Some(&path));
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(remembered(&path), Some(CLOCK + RUN_IDS));
    }

    #[test]
    fn the_place_is_the_first_absolute_directory() {
        let memory = |dirs: [&str; 2]| memory(dirs.map(|dir| Some(dir.into())));
        assert_eq!(memory(["/run/user/1", "/tmp"]), Some("/run/user/1/claude-live.next-id".into()));
        assert_eq!(memory(["", "/tmp"]), Some("/tmp/claude-live.next-id".into()));
        assert_eq!(memory(["run", "tmp"]), None);
        assert_eq!(super::memory([None, None]), None);
    }
}
