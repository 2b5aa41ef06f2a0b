//! What was kept of a trail elsewhere: verifier keys, and checkpoints in files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::broken::Broken;
use crate::audit::seal::{Checkpoint, NoKey, NotACheckpoint, NotANote, Note, Tree, Verifier};

/// More than any checkpoint's file has.
const FILE_BYTES: u64 = 1024 * 1024;

/// What was kept of a trail elsewhere, out of reach of whoever could have changed it.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub(in crate::audit) keys: Vec<Verifier>,
    pub(in crate::audit) checkpoints: Vec<Given>,
}

/// A checkpoint that was kept elsewhere.
#[derive(Debug, Clone)]
pub(in crate::audit) struct Given {
    pub(in crate::audit) path: PathBuf,
    pub(in crate::audit) note: Note,
    pub(in crate::audit) checkpoint: Checkpoint,
}

/// What is no key, or no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no signed note.
    #[error("{}", path.display())]
    Note {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: NotANote,
    },
    /// It is another signed note.
    #[error("{}", path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: NotACheckpoint,
    },
    /// It is no verifier key.
    #[error("{text}")]
    Key {
        /// What was given.
        text: String,
        /// Why.
        #[source]
        source: NoKey,
    },
}

impl Kept {
    /// Verifier keys, and files with a checkpoint each.
    ///
    /// # Errors
    ///
    /// Says which of them is none.
    pub fn read(keys: &[String], checkpoints: &[PathBuf]) -> Result<Self, KeptError> {
        let key = |text: &String| {
            let failed = |source| KeptError::Key { text: text.clone(), source };
            Verifier::parse(text).map_err(failed)
        };
        let keys = keys.iter().map(key).collect::<Result<_, _>>()?;
        let checkpoints =
            checkpoints.iter().map(|path| Given::read(path)).collect::<Result<_, _>>()?;
        Ok(Self { keys, checkpoints })
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.checkpoints.is_empty()
    }
}

impl Given {
    /// Reads a file with a checkpoint.
    pub(in crate::audit) fn read(path: &Path) -> Result<Self, KeptError> {
        let path = path.to_owned();
        let unreadable = |source| KeptError::Unreadable { path: path.clone(), source };
        let mut text = String::new();
        let file = File::open(&path).map_err(unreadable)?;
        file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let note =
            Note::parse(&text).map_err(|source| KeptError::Note { path: path.clone(), source })?;
        let checkpoint = Checkpoint::parse(note.text())
            .map_err(|source| KeptError::Checkpoint { path: path.clone(), source })?;
        Ok(Self { path, note, checkpoint })
    }

    pub(super) fn broken(&self, why: impl Into<String>) -> Broken {
        Broken::Given { given: self.path.clone(), why: why.into() }
    }

    /// Whether it is of the trail that has come to this tree, sealed by `key`.
    pub(super) fn compare(&self, tree: &Tree, key: Option<&Verifier>) -> Result<(), Broken> {
        let Checkpoint { origin, size, root } = &self.checkpoint;
        let Some(key) = key else {
            return Err(self.broken("nothing in the trail says which key seals it"));
        };
        let name = &key.key_id().name;
        if origin != name {
            return Err(self.broken(format!("it is of the trail {origin}, and this one is {name}")));
        }
        if !self.note.is_signed_by(key) {
            return Err(self.broken(format!(
                "it is not signed by the key that seals record {size} here: it is forged, or the trail was \
                 sealed anew with a later key"
            )));
        }
        if tree.root() != *root {
            return Err(self.broken(format!(
                "the first {size} records are not those that it was made of: the trail was written anew"
            )));
        }
        Ok(())
    }
}
