//! The audit trail: durable, chained evidence of every access, allowed or refused.
//!
//! ```text
//! data path ──[Audit]── bounded queue ──▶ writer thread: encode, chain, append, one fdatasync a batch
//!     ▲                                         │
//!     └──────── a permit's record is durable ◀──┘
//! ```
//!
//! [`record`] says what happened, [`mod@line`] makes a line of it, [`trail`] gives it its place, survives the disk
//! and has it sealed ([`seal`]), [`verify()`] checks all of it from outside, [`read`] gives it back, [`proof`] proves one
//! record to others, [`report`] tells what a reviewer asks, and [`reviews`] keeps who has reviewed it.

mod about;
mod action;
pub mod cursor;
mod described;
mod error;
#[cfg(test)]
mod fixture;
mod flood;
pub mod forms;
mod line;
mod log;
mod pages;
mod passed;
mod proof;
mod pseudonym;
mod queue;
mod read;
mod reads;
mod reconcile;
mod record;
pub mod report;
mod reviews;
pub mod seal;
mod spool;
mod status;
#[cfg(test)]
mod tests;
mod trail;
mod turn;
mod verify;
mod writer;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::error;

use crate::clock;
use crate::config::{AuditSettings, Keeping, OnFailure};
use crate::telemetry::metrics::AuditMetrics;

pub use about::{About, Build, Clock, Configuration, Sidecar};
pub use error::{NotAudited, OpenError};
pub use line::{Origin, Sealed, question, samples};
pub use proof::{NoProof, Proven, Unproven, prove, verify_proof};
pub use pseudonym::{Pseudonyms, PseudonymsError};
pub use read::*;
pub use reads::{Noted, Read, Reader};
pub use reconcile::{Difference, Irreconcilable, Lack, Reconciled, Reconciler, Side, SideSummary};
pub use record::*;
pub use reviews::{Review, ReviewedReport, ReviewedTrail, Unsigned, last_checkpoint};
pub use spool::Unnoted;
pub use status::TrailStatus;
pub use trail::keeper::Needs;
pub use trail::look;
pub use turn::Left;
pub use verify::{Broken, Kept, KeptError, Progress, Verified, verify, verify_telling};

use flood::Floods;
use line::{Encoded, Own};
use pages::Page;
use queue::{Handed, NoPlace, What};
use status::{PATIENCE, Shared};
use writer::Writer;

/// How often denials that got no line of their own are told of.
const REST: Duration = Duration::from_secs(1);

/// Puts records on the trail. Cloned into everything that has something to record.
#[derive(Clone)]
pub struct Audit {
    origin: Origin,
    shared: Arc<Shared>,
    writer: Option<Arc<Writer>>,
    pseudonyms: Option<Arc<Pseudonyms>>,
    floods: Arc<Floods>,
}

impl Audit {
    /// Opens the trail that `settings` name and starts its writer.
    ///
    /// Without settings nothing is kept on disk; denials still are in memory, and all is counted. A disk
    /// that is full does not keep the trail from opening: it is [failing](Self::failing) then.
    ///
    /// # Errors
    ///
    /// The directory is unfit or in use, or the trail that is there cannot be read.
    pub fn open(
        settings: Option<&AuditSettings>,
        origin: Origin,
        metrics: AuditMetrics,
    ) -> Result<Self, OpenError> {
        let audit = Self::to_begin(settings, origin, metrics);
        audit.begin()?;
        Ok(audit)
    }

    /// The same, but for the trail, which another process holds: records wait until [it is opened](Self::begin).
    pub fn to_begin(
        settings: Option<&AuditSettings>,
        origin: Origin,
        metrics: AuditMetrics,
    ) -> Self {
        let shared = Arc::new(Shared::new(settings.map(|s| s.dir.clone()), metrics));
        let writer = settings
            .map(|settings| Arc::new(Writer::new(settings, origin.clone(), Arc::clone(&shared))));
        Self { origin, shared, writer, pseudonyms: None, floods: Arc::default() }
    }

