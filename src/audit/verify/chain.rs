//! What is known of a trail up to a line, and whether the next one fits.

use std::path::{Path, PathBuf};

use super::broken::{Broken, hash_or_none};
use super::digest::Digest;
use super::seals::Seals;
use super::verified::{Sealed, Verified};
use crate::audit::Action;
use crate::audit::line::encode::{Hash, NOTHING_BEFORE};
use crate::audit::read::placed::Line;
use crate::audit::trail::segment::SegmentName;

/// What is known of the trail up to a line.
pub(super) struct Chain {
    pub(super) verified: Verified,
    /// What the first record says of the line before it.
    before_first: String,
    last_hash: Hash,
    file: PathBuf,
    pub(super) line: u64,
    seals: Seals,
}

impl Chain {
    pub(super) fn begin(path: &Path, line: &Line<'_>, seals: Seals) -> Result<Self, Broken> {
        let first = line.event.sequence;
        let nothing_before = line.myelin.prev == hex::encode(NOTHING_BEFORE);
        if (first == 1) != nothing_before {
            return Err(Broken::Beginning {
                file: path.into(),
                expected: "record 1 after nothing, or a later one after another".into(),
                found: format!("record {first} after {}", hash_or_none(line.myelin.prev)),
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
                removed_by: None,
                earlier_than_previous: 0,
                seals: Sealed::default(),
                unfinished_bytes: 0,
            },
            before_first: line.myelin.prev.to_owned(),
            last_hash: NOTHING_BEFORE,
            file: path.into(),
            line: 0,
            seals,
        })
    }

    /// Checks that a record that says so of itself comes after all before it.
    pub(super) fn follow(
        &self,
        path: &Path,
        number: u64,
        sequence: u64,
        prev: &str,
    ) -> Result<(), Broken> {
        let (expected, found) = (self.verified.last_sequence.saturating_add(1), sequence);
        if expected != found {
            return Err(Broken::Sequence { file: path.into(), line: number, expected, found });
        }
        let mut hex = [0; 64];
        let fits = hex::encode_to_slice(self.last_hash, &mut hex).is_ok() && hex == prev.as_bytes();
        if fits {
            return Ok(());
        }
        Err(Broken::Changed {
            file: self.file.clone(),
            line: self.line,
            expected: hash_or_none(prev),
            found: hex::encode(self.last_hash),
        })
    }

    /// That there is a first record of all once more.
    pub(super) fn other_trail(&self, path: &Path) -> Broken {
        Broken::Beginning {
            file: path.into(),
            expected: format!("record {}", self.verified.last_sequence.saturating_add(1)),
            found: "record 1 of another trail: files of several are in this directory; each belongs into one of its own,"
                .into(),
        }
    }

    /// Checks that a segment begins with `line`, and has the name that belongs to it.
    pub(super) fn begin_segment(
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
            let known = Action::ALL.iter().map(|action| action.label());
            let known = known.into_iter().find(|label| *label == line.event.action);
            let found = known.unwrap_or("another record").to_owned();
            return Err(wrong("a record that begins a segment", found));
        }
        if name.first != line.event.sequence {
            let found = format!("record {}", line.event.sequence);
            return Err(wrong(&format!("record {}, as its name says,", name.first), found));
        }
        self.verified.segments += 1;
        self.file = path.into();
        self.seals.begin_segment(path, line)
    }

    /// Checks what `line` says of the trail.
    pub(super) fn meet(&mut self, path: &Path, number: u64, line: &Line<'_>) -> Result<(), Broken> {
        if line.myelin.removed.iter().any(|removed| removed.last_hash == self.before_first) {
            self.verified.removal_on_record = self.verified.removal_on_record.map(|_| true);
            self.verified.removed_by = Some(line.event.sequence);
        }
        self.seals.meet(path, number, line)
    }

    /// Adds a record that follows.
    pub(super) fn append(
        &mut self,
        number: u64,
        sequence: u64,
        timestamp: &str,
        digest: &Digest,
    ) -> Result<(), Broken> {
        self.seals.append(digest.leaf)?;
        let verified = &mut self.verified;
        if timestamp < verified.last_time.as_str() {
            verified.earlier_than_previous += 1;
        }
        verified.last_time.clear();
        verified.last_time.push_str(timestamp);
        verified.records += 1;
        verified.last_sequence = sequence;
        self.last_hash = digest.hash;
        self.line = number;
        Ok(())
    }

    /// Checks that a file without records is where an attempt to begin a segment may have failed.
    pub(super) fn pass_empty(&self, path: &Path, name: &SegmentName) -> Result<(), Broken> {
        let expected = self.verified.last_sequence.saturating_add(1);
        if name.first == expected {
            return Ok(());
        }
        Err(Broken::Beginning {
            file: path.into(),
            expected: format!("record {}, as its name says,", name.first),
            found: "nothing".into(),
        })
    }

    pub(super) fn finish(self) -> Result<Verified, Broken> {
        let seals = self.seals.finish()?;
        Ok(Verified { last_hash: hex::encode(self.last_hash), seals, ..self.verified })
    }
}
