//! The trail on disk: sequence, chain, segments, and what happens when the disk fails.
//!
//! Two positions are kept. Up to `written` the file holds what it should; up to `synced` the disk does.
//! A write that fails is cut back to `written` and tried again. When `fdatasync` fails nobody knows what
//! the disk holds and the kernel has forgotten what it did not write, so the segment is cut back to
//! `synced`, given up, and everything since is written again into a new one.

pub(in crate::audit) mod backlog;
mod chunk;
mod end;
pub(in crate::audit) mod keeper;
mod keys;
mod notes;
mod open;
mod repair;
mod sealing;
pub(in crate::audit) mod segment;

use std::collections::VecDeque;
use std::io;
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use self::backlog::{Backlog, Pending};
use self::chunk::{Chunk, Position};
use self::keeper::{Keeper, Orders};
use self::notes::with_clock;
use self::sealing::Sealing;
pub use self::segment::look;
use self::segment::{Directory, Segment};
use crate::audit::line::encode::Encoded;
use crate::audit::line::own::{Own, Removed, Sealed};
use crate::audit::line::rule::Origin;
use crate::audit::queue::Handed;
use crate::audit::record::{Action, Record};
use crate::audit::status::Shared;
use crate::clock;
use crate::config::OnFailure;
use crate::report::Report;

/// What was written is durable after this long at the latest, and a failed attempt is repeated.
pub(in crate::audit) const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// While nothing is written, it is looked after so often.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes that are synced without waiting for the interval.
const UNSYNCED: u64 = 8 * 1024 * 1024;

/// The trail, owned by its writer.
pub(in crate::audit) struct Trail {
    origin: Origin,
    on_failure: OnFailure,
    segment_size: u64,
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    keeper: Keeper,
    segment: Option<Segment>,
    previous: Option<Previous>,
    written: Position,
    synced: Position,
    backlog: Backlog,
    unsynced: VecDeque<Pending>,
    unsynced_since: Option<Instant>,
    /// When it was looked whether the segment is in its place.
    looked: Instant,
    /// A segment that was given up and may still hold more than the disk was known to keep.
    repair: Option<(Segment, u64)>,
    /// Segments that are removed once it is on durable record.
    removing: Vec<Removed>,
    /// Lost records that the trail does not tell of yet.
    lost: u64,
    failing: Option<Arc<str>>,
    chunk: Chunk,
    sealing: Sealing,
    /// A checkpoint that is not durable yet.
    unsealed: Option<Sealed>,
}

/// The segment before the current one.
struct Previous {
    file: String,
    records: u64,
}

/// An attempt to write that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {file}")]
struct Fault {
    step: &'static str,
    file: String,
    #[source]
    source: io::Error,
}

impl Trail {
    /// The way to the keeper of what was written.
    pub(in crate::audit) fn keeper(&self) -> Orders {
        self.keeper.orders()
    }

    /// Takes a record in.
    pub(in crate::audit) fn take(&mut self, handed: Handed) {
        if self.backlog.take(handed, &self.origin, self.on_failure, &self.shared) {
            return;
        }
        if self.lost == 0 {
            error!(
                waiting = self.backlog.len(),
                "the audit backlog is full: records are being lost"
            );
        }
        self.lost += 1;
        self.shared.lose();
    }

    /// When there should be another attempt, even if nothing new comes.
    pub(in crate::audit) fn patience(&self) -> Option<Duration> {
        if self.failing.is_some() {
            return Some(SYNC_INTERVAL);
        }
        let sync = self.unsynced_since.map(|since| SYNC_INTERVAL.saturating_sub(since.elapsed()));
        let look = || LOOK.saturating_sub(self.looked.elapsed());
        [Some(sync.unwrap_or_else(look)), self.sealing.patience()].into_iter().flatten().min()
    }

    /// Tries to write all that waits; with `sync`, and whenever somebody waits, durably.
    pub(in crate::audit) fn attempt(&mut self, sync: bool) {
        self.shared.progress().busy_since = Some(Instant::now());
        self.lost += self.shared.take_lost_at_door();
        self.tell_of_expired();
        match self.write_and_sync(sync) {
            Ok(()) => self.works(),
            Err(fault) => self.fails(&fault),
        }
        let mut progress = self.shared.progress();
        progress.segment = self.segment.as_ref().map(|segment| segment.name().to_owned());
        progress.sequence = self.written.next - 1;
        progress.last_hash = self.written.prev;
        progress.failing.clone_from(&self.failing);
        progress.busy_since = None;
    }

