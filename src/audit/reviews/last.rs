//! How much of a trail there is to review: its last checkpoint.

use std::path::Path;

use super::ReviewedTrail;
use crate::audit::read::UnreadableTrail;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::lines::{Lines, Next};
use crate::audit::read::placed::Line;

/// The last checkpoint of the trail in `dir`; `None` if nothing is sealed. It is not checked here.
///
/// # Errors
///
/// There is no trail, or it cannot be read.
pub fn last_checkpoint(dir: &Path) -> Result<Option<ReviewedTrail>, UnreadableTrail> {
    let failed = |source| UnreadableTrail::Io { path: dir.into(), source };
    let files = files(dir).map_err(failed)?;
    if files.is_empty() {
        return Err(UnreadableTrail::Missing { dir: dir.into() });
    }
    for file in files.iter().rev() {
        let last =
            of(file).map_err(|source| UnreadableTrail::Io { path: file.path.clone(), source })?;
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

fn of(file: &SegmentFile) -> std::io::Result<Option<ReviewedTrail>> {
    let mut lines = Lines::new(file.open()?);
    let mut last = None;
    loop {
        match lines.next()? {
            Next::Line(line) => {
                let sealed = Line::parse(line).ok().and_then(|line| line.myelin.checkpoint);
                if let Some(sealed) = sealed {
                    last =
                        Some(ReviewedTrail { size: sealed.size, note: sealed.note.into_owned() });
                }
            }
            Next::TooLong => {}
            Next::Unfinished(_) | Next::End => return Ok(last),
        }
    }
}
