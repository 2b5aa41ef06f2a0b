//! What a segment holds, in a small file beside it: a search reads only the segments in which there may be what is sought.
//!
//! An index is made of the segment and can be made again at any time, so nothing that proves anything looks at it, and one that
//! does not fit, whatever the reason, counts for nothing. It never says that a record is there, only that there is none: by the
//! digests of values, if they are few, or by a Bloom filter. A segment that has a line which is no record is always read, for
//! whoever asks has to be told of it.

mod build;
mod format;
mod stamp;
#[cfg(test)]
mod tests;
mod values;

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub(in crate::audit) use self::build::{Building, clear, make};
use self::format::Salt;
use self::stamp::Stamp;
use self::values::{Digest, Values};
use super::files::{COMPRESSED, regular};
use super::sought::Sought;

/// What an index is called by, behind the name of its segment when that is not compressed.
pub(in crate::audit) const INDEX: &str = ".index";
/// The fields that are indexed, and how many bytes each may take at most. Who changes them, or what a record has in one, changes the
/// format's name: an old index would hide records.
const FIELDS: [(&str, usize); 9] = [
    ("peer", OTHERS),
    ("identity", OTHERS),
    ("listener", OTHERS),
    ("action", OTHERS),
    ("outcome", OTHERS),
    ("reason", OTHERS),
    ("rule", OTHERS),
    ("connection", 192 * 1024),
    ("resource", OTHERS),
];
const OTHERS: usize = 7 * 1024;
/// Most bytes of an index.
const LARGEST: usize = 256 * 1024;

/// What a segment may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct Index {
    /// Goes into each digest, so that nobody can choose values that look like others.
    salt: Salt,
    /// When its first and last record were, in nanoseconds. The first by time, not by number.
    earliest: i128,
    latest: i128,
    /// Of each field, in the order of [`FIELDS`].
    values: Vec<Values>,
}

impl Index {
    /// That of the segment in `path`, if there is one and it was made of what is there now.
    pub(in crate::audit) fn of(path: &Path) -> Option<Self> {
        let (segment, index) = (regular(path).ok()?, regular(&beside(path)).ok()?);
        if !is_trusted(&index.metadata().ok()?, &segment.metadata().ok()?) {
            return None;
        }
        let mut bytes = Vec::new();
        index.take(LARGEST as u64 + 1).read_to_end(&mut bytes).ok()?;
        let (stamp, index) = format::decode(&bytes)?;
        (stamp == Stamp::of(&segment).ok()?).then_some(index)
    }

    /// Whether there may be something in it that is sought.
    pub(in crate::audit) fn may_hold(&self, sought: &Sought) -> bool {
        let nanoseconds = time::OffsetDateTime::unix_timestamp_nanos;
        let is_over = sought.window.from.is_some_and(|from| self.latest < nanoseconds(from));
        let is_to_come = sought.window.to.is_some_and(|to| self.earliest >= nanoseconds(to));
        let may_have = |name: &str, wanted: &[String]| {
            let of_field = FIELDS.iter().zip(&self.values).zip(0..);
            let mut of_field = of_field.filter(|(((known, _), _), _)| *known == name);
            of_field.all(|((_, values), number)| {
                wanted.iter().any(|text| values.may_have(Digest::of(&self.salt, number, text)))
            })
        };
        let mut fields = sought.fields.iter();
        !is_over && !is_to_come && fields.all(|(field, wanted)| may_have(field.name(), wanted))
    }
}

/// Whoever could write an index could hide records from a search: it has to be the work of whoever wrote the segment.
fn is_trusted(index: &Metadata, segment: &Metadata) -> bool {
    index.uid() == segment.uid() && index.mode() & 0o022 == 0
}

/// Where the index of the segment in `path` is, compressed or not.
pub(in crate::audit) fn beside(path: &Path) -> PathBuf {
    let mut beside = match path.extension() {
        Some(end) if COMPRESSED.strip_prefix('.').is_some_and(|zst| end == zst) => {
            path.with_extension("").into_os_string()
        }
        _ => path.as_os_str().to_owned(),
    };
    beside.push(INDEX);
    beside.into()
}
