//! By what an index knows its segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::audit::line::encode::{Hash, hash};

/// So many bytes at a file's end are looked at, or all: they hold the last record, or zstd's checksum of the whole content.
const END: u64 = 4096;

/// A file's length, and the digest of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    pub(super) end: Hash,
}

impl Stamp {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut end = vec![0; usize::try_from(length.min(END)).unwrap_or_default()];
        file.read_exact_at(&mut end, length.saturating_sub(END))?;
        Ok(Self { length, end: hash(&end) })
    }
}
