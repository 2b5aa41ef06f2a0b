//! Finds a record in a trail, and proves it.

use std::io;
use std::path::{Path, PathBuf};

use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::lines::{Lines, Next};
use crate::audit::read::placed::Line;
use crate::audit::seal::{Checkpoint, Inclusion, Note, Proof, Prover, Tree, leaf};
use crate::audit::verify::Kept;

/// A record that cannot be proven.
#[derive(Debug, thiserror::Error)]
pub enum NoProof {
    /// A file or the directory cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such record.
    #[error("{}: there is no record {sequence} in the trail", dir.display())]
    Missing {
        /// Where.
        dir: PathBuf,
        /// Its number.
        sequence: u64,
    },
    /// The record is there, and not sealed.
    #[error(
        "{}: no checkpoint covers record {sequence} yet: one is made within `audit.checkpoints.interval`, while \
         the sidecar runs",
        dir.display()
    )]
    Unsealed {
        /// Where.
        dir: PathBuf,
        /// Its number.
        sequence: u64,
    },
    /// The given checkpoint is older than the record.
    #[error("{} is of {size} records, and does not cover record {sequence}", given.display())]
    TooEarly {
        /// The checkpoint.
        given: PathBuf,
        /// How many records it covers.
        size: u64,
        /// The record's number.
        sequence: u64,
    },
    /// The given checkpoint covers more than there is.
    #[error("{} is of {size} records, and the trail has {has}: its end was cut off", given.display())]
    CutOff {
        /// The checkpoint.
        given: PathBuf,
        /// How many records it covers.
        size: u64,
        /// How many there are.
        has: u64,
    },
    /// No segment up to the record's says what tree it goes on with.
    #[error(
        "{}: a version that sealed nothing wrote it, and the records before it are gone: it cannot be proven",
        file.display()
    )]
    NoTree {
        /// The record's segment.
        file: PathBuf,
    },
    /// A line that is no record of the trail, or not the next one.
    #[error("{}:{line}: not record {sequence}; `myelin audit verify` tells more", file.display())]
    NotTheRecord {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// The number that is expected.
        sequence: u64,
    },
    /// The trail does not lead to the checkpoint's root.
    #[error(
        "{}: the records up to {size} are not those that the checkpoint seals; `myelin audit verify` names the \
         first bad one",
        dir.display()
    )]
    Changed {
        /// Where.
        dir: PathBuf,
        /// How many records the checkpoint covers.
        size: u64,
    },
}

/// Proves that record `sequence` stands in the trail in `dir`: by the checkpoint in `kept`, or else by the
/// first in the trail that covers it.
///
/// Reads from the record's segment on, as far as the checkpoint reaches. The proof was checked: a trail that was
/// changed before the checkpoint proves nothing.
///
/// # Errors
///
/// The record, or a checkpoint that covers it, is not there, or they do not fit.
pub fn prove(dir: &Path, sequence: u64, kept: &Kept) -> Result<Proof, NoProof> {
    let given = kept.checkpoints.first();
    if let Some(given) = given.filter(|given| given.checkpoint.size < sequence) {
        let size = given.checkpoint.size;
        return Err(NoProof::TooEarly { given: given.path.clone(), size, sequence });
    }
    let files = files(dir).map_err(|source| unreadable(dir, source))?;
    let Some((tree, rest)) = beginning(&files, sequence)? else {
        return Err(NoProof::Missing { dir: dir.into(), sequence });
    };
    let prover = Prover::new(tree, sequence.saturating_sub(1));
    let given = given.map(|given| (&given.checkpoint, &given.note));
    let mut search = Search { dir, sequence, given, prover, line: None };
    for file in rest {
        if let Some(proof) = search.read(file)? {
            return Ok(proof);
        }
    }
    search.end(kept)
}

fn unreadable(path: &Path, source: io::Error) -> NoProof {
    NoProof::Unreadable { path: path.into(), source }
}

