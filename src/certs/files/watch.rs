//! Hears of changes to files, whichever way they are replaced.
//!
//! Directories are watched, not files: an inotify watch follows the inode, and so misses every
//! replacement but the first. Kubernetes swaps a symbolic link two directories away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// As many symbolic links are followed as Linux does.
const LINKS: usize = 40;

/// Counts what happens in directories.
pub(super) type Heard = watch::Sender<u64>;

/// Watches directories, as far as the system lets us.
#[derive(Default)]
pub(super) struct Watcher {
    /// Ends its thread when it is dropped.
    system: Option<RecommendedWatcher>,
    /// What is watched, with device and inode.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    warned: bool,
}

impl Watcher {
    /// Watches every directory in which something can happen to `files`, and no other. Says whether all
    /// of them are watched now.
    pub(super) fn cover(&mut self, files: &[(PathBuf, u64)], heard: &Heard) -> bool {
        let covered = self.try_to_cover(files, heard);
        if let Err(error) = &covered
            && !std::mem::replace(&mut self.warned, true)
        {
            tracing::warn!(
                "changes of certificate files are found by looking every few seconds, because the \
                 system does not tell of them: {error}; raise the limits \
                 fs.inotify.max_user_watches and fs.inotify.max_user_instances (sysctl)"
            );
        }
        covered.is_ok()
    }

    fn try_to_cover(&mut self, files: &[(PathBuf, u64)], heard: &Heard) -> notify::Result<()> {
        let mut wanted = BTreeSet::new();
        for (path, _) in files {
            directories(path, &mut wanted);
        }
        let system = match &mut self.system {
            Some(system) => system,
            none => none.insert(listening(heard.clone())?),
        };
        self.watched.retain(|dir, identity| {
            let keep = wanted.contains(dir) && self::identity(dir) == Some(*identity);
            if !keep {
                let _gone_already = system.unwatch(dir);
            }
            keep
        });
        for dir in wanted {
            let Some(identity) = identity(&dir) else { continue };
            // Again and again: a directory that was made anew may have the inode of the old one.
            match system.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(dir, identity)),
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn listening(heard: Heard) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Our own reading must not make us read again.
        let is_reading = event.as_ref().is_ok_and(|event| match event.kind {
            EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
            _ => false,
        });
        if !is_reading {
            heard.send_modify(|count| *count = count.wrapping_add(1));
        }
    })
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    fs::metadata(dir).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Finds the directories in which something may happen that changes what `file` is: its own, that of each
/// symbolic link on the way to it, and the last one there is if others are missing.
fn directories(file: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(file) = std::path::absolute(file) else { return };
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut left: VecDeque<PathBuf> = parts(&file).collect();
    while let Some(part) = left.pop_front() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let is_link = fs::symlink_metadata(&next).map(|metadata| metadata.is_symlink());
        let target = match is_link {
            Ok(true) if links == LINKS => return,
            Ok(true) => fs::read_link(&next),
            Ok(false) if left.is_empty() => {
                found.insert(at);
                return;
            }
            Ok(false) => {
                at = next;
                continue;
            }
            Err(error) => Err(error),
        };
        found.insert(at.clone());
        let Ok(target) = target else { return };
        links += 1;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        let after = std::mem::take(&mut left);
        left = parts(&target).chain(after).collect();
    }
}

/// The names of a path, and `..`.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use tempfile::TempDir;

    /// The directories of `file` within `dir`, by their names.
    fn found(dir: &TempDir, file: &str) -> Vec<String> {
        let root = dir.path().canonicalize().unwrap();
        let mut found = BTreeSet::new();
        directories(&root.join(file), &mut found);
        let inside = found.iter().map(|dir| dir.strip_prefix(&root).unwrap());
        inside.map(|dir| dir.display().to_string()).collect()
    }

    #[test]
    fn every_directory_with_a_link_on_the_way_is_watched() {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("certs/..1")).unwrap();
        fs::write(dir.path().join("certs/..1/tls.crt"), "").unwrap();
        symlink("..1", dir.path().join("certs/..data")).unwrap();
        symlink("..data/tls.crt", dir.path().join("certs/tls.crt")).unwrap();
        symlink("certs", dir.path().join("current")).unwrap();
        symlink("../current/tls.crt", dir.path().join("certs/round")).unwrap();

        assert_eq!(found(&dir, "certs/tls.crt"), ["certs", "certs/..1"]);
        assert_eq!(found(&dir, "current/tls.crt"), ["", "certs", "certs/..1"]);
        assert_eq!(found(&dir, "certs/round"), ["", "certs", "certs/..1"]);
    }

    #[test]
    fn of_what_is_missing_the_last_directory_that_is_there_is_watched() {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();

        assert_eq!(found(&dir, "a/tls.crt"), ["a"]);
        assert_eq!(found(&dir, "a/b/c/tls.crt"), ["a"]);
        assert_eq!(found(&dir, "loop/tls.crt"), [""]);
    }
}
