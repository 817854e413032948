//! Finds files in a tree of directories, and notices which of them changed, by polling.
//!
//! A scan is taken in steps, so that a large tree delays nothing. A directory whose state has not
//! changed is not listed again. A file that grows does not change its directory, so that finding
//! it takes a look at each file, which costs more and is done less often.
//! Invariant: no file is opened; no clock (the time is a parameter), no thread, no printing.
//! Known weakness: new content under the same size, modification time and inode is missed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a directory is listed again although its state seems the same: the coarsest tick of
/// file times (FAT).
const TICK: Duration = Duration::from_secs(2);

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// How far a scan goes. Directories that are new are searched to any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Directories at most this deep below the root; files appear and vanish.
    Directories { depth: usize },
    /// One directory, and each file in it.
    One,
    /// All directories, and each file in them.
    All,
}

/// The state of a file, which as a rule differs after any change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    pub(crate) size_bytes: u64,
    /// Absent where the file system has none.
    pub(crate) mtime: Option<SystemTime>,
    /// When the file was created; absent where the file system does not record it.
    pub(crate) btime: Option<SystemTime>,
    id: (u64, u64),
}

impl FileState {
    /// Returns the present state; absent if no file is at the path.
    pub(crate) fn at(path: &Path) -> Option<FileState> {
        let meta = fs::metadata(path).ok().filter(Metadata::is_file)?;
        Some(FileState::of(&meta))
    }

    /// Whether of two copies this one was written last. With the same size, a later time is as a
    /// rule that of the copying.
    pub(crate) fn is_ahead_of(&self, other: &FileState) -> bool {
        self.mtime > other.mtime && self.size_bytes != other.size_bytes
    }

