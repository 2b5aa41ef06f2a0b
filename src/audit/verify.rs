//! Checks a trail from outside, reading it once, in constant memory.
//!
//! Each line names the hash of the line before it. A line that was changed is thus betrayed by its
//! successor; records that were taken out, added or moved are betrayed by their numbers.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::audit::line::encode::{Hash, NOTHING_BEFORE, hash};
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::lines::{Lines, Next};
use crate::audit::read::placed::Line;
use crate::audit::trail::segment::SegmentName;
use crate::report::Count;

/// A trail in which everything fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Files with records.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// The first record's number; more than 1 when older segments are gone.
    pub first_sequence: u64,
    /// The last record's number.
    pub last_sequence: u64,
    /// The first record's time.
    pub first_time: String,
    /// The last record's time.
    pub last_time: String,
    /// SHA-256 of the last line, lower-case hexadecimal. To be compared with what is known elsewhere: a
    /// trail that was cut at its end, or written anew from its beginning, fits as well.
    pub last_hash: String,
    /// When older segments are gone: whether a record of this trail says that their retention was over.
    pub removal_on_record: Option<bool>,
    /// Records whose time is before that of the record before them: clocks are set, and records of
    /// different connections overtake each other by milliseconds.
    pub earlier_than_previous: u64,
    /// Bytes after the last record: one that is being written, or was when the power failed. The next
    /// start puts it on record.
    pub unfinished_bytes: u64,
}

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
    #[error("{}:{line}: not a record of the trail", file.display())]
    NotARecord {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
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
}

fn misplaced(expected: u64, found: u64) -> String {
    match found.checked_sub(expected) {
        Some(1) => "one record is missing or comes later".into(),
        Some(missing) => format!("{missing} records are missing or come later"),
        None => "it was there before, or comes too late".into(),
    }
}

/// Checks the trail in `dir`.
///
/// # Errors
///
/// Names the first thing that does not fit: file, line, what was expected and what is there.
pub fn verify(dir: &Path) -> Result<Verified, Broken> {
    let unreadable = |source| Broken::Unreadable { path: dir.into(), source };
    let files = files(dir).map_err(unreadable)?;
    let mut chain: Option<Chain> = None;
    for (index, file) in files.iter().enumerate() {
        let unfinished = read_segment(file, &mut chain)?;
        let Some(chain) = &mut chain else { continue };
        if unfinished > 0 && index + 1 < files.len() {
            return Err(Broken::CutOff { file: file.path.clone(), line: chain.line + 1 });
        }
        chain.verified.unfinished_bytes = unfinished;
    }
    chain.map(Chain::finish).ok_or_else(|| Broken::Missing { dir: dir.into() })
}

/// Checks one segment, and returns how many bytes are after its last newline.
fn read_segment(file: &SegmentFile, chain: &mut Option<Chain>) -> Result<u64, Broken> {
    let SegmentFile { path, name, .. } = file;
    let unreadable = |source| Broken::Unreadable { path: path.clone(), source };
    let mut lines = Lines::new(file.open().map_err(unreadable)?);
    let mut unfinished = 0;
    loop {
        let number = lines.number() + 1;
        let bytes = match lines.next().map_err(unreadable)? {
            Next::Line(bytes) => bytes,
            Next::TooLong => return Err(Broken::TooLong { file: path.clone(), line: number }),
            Next::Unfinished(bytes) => {
                unfinished = bytes;
                break;
            }
            Next::End => break,
        };
        if bytes.trim_ascii().is_empty() {
            return Err(Broken::Blank { file: path.clone(), line: number });
        }
        let line = Line::parse(bytes).map_err(|source| Broken::NotARecord {
            file: path.clone(),
            line: number,
            source,
        })?;
        match chain {
            Some(chain) => chain.follow(path, number, &line)?,
            None => *chain = Some(Chain::begin(path, &line)?),
        }
        let Some(chain) = chain else { break };
        if number == 1 {
            chain.begin_segment(path, name, &line)?;
        }
        chain.append(path, number, &line, hash(bytes));
    }
    let is_empty = lines.number() == u64::from(unfinished > 0);
    match chain {
        Some(chain) if is_empty => chain.pass_empty(path, name)?,
        Some(_) | None => {}
    }
    Ok(unfinished)
}

/// What is known of the trail up to a line.
struct Chain {
    verified: Verified,
    /// What the first record says of the line before it.
    before_first: String,
    last_hash: Hash,
    file: PathBuf,
    line: u64,
}

