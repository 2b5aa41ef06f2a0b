//! What the trail says of itself.

use std::mem::take;

use super::Trail;
use super::backlog::Pending;
use crate::audit::about::{self, About};
use crate::audit::line::encode::Encoded;
use crate::audit::line::own::{Own, SegmentStart};
use crate::audit::record::{Action, Record};
use crate::clock;

impl Trail {
    /// Puts on record what the keeper is about to remove.
    pub(super) fn tell_of_expired(&mut self) {
        let expired = self.keeper.take_expired();
        if expired.is_empty() {
            return;
        }
        let own = Own { removed: expired, ..Own::default() };
        let record = Record::new(Action::SegmentsRemoved);
        let line = Encoded::new(&self.origin, clock::now(), &record, &own);
        let pending = Pending { line, waiting: None, unshown: None, own: false, lost: 0 };
        self.backlog.push_front(pending);
        self.removing = own.removed;
    }

    /// What the first record of the current segment says of it.
    pub(super) fn segment_start(&self) -> Option<SegmentStart> {
        Some(SegmentStart {
            file: self.segment.as_ref()?.name().to_owned(),
            previous: self.previous.as_ref().map(|previous| previous.file.clone()),
            previous_records: self.previous.as_ref().map(|previous| previous.records),
            key: self.sealing.verifier().map(ToString::to_string),
            peaks: self.written.tree.peaks().iter().map(hex::encode).collect(),
        })
    }

    /// The record that the trail begins, or goes on, and all that it has to say about itself.
    pub(super) fn started(&mut self, segment: Option<SegmentStart>) -> Pending {
        let lost = take(&mut self.lost);
        let own = Own { segment, lost: (lost > 0).then_some(lost), ..Own::default() };
        let mut record = with_clock(Action::RecordingStarted);
        record.message = self.failing.as_ref().map(|why| format!("goes on after a failure: {why}"));
        let line = Encoded::new(&self.origin, clock::now(), &record, &own);
        Pending { line, waiting: None, unshown: None, own: true, lost }
    }

    /// Puts `record` behind all others.
    pub(super) fn push(&mut self, record: Record, own: &Own) {
        let line = Encoded::new(&self.origin, clock::now(), &record, own);
        self.push_own_behind(Pending { line, waiting: None, unshown: None, own: false, lost: 0 });
    }

    /// The same, as it is.
    pub(super) fn push_own_behind(&mut self, pending: Pending) {
        if self.backlog.push(pending).is_err() {
            self.lost += 1;
            self.shared.lose();
        }
    }
}

/// A record that says how the wall clock is kept.
pub(super) fn with_clock(action: Action) -> Record {
    let about = About { clock: Some(about::Clock::now()), ..About::default() };
    Record { about: Some(Box::new(about)), ..Record::new(action) }
}
