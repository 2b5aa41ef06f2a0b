//! The life of one export: read, send, confirm, remember; and after a failure the same again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::failure::Failure;
use super::feed::{Encode, Feed, Held, Portion};
use super::sink::Sink;
use super::standing::Standing;
use crate::audit::cursor::{self, Mark};
use crate::config::ExportFeed;
use crate::outcome::Undelivered;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// The cursor is kept this often at most: each time costs the trail's disk a write.
const KEEP: Duration = Duration::from_secs(2);
/// A receiver that asks for more time gets so much at most.
const LONGEST_ASKED: Duration = Duration::from_secs(600);
/// An export that does not go on looks this often whether somebody has decided.
const LOOK: Duration = Duration::from_secs(10);

/// One export of the trail.
pub(super) struct Exporter {
    pub(super) name: Arc<str>,
    pub(super) dir: PathBuf,
    pub(super) which: ExportFeed,
    pub(super) encode: Encode,
    pub(super) standing: Arc<Standing>,
    pub(super) shutdown: Shutdown,
}

/// Where it is.
struct Progress {
    sink: Sink,
    durable: watch::Receiver<u64>,
    /// Where it reads; `None` while another thread does.
    feed: Option<Feed>,
    /// What was read and not sent yet.
    waiting: Option<Portion>,
    sent: Mark,
    /// Of the portion that waits, how many the receiver never takes.
    left_out: u64,
    /// Records sent that are not delivered yet.
    unconfirmed: u64,
    delivered: Mark,
    /// The cursor on disk.
    kept: Mark,
    keep_at: Option<Instant>,
    /// After a failure and at the beginning, the first that is sent is confirmed at once.
    on_probation: bool,
    backoff: Backoff,
}

/// What ends a wait.
enum Woken {
    News,
    Confirm,
    Keep,
    Lost(Failure),
}

/// What to do next.
enum Next {
    Work,
    Wait,
    Failed(Failure),
    End,
}

impl Exporter {
    /// Runs until everything is delivered after a drain has begun, or the first failure after that.
    pub(super) async fn run(self, sink: Sink, durable: watch::Receiver<u64>) {
        // Cut: what was not kept of the cursor goes out once more.
        self.shutdown.until_cut(Box::pin(self.live(sink, durable))).await;
    }

    async fn live(&self, sink: Sink, durable: watch::Receiver<u64>) {
        let Some(mark) = self.begin(&durable).await else { return };
        self.standing.sent(mark.sequence);
        self.standing.delivered(mark.sequence, 0);
        let mut progress = Progress {
            sink,
            durable,
            feed: Some(self.feed(mark)),
            waiting: None,
            sent: mark,
            left_out: 0,
            unconfirmed: 0,
            delivered: mark,
            kept: mark,
            keep_at: None,
            on_probation: true,
            backoff: Backoff::default(),
        };
        loop {
            let next = match self.step(&mut progress).await {
                Ok(next) => next,
                Err(failure) => Next::Failed(failure),
            };
            let next = match next {
                Next::Wait => self.wait(&mut progress).await,
                next => next,
            };
            match next {
                Next::Work | Next::Wait => {}
                Next::Failed(failure) => {
                    if self.failed(&mut progress, &failure).await {
                        break;
                    }
                }
                Next::End => break,
            }
        }
        self.keep(&mut progress).await;
    }

    fn feed(&self, mark: Mark) -> Feed {
        Feed::new(&self.dir, self.which, Arc::clone(&self.encode), mark)
    }

    /// From where to go on. Waits for somebody to decide where the trail is not the one that it was; `None` when the
    /// process ends meanwhile.
    async fn begin(&self, durable: &watch::Receiver<u64>) -> Option<Mark> {
        let mut told = None;
        loop {
            let durable = *durable.borrow();
            match self.look(durable).await {
                Ok(mark) => return Some(mark),
                Err(failure) if told.as_ref() != Some(&failure) => {
                    self.standing.holds(&failure);
                    told = Some(failure);
                }
                Err(_same) => {}
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.shutdown.draining() => return None,
            }
        }
    }

    async fn look(&self, durable: u64) -> Result<Mark, Failure> {
        let (dir, name, which) = (self.dir.clone(), Arc::clone(&self.name), self.which);
        let encode = Arc::clone(&self.encode);
        let looking = spawn_blocking(move || {
            let loaded = cursor::load(&dir, &name).map_err(|error| {
                let what = format!(
                    "{}: mend or remove it; without it everything is sent again",
                    Report(&error)
                );
                Failure::new(Undelivered::OtherTrail, what)
            })?;
            let mark = loaded.unwrap_or(Mark::BEGINNING);
            let held = Feed::new(&dir, which, encode, mark).holds(durable)?;
            Ok((mark, held, cursor::path(&dir, &name)))
        });
        let (mark, held, path) = looking.await.map_err(|_ended| Failure::defect())??;
        match held {
            Held::Same => Ok(mark),
            Held::Gone => {
                let text = format!(
                    "record {} was removed, so nobody can say whether this is still the trail of which it was \
                     delivered",
                    mark.sequence
                );
                self.standing.finds(&[text]);
                Ok(mark)
            }
            Held::Other(why) => {
                let what = format!(
                    "{why}: this is another trail, or it was changed. `myelin audit verify {}` says more; to send all \
                     of it from its beginning, remove {}",
                    self.dir.display(),
                    path.display()
                );
                Err(Failure::new(Undelivered::OtherTrail, what))
            }
        }
    }