    /// Opens the trail and starts its writer, unless it has begun.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn begin(&self) -> Result<(), OpenError> {
        self.writer.as_ref().map_or(Ok(()), |writer| writer.begin())
    }

    /// Makes all that was handed in durable and leaves the trail to another process of this sidecar. Records wait from then on.
    /// `None` where there is no trail.
    ///
    /// # Errors
    ///
    /// Why the trail stays.
    pub async fn leave(&self) -> Result<Option<Left>, String> {
        let Some(writer) = &self.writer else { return Ok(None) };
        self.tell_of_the_rest().await;
        writer.leave().await.map(Some)
    }

    /// Puts on record what the process before still has to say, until it has said all.
    pub async fn receive(self, stream: UnixStream) {
        let Some(writer) = &self.writer else { return };
        if let Err(error) = writer.receive(stream, &self.shared).await {
            error!(%error, "the process before has gone without saying all that it had for the audit trail");
        }
    }

    /// The same trail; ids that stand in paths leave pseudonyms there.
    #[must_use]
    pub fn with_pseudonyms(self, pseudonyms: Option<Pseudonyms>) -> Self {
        Self { pseudonyms: pseudonyms.map(Arc::new), ..self }
    }

    /// What makes the pseudonyms, if ids are to leave any.
    pub fn pseudonyms(&self) -> Option<&Pseudonyms> {
        self.pseudonyms.as_deref()
    }

    /// What policy in Rego is asked, when `record` is what goes on record if it says yes.
    pub fn question(&self, record: &Record, host: Option<&str>, at: OffsetDateTime) -> String {
        question(&self.origin, at, host, record)
    }

    /// Puts a permit on record.
    ///
    /// With `phi` it returns when the record is durable; without, as soon as the record is queued.
    ///
    /// # Errors
    ///
    /// With `phi`, and unless `on_failure: allow`: the record cannot be made durable, now or in time. The
    /// access must not happen.
    pub async fn permit(&self, record: Record, phi: bool) -> Result<(), NotAudited> {
        if !phi {
            self.note(record).await;
            return Ok(());
        }
        let Some(writer) = &self.writer else { return Err(NotAudited::NoTrail) };
        let since = Instant::now();
        let Err(refused) = writer.durable(record, since).await else {
            self.shared.metrics.durable_after(since.elapsed());
            return Ok(());
        };
        if refused == NotAudited::TooSlow {
            self.shared.stall();
        }
        match writer.on_failure {
            OnFailure::Block => Err(refused),
            OnFailure::Allow => {
                self.shared.pass_unrecorded();
                if refused == NotAudited::NoPlace {
                    self.shared.lose_at_door();
                }
                Ok(())
            }
        }
    }

    /// Puts an ending, a denial or a refusal on record; waits only for a place in the queue.
    ///
    /// Where there are too many denials, it is [told of](Self::tell_of_floods) with others.
    pub fn note(&self, record: Record) -> impl Future<Output = ()> + Send + '_ {
        // In a box before anybody waits, for a record is large, and a connection's task would hold it.
        let own = self.floods.own(record).map(Box::new);
        async move {
            if let Some(record) = own {
                self.put(record).await;
            }
        }
    }

    async fn put(&self, record: Box<Record>) {
        log::denial(&record, &self.origin);
        let Some(writer) = &self.writer else { return self.note_without_trail(&record) };
        let unless_cancelled = LostIfDropped(&self.shared);
        if matches!(timeout(PATIENCE, writer.door.hand_in(handed(record))).await, Ok(Ok(()))) {
            std::mem::forget(unless_cancelled);
        }
    }

    /// Like [`note`](Self::note), from where one cannot wait; a full queue loses the record, counted and
    /// logged.
    pub fn note_now(&self, record: Record) {
        let Some(record) = self.floods.own(record) else { return };
        log::denial(&record, &self.origin);
        let Some(writer) = &self.writer else { return self.note_without_trail(&record) };
        if let Err(NoPlace) = writer.door.hand_in_now(handed(record)) {
            self.shared.lose_at_door();
        }
    }

    /// Tells once a second of the denials that got no line of their own. Never ends.
    pub async fn tell_of_floods(self) {
        loop {
            tokio::time::sleep(REST).await;
            self.tell_of_the_rest().await;
        }
    }

    async fn tell_of_the_rest(&self) {
        for record in self.floods.rest() {
            self.put(Box::new(record)).await;
        }
    }

    /// The last 200 refusals and denials, newest first, as they stand in the trail.
    ///
    /// Those that are not in the trail, because there is none or it fails, have no `event.sequence` and
    /// no `myelin.prev`.
    pub fn denials(&self) -> Vec<serde_json::Value> {
        self.shared.pages.newest_first(Page::Denials)
    }

    /// The last 200 permits that would have been denials, were policy enforced; in the same way.
    pub fn observed(&self) -> Vec<serde_json::Value> {
        self.shared.pages.newest_first(Page::Observed)
    }

    /// Why the trail can't be written now, if so.
    pub fn failing(&self) -> Option<String> {
        self.shared.failing()
    }

    /// How the trail stands.
    pub fn status(&self) -> TrailStatus {
        self.shared.status()
    }

    /// Puts on record who has read the trail with a command of this program, and who has reviewed it.
    ///
    /// What cannot be made durable now, or within a few seconds, is left for the next call. While the trail fails, or is
    /// another process's, nothing is even handed in: the record would wait, and with the note there it would be on record twice.
    pub async fn take_notes(&self) {
        let (Some(writer), Some(dir)) = (&self.writer, self.shared.dir()) else { return };
        if self.shared.failing().is_some() || self.shared.progress().is_left {
            return;
        }
        let looked = tokio::task::spawn_blocking(move || noted(&dir)).await;
        let since = Instant::now();
        for (note, action, about) in looked.unwrap_or_default() {
            let record = Record { about: Some(about), ..Record::new(action) };
            if writer.durable(record, since).await.is_err() {
                return;
            }
            if let Err(error) = tokio::fs::remove_file(&note).await {
                error!(note = %note.display(), %error, "this note will be on record again");
            }
        }
    }

    /// The number of the last record that is durable, for those who follow the trail.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// Keeps what was written like this from now on.
    pub fn keep(&self, keeping: &Keeping) {
        if let Some(writer) = &self.writer {
            writer.keep(keeping.clone());
        }
    }

    /// Removes no record that is still needed, even when its retention is over: `needs` says which is the first.
    pub fn keep_needed(&self, needs: Needs) {
        if let Some(writer) = &self.writer {
            writer.keep_needed(needs);
        }
    }

    /// Writes all that was handed in and the trail's last record, and waits for the writer to end.
    pub async fn close(&self) {
        self.tell_of_the_rest().await;
        let Some(writer) = &self.writer else { return };
        writer.close().await;
    }

    fn note_without_trail(&self, record: &Record) {
        self.shared.metrics.written(record.action.label(), 1);
        if let Some(page) = Page::of(record) {
            let line = Encoded::new(&self.origin, clock::now(), record, &Own::default());
            self.shared.pages.keep(page, &line.unplaced());
        }
    }
}

/// What other processes have left for the trail in `dir`.
fn noted(dir: &Path) -> Vec<(PathBuf, Action, Box<About>)> {
    let reads = reads::waiting(dir).into_iter().map(|(note, read)| {
        (note, Action::LogRead, Box::new(About { read: Some(read), ..About::default() }))
    });
    let reviews = reviews::waiting(dir).into_iter().map(|(note, review)| {
        (note, Action::ReviewSigned, Box::new(About { review: Some(review), ..About::default() }))
    });
    reads.chain(reviews).collect()
}

/// Counts a record as lost when whoever hands it in is cancelled or has waited too long.
struct LostIfDropped<'a>(&'a Shared);

impl Drop for LostIfDropped<'_> {
    fn drop(&mut self) {
        self.0.lose_at_door();
    }
}

fn handed(record: impl Into<Box<Record>>) -> Handed {
    Handed { at: clock::now(), what: What::Record(record.into()), waiting: None }
}