    fn of(meta: &Metadata) -> FileState {
        FileState {
            size_bytes: meta.len(),
            mtime: meta.modified().ok(),
            btime: meta.created().ok(),
            id: (meta.dev(), meta.ino()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The file is new, or existed at the first scan.
    Appeared {
        path: PathBuf,
        state: FileState,
    },
    Changed {
        path: PathBuf,
        state: FileState,
    },
    Vanished {
        path: PathBuf,
    },
    /// A directory cannot be read, once per change of state; `msg` can follow the path. Its files
    /// stay known.
    Unreadable {
        path: PathBuf,
        msg: String,
    },
    /// The directory can be read again, or is gone.
    Recovered {
        path: PathBuf,
    },
}

/// Paths are relative to the root, but in items.
pub(crate) struct Tree {
    root: PathBuf,
    /// Whether the caller follows the entry at a path below the root.
    accepts: fn(&Path, Kind) -> bool,
    dirs: HashMap<PathBuf, Dir>,
    /// The directories that the scan has still to visit.
    queue: Vec<PathBuf>,
    reach: Reach,
}

#[derive(Default)]
struct Dir {
    /// Absent before it was listed.
    seen: Option<DirState>,
    seen_at: Duration,
    /// It was listed again in that state, when a change could no longer leave it the same.
    is_settled: bool,
    trouble: Option<String>,
    files: BTreeMap<OsString, FileState>,
    dirs: BTreeSet<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct DirState {
    id: (u64, u64),
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Tree {
    pub(crate) fn new(root: PathBuf, accepts: fn(&Path, Kind) -> bool) -> Tree {
        Tree { root, accepts, dirs: HashMap::new(), queue: Vec::new(), reach: Reach::All }
    }

    /// Begins a scan.
    pub(crate) fn scan(&mut self, reach: Reach) {
        self.queue = vec![PathBuf::new()];
        self.reach = reach;
    }

    /// Visits up to `max_dirs` directories of the scan. Returns whether there are more.
    pub(crate) fn step(&mut self, now: Duration, max_dirs: usize, items: &mut Vec<Item>) -> bool {
        for _ in 0..max_dirs {
            let Some(dir) = self.queue.pop() else { return false };
            self.visit(&dir, self.reach, now, items);
        }
        !self.queue.is_empty()
    }

    /// Visits one directory with its files, and those that are new below it, apart from the scan.
    pub(crate) fn look(&mut self, dir: &Path, now: Duration, items: &mut Vec<Item>) {
        let dir = dir.strip_prefix(&self.root).unwrap_or(dir).to_owned();
        // A scan that is under way goes on where it was.
        let queue = std::mem::replace(&mut self.queue, vec![dir]);
        while let Some(dir) = self.queue.pop() {
            self.visit(&dir, Reach::One, now, items);
        }
        self.queue = queue;
    }

    fn visit(&mut self, relative: &Path, reach: Reach, now: Duration, items: &mut Vec<Item>) {
        let path = self.path(relative);
        let mut dir = self.dirs.remove(relative).unwrap_or_default();
        match dir.update(&path, relative, self.accepts, now, items) {
            Ok(gone) => {
                // A listing has just looked at each file.
                if gone.is_none() && !matches!(reach, Reach::Directories { .. }) {
                    dir.look_at_files(&path, items);
                }
                let gone = gone.unwrap_or_default();
                gone.iter().for_each(|name| self.forget(&relative.join(name), items));
                let is_in_reach = match reach {
                    Reach::Directories { depth } => relative.components().count() < depth,
                    Reach::One => false,
                    Reach::All => true,
                };
                let below = dir.dirs.iter().map(|name| relative.join(name));
                let to_visit = below.filter(|it| is_in_reach || !self.dirs.contains_key(it));
                self.queue.extend(to_visit);
                self.dirs.insert(relative.to_owned(), dir);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Put back first, so that its files are reported with those below it.
                self.dirs.insert(relative.to_owned(), dir);
                self.forget(relative, items);
            }
            Err(error) => {
                dir.fail(&path, &error, items);
                self.dirs.insert(relative.to_owned(), dir);
            }
        }
    }

    /// Forgets a directory that is gone, with everything below it.
    fn forget(&mut self, relative: &Path, items: &mut Vec<Item>) {
        let Some(dir) = self.dirs.remove(relative) else { return };
        let path = self.path(relative);
        items.extend(dir.files.keys().map(|name| Item::Vanished { path: path.join(name) }));
        if dir.trouble.is_some() {
            items.push(Item::Recovered { path });
        }
        dir.dirs.iter().for_each(|name| self.forget(&relative.join(name), items));
    }

    fn path(&self, relative: &Path) -> PathBuf {
        // Joining an empty path would end in a slash.
        if relative.as_os_str().is_empty() { self.root.clone() } else { self.root.join(relative) }
    }
}

impl Dir {
    /// Lists the directory if it can have changed, and then returns the directories in it that are
    /// gone.
    fn update(
        &mut self,
        path: &Path,
        relative: &Path,
        accepts: fn(&Path, Kind) -> bool,
        now: Duration,
        items: &mut Vec<Item>,
    ) -> io::Result<Option<Vec<OsString>>> {
        let state = DirState::of(&fs::metadata(path)?);
        let mut gone = None;
        if self.seen != Some(state) || !self.is_settled {
            gone = Some(self.list(path, relative, accepts, items)?);
            if self.seen == Some(state) {
                self.is_settled = now >= self.seen_at + TICK;
            } else {
                (self.seen, self.seen_at, self.is_settled) = (Some(state), now, false);
            }
        }
        if self.trouble.take().is_some() {
            items.push(Item::Recovered { path: path.to_owned() });
        }
        Ok(gone)
    }

    fn list(
        &mut self,
        path: &Path,
        relative: &Path,
        accepts: fn(&Path, Kind) -> bool,
        items: &mut Vec<Item>,
    ) -> io::Result<Vec<OsString>> {
        let (mut files, mut dirs) = (BTreeMap::new(), BTreeSet::new());
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let below = relative.join(&name);
            // Entries that were removed meanwhile, or cannot be looked at, count as absent.
            let Some(meta) = look(&entry, &below, accepts) else { continue };
            if meta.is_dir() && accepts(&below, Kind::Directory) {
                dirs.insert(name);
            } else if meta.is_file() && accepts(&below, Kind::File) {
                files.insert(name, FileState::of(&meta));
            }
        }
        for name in self.files.keys().filter(|name| !files.contains_key(*name)) {
            items.push(Item::Vanished { path: path.join(name) });
        }
        for (name, state) in &files {
            items.extend(change(path.join(name), self.files.get(name), *state));
        }
        let gone = self.dirs.difference(&dirs).cloned().collect();
        (self.files, self.dirs) = (files, dirs);
        Ok(gone)
    }

    fn look_at_files(&mut self, path: &Path, items: &mut Vec<Item>) {
        self.files.retain(|name, known| {
            let path = path.join(name);
            match fs::metadata(&path) {
                Ok(meta) if meta.is_file() => {
                    let state = FileState::of(&meta);
                    items.extend(change(path, Some(known), state));
                    *known = state;
                    true
                }
                _ => {
                    items.push(Item::Vanished { path });
                    false
                }
            }
        });
    }

    fn fail(&mut self, path: &Path, error: &io::Error, items: &mut Vec<Item>) {
        let msg = error.to_string().to_lowercase();
        if self.trouble.as_ref() != Some(&msg) {
            items.push(Item::Unreadable { path: path.to_owned(), msg: msg.clone() });
            self.trouble = Some(msg);
        }
    }
}

/// Looks at an entry of a directory, links followed, if the caller may follow it.
fn look(entry: &fs::DirEntry, below: &Path, accepts: fn(&Path, Kind) -> bool) -> Option<Metadata> {
    let kinds = match entry.file_type().ok()? {
        kind if kind.is_dir() => &[Kind::Directory][..],
        kind if kind.is_file() => &[Kind::File],
        kind if kind.is_symlink() => &[Kind::Directory, Kind::File],
        _ => &[],
    };
    let is_wanted = kinds.iter().any(|kind| accepts(below, *kind));
    if is_wanted { fs::metadata(entry.path()).ok() } else { None }
}

fn change(path: PathBuf, known: Option<&FileState>, state: FileState) -> Option<Item> {
    match known {
        None => Some(Item::Appeared { path, state }),
        Some(known) if *known != state => Some(Item::Changed { path, state }),
        Some(_) => None,
    }
}

impl DirState {
    fn of(meta: &Metadata) -> DirState {
        DirState {
            id: (meta.dev(), meta.ino()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn accepts(path: &Path, kind: Kind) -> bool {
        let depth = path.components().count();
        match kind {
            Kind::Directory => depth < 4,
            Kind::File => path.extension().is_some_and(|extension| extension == "jsonl"),
        }
    }

    /// A folder, the tree of `root` in it, and a clock that a scan moves by five seconds.
    struct World {
        dir: tempfile::TempDir,
        tree: Tree,
        now: Duration,
    }

    impl World {
        fn new() -> World {
            let dir = tempfile::tempdir().unwrap();
            let tree = Tree::new(dir.path().join("root"), accepts);
            World { dir, tree, now: Duration::ZERO }
        }

        fn at(&self, name: &str) -> PathBuf {
            let root = self.dir.path().join("root");
            if name.is_empty() { root } else { root.join(name) }
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
            fs::write(self.at(name), text).unwrap();
        }

        fn scan(&mut self) -> Vec<String> {
            self.now += Duration::from_secs(5);
            self.tree.scan(Reach::All);
            let mut items = Vec::new();
            while self.tree.step(self.now, 2, &mut items) {}
            self.shown(&items)
        }

        fn look(&mut self, dir: &str) -> Vec<String> {
            let mut items = Vec::new();
            self.tree.look(&self.at(dir), self.now, &mut items);
            self.shown(&items)
        }

        fn shown(&self, items: &[Item]) -> Vec<String> {
            let root = self.dir.path().join("root");
            let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
            let mut shown: Vec<_> = items
                .iter()
                .map(|item| match item {
                    Item::Appeared { path, state } => {
                        format!("+{} {}", name(path), state.size_bytes)
                    }
                    Item::Changed { path, state } => {
                        format!("~{} {}", name(path), state.size_bytes)
                    }
                    Item::Vanished { path } => format!("-{}", name(path)),
                    Item::Unreadable { path, msg } => format!("!{} {msg}", name(path)),
                    Item::Recovered { path } => format!("ok {}", name(path)),
                })
                .collect();
            shown.sort();
            shown
        }
    }

    #[test]
    fn files_appear_change_and_vanish_once() {
        let mut world = World::new();
        assert_eq!(world.scan(), [""; 0], "the root may be absent");
        world.write("a/x.jsonl", "1");
        world.write("a/b/y.jsonl", "22");
        world.write("a/ignored.txt", "");
        assert_eq!(world.scan(), ["+a/b/y.jsonl 2", "+a/x.jsonl 1"]);
        assert_eq!(world.scan(), [""; 0]);
        world.write("a/x.jsonl", "123");
        world.write("a/z.jsonl", "");
        assert_eq!(world.scan(), ["+a/z.jsonl 0", "~a/x.jsonl 3"]);
        fs::remove_file(world.at("a/x.jsonl")).unwrap();
        fs::remove_dir_all(world.at("a/b")).unwrap();
        assert_eq!(world.scan(), ["-a/b/y.jsonl", "-a/x.jsonl"]);
        fs::remove_dir_all(world.at("")).unwrap();
        assert_eq!(world.scan(), ["-a/z.jsonl"]);
        world.write("a/z.jsonl", "");
        assert_eq!(world.scan(), ["+a/z.jsonl 0"]);
    }

    #[test]
    fn a_directory_that_has_settled_is_not_listed_and_its_files_are_looked_at() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        (0..4).for_each(|_| _ = world.scan());
        assert!(world.tree.dirs[Path::new("a")].is_settled);
        world.write("a/x.jsonl", "12");
        assert_eq!(world.scan(), ["~a/x.jsonl 2"]);
        fs::remove_file(world.at("a/x.jsonl")).unwrap();
        assert_eq!(world.scan(), ["-a/x.jsonl"]);
    }

    #[test]
    fn a_move_is_an_end_and_a_beginning() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        fs::create_dir(world.at("b")).unwrap();
        world.scan();
        fs::rename(world.at("a/x.jsonl"), world.at("b/x.jsonl")).unwrap();
        assert_eq!(world.scan(), ["+b/x.jsonl 1", "-a/x.jsonl"]);
        world.write("other/x.jsonl", "1");
        fs::rename(world.at("b/x.jsonl"), world.at("other/x.jsonl")).unwrap();
        assert_eq!(world.scan(), ["+other/x.jsonl 1", "-b/x.jsonl"]);
    }

    #[test]
    fn one_directory_can_be_looked_at_with_what_is_new_below_it() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        world.write("b/y.jsonl", "1");
        world.scan();
        world.write("a/x.jsonl", "12");
        world.write("a/new/z.jsonl", "1");
        world.write("b/y.jsonl", "12");
        assert_eq!(world.look("a"), ["+a/new/z.jsonl 1", "~a/x.jsonl 2"]);
        assert_eq!(world.look("a"), [""; 0]);
        assert_eq!(world.scan(), ["~b/y.jsonl 2"]);
        assert_eq!(world.look("nowhere"), [""; 0]);
    }

    #[test]
    fn links_are_followed_and_loops_end() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        symlink(world.at("a/x.jsonl"), world.at("a/link.jsonl")).unwrap();
        symlink(world.at("a"), world.at("again")).unwrap();
        symlink(world.at("nothing"), world.at("a/broken.jsonl")).unwrap();
        symlink(world.at(""), world.at("a/loop")).unwrap();
        let seen = world.scan();
        assert!(seen.contains(&"+a/link.jsonl 1".to_owned()), "{seen:?}");
        assert!(seen.contains(&"+again/x.jsonl 1".to_owned()), "{seen:?}");
        assert!(seen.len() < 20, "{seen:?}");
        assert_eq!(world.scan(), [""; 0]);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_an_error_once_and_its_files_stay_known() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        world.scan();
        fs::rename(world.at("a"), world.at("b")).unwrap();
        fs::remove_dir_all(world.at("b")).unwrap();
        fs::write(world.at("a"), "a file in place of it").unwrap();
        // The root no longer names a directory `a`.
        assert_eq!(world.scan(), ["-a/x.jsonl"]);
        fs::remove_dir_all(world.at("")).unwrap();
        fs::write(world.at(""), "").unwrap();
        assert_eq!(world.scan(), ["! not a directory (os error 20)"]);
        assert_eq!(world.scan(), [""; 0]);
        fs::remove_file(world.at("")).unwrap();
        world.write("a/x.jsonl", "1");
        assert_eq!(world.scan(), ["+a/x.jsonl 1", "ok "]);
    }

    #[test]
    fn the_error_of_a_directory_ends_with_it() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        world.scan();
        let dir = world.tree.dirs.get_mut(Path::new("a")).unwrap();
        dir.trouble = Some("permission denied".to_owned());
        fs::remove_dir_all(world.at("a")).unwrap();
        assert_eq!(world.scan(), ["-a/x.jsonl", "ok a"]);
    }

    #[test]
    fn a_root_that_is_replaced_is_seen_as_it_is_now() {
        let mut world = World::new();
        world.write("a/x.jsonl", "1");
        world.write("a/y.jsonl", "1");
        (0..3).for_each(|_| _ = world.scan());
        fs::rename(world.at(""), world.dir.path().join("old")).unwrap();
        world.write("a/x.jsonl", "1");
        assert_eq!(world.scan(), ["-a/y.jsonl", "~a/x.jsonl 1"]);
    }
}
