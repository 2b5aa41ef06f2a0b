//! The first thing in a trail that does not fit.

use std::io;
use std::path::PathBuf;

/// The first thing in a trail that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// There is no trail in the directory.
    #[error("{}: no trail-*.jsonl with a record in it", dir.display())]
    Missing {
        /// Which.
        dir: PathBuf,
    },
    /// A file or the directory cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line that is no record.
    #[error("{}:{line}: not a record of the trail: {why}", file.display())]
    NotARecord {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// Why.
        why: String,
    },
    /// A line with nothing on it.
    #[error(
        "{}:{line}: the line is blank, which no line of the trail is: something else wrote to the file, \
         an editor perhaps",
        file.display()
    )]
    Blank {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
    },
    /// A line that is longer than any record.
    #[error("{}:{line}: longer than any record of the trail", file.display())]
    TooLong {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
    },
    /// A line that ends without a newline, and is not the trail's last.
    #[error("{}:{line}: the line is cut off, and the trail goes on in the next file", file.display())]
    CutOff {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
    },
    /// A record whose number does not follow: some are missing, or out of order, or there twice.
    #[error(
        "{}:{line}: record {expected} is expected, record {found} found: {}",
        file.display(),
        misplaced(*expected, *found)
    )]
    Sequence {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// The number that follows.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// A line that is not what its successor says it was.
    #[error(
        "{}:{line}: changed after it was written: its SHA-256 is {found}, the next record says {expected}",
        file.display()
    )]
    Changed {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// The hash that its successor names.
        expected: String,
        /// The hash that it has.
        found: String,
    },
    /// A trail or a segment that does not begin as one.
    #[error("{}:1: {expected} is expected at the beginning, {found} found", file.display())]
    Beginning {
        /// Which file.
        file: PathBuf,
        /// What is expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A checkpoint that does not fit the records before it, or is not signed as it must be.
    #[error("{}:{line}: the checkpoint {why}", file.display())]
    Checkpoint {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A segment that does not say of the tree before it what that is.
    #[error("{}:1: the segment's peaks are not those of the records before it", file.display())]
    Peaks {
        /// Which file.
        file: PathBuf,
    },
    /// A key that nobody introduced.
    #[error(
        "{}:1: from here on the trail is sealed by {found}, which the key before it did not introduce: that \
         one was lost, or somebody writes the trail anew",
        file.display()
    )]
    Key {
        /// Which file.
        file: PathBuf,
        /// The verifier key.
        found: String,
    },
    /// A file that would be read as one of the trail, and is none.
    #[error(
        "{}: no file of this trail is named so (they are trail-TIME-NUMBER.jsonl), and it was not checked; `audit query` \
         and others read it, so it must not be here",
        file.display()
    )]
    Foreign {
        /// Which.
        file: PathBuf,
    },
    /// A checkpoint from outside that does not fit.
    #[error("{}: {why}", given.display())]
    Given {
        /// Which.
        given: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A key from outside that has sealed nothing here.
    #[error(
        "the key {key} has sealed nothing of this trail: it is another trail's, or this one was written anew"
    )]
    Stranger {
        /// The verifier key.
        key: String,
    },
}

/// What a line says of itself may be anything, and is repeated if it is what belongs there.
pub(super) fn hash_or_none(text: &str) -> String {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { text.to_owned() } else { "what is no hash".to_owned() }
}

fn misplaced(expected: u64, found: u64) -> String {
    match found.checked_sub(expected) {
        Some(1) => "one record is missing or comes later".into(),
        Some(missing) => format!("{missing} records are missing or come later"),
        None => "it was there before, or comes too late".into(),
    }
}
