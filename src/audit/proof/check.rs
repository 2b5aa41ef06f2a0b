//! Whether a proof holds, and by whom.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::audit::read::lines::LONGEST;
use crate::audit::read::placed::Line;
use crate::audit::seal::{NotAProof, Proof};
use crate::audit::verify::Kept;

/// More than the proof of the longest line has: four characters for three of its bytes, and a checkpoint.
const FILE_BYTES: u64 = 2 * LONGEST as u64;

/// A record that stands in the trail as a proof has it.
#[derive(Debug, Serialize)]
pub struct Proven {
    /// The trail: the name of the key that seals it.
    pub trail: String,
    /// The record's number.
    pub sequence: u64,
    /// How many records the checkpoint covers.
    pub size: u64,
    /// The record: its line in the trail.
    pub line: String,
}

/// A proof that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no proof.
    #[error("{}", path.display())]
    NotAProof {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: NotAProof,
    },
    /// Its checkpoint is another one than was given.
    #[error(
        "{}: its checkpoint is not {}: that is of {given_size} records of {given_trail}, this one of {size} of \
         {trail}; `myelin audit prove --checkpoint` proves by a given one",
        path.display(),
        given.display()
    )]
    OtherCheckpoint {
        /// Which.
        path: PathBuf,
        /// The checkpoint that was given.
        given: PathBuf,
        /// How many records that is of.
        given_size: u64,
        /// Whose.
        given_trail: String,
        /// How many records the proof's own is of.
        size: u64,
        /// Whose.
        trail: String,
    },
    /// No given key has signed its checkpoint.
    #[error("{}: its checkpoint is not signed by {key}", path.display())]
    Stranger {
        /// Which.
        path: PathBuf,
        /// The verifier key.
        key: String,
    },
    /// The record does not stand in the tree.
    #[error(
        "{}: the record is not one that the checkpoint seals: it, or the proof, was changed",
        path.display()
    )]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// What stands in the tree is no record, or none of this number.
    #[error("{}: what it proves is not record {sequence} of a trail", path.display())]
    NotTheRecord {
        /// Which.
        path: PathBuf,
        /// The number that belongs to its place.
        sequence: u64,
    },
}

/// Checks the proof in the file `path` against checkpoints and keys that were kept, of which all must fit.
///
/// # Errors
///
/// Says what does not fit. Without anything that was kept nothing is proven: the caller has to ask for it.
pub fn verify_proof(path: &Path, kept: &Kept) -> Result<Proven, Unproven> {
    let path = path.to_owned();
    let unreadable = |source| Unproven::Unreadable { path: path.clone(), source };
    let mut text = String::new();
    let file = File::open(&path).map_err(unreadable)?;
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    let proof =
        Proof::parse(&text).map_err(|source| Unproven::NotAProof { path: path.clone(), source })?;
    vouched(&path, &proof, kept)?;
    if !proof.holds() {
        return Err(Unproven::Changed { path });
    }
    let sequence = proof.index.saturating_add(1);
    let is_record = Line::parse(&proof.line).is_ok_and(|line| line.event.sequence == sequence);
    let Proof { line, checkpoint, .. } = proof;
    match String::from_utf8(line) {
        Ok(line) if is_record => {
            Ok(Proven { trail: checkpoint.origin, sequence, size: checkpoint.size, line })
        }
        Ok(_) | Err(_) => Err(Unproven::NotTheRecord { path, sequence }),
    }
}

/// Whether the proof's checkpoint is the one that was given, and signed by the keys that were.
fn vouched(path: &Path, proof: &Proof, kept: &Kept) -> Result<(), Unproven> {
    let own = &proof.checkpoint;
    if let Some(given) = kept.checkpoints.iter().find(|given| given.checkpoint != *own) {
        return Err(Unproven::OtherCheckpoint {
            path: path.to_owned(),
            given: given.path.clone(),
            given_size: given.checkpoint.size,
            given_trail: given.checkpoint.origin.clone(),
            size: own.size,
            trail: own.origin.clone(),
        });
    }
    // C2SP tlog-checkpoint: the origin is the name of the key.
    let is_signed = |key: &&_| proof.note.is_signed_by(key) && key.key_id().name == own.origin;
    match kept.keys.iter().find(|key| !is_signed(key)) {
        Some(key) => Err(Unproven::Stranger { path: path.to_owned(), key: key.to_string() }),
        None => Ok(()),
    }
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trail, sequence, size, line } = self;
        writeln!(
            f,
            "record {sequence} of {trail} stands among the {size} that the checkpoint seals:"
        )?;
        write!(f, "{line}")
    }
}
