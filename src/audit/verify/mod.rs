//! Checks a trail from outside, reading it once, in constant memory.
//!
//! Each line names the hash of the line before it. A line that was changed is thus betrayed by its
//! successor; records that were taken out, added or moved are betrayed by their numbers. Checkpoints bind all
//! of it to a key, and to whatever was kept of them elsewhere.

mod broken;
mod chain;
pub(in crate::audit) mod kept;
mod seals;
mod verified;

use std::path::Path;

pub use self::broken::Broken;
use self::chain::Chain;
pub use self::kept::{Kept, KeptError};
use self::seals::Seals;
pub use self::verified::Verified;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::lines::{Lines, Next};
use crate::audit::read::placed::Line;

/// Checks the trail in `dir`, and compares it with what was kept elsewhere.
///
/// # Errors
///
/// Names the first thing that does not fit: file, line, what was expected and what is there.
pub fn verify(dir: &Path, kept: &Kept) -> Result<Verified, Broken> {
    let unreadable = |source| Broken::Unreadable { path: dir.into(), source };
    let files = files(dir).map_err(unreadable)?;
    let mut chain: Option<Chain> = None;
    let mut seals = Some(Seals::new(kept));
    for (index, file) in files.iter().enumerate() {
        let unfinished = read_segment(file, &mut chain, &mut seals)?;
        let Some(chain) = &mut chain else { continue };
        if unfinished > 0 && index + 1 < files.len() {
            return Err(Broken::CutOff { file: file.path.clone(), line: chain.line + 1 });
        }
        chain.verified.unfinished_bytes = unfinished;
    }
    chain.ok_or_else(|| Broken::Missing { dir: dir.into() })?.finish()
}

/// Checks one segment, and returns how many bytes are after its last newline.
fn read_segment(
    file: &SegmentFile,
    chain: &mut Option<Chain>,
    seals: &mut Option<Seals>,
) -> Result<u64, Broken> {
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
            None => {
                *chain = seals.take().map(|seals| Chain::begin(path, &line, seals)).transpose()?;
            }
        }
        let Some(chain) = chain else { break };
        if number == 1 {
            chain.begin_segment(path, name, &line)?;
        }
        chain.append(path, number, &line, bytes)?;
    }
    let is_empty = lines.number() == 0;
    match chain {
        Some(chain) if is_empty => chain.pass_empty(path, name)?,
        Some(_) | None => {}
    }
    Ok(unfinished)
}
