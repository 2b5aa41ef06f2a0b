//! Who has reviewed a trail.
//!
//! Whoever signs off a review leaves a note of it for the writer ([`spool`]), so it becomes a record like any other: in
//! the chain, and sealed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::read::lines::LONGEST;
use super::read::{Most, Reading, Recorded, RecordedCheckpoint, UnreadableTrail};
use super::reads::Reader;
use super::spool::{self, Spool, Unnoted};

/// The directory of notes, in the trail's.
const DIR: &str = "reviews";

/// `myelin.review`: that somebody has reviewed a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// When it was signed off: RFC 3339, in UTC.
    #[serde(default)]
    pub at: String,
    /// Who, as they call themselves.
    pub reviewer: String,
    /// Whose process signed.
    pub by: Reader,
    /// The period's beginning, RFC 3339.
    pub from: String,
    /// Its end, which is not part of it.
    pub to: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The report that was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReviewedReport>,
    /// What there was of the trail, by its last checkpoint. `None`: nothing was sealed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<ReviewedTrail>,
}

/// A report, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedReport {
    /// Its file's name, without the way to it.
    pub file: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// A trail, by its last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedTrail {
    /// How many records it covers.
    pub size: u64,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
}

/// A sign-off that cannot be handed in.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// Nobody will ever put it on record.
    #[error("{} is a copy of a trail, which nobody writes: sign off where the sidecar keeps it", dir.display())]
    Copy {
        /// Which.
        dir: PathBuf,
    },
    /// There is no place for it.
    #[error(transparent)]
    Unnoted(#[from] Unnoted),
}

impl Review {
    /// The end of its period.
    pub fn end(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.to, &Rfc3339).ok()
    }

    /// Hands it in to the writer of the trail in `dir`.
    ///
    /// # Errors
    ///
    /// It is no trail that is written, or its directory cannot be.
    pub fn hand_in(self, dir: &Path) -> Result<(), Unsigned> {
        let spool = Spool::open(dir, DIR)?.ok_or_else(|| Unsigned::Copy { dir: dir.into() })?;
        let (name, at) = spool.place(self.by.process);
        Ok(spool.put(&name, &Self { at, ..self })?)
    }

    /// Those that were handed in for the trail in `dir` and are not on record yet.
    pub fn waiting(dir: &Path) -> Vec<Self> {
        spool::look(dir, DIR)
    }
}

/// Those that wait, each with its file, which goes when it is on record.
pub(super) fn waiting(trail: &Path) -> Vec<(PathBuf, Review)> {
    spool::waiting(trail, DIR, |_, _| false)
}

/// The last checkpoint of the trail in `dir`; `None` if nothing is sealed. It is not checked here.
///
/// # Errors
///
/// There is no trail, or it cannot be read.
pub fn last_checkpoint(dir: &Path) -> Result<Option<ReviewedTrail>, UnreadableTrail> {
    let is_checkpoint = |record: &Recorded| record.myelin.checkpoint.is_some();
    let one = Most { records: 1, bytes: LONGEST };
    let (_, found) = Reading::default().latest(dir, one, &is_checkpoint)?;
    let last = found.into_iter().find_map(|(_, record)| record.myelin.checkpoint);
    Ok(last.map(|RecordedCheckpoint { size, note }| ReviewedTrail { size, note }))
}