    /// Does what there is to do.
    async fn step(&self, progress: &mut Progress) -> Result<Next, Failure> {
        if progress.waiting.is_none() {
            self.read(progress).await?;
        }
        if let Some(portion) = &progress.waiting {
            if !portion.items.is_empty() {
                let sent = progress.sink.send(&portion.items).await;
                let rejected = progress.sink.take_rejected();
                progress.left_out += rejected.iter().map(|rejected| rejected.count).sum::<u64>();
                self.standing.rejected(&rejected);
                sent?;
            }
            self.sent(progress);
        } else if self.shutdown.is_draining() {
            self.confirm(progress).await?;
            return Ok(Next::End);
        } else {
            return Ok(Next::Wait);
        }
        let is_due = |due| progress.on_probation || due <= Instant::now();
        if progress.sink.due().is_some_and(is_due) || progress.sink.is_outdated() {
            self.confirm(progress).await?;
        }
        if progress.keep_at.is_some_and(|at| at <= Instant::now()) {
            self.keep(progress).await;
        }
        Ok(Next::Work)
    }

    /// Reads what comes next, on a thread that may wait for the disk.
    async fn read(&self, progress: &mut Progress) -> Result<(), Failure> {
        let durable = *progress.durable.borrow_and_update();
        let mut feed = progress.feed.take().unwrap_or_else(|| self.feed(progress.sent));
        let reading = spawn_blocking(move || {
            let read = feed.next(durable);
            (feed, read)
        });
        let (feed, read) = reading.await.map_err(|_ended| Failure::defect())?;
        progress.feed = Some(feed);
        let portion = read?;
        self.standing.finds(&portion.faults);
        if portion.end.is_some() {
            self.standing.waits(portion.since);
            progress.waiting = Some(portion);
        }
        Ok(())
    }

    /// A portion was sent.
    fn sent(&self, progress: &mut Progress) {
        let Some(portion) = progress.waiting.take() else { return };
        let left_out = std::mem::take(&mut progress.left_out);
        progress.unconfirmed += (portion.items.len() as u64).saturating_sub(left_out);
        if let Some(end) = portion.end {
            progress.sent = end;
        }
        self.standing.waits(None);
        self.standing.sent(progress.sent.sequence);
        if progress.sink.due().is_none() {
            self.delivered(progress);
        }
    }

    async fn confirm(&self, progress: &mut Progress) -> Result<(), Failure> {
        progress.sink.confirm().await?;
        self.delivered(progress);
        Ok(())
    }

    /// Everything that was sent is delivered.
    fn delivered(&self, progress: &mut Progress) {
        progress.delivered = progress.sent;
        let records = std::mem::take(&mut progress.unconfirmed);
        if records > 0 {
            progress.on_probation = false;
            progress.backoff.reset();
        }
        self.standing.delivered(progress.delivered.sequence, records);
        if progress.delivered != progress.kept {
            progress.keep_at.get_or_insert_with(|| Instant::now() + KEEP);
        }
    }

    /// Waits until there is something to do.
    async fn wait(&self, progress: &mut Progress) -> Next {
        let (due, keep_at) = (progress.sink.due(), progress.keep_at);
        let outdated = progress.sink.outdated();
        let woken = tokio::select! {
            changed = progress.durable.changed() => match changed {
                Ok(()) => Woken::News,
                Err(_gone) => return Next::End,
            },
            () = self.shutdown.draining() => Woken::News,
            () = at(due) => Woken::Confirm,
            () = outdated => Woken::Confirm,
            () = at(keep_at) => Woken::Keep,
            failure = progress.sink.lost() => Woken::Lost(failure),
        };
        match woken {
            Woken::News => Next::Work,
            Woken::Confirm => match self.confirm(progress).await {
                Ok(()) => Next::Work,
                Err(failure) => Next::Failed(failure),
            },
            Woken::Keep => {
                self.keep(progress).await;
                Next::Work
            }
            Woken::Lost(failure) if progress.unconfirmed == 0 => {
                // Nothing was under way: the next record makes a new connection.
                tracing::debug!(exporter = &*self.name, "{}", failure.what);
                Next::Work
            }
            Woken::Lost(failure) => Next::Failed(failure),
        }
    }

    /// Goes back to what is known to be delivered, and waits; whether that was the last attempt.
    async fn failed(&self, progress: &mut Progress, failure: &Failure) -> bool {
        if progress.sent != progress.delivered {
            progress.sent = progress.delivered;
            progress.unconfirmed = 0;
            progress.waiting = None;
            match &mut progress.feed {
                Some(feed) => feed.rewind(progress.delivered),
                None => progress.feed = Some(self.feed(progress.delivered)),
            }
            self.standing.sent(progress.sent.sequence);
        }
        progress.on_probation = true;
        let was_draining = self.shutdown.is_draining();
        let asked = failure.wait.unwrap_or_default().min(LONGEST_ASKED);
        let pause = progress.backoff.next().max(asked);
        self.standing.failed(failure, pause);
        self.keep(progress).await;
        if was_draining {
            return true;
        }
        tokio::select! {
            () = sleep(pause) => {}
            // Once more, and then the next start goes on.
            () = self.shutdown.draining() => {}
        }
        false
    }

    /// Keeps the cursor, unless it is kept.
    async fn keep(&self, progress: &mut Progress) {
        progress.keep_at = None;
        if progress.delivered == progress.kept {
            return;
        }
        let (dir, name, mark) = (self.dir.clone(), Arc::clone(&self.name), progress.delivered);
        let kept = spawn_blocking(move || cursor::save(&dir, &name, mark)).await;
        match kept {
            Ok(Ok(())) => progress.kept = mark,
            Ok(Err(error)) => {
                let exporter = &*self.name;
                tracing::warn!(exporter, %error, "cannot keep how far the export has come: after a \
                                                  restart some records go out twice");
                progress.keep_at = Some(Instant::now() + LOOK);
            }
            Err(_ended) => {}
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
