//! Records that a receiver does not take, kept in a list.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::export::failure::Failure;
use crate::outcome::Undelivered;

/// The list is not longer than this, in bytes: then nothing is left out any more.
const LONGEST: u64 = 16 << 20;

/// What is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) struct Rejected {
    /// The record, or the first of those among which they are.
    pub(in crate::export) sequence: u64,
    /// How many records.
    pub(in crate::export) count: u64,
    pub(in crate::export) why: String,
}

/// The list of them, and those that were not told yet.
pub(in crate::export) struct Rejections {
    path: PathBuf,
    untold: Vec<Rejected>,
}

impl Rejections {
    /// Of the export `name` of the trail in `dir`.
    pub(in crate::export) fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(format!("export-{name}.rejected.jsonl")), untold: Vec::new() }
    }

    /// Puts one on the list. What is not on the list is not left out.
    pub(super) async fn add(&mut self, rejected: Rejected) -> Result<(), Failure> {
        let path = self.path.clone();
        let Rejected { sequence, count, why } = &rejected;
        let at = clock::rfc3339(clock::now());
        let line = json!({ "at": at, "sequence": sequence, "count": count, "why": why });
        let added = spawn_blocking(move || append(&path, &format!("{line}\n"))).await;
        added.map_err(|_ended| Failure::defect())?.map_err(|error| {
            let what = format!(
                "the receiver does not take record {sequence} ({why}), and {} cannot be added to: {error}",
                self.path.display()
            );
            Failure::new(Undelivered::Rejected, what)
        })?;
        self.untold.push(rejected);
        Ok(())
    }

    /// Those that were added since the last call.
    pub(in crate::export) fn take(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.untold)
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() > LONGEST {
        let why = "it is full; see what the receiver wants, then move the list away";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    file.write_all(line.as_bytes())?;
    file.sync_data()
}
