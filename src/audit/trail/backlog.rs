//! Records that are not in the trail yet.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audit::line::encode::Encoded;
use crate::audit::line::rule::Origin;
use crate::audit::pages::Page;
use crate::audit::queue::{Handed, Waiting};
use crate::audit::status::Shared;
use crate::config::OnFailure;

/// Records that are kept while the disk fails.
const RECORDS: usize = 65_536;
/// Bytes that these may take.
const BYTES: usize = 128 * 1024 * 1024;

/// A record that is not durable yet.
#[derive(Debug)]
pub(in crate::audit) struct Pending {
    /// Its line.
    pub(in crate::audit) line: Encoded,
    /// Who waits for it to be durable.
    pub(in crate::audit) waiting: Option<Waiting>,
    /// The page that still has to show it.
    pub(in crate::audit) unshown: Option<Page>,
    /// Whether it is the trail's own note about a failure or a segment: made anew at every attempt.
    pub(in crate::audit) own: bool,
    /// How many lost records it tells of.
    pub(in crate::audit) lost: u64,
}

/// Records that are not in the trail yet, in order, within bounds.
#[derive(Debug, Default)]
pub(in crate::audit) struct Backlog {
    records: VecDeque<Pending>,
    bytes: usize,
}

impl Backlog {
    /// Whether nothing waits.
    pub(in crate::audit) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many wait.
    pub(in crate::audit) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes a record in behind all others. Whether it is not lost for want of room.
    pub(in crate::audit) fn take(
        &mut self,
        handed: Handed,
        origin: &Origin,
        on_failure: OnFailure,
        shared: &Shared,
    ) -> bool {
        let (line, waiting) = handed.encoded(origin);
        let pending = Pending { unshown: line.page, line, waiting, own: false, lost: 0 };
        let Err(left_out) = self.push(pending) else { return true };
        if let Some(page) = left_out.unshown {
            shared.pages.keep(page, &left_out.line.unplaced());
        }
        let waited = left_out.waiting.is_some_and(|waiting| {
            waiting.send(Err("too many records wait for the disk".into())).is_ok()
        });
        // Then it is not lost: what it would have told of does not happen.
        waited && on_failure == OnFailure::Block
    }

    /// Adds all of `others`, which have bounds of their own, behind these.
    pub(in crate::audit) fn append(&mut self, mut others: Self) {
        self.bytes += others.bytes;
        self.records.append(&mut others.records);
    }

    /// Adds a record behind all others, or gives it back when there is no room.
    pub(in crate::audit) fn push(&mut self, pending: Pending) -> Result<(), Pending> {
        if self.records.len() >= RECORDS || self.bytes + pending.line.len() > BYTES {
            return Err(pending);
        }
        self.bytes += pending.line.len();
        self.records.push_back(pending);
        Ok(())
    }

    /// Puts a record before all others; the trail's own few need no room.
    pub(in crate::audit) fn push_front(&mut self, pending: Pending) {
        self.bytes += pending.line.len();
        self.records.push_front(pending);
    }

    /// All that wait, in order.
    pub(in crate::audit) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.records.iter()
    }

    /// Takes the first.
    pub(in crate::audit) fn pop(&mut self) -> Option<Pending> {
        let pending = self.records.pop_front()?;
        self.bytes -= pending.line.len();
        Some(pending)
    }

    /// After a failed attempt: tells those who wait, and keeps what has to be written later.
    ///
    /// Returns how many lost records the dropped notes told of. `show` sees what a page is owed.
    pub(in crate::audit) fn after_failure(
        &mut self,
        why: &Arc<str>,
        on_failure: OnFailure,
        mut show: impl FnMut(Page, &Encoded),
    ) -> u64 {
        let (mut untold, mut bytes) = (0, 0);
        self.records.retain_mut(|pending| {
            if let Some(page) = pending.unshown.take() {
                show(page, &pending.line);
            }
            untold += if pending.own { pending.lost } else { 0 };
            let refused = pending.waiting.take().is_some_and(|waiting| {
                // Whoever waited may have gone away meanwhile.
                let _gone = waiting.send(Err(Arc::clone(why)));
                on_failure == OnFailure::Block
            });
            let keep = !pending.own && !refused;
            bytes += if keep { pending.line.len() } else { 0 };
            keep
        });
        self.bytes = bytes;
        untold
    }
}
