//! The end of a segment's life.

use std::io;

use tracing::{info, warn};

use crate::audit::line::own::Removed;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::trail::end::Scanned;
use crate::audit::trail::segment::Directory;
use crate::clock;
use crate::config::Keeping;

/// Most segments that are removed at a time.
const AT_A_TIME: usize = 16;

/// The oldest segments of which every record is older than the retention, and delivered to whoever still `needs` it: the
/// first record that somebody does.
///
/// They are only named here; [`remove`] comes when it is on durable record that they go.
pub(super) fn expired(
    directory: &Directory,
    keeping: &Keeping,
    needs: Option<u64>,
) -> io::Result<Vec<Removed>> {
    let retention = time::Duration::try_from(keeping.retention).ok();
    let limit = retention.and_then(|retention| clock::now().checked_sub(retention));
    let Some(limit) = limit.filter(|_| keeping.legal_hold.is_none()) else { return Ok(Vec::new()) };
    let files = files(directory.path())?;
    let mut expired = Vec::new();
    for (file, next) in files.iter().zip(files.iter().skip(1)).take(AT_A_TIME) {
        // All of a segment's records are older than the beginning of the next.
        if next.name.started >= limit || needs.is_some_and(|needed| needed < next.name.first) {
            break;
        }
        expired.extend(removed(file)?);
    }
    Ok(expired)
}

/// What stays of a segment. A file without a record leaves nothing.
fn removed(file: &SegmentFile) -> io::Result<Option<Removed>> {
    let Scanned { tail, tree, .. } = Scanned::of(file, None)?;
    let Some((last_sequence, hash)) = tail.last else { return Ok(None) };
    Ok(Some(Removed {
        file: file.name.to_string(),
        first_sequence: file.name.first,
        last_sequence,
        last_hash: hex::encode(hash),
        peaks: tree.map(|tree| tree.peaks().iter().map(hex::encode).collect()).unwrap_or_default(),
    }))
}

/// Removes them, oldest first, in whichever form they are.
pub(super) fn remove(directory: &Directory, removed: Vec<Removed>) {
    for Removed { file, .. } in removed {
        match directory.remove(&file) {
            Ok(()) => info!(file, "removed a segment of the audit trail: its retention is over"),
            Err(error) => {
                warn!(file, %error, "cannot remove a segment of the audit trail");
                return;
            }
        }
    }
}
