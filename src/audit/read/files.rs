//! A trail's files, as whoever reads them finds them: lines of JSON, or the same compressed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, read_dir};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::audit::trail::segment::SegmentName;

/// Bytes that are read at a time.
const BUFFER: usize = 1024 * 1024;
/// What a compressed segment's name ends with.
pub(in crate::audit) const COMPRESSED: &str = ".zst";

/// One file of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct SegmentFile {
    /// Which segment it holds.
    pub(in crate::audit) name: SegmentName,
    /// Where it is.
    pub(in crate::audit) path: PathBuf,
    /// Whether it is compressed with zstd.
    pub(in crate::audit) is_compressed: bool,
}

/// The files of the trail in `dir`, oldest first. Where a segment is there twice, it is being compressed, and
/// the one that is not counts.
pub(in crate::audit) fn files(dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut files = Vec::new();
    for entry in read_dir(dir)? {
        files.extend(entry?.file_name().to_str().and_then(|name| SegmentFile::of(dir, name)));
    }
    // By number: the clock may have been set back, the count is never.
    files.sort_by_key(|file| (file.name.first, file.name.started, file.is_compressed));
    files.dedup_by_key(|file| file.name);
    Ok(files)
}

impl SegmentFile {
    /// Whether a file of this name is one of a trail.
    pub(in crate::audit) fn is_name(name: &OsStr) -> bool {
        name.to_str().is_some_and(|name| Self::of(Path::new(""), name).is_some())
    }

    fn of(dir: &Path, file: &str) -> Option<Self> {
        let (name, is_compressed) = match file.strip_suffix(COMPRESSED) {
            Some(name) => (name, true),
            None => (file, false),
        };
        Some(Self { name: SegmentName::parse(name)?, path: dir.join(file), is_compressed })
    }

    /// Its lines, whatever form it has now: between a look at the directory and this it may have been
    /// compressed.
    pub(in crate::audit) fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        open(&self.path)
    }
}

/// The lines of a file, compressed or not, as its name says, or if it was compressed since it had that name.
pub(in crate::audit) fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    match open_named(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
            let mut compressed = path.to_owned().into_os_string();
            compressed.push(COMPRESSED);
            open_named(Path::new(&compressed)).map_err(|_gone_too| gone)
        }
        opened => opened,
    }
}

fn open_named(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let file = BufReader::with_capacity(BUFFER, regular(path)?);
    if is_compressed(path) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(file)?)));
    }
    Ok(Box::new(file))
}

/// Whether a file is compressed, by its name.
pub(in crate::audit) fn is_compressed(path: &Path) -> bool {
    path.to_string_lossy().ends_with(COMPRESSED)
}

/// Opens a file to read. Something else of its name is an error: a FIFO would wait for somebody who writes, perhaps for ever.
pub(in crate::audit) fn regular(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    // What has taken its place since does not wait either.
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}
