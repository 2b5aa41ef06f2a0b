//! Notes for the writer of a trail, from other processes.
//!
//! A trail has one writer, the sidecar. Commands leave notes in a directory of the trail's, which the writer puts on record
//! one by one; when there is none, at its next start.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, unlinkat};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read::files::regular;
use super::trail::segment::LOCK;
use crate::clock;

/// Most notes that may wait.
const MOST: usize = 1000;
/// Most notes that are taken at a time.
const AT_A_TIME: usize = 100;
/// More than any note has.
const NOTE_BYTES: u64 = 32 * 1024;
/// What the name of a note that is not whole yet ends with.
const UNFINISHED: &str = "new";
/// One that is unfinished for so long stays so: writing takes moments.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// A directory of notes.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
}

/// What cannot be put on record.
#[derive(Debug, thiserror::Error)]
pub enum Unnoted {
    /// Nobody takes the notes.
    #[error("{}: {MOST} notes wait there already, which nobody puts on record: start the sidecar", dir.display())]
    Full {
        /// Their directory.
        dir: PathBuf,
    },
    /// The note cannot be written.
    #[error("{}: cannot be written", dir.display())]
    Io {
        /// Their directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Spool {
    /// The directory `name` of the trail in `trail`. `None`: it is a copy, for it has no file that a writer locks.
    pub(super) fn open(trail: &Path, name: &str) -> Result<Option<Self>, Unnoted> {
        let dir = trail.join(name);
        let failed = |source| Unnoted::Io { dir: dir.clone(), source };
        let Ok(owner) = trail.join(LOCK).metadata() else { return Ok(None) };
        make(&dir, owner.uid(), owner.gid()).map_err(failed)?;
        if paths(&dir).map_err(failed)?.len() >= MOST {
            return Err(Unnoted::Full { dir });
        }
        Ok(Some(Self { dir }))
    }

    /// The name of a process's next note, and the moment that it is of, as RFC 3339.
    pub(super) fn place(&self, process: u32) -> (String, String) {
        let now = clock::now();
        (format!("{}-{process}.json", now.unix_timestamp_nanos()), clock::rfc3339(now))
    }

    /// Writes the note `name` for the owner of the directory, in one step.
    pub(super) fn put(&self, name: &str, note: &impl Serialize) -> Result<(), Unnoted> {
        self.write(name, note).map_err(|source| Unnoted::Io { dir: self.dir.clone(), source })
    }

    /// Root leaves notes in trails of others, who could put a link in its way: the directory is opened once, and nothing is
    /// followed.
    fn write(&self, name: &str, note: &impl Serialize) -> io::Result<()> {
        let note = serde_json::to_vec(note)?;
        if note.len() as u64 > NOTE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let dir = opened(&self.dir)?;
        let unfinished = format!("{name}.{UNFINISHED}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(openat(&dir, &*unfinished, flags, Mode::RUSR | Mode::WUSR)?);
        let written =
            fill(file, &dir, &note).and_then(|()| Ok(renameat(&dir, &*unfinished, &dir, name)?));
        if let Err(error) = written {
            // On a full disk above all, what does not count takes no room.
            let _stays = unlinkat(&dir, &*unfinished, AtFlags::empty());
            return Err(error);
        }
        dir.sync_all()
    }
}

/// Writes a note for the owner of its directory.
fn fill(mut file: File, dir: &File, note: &[u8]) -> io::Result<()> {
    let owner = dir.metadata()?;
    owned_by(&file, owner.uid(), owner.gid())?;
    file.write_all(note)?;
    file.sync_all()
}

/// A directory that is no link to another.
fn opened(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(open(dir, flags, Mode::empty())?))
}

fn make(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        // Whoever made it may have been stopped before it had its owner. Who may not change that finds out when writing.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match owned_by(&opened(dir)?, uid, gid) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                done => done,
            }
        }
        Err(error) => Err(error),
        Ok(()) => owned_by(&opened(dir)?, uid, gid),
    }
}

fn owned_by(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    let is = file.metadata()?;
    if (is.uid(), is.gid()) == (uid, gid) { Ok(()) } else { fchown(file, Some(uid), Some(gid)) }
}

