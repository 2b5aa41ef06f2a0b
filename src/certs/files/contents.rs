//! Reads files, and remembers what they held: what is the same as before is no news.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::problem::FileProblem;
use crate::clock;

/// A file that was written so shortly before it was read may be written again without a trace in its
/// times: their steps are coarse.
const FRESH: Duration = Duration::seconds(2);
/// So much is read at a time, where nobody wants the bytes.
const PIECE: usize = 64 * 1024;

/// What files held when they were last looked at.
#[derive(Debug, Clone, Default)]
pub(in crate::certs) struct Contents(BTreeMap<PathBuf, Content>);

#[derive(Debug, Clone, Copy, Default)]
struct Content {
    /// How the system describes the file; `None` if there is none.
    state: Option<State>,
    /// SHA-256 of what is in it; `None` if it cannot be read.
    sum: Option<[u8; 32]>,
    /// It had just been written, so that its state says little.
    fresh: bool,
}

/// What changes when a file is replaced or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    modified: OffsetDateTime,
    changed: (i64, i64),
}

impl Contents {
    /// The bytes of a file, remembered by their sum; wiped afterwards, since any of these files may hold a
    /// key. A file that is read twice is remembered as it was at first.
    pub(super) fn bytes(
        &mut self,
        path: &Path,
        limit: u64,
    ) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
        let metadata = regular(path);
        let state = metadata.as_ref().ok().map(State::of);
        let read = metadata.and_then(|metadata| bytes(path, &metadata, limit));
        let sum = read.as_ref().ok().map(|bytes| sum_of(&mut &***bytes, limit));
        let content = Content::new(state, sum.and_then(Result::ok).flatten());
        self.0.entry(path.to_owned()).or_insert(content);
        read
    }

    /// Looks at these files again, and reads only those that are not as they were.
    pub(super) fn again(&self, paths: &[(PathBuf, u64)]) -> Self {
        let look = |(path, limit): &(PathBuf, u64)| {
            let known = self.0.get(path).copied().unwrap_or_default();
            (path.clone(), known.again(path, *limit))
        };
        Self(paths.iter().map(look).collect())
    }

    /// Whether any of the files of `self` held something else in `before`.
    pub(super) fn differ(&self, before: &Self) -> bool {
        let sum = |content: Option<&Content>| content.and_then(|content| content.sum);
        self.0.iter().any(|(path, now)| now.sum != sum(before.0.get(path)))
    }

    /// How long ago one of them was last written; `None` if all of them say a time to come.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let now = clock::now();
        let ages = self.0.values().filter_map(|content| content.state).map(|s| now - s.modified);
        ages.filter(|age| !age.is_negative()).min()
    }
}

impl Content {
    fn new(state: Option<State>, sum: Option<[u8; 32]>) -> Self {
        let fresh = state.is_some_and(|state| clock::now() - state.modified < FRESH);
        Self { state, sum, fresh }
    }

    fn again(self, path: &Path, limit: u64) -> Self {
        let state = regular(path).ok().map(|metadata| State::of(&metadata));
        if state.is_some() && state == self.state && !self.fresh {
            return self;
        }
        let sum = state.and_then(|_| File::open(path).ok());
        Self::new(state, sum.and_then(|mut file| sum_of(&mut file, limit).ok()).flatten())
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        let seconds = OffsetDateTime::from_unix_timestamp(metadata.mtime());
        let modified = seconds.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: modified + Duration::nanoseconds(metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What the system says of a file that can be read to its end: a pipe might wait for ever.
fn regular(path: &Path) -> Result<Metadata, FileProblem> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileProblem::Missing,
        _ => FileProblem::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(FileProblem::Directory);
    }
    if metadata.is_file() { Ok(metadata) } else { Err(FileProblem::NotRegular) }
}

fn bytes(path: &Path, metadata: &Metadata, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    let capacity = usize::try_from(metadata.len().min(limit) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(FileProblem::Unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(FileProblem::TooLarge { limit });
    }
    Ok(bytes)
}

/// SHA-256 of all that comes; `None` if it is more than `limit`.
fn sum_of(from: &mut impl Read, limit: u64) -> io::Result<Option<[u8; 32]>> {
    let mut piece = Zeroizing::new(vec![0; PIECE]);
    let (mut sum, mut length) = (Context::new(&SHA256), 0_u64);
    while length <= limit {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(<[u8; 32]>::try_from(sum.finish().as_ref()).ok());
        }
        length += read as u64;
        sum.update(piece.get(..read).unwrap_or_default());
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_file_that_holds_the_same_after_it_was_written_again_does_not_differ() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut before = Contents::default();
        before.bytes(&path, 10).unwrap();
        let files = [(path.clone(), 10)];

        fs::rename(&path, dir.path().join("away")).unwrap();
        assert!(before.again(&files).differ(&before), "it is gone");
        fs::write(&path, "one").unwrap();
        assert!(!before.again(&files).differ(&before));
        fs::write(&path, "two").unwrap();
        assert!(before.again(&files).differ(&before));
    }

    #[test]
    fn bytes_of_the_same_length_and_time_differ() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        let mut before = Contents::default();
        before.bytes(&path, 10).unwrap();

        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();

        assert!(before.again(&[(path, 10)]).differ(&before));
    }

    #[test]
    fn a_file_that_was_never_read_differs_as_soon_as_it_can_be() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        let mut before = Contents::default();
        before.bytes(&path, 10).unwrap_err();
        let files = [(path.clone(), 10)];

        assert!(!before.again(&files).differ(&before));
        fs::write(&path, "more than ten bytes").unwrap();
        assert!(!before.again(&files).differ(&before), "it is too large to be read");
        fs::write(&path, "less").unwrap();
        assert!(before.again(&files).differ(&before));
    }
}
