//! Notes for the writer of a trail, from other processes.
//!
//! A trail has one writer, the sidecar. Commands leave notes in a directory of the trail's, which the writer puts on record
//! one by one; when there is none, at its next start.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat, renameat};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read::files::regular;
use crate::clock;

/// The file that the writer holds: without it a directory is a copy of a trail.
const LOCK: &str = "lock";
/// Most notes that may wait.
const MOST: usize = 1000;
/// Most notes that are taken at a time.
const AT_A_TIME: usize = 100;
/// More than any note has.
const NOTE_BYTES: u64 = 32 * 1024;

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
    /// The directory `name` of the trail in `trail`. `None`: it is a copy, which has no writer.
    pub(super) fn open(trail: &Path, name: &str) -> Result<Option<Self>, Unnoted> {
        let dir = trail.join(name);
        let failed = |source| Unnoted::Io { dir: dir.clone(), source };
        let Ok(owner) = trail.join(LOCK).metadata() else { return Ok(None) };
        make(&dir, owner.uid(), owner.gid()).map_err(failed)?;
        if fs::read_dir(&dir).map_err(failed)?.count() >= MOST {
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
        let dir = opened(&self.dir)?;
        let unfinished = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&dir, &*unfinished, flags, Mode::RUSR | Mode::WUSR)?);
        let owner = dir.metadata()?;
        owned_by(&file, owner.uid(), owner.gid())?;
        serde_json::to_writer(&mut file, note)?;
        file.flush()?;
        file.sync_all()?;
        renameat(&dir, &*unfinished, &dir, name)?;
        dir.sync_all()
    }
}

/// A directory that is no link to another.
fn opened(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(open(dir, flags, Mode::empty())?))
}

fn make(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => owned_by(&opened(dir)?, uid, gid),
    }
}

fn owned_by(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    let is = file.metadata()?;
    if (is.uid(), is.gid()) == (uid, gid) { Ok(()) } else { fchown(file, Some(uid), Some(gid)) }
}

/// The notes that wait in the directory `name` of a trail, without those that `stays` keeps there, the oldest first: each with
/// its file, which goes when it is on record. A file that is none is removed, and told of in the log.
pub(super) fn waiting<T: DeserializeOwned>(
    trail: &Path,
    name: &str,
    stays: impl Fn(&Path, &T) -> bool,
) -> Vec<(PathBuf, T)> {
    let mut notes = Vec::new();
    for path in paths(trail, name).into_iter().take(AT_A_TIME) {
        match read(&path) {
            Ok(note) if stays(&path, &note) => {}
            Ok(note) => notes.push((path, note)),
            Err(error) => {
                tracing::warn!(note = %path.display(), %error, "this is no note for the audit trail");
                // What stays is met again.
                let _stays = fs::remove_file(&path);
            }
        }
    }
    notes
}

/// The notes that wait, for whoever only looks.
pub(super) fn look<T: DeserializeOwned>(trail: &Path, name: &str) -> Vec<T> {
    paths(trail, name).iter().filter_map(|path| read(path).ok()).collect()
}

fn paths(trail: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(trail.join(name)) else { return Vec::new() };
    let is_note = |path: &PathBuf| path.extension() == Some(OsStr::new("json"));
    let mut paths: Vec<_> = entries
        .take(2 * MOST)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_note)
        .collect();
    paths.sort();
    paths
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    regular(path)?.take(NOTE_BYTES).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|_error| io::ErrorKind::InvalidData.into())
}