impl Chain {
    fn begin(path: &Path, line: &Line<'_>) -> Result<Self, Broken> {
        let first = line.event.sequence;
        let nothing_before = line.myelin.prev == hex::encode(NOTHING_BEFORE);
        if (first == 1) != nothing_before {
            return Err(Broken::Beginning {
                file: path.into(),
                expected: "record 1 after nothing, or a later one after another".into(),
                found: format!("record {first} after {}", line.myelin.prev),
            });
        }
        Ok(Self {
            verified: Verified {
                segments: 0,
                records: 0,
                first_sequence: first,
                last_sequence: first.wrapping_sub(1),
                first_time: line.timestamp.to_owned(),
                last_time: line.timestamp.to_owned(),
                last_hash: String::new(),
                removal_on_record: (first > 1).then_some(false),
                earlier_than_previous: 0,
                unfinished_bytes: 0,
            },
            before_first: line.myelin.prev.to_owned(),
            last_hash: NOTHING_BEFORE,
            file: path.into(),
            line: 0,
        })
    }

    /// Checks that `line` comes after all before it.
    fn follow(&self, path: &Path, number: u64, line: &Line<'_>) -> Result<(), Broken> {
        let (expected, found) = (self.verified.last_sequence + 1, line.event.sequence);
        if expected != found {
            return Err(Broken::Sequence { file: path.into(), line: number, expected, found });
        }
        let mut hex = [0; 64];
        let fits = hex::encode_to_slice(self.last_hash, &mut hex).is_ok()
            && hex == line.myelin.prev.as_bytes();
        if fits {
            return Ok(());
        }
        Err(Broken::Changed {
            file: self.file.clone(),
            line: self.line,
            expected: line.myelin.prev.to_owned(),
            found: hex::encode(self.last_hash),
        })
    }

    /// Checks that a segment begins with `line`, and has the name that belongs to it.
    fn begin_segment(
        &mut self,
        path: &Path,
        name: &SegmentName,
        line: &Line<'_>,
    ) -> Result<(), Broken> {
        let wrong = |expected: &str, found| Broken::Beginning {
            file: path.into(),
            expected: expected.into(),
            found,
        };
        if !line.begins_segment() {
            return Err(wrong("a record that begins a segment", line.event.action.to_owned()));
        }
        if name.first != line.event.sequence {
            let found = format!("record {}", line.event.sequence);
            return Err(wrong(&format!("record {}, as its name says,", name.first), found));
        }
        self.verified.segments += 1;
        self.file = path.into();
        Ok(())
    }

    fn append(&mut self, path: &Path, number: u64, line: &Line<'_>, hash: Hash) {
        debug_assert_eq!(self.file, path);
        let verified = &mut self.verified;
        if line.timestamp < verified.last_time.as_str() {
            verified.earlier_than_previous += 1;
        }
        verified.last_time.clear();
        verified.last_time.push_str(line.timestamp);
        verified.records += 1;
        verified.last_sequence = line.event.sequence;
        if line.myelin.removed.iter().any(|removed| removed.last_hash == self.before_first) {
            verified.removal_on_record = verified.removal_on_record.map(|_| true);
        }
        self.last_hash = hash;
        self.line = number;
    }

    /// Checks that a file without records is where an attempt to begin a segment may have failed.
    fn pass_empty(&self, path: &Path, name: &SegmentName) -> Result<(), Broken> {
        let expected = self.verified.last_sequence + 1;
        if name.first == expected {
            return Ok(());
        }
        Err(Broken::Beginning {
            file: path.into(),
            expected: format!("record {}, as its name says,", name.first),
            found: "nothing".into(),
        })
    }

    fn finish(self) -> Verified {
        Verified { last_hash: hex::encode(self.last_hash), ..self.verified }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, segments, first_sequence, last_sequence, .. } = self;
        let (records, segments) = (Count(*records, "record"), Count(*segments, "file"));
        writeln!(f, "{records} in {segments}: an unbroken chain")?;
        writeln!(f, "first: record {first_sequence} at {}", self.first_time)?;
        writeln!(f, "last:  record {last_sequence} at {}", self.last_time)?;
        write!(f, "SHA-256 of the last line: {}", self.last_hash)?;
        match self.removal_on_record {
            None => {}
            Some(true) => write!(f, "\nwhat came before was removed when its retention was over")?,
            Some(false) => write!(f, "\nwhat came before is gone, and no record says why")?,
        }
        match self.earlier_than_previous {
            0 => {}
            1 => write!(f, "\n1 record is earlier than its predecessor")?,
            records => write!(f, "\n{records} records are earlier than their predecessors")?,
        }
        if self.unfinished_bytes > 0 {
            let bytes = Count(self.unfinished_bytes, "byte");
            write!(f, "\n{bytes} of an unfinished line at the end")?;
        }
        Ok(())
    }
}