    /// Writes the last record and makes everything durable, as far as that is possible.
    pub(in crate::audit) fn finish(&mut self) {
        self.push(Record::new(Action::RecordingStopped), &Own::default());
        self.attempt(false);
        self.sealing.is_last();
        self.attempt(true);
        if let Some(why) = &self.failing {
            let (records, why) = (self.backlog.len(), why.as_ref());
            error!(records, why, "the audit trail ends without its last records");
        }
    }

    /// Makes everything durable and sealed, and writes that somebody else goes on. When that is not possible the trail stays, and
    /// this says why.
    pub(in crate::audit) fn leave(&mut self) -> Result<(), Arc<str>> {
        self.attempt(true);
        if let Some(why) = &self.failing {
            return Err(Arc::clone(why));
        }
        let message = Some("another process of this sidecar goes on with the trail".to_owned());
        let record = Record { message, ..Record::new(Action::RecordingStopped) };
        self.push(record, &Own::default());
        self.attempt(false);
        self.sealing.is_last();
        self.attempt(true);
        self.sealing.goes_on();
        self.failing.as_ref().map_or(Ok(()), |why| Err(Arc::clone(why)))
    }

    fn works(&mut self) {
        if self.failing.take().is_some() {
            info!(sequence = self.written.next - 1, "the audit trail is written again");
        }
    }

    fn fails(&mut self, fault: &Fault) {
        self.shared.metrics.failed();
        let why: Arc<str> = Report(fault).to_string().into();
        let shared = &self.shared;
        let show = |page, line: &Encoded| shared.pages.keep(page, &line.unplaced());
        self.lost += self.backlog.after_failure(&why, self.on_failure, show);
        if self.failing.is_none() {
            let dir = self.directory.path().display();
            match self.on_failure {
                OnFailure::Block => {
                    error!(%dir, why = &*why, "the audit trail fails: PHI is blocked")
                }
                OnFailure::Allow => error!(
                    %dir, why = &*why,
                    "the audit trail fails: PHI passes without a record, as on_failure: allow says"
                ),
            }
        }
        self.failing = Some(why);
    }

