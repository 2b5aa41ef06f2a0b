//! Records that are not in the trail yet.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audit::line::encode::Encoded;
use crate::audit::pages::Page;
use crate::audit::queue::Waiting;
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
