//! The trail's files: a locked directory of segments.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError, remove_file, rename};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::audit::OpenError;
use crate::audit::line::encode::Hash;
use crate::audit::read::files::{COMPRESSED, files};
use crate::audit::read::index::beside;
use crate::report::Report;

/// The file that the writer locks: a directory without it is a copy of a trail.
pub(in crate::audit) const LOCK: &str = "lock";
/// The time in a segment's name.
const STARTED: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// A directory that this process alone writes to.
#[derive(Debug)]
pub(in crate::audit) struct Directory {
    path: PathBuf,
    held: Mutex<Held>,
}

/// What is held of a directory.
#[derive(Debug)]
struct Held {
    /// Locked for as long as it is open.
    lock: File,
    directory: Identity,
}

/// What makes a file this one: its device and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }

    /// Of what stands at `path` now.
    fn at(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().map(|metadata| Self::of(&metadata))
    }
}

impl Directory {
    /// Makes `path` if it is not there, and locks it.
    pub(in crate::audit) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { dir: path.into(), source };
        if !matches!(path.metadata(), Ok(metadata) if !metadata.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        }
        let metadata = path.metadata().map_err(failed)?;
        fit(path, &metadata)?;
        let directory = Identity::of(&metadata);
        let lock = private().write(true).create(true).open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), held: Mutex::new(Held { lock, directory }) }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: path.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Whether what stands at its path is still this directory, and nobody else can lock it.
    fn is_held(&self) -> io::Result<bool> {
        let held = self.held();
        let lock = Identity::of(&held.lock.metadata()?);
        let same_directory =
            self.path.metadata().is_ok_and(|is| Identity::of(&is) == held.directory);
        Ok(same_directory && Identity::at(&self.path.join(LOCK)) == Some(lock))
    }

    /// Makes and locks it again when it was taken away or emptied; whether it was. One that holds another trail
    /// by now is not taken.
    pub(in crate::audit) fn find_again(&self) -> io::Result<bool> {
        if self.is_held()? {
            return Ok(false);
        }
        let found =
            Self::open(&self.path).map_err(|error| io::Error::other(Report(&error).to_string()))?;
        let found = found.held.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.held();
        if found.directory != held.directory && !files(&self.path)?.is_empty() {
            return Err(io::Error::other(
                "another trail was put in its place: move that away, or restart this sidecar to go on with it",
            ));
        }
        *held = found;
        Ok(true)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the segment is what stands there under its name.
    pub(in crate::audit) fn names(&self, segment: &Segment) -> io::Result<bool> {
        Ok(self.is_at(segment, &segment.file.metadata()?))
    }

    fn is_at(&self, segment: &Segment, metadata: &Metadata) -> bool {
        Identity::at(&self.path.join(&segment.name)) == Some(Identity::of(metadata))
    }

    /// Whether the segment is what stands there under its name, and has this length: if not, why.
    pub(in crate::audit) fn has(&self, segment: &Segment, length: u64) -> io::Result<()> {
        let metadata = segment.file.metadata()?;
        if !self.is_at(segment, &metadata) {
            return Err(io::Error::other("it was removed or replaced under this sidecar"));
        }
        match metadata.len() {
            same if same == length => Ok(()),
            other => Err(io::Error::other(format!(
                "it has {other} bytes, and {length} were written: something else writes to it"
            ))),
        }
    }

    /// Puts the first `length` bytes of a segment that was taken away back under its name.
    ///
    /// What stands there instead stays, under another name.
    pub(in crate::audit) fn put_back(&self, segment: &Segment, length: u64) -> io::Result<()> {
        let path = self.path.join(&segment.name);
        let copy = self.path.join(format!("{}.copy", segment.name));
        let mut file = private().write(true).create(true).truncate(true).open(&copy)?;
        let (mut buffer, mut offset) = (vec![0; 64 * 1024], 0);
        while offset < length {
            let read = segment.file.read_at(&mut buffer, offset)?;
            let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
            match buffer.get(..read.min(left)) {
                Some([]) | None => break, // it was cut, too: what is gone is gone
                Some(bytes) => file.write_all(bytes)?,
            }
            offset += read as u64;
        }
        file.sync_all()?;
        if path.symlink_metadata().is_ok() {
            rename(&path, self.path.join(format!("displaced-{}", segment.name)))?;
        }
        rename(&copy, &path)?;
        self.sync()
    }

    /// Where it is.
    pub(in crate::audit) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a segment whose first record has the number `first`.
    ///
    /// A file of that name is taken over if it is empty: an attempt that came to nothing.
    pub(in crate::audit) fn create(&self, first: u64, at: OffsetDateTime) -> io::Result<Segment> {
        let name = SegmentName { started: at, first };
        let path = self.path.join(name.to_string());
        let file = private().read(true).append(true).create(true).open(&path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it holds records already"));
        }
        self.sync()?;
        Ok(Segment { file, name: name.to_string(), day: at.date() })
    }

    /// Goes on with the segment `name`.
    pub(in crate::audit) fn reopen(&self, name: &SegmentName) -> io::Result<Segment> {
        let text = name.to_string();
        let file = private().read(true).append(true).open(self.path.join(&text))?;
        Ok(Segment { file, name: text, day: name.started.date() })
    }

    /// Removes a segment and its index, whether compressed or not, and while it is being compressed.
    pub(in crate::audit) fn remove(&self, name: &str) -> io::Result<()> {
        if let Err(error) = remove_file(beside(&self.path.join(name)))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let compressed = remove_file(self.path.join(format!("{name}{COMPRESSED}")));
        match (remove_file(self.path.join(name)), compressed) {
            (Err(error), _) | (Ok(()), Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error);
            }
            (Err(gone), Err(_gone_too)) => return Err(gone),
            (Ok(()), _) | (Err(_), Ok(())) => {}
        }
        self.sync()
    }

    /// Puts `bytes` into a new file that is durable when this returns.
    fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file =
            private().write(true).create(true).truncate(true).open(self.path.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.sync()
    }

    /// Cuts what follows the last record off the segment `name`, and keeps it in a file of its own.
    pub(in crate::audit) fn cut_torn(&self, name: &SegmentName, tail: &Tail) -> io::Result<String> {
        let mut file = private().read(true).append(true).open(self.path.join(name.to_string()))?;
        file.seek(SeekFrom::Start(tail.length))?;
        let mut torn = Vec::new();
        file.read_to_end(&mut torn)?;
        let kept = format!("torn-{:020}-{}.bytes", name.first, tail.length);
        self.keep(&kept, &torn)?;
        file.set_len(tail.length)?;
        file.sync_all()?;
        Ok(kept)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Whether nothing but a directory, and one that is ours alone to change, is at `path`.
fn fit(path: &Path, metadata: &Metadata) -> Result<(), OpenError> {
    if !metadata.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(OpenError::Directory { dir: path.into(), source });
    }
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(OpenError::Exposed { dir: path.into(), mode }),
        _ => Ok(()),
    }
}

