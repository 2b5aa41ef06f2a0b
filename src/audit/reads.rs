//! Who has read the trail.
//!
//! Commands that read it are other processes than the one that writes it, so they leave a note in a directory of the trail,
//! which the writer puts on record; when there is none, at its next start.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;

/// The directory of notes, in the trail's.
const DIR: &str = "reads";
/// The file that the writer holds: without it a directory is a copy of a trail.
const LOCK: &str = "lock";
/// Most notes that may wait.
const MOST: usize = 1000;
/// Most notes that are taken at a time.
const AT_A_TIME: usize = 100;
/// A read that takes longer than this counts as broken off.
const BROKEN_OFF: Duration = Duration::from_secs(3600);
/// More than any note has.
const NOTE_BYTES: u64 = 8192;

/// `myelin.read`: that somebody read the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When: RFC 3339, in UTC.
    pub at: String,
    /// By which command, like `audit query`.
    pub command: String,
    /// What narrowed it: names of filters, never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// How many records were read. `None`: the command was broken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Who.
    pub by: Reader,
}

/// Whose process read the trail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reader {
    /// The user's number.
    pub uid: u32,
    /// Its name, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As whom it logged in, whatever it has become since (`/proc/self/loginuid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Who asked for it, as sudo says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<String>,
    /// Its number as a process.
    pub process: u32,
}

/// A note that was left, of a read that goes on.
#[derive(Debug)]
pub struct Noted {
    path: PathBuf,
    read: Read,
}

/// A read that cannot be put on record.
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

impl Noted {
    /// Notes that the trail in `trail` is about to be read. `None`: it is a copy, which has no writer.
    ///
    /// # Errors
    ///
    /// It cannot be noted; the trail can be read all the same.
    pub fn begin(
        trail: &Path,
        command: &str,
        filters: Vec<String>,
        by: Reader,
    ) -> Result<Option<Self>, Unnoted> {
        let dir = trail.join(DIR);
        let failed = |source| Unnoted::Io { dir: dir.clone(), source };
        let Ok(owner) = trail.join(LOCK).metadata() else { return Ok(None) };
        make(&dir, owner.uid(), owner.gid()).map_err(failed)?;
        if fs::read_dir(&dir).map_err(failed)?.count() >= MOST {
            return Err(Unnoted::Full { dir });
        }
        let now = clock::now();
        let name = format!("{}-{}.json", now.unix_timestamp_nanos(), by.process);
        let at = clock::rfc3339(now);
        let read = Read { at, command: command.to_owned(), filters, records: None, by };
        let noted = Self { path: dir.join(name), read };
        noted.write(owner.uid(), owner.gid()).map_err(failed)?;
        Ok(Some(noted))
    }

    /// Notes how many records were read.
    ///
    /// # Errors
    ///
    /// It cannot be written; that the trail was read is noted all the same.
    pub fn finish(mut self, records: u64) -> Result<(), Unnoted> {
        let dir = self.path.parent().unwrap_or(&self.path).to_owned();
        let failed = |source| Unnoted::Io { dir: dir.clone(), source };
        self.read.records = Some(records);
        let owner = dir.metadata().map_err(failed)?;
        self.write(owner.uid(), owner.gid()).map_err(failed)
    }

    /// Writes the note for the trail's owner, in one step.
    fn write(&self, uid: u32, gid: u32) -> io::Result<()> {
        let unfinished = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        owned_by(&unfinished, uid, gid)?;
        serde_json::to_writer(&mut file, &self.read)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

fn make(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => owned_by(dir, uid, gid),
    }
}

/// Root reads for others, too.
fn owned_by(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let is = path.metadata()?;
    if (is.uid(), is.gid()) == (uid, gid) { Ok(()) } else { chown(path, Some(uid), Some(gid)) }
}

/// The notes that wait in the trail's directory, the oldest first: each with its file, which goes when it is on record. A file
/// that is none is removed, and told of in the log.
pub(super) fn waiting(trail: &Path) -> Vec<(PathBuf, Read)> {
    let Ok(entries) = fs::read_dir(trail.join(DIR)) else { return Vec::new() };
    let is_note = |path: &PathBuf| path.extension() == Some(OsStr::new("json"));
    let mut paths: Vec<_> = entries
        .take(2 * MOST)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_note)
        .collect();
    paths.sort();
    let mut notes = Vec::new();
    for path in paths.into_iter().take(AT_A_TIME) {
        match read(&path) {
            Ok(note)
                if note.records.is_none() && is_young(&path) && is_running(note.by.process) => {}
            Ok(note) => notes.push((path, note)),
            Err(error) => {
                tracing::warn!(note = %path.display(), %error, "this is no note of a read of the audit trail");
                // What stays is met again.
                let _stays = fs::remove_file(&path);
            }
        }
    }
    notes
}

fn read(path: &Path) -> io::Result<Read> {
    let mut text = Vec::new();
    File::open(path)?.take(NOTE_BYTES).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|_error| io::ErrorKind::InvalidData.into())
}

/// A process of the same number may be another, and in another container the number says nothing.
fn is_young(path: &Path) -> bool {
    let age = path.metadata().and_then(|metadata| metadata.modified()).map(|made| made.elapsed());
    matches!(age, Ok(Ok(age)) if age < BROKEN_OFF)
}

fn is_running(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}