/// The tree from which the record can be reached, and the files from there on. `None` when the trail begins later.
fn beginning(
    files: &[SegmentFile],
    sequence: u64,
) -> Result<Option<(Tree, &[SegmentFile])>, NoProof> {
    let before = files.iter().take_while(|file| file.name.first <= sequence).count();
    let mut records = None;
    for (index, file) in files.iter().enumerate().take(before).rev() {
        let failed = |source| unreadable(&file.path, source);
        let mut lines = Lines::new(file.open().map_err(failed)?);
        let line = match lines.next().map_err(failed)? {
            Next::Line(line) => Line::parse(line).ok(),
            Next::TooLong => None,
            Next::Unfinished(_) | Next::End => continue,
        };
        let Some(line) = line else {
            let (file, sequence) = (file.path.clone(), file.name.first);
            return Err(NoProof::NotTheRecord { file, line: 1, sequence });
        };
        records = records.or(Some(file));
        let begins_all = line.event.sequence == 1;
        let tree = if begins_all { Some(Tree::default()) } else { line.tree_before() };
        if let Some(tree) = tree {
            return Ok(Some((tree, files.get(index..).unwrap_or_default())));
        }
    }
    records.map_or(Ok(None), |file| Err(NoProof::NoTree { file: file.path.clone() }))
}

/// A record that is looked for, and the tree that grows meanwhile.
struct Search<'a> {
    dir: &'a Path,
    sequence: u64,
    given: Option<(&'a Checkpoint, &'a Note)>,
    prover: Prover,
    /// The record, once it was met.
    line: Option<Vec<u8>>,
}

impl Search<'_> {
    /// Reads a segment; with the proof, if the checkpoint is reached in it.
    fn read(&mut self, file: &SegmentFile) -> Result<Option<Proof>, NoProof> {
        let failed = |source| unreadable(&file.path, source);
        let mut lines = Lines::new(file.open().map_err(failed)?);
        loop {
            let (number, sequence) = (lines.number() + 1, self.prover.tree().size() + 1);
            let wrong =
                || NoProof::NotTheRecord { file: file.path.clone(), line: number, sequence };
            let line = match lines.next().map_err(failed)? {
                Next::Line(line) => line,
                Next::TooLong => return Err(wrong()),
                Next::Unfinished(_) | Next::End => return Ok(None),
            };
            let parsed = Line::parse(line).map_err(|_no_record| wrong())?;
            if parsed.event.sequence != sequence {
                return Err(wrong());
            }
            if let Some((checkpoint, note)) = self.reached(&parsed) {
                return self.prove(checkpoint, note).map(Some);
            }
            if sequence == self.sequence {
                self.line = Some(line.to_vec());
            }
            self.prover.push(leaf(line));
        }
    }

    /// The checkpoint that the tree before `line` belongs to, if it is the one that is wanted.
    fn reached(&self, line: &Line<'_>) -> Option<(Checkpoint, Note)> {
        if let Some((checkpoint, note)) = self.given {
            let is_there = checkpoint.size == self.prover.tree().size();
            return is_there.then(|| (checkpoint.clone(), note.clone()));
        }
        self.line.as_ref()?;
        let note = Note::parse(&line.myelin.checkpoint.as_ref()?.note).ok()?;
        Some((Checkpoint::parse(note.text()).ok()?, note))
    }

    /// Behind the last record, where a given checkpoint may belong.
    fn end(self, kept: &Kept) -> Result<Proof, NoProof> {
        let (sequence, has) = (self.sequence, self.prover.tree().size());
        if let Some(given) = kept.checkpoints.first() {
            let (path, size) = (given.path.clone(), given.checkpoint.size);
            return match size == has {
                true => self.prove(given.checkpoint.clone(), given.note.clone()),
                false => Err(NoProof::CutOff { given: path, size, has }),
            };
        }
        let dir = self.dir.to_owned();
        Err(match self.line {
            Some(_) => NoProof::Unsealed { dir, sequence },
            None => NoProof::Missing { dir, sequence },
        })
    }

    fn prove(&self, checkpoint: Checkpoint, note: Note) -> Result<Proof, NoProof> {
        let changed = NoProof::Changed { dir: self.dir.into(), size: checkpoint.size };
        let (Some(line), Some(Inclusion { index, path, .. })) =
            (self.line.clone(), self.prover.prove())
        else {
            return Err(changed);
        };
        let proof = Proof { line, index, path, note, checkpoint };
        if proof.holds() { Ok(proof) } else { Err(changed) }
    }
}
