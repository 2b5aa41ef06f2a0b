//! How far an export of the trail has come, kept beside it.
//!
//! A cursor names the last record that was delivered and the digest of its line, so that whoever goes on by it sees
//! whether the trail is still the one that it was.

use std::fs::{OpenOptions, read, rename};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::Needs;
use crate::config::AuditSettings;
use crate::identity::Fingerprint;

/// A record, by its number and its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// `event.sequence`; 0 is before the first.
    pub sequence: u64,
    /// SHA-256 of the line: what the next one has as `myelin.prev`.
    pub digest: Fingerprint,
}

impl Mark {
    /// Before the first record.
    pub const BEGINNING: Self = Self { sequence: 0, digest: Fingerprint([0; 32]) };

    /// The record `sequence`, whose line this is.
    pub fn of(sequence: u64, line: &[u8]) -> Self {
        Self { sequence, digest: Fingerprint::of(line) }
    }
}

/// A cursor that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Its file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what this program writes.
    #[error("{} is no cursor of an export", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    sequence: u64,
    digest: String,
}

/// Where the cursor of the export `name` is, for the trail in `dir`.
pub fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("export-{name}.cursor"))
}

/// How far the export `name` of the trail in `dir` has come. `None`: it never delivered anything.
///
/// # Errors
///
/// The file is there and cannot be read, or is something else.
pub fn load(dir: &Path, name: &str) -> Result<Option<Mark>, CursorError> {
    let path = path(dir, name);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CursorError::Unreadable { path, source }),
    };
    let mark = serde_json::from_slice::<Written>(&bytes).ok().and_then(|written| {
        let digest = hex::decode(written.digest).ok()?.try_into().ok()?;
        Some(Mark { sequence: written.sequence, digest: Fingerprint(digest) })
    });
    mark.map(Some).ok_or(CursorError::Foreign { path })
}

/// Keeps how far the export `name` has come.
///
/// The directory is not synced: after a power failure the cursor before this one may be found, and then some records
/// go out twice.
///
/// # Errors
///
/// The file cannot be written. The one before it stays.
pub fn save(dir: &Path, name: &str, mark: Mark) -> io::Result<()> {
    let path = path(dir, name);
    let new = path.with_extension("cursor.new");
    let written = Written { sequence: mark.sequence, digest: mark.digest.to_string() };
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(&written)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_data()?;
    rename(new, path)
}

/// What the exports of `settings` still need: the first record that one of them has not delivered yet, by the cursors
/// that are on disk at the moment. A cursor that cannot be read needs everything.
pub fn needs(settings: &AuditSettings) -> Needs {
    let dir = settings.dir.clone();
    let names = settings.export.iter().filter(|export| export.keep_undelivered);
    let names: Vec<_> = names.map(|export| Arc::clone(&export.name)).collect();
    Arc::new(move || undelivered_from(&dir, &names))
}

fn undelivered_from(dir: &Path, names: &[Arc<str>]) -> Option<u64> {
    let next = |name: &Arc<str>| match load(dir, name) {
        Ok(Some(mark)) => mark.sequence + 1,
        Ok(None) | Err(_) => 0,
    };
    names.iter().map(next).min()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_kept_and_is_nobody_elses_business() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::of(7, b"a line");

        assert_eq!(load(dir.path(), "arr").unwrap(), None);
        save(dir.path(), "arr", Mark::BEGINNING).unwrap();
        save(dir.path(), "arr", mark).unwrap();

        assert_eq!(load(dir.path(), "arr").unwrap(), Some(mark));
        let mode = path(dir.path(), "arr").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_cursor_is_not_taken_for_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "7", r#"{"sequence":7}"#, r#"{"sequence":7,"digest":"00"}"#] {
            std::fs::write(path(dir.path(), "arr"), text).unwrap();

            let read = load(dir.path(), "arr");

            assert!(matches!(read, Err(CursorError::Foreign { .. })), "{text}");
        }
    }

    #[test]
    fn the_slowest_export_says_what_has_to_stay() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<Arc<str>> = vec!["a".into(), "b".into()];
        save(dir.path(), "a", Mark::of(9, b"")).unwrap();

        assert_eq!(undelivered_from(dir.path(), &[]), None);
        assert_eq!(undelivered_from(dir.path(), &names), Some(0));
        save(dir.path(), "b", Mark::of(3, b"")).unwrap();
        assert_eq!(undelivered_from(dir.path(), &names), Some(4));
        std::fs::write(path(dir.path(), "a"), "?").unwrap();
        assert_eq!(undelivered_from(dir.path(), &names), Some(0));
    }
}