/// Looks whether a trail could be kept in `dir`, and changes nothing. One that is in use is fit.
///
/// # Errors
///
/// What [`crate::audit::Audit::open`] would say: something else is there, others may change it, or it can be
/// neither used nor made.
pub fn look(dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Directory { dir: dir.into(), source };
    let place = match dir.metadata() {
        Ok(metadata) => {
            fit(dir, &metadata)?;
            dir
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_symlink() => {
            let above = dir.ancestors().skip(1).find(|above| above.exists());
            above.unwrap_or_else(|| Path::new("."))
        }
        Err(error) => return Err(failed(error)),
    };
    let tried = tempfile::tempfile_in(place); // it has no name, or loses it at once
    tried.map(drop).map_err(|error| {
        let kind = error.kind();
        failed(io::Error::new(kind, format!("nothing can be made in {}: {kind}", place.display())))
    })
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A segment's file name: `trail-20261122T061201Z-00000000000000000042.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) struct SegmentName {
    /// When it began.
    pub(in crate::audit) started: OffsetDateTime,
    /// The number of its first record.
    pub(in crate::audit) first: u64,
}

impl SegmentName {
    pub(in crate::audit) fn parse(name: &str) -> Option<Self> {
        let (started, first) =
            name.strip_prefix("trail-")?.strip_suffix(".jsonl")?.split_once('-')?;
        Some(Self {
            started: PrimitiveDateTime::parse(started, STARTED).ok()?.assume_utc(),
            first: first.parse().ok()?,
        })
    }

    /// Whether a segment of this name that is `length` long takes another record at `at`, when it is full at `full`.
    pub(in crate::audit) fn takes(&self, length: u64, full: u64, at: OffsetDateTime) -> bool {
        length < full && self.started.date() == at.date()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.started.to_calendar_date();
        let (hour, minute, second) = self.started.to_hms();
        let month = u8::from(month);
        write!(f, "trail-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-")?;
        write!(f, "{:020}.jsonl", self.first)
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(in crate::audit) struct Segment {
    file: File,
    name: String,
    day: Date,
}

impl Segment {
    /// Its file's name.
    pub(in crate::audit) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it takes another record at `at`, when it is `length` long and full at `full`.
    pub(in crate::audit) fn takes(&self, length: u64, full: u64, at: OffsetDateTime) -> bool {
        length < full && self.day == at.date()
    }

    /// Appends `lines`. When it fails, some of them may be there in part.
    pub(in crate::audit) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    /// Cuts it back to `length`, if it is longer.
    pub(in crate::audit) fn cut(&self, length: u64) -> io::Result<()> {
        if self.file.metadata()?.len() > length { self.file.set_len(length) } else { Ok(()) }
    }

    /// Makes all that was appended durable.
    pub(in crate::audit) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where a segment's records end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::audit) struct Tail {
    /// Length up to the end of the last record.
    pub(in crate::audit) length: u64,
    /// Bytes after it that are no record.
    pub(in crate::audit) torn: u64,
    /// How many lines there are up to there.
    pub(in crate::audit) records: u64,
    /// The last record's number and the hash of its line.
    pub(in crate::audit) last: Option<(u64, Hash)>,
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, read_dir, set_permissions, write};

    use super::*;
    use crate::report::Report;

    fn said(dir: &Path) -> String {
        Report(&look(dir).unwrap_err()).to_string()
    }

    #[test]
    fn a_directory_that_is_there_or_can_be_made_is_fit_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();

        look(dir.path()).unwrap();
        look(&dir.path().join("to/be/made")).unwrap();

        assert_eq!(read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_keeps_a_trail_from_being_kept_is_seen_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let (file, open, link) =
            (dir.path().join("file"), dir.path().join("open"), dir.path().join("link"));
        write(&file, "").unwrap();
        create_dir(&open).unwrap();
        set_permissions(&open, PermissionsExt::from_mode(0o770)).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();

        assert!(said(&file).ends_with("file for the audit trail: not a directory"));
        assert!(said(&file.join("below")).contains("directory"), "{}", said(&file.join("below")));
        assert!(said(&open).contains("has mode 0770") && said(&open).contains("chmod 0700"));
        assert!(said(&link).contains("No such file"), "{}", said(&link));
        assert!(said(Path::new("/proc/myelin")).contains("nothing can be made in /proc"));
    }
}
