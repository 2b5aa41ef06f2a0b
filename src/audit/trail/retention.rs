//! The end of a segment's life.

use std::time::Duration;

use tracing::{info, warn};

use crate::audit::line::own::Removed;
use crate::audit::read::files::files;
use crate::audit::trail::end::Scanned;
use crate::audit::trail::segment::Directory;
use crate::clock;

/// Most segments that are removed at a time: each is read once more before, while permits wait.
const AT_A_TIME: usize = 16;

/// The oldest segments of which every record is older than `retention`.
///
/// They are only named here; [`remove`] comes when it is on durable record that they go.
///
/// None of which an export still needs a record, that is one from `needed` on.
pub(in crate::audit) fn expired(
    directory: &Directory,
    retention: Duration,
    needed: u64,
) -> Vec<Removed> {
    let Some(limit) = time::Duration::try_from(retention)
        .ok()
        .and_then(|retention| clock::now().checked_sub(retention))
    else {
        return Vec::new();
    };
    let files = files(directory.path()).unwrap_or_default();
    files
        .iter()
        .zip(files.iter().skip(1))
        // All of a segment's records are older than the beginning of the next.
        .take_while(|(_, next)| next.name.started < limit && next.name.first <= needed)
        .take(AT_A_TIME)
        .filter_map(|(file, _)| {
            let (last_sequence, hash) = Scanned::of(file, None).ok()?.tail.last?;
            let name = file.path.file_name()?.to_str()?.to_owned();
            Some(Removed { file: name, last_sequence, last_hash: hex::encode(hash) })
        })
        .collect()
}

/// Removes them, oldest first.
pub(in crate::audit) fn remove(directory: &Directory, expired: Vec<Removed>) {
    for Removed { file, .. } in expired {
        match directory.remove(&file) {
            Ok(()) => info!(file, "removed a segment of the audit trail: its retention is over"),
            Err(error) => {
                warn!(file, %error, "cannot remove a segment of the audit trail");
                return;
            }
        }
    }
}
