//! Checks a trail from outside, reading it once, in constant memory.
//!
//! Each line names the hash of the line before it. A line that was changed is thus betrayed by its
//! successor; records that were taken out, added or moved are betrayed by their numbers. Checkpoints bind all
//! of it to a key, and to whatever was kept of them elsewhere. What of a line can be found out by itself is found
//! out on all cores ([`batches`]); what follows from the lines before it, by one, in their order ([`chain`]).

mod batches;
mod broken;
mod chain;
mod digest;
pub(in crate::audit) mod kept;
mod seals;
mod verified;

use std::path::Path;
use std::thread;

use self::batches::{Batch, Batches, End};
pub use self::broken::Broken;
use self::chain::Chain;
use self::digest::Digest;
pub use self::kept::{Kept, KeptError};
use self::seals::Seals;
pub use self::verified::Verified;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::placed::Line;
use crate::audit::read::trail_files;

/// How far a trail has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Which file is being read, from 1.
    pub file: usize,
    /// How many there are.
    pub files: usize,
    /// How many records have been checked.
    pub records: u64,
}

/// Checks the trail in `dir`, and compares it with what was kept elsewhere.
///
/// # Errors
///
/// Names the first thing that does not fit: file, line, what was expected and what is there.
pub fn verify(dir: &Path, kept: &Kept) -> Result<Verified, Broken> {
    verify_telling(dir, kept, |_| {})
}

/// The same; `each` hears again and again how far it is.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_telling(
    dir: &Path,
    kept: &Kept,
    mut each: impl FnMut(Progress),
) -> Result<Verified, Broken> {
    let unreadable = |source| Broken::Unreadable { path: dir.into(), source };
    let files = files(dir).map_err(unreadable)?;
    let mut check = Check { files: &files, chain: None, seals: Some(Seals::new(kept)) };
    thread::scope(|scope| {
        Batches::start(scope, &files).try_for_each(|batch| {
            check.take(&batch)?;
            each(check.progress(&batch));
            check.end(batch)
        })
    })?;
    let foreign = trail_files(dir)
        .unwrap_or_default()
        .into_iter()
        .find(|path| !path.file_name().is_some_and(SegmentFile::is_name));
    match (check.chain, foreign) {
        (Some(chain), None) => chain.finish(),
        (_, Some(file)) => Err(Broken::Foreign { file }),
        (None, None) => Err(Broken::Missing { dir: dir.into() }),
    }
}

/// Not what serde says: that may repeat what stands there.
fn not_a_record(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "JSON of another kind" } else { "not JSON" };
    format!("{what} from column {} on", error.column())
}

/// A trail that is being checked.
struct Check<'a> {
    files: &'a [SegmentFile],
    chain: Option<Chain>,
    /// Until there is a chain.
    seals: Option<Seals>,
}

impl Check<'_> {
    fn progress(&self, batch: &Batch) -> Progress {
        let records = self.chain.as_ref().map_or(0, |chain| chain.verified.records);
        Progress { file: batch.file + 1, files: self.files.len(), records }
    }

    /// Checks the lines of a batch.
    fn take(&mut self, batch: &Batch) -> Result<(), Broken> {
        let Some(file) = self.files.get(batch.file) else { return Ok(()) };
        for (number, line, digest) in batch.digested() {
            match (&digest.place, &mut self.chain) {
                (Some(place), Some(chain)) if number > 1 => {
                    chain.follow(&file.path, number, place.sequence, place.prev())?;
                    chain.append(number, place.sequence, place.timestamp(), digest)?;
                }
                _ => self.read(file, number, line, digest)?,
            }
        }
        Ok(())
    }

    /// Checks a line that begins a segment, says something of the trail, or is no record.
    fn read(
        &mut self,
        file: &SegmentFile,
        number: u64,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<(), Broken> {
        let SegmentFile { path, name, .. } = file;
        if bytes.trim_ascii().is_empty() {
            return Err(Broken::Blank { file: path.clone(), line: number });
        }
        let line = Line::parse(bytes).map_err(|error| Broken::NotARecord {
            file: path.clone(),
            line: number,
            why: not_a_record(&error),
        })?;
        match &self.chain {
            Some(chain) if number == 1 && line.event.sequence == 1 => {
                return Err(chain.other_trail(path));
            }
            Some(chain) => chain.follow(path, number, line.event.sequence, line.myelin.prev)?,
            None => {
                let begin = |seals| Chain::begin(path, &line, seals);
                self.chain = self.seals.take().map(begin).transpose()?;
            }
        }
        let Some(chain) = &mut self.chain else { return Ok(()) };
        if number == 1 {
            chain.begin_segment(path, name, &line)?;
        }
        chain.meet(path, number, &line)?;
        chain.append(number, line.event.sequence, line.timestamp, digest)
    }

    /// Checks what is behind the last line of a file.
    fn end(&mut self, batch: Batch) -> Result<(), Broken> {
        let Some(file) = self.files.get(batch.file) else { return Ok(()) };
        let (path, lines) = (&file.path, batch.first - 1 + batch.len());
        let unfinished = match batch.end {
            Some(End::Unfinished(bytes)) => bytes,
            Some(End::TooLong) => {
                return Err(Broken::TooLong { file: path.clone(), line: lines + 1 });
            }
            Some(End::Unreadable(source)) => {
                return Err(Broken::Unreadable { path: path.clone(), source });
            }
            None => return Ok(()),
        };
        let Some(chain) = &mut self.chain else { return Ok(()) };
        if lines == 0 {
            chain.pass_empty(path, &file.name)?;
        }
        if unfinished > 0 && batch.file + 1 < self.files.len() {
            return Err(Broken::CutOff { file: path.clone(), line: chain.line + 1 });
        }
        chain.verified.unfinished_bytes = unfinished;
        Ok(())
    }
}
