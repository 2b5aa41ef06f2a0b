//! Whether the segment is in its place, and what becomes of one that is not, or that the disk did not keep.

use std::mem::take;

use tokio::time::Instant;
use tracing::warn;

use super::{Fault, LOOK, Previous, Trail};

impl Trail {
    /// Looks after the segment while nothing is written.
    pub(super) fn look(&mut self) -> Result<(), Fault> {
        if self.unsynced.is_empty() && self.looked.elapsed() >= LOOK {
            self.is_in_place()
        } else {
            Ok(())
        }
    }

    /// Gives the segment up unless it is what stands under its name, with all that was written and no more.
    pub(super) fn is_in_place(&mut self) -> Result<(), Fault> {
        self.looked = Instant::now();
        let Some(segment) = &self.segment else { return Ok(()) };
        let Err(source) = self.directory.has(segment, self.written.length) else { return Ok(()) };
        let fault = Fault { step: "keep", file: segment.name().to_owned(), source };
        self.give_up_segment();
        Err(fault)
    }

    /// Leaves the segment to what the disk is known to hold of it, and takes back the rest.
    pub(super) fn give_up_segment(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        for pending in take(&mut self.unsynced).into_iter().rev() {
            self.backlog.push_front(pending);
        }
        self.unsynced_since = None;
        self.unsealed = None;
        self.written.clone_from(&self.synced);
        self.repair = Some((segment, self.synced.length));
    }

    /// Leaves behind what a segment should hold, and no more.
    pub(super) fn repair(&mut self) -> Result<(), Fault> {
        let Some((segment, length)) = &self.repair else { return Ok(()) };
        let file = segment.name().to_owned();
        let failed = |step| {
            let file = file.clone();
            move |source| Fault { step, file, source }
        };
        let is_there = self.directory.names(segment).map_err(failed("find"))?;
        if is_there {
            segment.cut(*length).map_err(failed("cut back"))?;
            // Best effort: what it should hold is on disk, this is about what it should not.
            let _unsure = segment.sync();
        }
        match (*length, is_there) {
            (0, false) => {}
            (0, true) => {
                if let Err(error) = self.directory.remove(&file) {
                    warn!(file, %error, "an empty segment of the audit trail stays behind");
                }
            }
            (length, _) => {
                if !is_there {
                    self.directory.put_back(segment, length).map_err(failed("put back"))?;
                }
                self.previous = Some(Previous { file, records: self.written.records });
            }
        }
        self.repair = None;
        Ok(())
    }
}