    fn write_and_sync(&mut self, sync: bool) -> Result<(), Fault> {
        self.sealing.prepare().map_err(|source| self.fault("use the checkpoint key of", source))?;
        if self.failing.is_some() || self.lost > 0 {
            let started = self.started(None);
            self.backlog.push_front(started);
        }
        let written = self.write_backlog().and_then(|()| self.seal());
        let due = self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL)
            || self.written.length.saturating_sub(self.synced.length) >= UNSYNCED
            || self.unsynced.iter().any(|pending| pending.waiting.is_some());
        let synced = if sync || due || self.failing.is_some() { self.sync() } else { Ok(()) };
        written.and(synced).and_then(|()| self.look())
    }

    fn write_backlog(&mut self) -> Result<(), Fault> {
        loop {
            let now = clock::now();
            if !self
                .segment
                .as_ref()
                .is_some_and(|s| s.takes(self.written.length, self.segment_size, now))
            {
                self.begin_segment()?;
            }
            if self.written.length == 0 {
                let started = self.started(self.segment_start());
                self.backlog.push_front(started);
            }
            if self.backlog.is_empty() {
                return Ok(());
            }
            self.write_chunk()?;
        }
    }

    /// Writes a checkpoint of all that is written, if one is due.
    fn seal(&mut self) -> Result<(), Fault> {
        self.sealing.note(self.written.news());
        if !self.sealing.is_due(self.written.news()) {
            return Ok(());
        }
        let now = clock::now();
        let sealed = self.sealing.seal(&self.written.tree, now);
        let sealed = sealed.map_err(|source| self.fault("seal", source))?;
        let own = Own { sealed: Some(sealed), ..Own::default() };
        let line = Encoded::new(&self.origin, now, &with_clock(Action::Checkpoint), &own);
        let own_note = Pending { line, waiting: None, unshown: None, own: true, lost: 0 };
        if self.backlog.push(own_note).is_ok() {
            self.write_backlog()?;
            self.unsealed = own.sealed;
            self.sealing.note(self.written.news());
        }
        Ok(())
    }

    fn write_chunk(&mut self) -> Result<(), Fault> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        self.chunk.fill(&self.written, self.backlog.iter());
        if let Err(source) = segment.append(self.chunk.bytes()) {
            let fault = Fault { step: "append to", file: segment.name().to_owned(), source };
            // One that is not there any more takes nothing, even when there is room again where it was.
            if segment.cut(self.written.length).is_err()
                || !self.directory.names(segment).unwrap_or(true)
            {
                self.give_up_segment();
            }
            return Err(fault);
        }
        self.written.clone_from(self.chunk.end());
        self.unsynced_since.get_or_insert_with(Instant::now);
        self.chunk.shown().for_each(|(page, line)| self.shared.pages.keep(page, line));
        self.chunk.counts().for_each(|(action, n)| self.shared.metrics.written(action.label(), n));
        for _ in 0..self.chunk.records() {
            self.unsynced
                .extend(self.backlog.pop().map(|pending| Pending { unshown: None, ..pending }));
        }
        Ok(())
    }

    /// Makes all that was written durable, and tells those who wait for it.
    fn sync(&mut self) -> Result<(), Fault> {
        let Some(segment) = self.segment.as_ref().filter(|_| !self.unsynced.is_empty()) else {
            return Ok(());
        };
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(source) = segment.sync() {
            let fault = Fault { step: "sync", file: segment.name().to_owned(), source };
            self.give_up_segment();
            return Err(fault);
        }
        self.is_in_place()?;
        self.shared.answered();
        self.synced.clone_from(&self.written);
        self.unsynced_since = None;
        self.publish_checkpoint();
        self.shared.durable.send_replace(self.synced.next - 1);
        for waiting in self.unsynced.drain(..).filter_map(|pending| pending.waiting) {
            // Whoever waited may have gone away meanwhile; the record stays.
            let _gone = waiting.send(Ok(()));
        }
        if self.backlog.is_empty() && !self.removing.is_empty() {
            self.keeper.remove(take(&mut self.removing));
        }
        Ok(())
    }

    /// The last checkpoint is durable: from now on others may rely on it.
    fn publish_checkpoint(&mut self) {
        let Some(sealed) = self.unsealed.take() else { return };
        if let Err(error) = self.sealing.sealed(clock::now()) {
            error!(%error, "the next checkpoint key cannot take its place; it is used all the same");
        }
        let now = clock::now();
        self.shared.metrics.sealed(now.unix_timestamp());
        let mut progress = self.shared.progress();
        (progress.checkpoint, progress.sealed_at) = (Some(sealed), Some(now));
    }

    /// Does what a failed `fdatasync` does.
    #[cfg(test)]
    pub(in crate::audit) fn fail_sync(&mut self) {
        let file = self.segment.as_ref().map(|s| s.name().to_owned()).unwrap_or_default();
        self.give_up_segment();
        self.fails(&Fault { step: "sync", file, source: io::Error::other("injected") });
    }

    fn begin_segment(&mut self) -> Result<(), Fault> {
        self.sync()?;
        if let Some(segment) = self.segment.take() {
            self.repair = Some((segment, self.written.length));
        }
        let taken_away = self.directory.find_again();
        if taken_away.map_err(|source| self.fault("find", source))? {
            self.sealing.keep_again().map_err(|source| self.fault("keep the key of", source))?;
        }
        self.repair()?;
        (self.written.length, self.written.records) = (0, 0);
        self.synced.clone_from(&self.written);
        let next = self.written.next;
        let segment = self.directory.create(next, clock::now()).map_err(|source| Fault {
            step: "begin a segment in",
            file: self.directory.path().display().to_string(),
            source,
        })?;
        self.segment = Some(segment);
        self.keeper.closed(next);
        Ok(())
    }

    fn fault(&self, step: &'static str, source: io::Error) -> Fault {
        Fault { step, file: self.directory.path().display().to_string(), source }
    }
}
