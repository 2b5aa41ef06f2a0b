//! Directories of demonstrations that were killed: with keys in them, and nobody to take them away.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What temporary directories of demonstrations are called.
pub(super) const PREFIX: &str = "myelin-demo-";
/// The file that says whose a directory is. Its owner holds a lock on it, which ends with the process.
const MARKER: &str = ".myelin-demo";

/// Says that `dir` is in use for as long as the file is open.
pub(super) fn mark(dir: &Path) -> io::Result<File> {
    // Nobody may find it before it is locked.
    let hidden = dir.join(".myelin-demo.new");
    let marker = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
    marker.lock()?;
    fs::rename(hidden, dir.join(MARKER))?;
    Ok(marker)
}

/// Removes the directories beside `own` that demonstrations of the same user have left behind. What cannot be
/// removed stays: it keeps nobody from a demonstration of his own.
pub(super) fn sweep(own: &Path) {
    let Some(owner) = fs::symlink_metadata(own).ok().map(|own| own.uid()) else { return };
    let Some(entries) = own.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return };
    for entry in entries.flatten() {
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_named && is_abandoned(&entry.path(), owner) {
            let _stays = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether `dir` is a demonstration's of `owner`, to which nobody else has access, and its process is gone.
fn is_abandoned(dir: &Path, owner: u32) -> bool {
    let is_ours = |path: &Path, mode: u32| {
        fs::symlink_metadata(path).is_ok_and(|found| {
            // The kind of the file, too: a symbolic link has another.
            found.uid() == owner && found.mode() == mode
        })
    };
    let marker = dir.join(MARKER);
    is_ours(dir, 0o040_700)
        && is_ours(&marker, 0o100_600)
        && File::open(marker).is_ok_and(|marker| marker.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn made(parent: &Path, name: &str) -> std::path::PathBuf {
        let dir = parent.join(format!("{PREFIX}{name}"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn only_a_directory_with_a_mark_that_nobody_holds_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let [own, left, unmarked, open, linked] =
            ["own", "left", "unmarked", "open", "linked"].map(|name| made(parent.path(), name));
        let _own = mark(&own).unwrap();
        for dir in [&left, &open] {
            drop(mark(dir).unwrap());
        }
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&linked, parent.path().join("elsewhere")).unwrap();
        drop(mark(&parent.path().join("elsewhere")).unwrap());
        symlink(parent.path().join("elsewhere"), &linked).unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();

        sweep(&own);

        assert!(!left.exists());
        for stays in [&own, &unmarked, &open, &linked, &other] {
            assert!(stays.exists(), "{}", stays.display());
        }
    }
}