/// The notes that wait in the directory `name` of a trail, without those that `stays` keeps there, the oldest first: each with
/// its file, which goes when it is on record. A file that is none is removed, one that cannot be read stays, and both are told
/// of in the log.
pub(super) fn waiting<T: DeserializeOwned>(
    trail: &Path,
    name: &str,
    stays: impl Fn(&Path, &T) -> bool,
) -> Vec<(PathBuf, T)> {
    let dir = trail.join(name);
    clear(&dir);
    let mut notes = Vec::new();
    let paths = paths(&dir).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            let dir = dir.display();
            tracing::warn!(%dir, %error, "notes for the audit trail cannot be read, and wait there");
        }
        Vec::new()
    });
    for path in paths {
        match read(&path) {
            Ok(note) if stays(&path, &note) => {}
            Ok(note) => notes.push((path, note)),
            Err(error) if is_none(&path, &error) => {
                tracing::warn!(note = %path.display(), %error, "this is no note for the audit trail");
                // What stays is met again.
                let _stays = fs::remove_file(&path);
            }
            Err(error) => {
                tracing::warn!(note = %path.display(), %error, "this note for the audit trail cannot be read, and waits");
            }
        }
        if notes.len() == AT_A_TIME {
            break;
        }
    }
    notes
}

/// Whether what could not be read is no note. A disk that fails makes none of one.
fn is_none(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Removes what was never finished.
fn clear(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for path in paths.filter(|path| path.extension() == Some(OsStr::new(UNFINISHED))).take(MOST) {
        let written = path.symlink_metadata().and_then(|metadata| metadata.modified());
        if matches!(written.map(|at| at.elapsed()), Ok(Ok(age)) if age >= LEFT_OVER) {
            let _stays = fs::remove_file(&path);
        }
    }
}

/// The notes that wait, for whoever only looks.
pub(super) fn look<T: DeserializeOwned>(trail: &Path, name: &str) -> Vec<T> {
    let paths = paths(&trail.join(name)).unwrap_or_default();
    paths.iter().filter_map(|path| read(path).ok()).collect()
}

/// The files in the directory that are named like notes, the oldest first.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_note = |path: &PathBuf| path.extension() == Some(OsStr::new("json"));
    let entries = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = entries.filter(is_note).take(2 * MOST).collect();
    paths.sort();
    Ok(paths)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    regular(path)?.take(NOTE_BYTES).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|_error| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::{Value, json};

    use super::*;

    const NAME: &str = "reads";

    fn trail() -> (tempfile::TempDir, Spool) {
        let trail = tempfile::tempdir().unwrap();
        fs::write(trail.path().join(LOCK), "").unwrap();
        let spool = Spool::open(trail.path(), NAME).unwrap().unwrap();
        (trail, spool)
    }

    fn names(spool: &Spool) -> Vec<String> {
        let entries = fs::read_dir(&spool.dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn taken(trail: &Path) -> Vec<Value> {
        waiting(trail, NAME, |_, note: &Value| note == "stays")
            .into_iter()
            .map(|(_, n)| n)
            .collect()
    }

    #[test]
    fn what_is_no_note_is_removed_and_what_cannot_be_read_now_stays() {
        let (trail, spool) = trail();
        spool.put("1.json", &json!(1)).unwrap();
        fs::write(spool.dir.join("2.json"), "garbage").unwrap();
        std::os::unix::fs::symlink("nowhere", spool.dir.join("3.json")).unwrap();
        let failing = io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());

        assert!(!is_none(&spool.dir.join("1.json"), &failing));
        assert_eq!(taken(trail.path()), [json!(1)]);
        assert_eq!(names(&spool), ["1.json"], "whoever puts it on record removes it");
    }

    #[test]
    fn a_note_that_cannot_be_written_leaves_nothing_and_old_remains_are_removed() {
        let (trail, spool) = trail();
        // A directory has its name, so it cannot take its place.
        fs::create_dir_all(spool.dir.join("1.json/full")).unwrap();
        let too_long = "x".repeat(33 * 1024);

        assert!(spool.put("1.json", &json!(1)).is_err());
        assert!(spool.put("2.json", &too_long).is_err());
        assert_eq!(names(&spool), ["1.json"]);

        for (name, age) in [("3.json.new", LEFT_OVER), ("4.json.new", Duration::ZERO)] {
            let file = File::create(spool.dir.join(name)).unwrap();
            file.set_modified(SystemTime::from(clock::now() - age)).unwrap();
        }
        taken(trail.path());
        assert_eq!(names(&spool), ["1.json", "4.json.new"]);
    }

    #[test]
    fn only_notes_count_and_those_that_stay_are_in_no_others_way() {
        let (trail, spool) = trail();
        for n in 0..MOST {
            fs::write(spool.dir.join(format!("{n}.json.new")), "").unwrap();
        }
        assert!(Spool::open(trail.path(), NAME).is_ok(), "what is unfinished waits for nobody");

        for n in 0..MOST - 1 {
            fs::write(spool.dir.join(format!("{n:04}.json")), "\"stays\"").unwrap();
        }
        spool.put("9999.json", &json!("last")).unwrap();
        assert_eq!(taken(trail.path()), [json!("last")]);
        assert!(matches!(Spool::open(trail.path(), NAME), Err(Unnoted::Full { .. })));
    }
}
