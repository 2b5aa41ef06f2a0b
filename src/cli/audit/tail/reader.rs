//! One trail: its last records, and those that come.

use std::path::Path;

use super::super::super::console;
use super::Arguments;
use crate::audit::{Follower, Most, Reading, Recorded, Sought};
use crate::report::{Count, Report};

/// How much is taken at a time.
const MOST: Most = Most { records: 1000, bytes: 4 * 1024 * 1024 };
/// Most bytes of the last records, which are kept until they are in the order of all trails.
const LAST: usize = 256 * 1024 * 1024;
/// Most lines that are told of one by one, of those that are no records and come at once.
const TOLD: usize = 5;
/// A trail that cannot be read is tried again so often, for half a minute: a file may be compressed or removed at just
/// that moment, and a directory that is gone is made anew by the sidecar.
const TRIES: u32 = 150;
/// After so many of these somebody should know.
const TELL: u32 = 5;

/// A record and its line.
pub(super) struct Found {
    pub(super) line: Vec<u8>,
    pub(super) recorded: Recorded,
}

/// Where one is in a trail.
pub(super) struct Reader {
    follower: Follower,
    failed: u32,
    wanted: Wanted,
    /// Something that has come was passed over, or is not there any more.
    has_holes: bool,
}

/// What is shown.
struct Wanted {
    sought: Sought,
    /// Checkpoints come every second: who wants them asks for them.
    checkpoints: bool,
}

impl Reader {
    /// Of the trail in `dir`, behind its last record; and the last of those that are asked for.
    ///
    /// # Errors
    ///
    /// It cannot be read. One that is only to begin can be followed.
    pub(super) fn of(
        dir: &Path,
        arguments: &Arguments,
        reading: &mut Reading,
    ) -> Result<(Self, Vec<Found>), String> {
        let most = Most { records: arguments.lines as usize, bytes: LAST };
        let filter = &arguments.filter;
        let wanted = Wanted { sought: filter.sought()?, checkpoints: filter.names_action() };
        let takes = |recorded: &Recorded| wanted.takes(recorded);
        let (last, found) = match reading.latest(dir, most, &takes) {
            Ok(latest) => latest,
            Err(none) if none.is_missing() && arguments.follow => (0, Vec::new()),
            Err(error) => return Err(Report(&error).to_string()),
        };
        let found = found.into_iter().map(|(line, recorded)| Found { line, recorded }).collect();
        let follower = Follower::after(dir, last);
        Ok((Self { follower, failed: 0, wanted, has_holes: false }, found))
    }

    /// Whether not everything that has come could be shown.
    pub(super) fn has_holes(&self) -> bool {
        self.has_holes
    }

    /// What has come since.
    ///
    /// # Errors
    ///
    /// The trail cannot be read, and could not be before.
    pub(super) fn news(&mut self) -> Result<Vec<Found>, String> {
        let batch = match self.follower.batch(u64::MAX - 1, MOST) {
            Ok(batch) => batch,
            Err(gone) if self.failed < TRIES => {
                self.failed += 1;
                if self.failed == TELL {
                    console::error(&format!("warning: {}; trying on", Report(&gone)));
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(Report(&error).to_string()),
        };
        self.failed = 0;
        let mut broken = batch.broken;
        let mut found = Vec::new();
        for (sequence, line) in batch.lines {
            match serde_json::from_slice(&line) {
                Ok(recorded) => found.push(Found { line, recorded }),
                Err(_) => broken.push(format!("record {sequence}")),
            }
        }
        self.has_holes |= !broken.is_empty() || batch.missing > 0;
        for broken in broken.iter().take(TOLD) {
            console::error(&format!("warning: {broken}: not a record of a trail; passed over"));
        }
        let more = broken.len().saturating_sub(TOLD);
        if more > 0 {
            console::error(&format!("warning: {} more passed over", Count(more as u64, "line")));
        }
        if batch.missing > 0 {
            console::error(&format!(
                "warning: {} not there any more",
                Count(batch.missing, "record")
            ));
        }
        found.retain(|found| self.wanted.takes(&found.recorded));
        Ok(found)
    }
}

impl Wanted {
    fn takes(&self, recorded: &Recorded) -> bool {
        let is_noise = recorded.event.action == "checkpoint" && !self.checkpoints;
        !is_noise && self.sought.takes(recorded)
    }
}
