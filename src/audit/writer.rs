//! The way to the writer, and its life.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info};

use super::line::{Encoded, Origin};
use super::passed::{forward, receive};
use super::queue::{Door, Handed, Inbox, More, NoPlace, queue};
use super::record::Record;
use super::status::{PATIENCE, Shared};
use super::trail::backlog::Backlog;
use super::trail::keeper::{Needs, Orders};
use super::trail::{SYNC_INTERVAL, Trail};
use super::turn::{Left, Turn};
use super::{NotAudited, OpenError, handed};
use crate::config::{AuditSettings, Keeping, OnFailure};
use crate::report::Report;

/// How long [`Writer::close`] waits for the writer.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a process that was to go on with the trail, and did not, may hold it until that counts as a failure.
const BACK: Duration = Duration::from_secs(20);
/// Between two attempts to take it back.
const AGAIN: Duration = Duration::from_millis(20);

/// The way to the writer.
pub(super) struct Writer {
    pub(super) door: Door,
    pub(super) on_failure: OnFailure,
    /// Its other end is dropped when the writer is at its end, in whatever way.
    ended: watch::Receiver<()>,
    keeper: Arc<Keeper>,
    /// What has not begun yet.
    life: Mutex<Option<Life>>,
}

/// The way to the keeper of what was written, while there is one, and what it was told.
#[derive(Default)]
struct Keeper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    orders: Option<Orders>,
    keeping: Option<Keeping>,
    needs: Option<Needs>,
}

/// The writer's own.
struct Life {
    settings: AuditSettings,
    origin: Origin,
    shared: Arc<Shared>,
    inbox: Inbox,
    keeper: Arc<Keeper>,
    _alive: watch::Sender<()>,
}

impl Writer {
    /// One that has not begun: what is handed in waits.
    pub(super) fn new(settings: &AuditSettings, origin: Origin, shared: Arc<Shared>) -> Self {
        let (door, inbox) = queue();
        let (alive, ended) = watch::channel(());
        let keeper = Arc::<Keeper>::default();
        let life = Life {
            settings: settings.clone(),
            origin,
            shared,
            inbox,
            keeper: Arc::clone(&keeper),
            _alive: alive,
        };
        let life = Mutex::new(Some(life));
        Self { door, on_failure: settings.on_failure, ended, keeper, life }
    }

    /// Opens the trail, and writes from now on.
    pub(super) fn begin(&self) -> Result<(), OpenError> {
        let taken = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(life) = taken else { return Ok(()) };
        let trail = life.open()?;
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || life.write(trail))
            .map_err(OpenError::Thread)?;
        Ok(())
    }

    /// Puts a record on the trail and waits until it is durable.
    pub(super) async fn durable(&self, record: Record, since: Instant) -> Result<(), NotAudited> {
        let deadline = since + PATIENCE;
        let (waiting, answer) = oneshot::channel();
        let handed = Handed { waiting: Some(waiting), ..handed(record) };
        match timeout_at(deadline, self.door.hand_in(handed)).await {
            Ok(Ok(())) => {}
            Ok(Err(NoPlace)) | Err(_) => return Err(NotAudited::NoPlace),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(written)) => written.map_err(NotAudited::Failing),
            Ok(Err(_writer_gone)) => Err(NotAudited::NoPlace),
            Err(_) => Err(NotAudited::TooSlow),
        }
    }

    /// Keeps what was written like this from now on.
    pub(super) fn keep(&self, keeping: Keeping) {
        let mut keeper = self.keeper.lock();
        if let Some(orders) = &keeper.orders {
            orders.keep(keeping.clone());
        }
        keeper.keeping = Some(keeping);
    }

    /// Removes nothing that is needed.
    pub(super) fn keep_needed(&self, needs: Needs) {
        let mut keeper = self.keeper.lock();
        if let Some(orders) = &keeper.orders {
            orders.needs(Arc::clone(&needs));
        }
        keeper.needs = Some(needs);
    }

    /// Has the writer leave the trail, everything durable and sealed; records wait from then on.
    pub(super) async fn leave(&self) -> Result<Left, String> {
        let gone = || "the audit writer has ended".to_owned();
        let (turn, left, leaving) = Turn::new();
        self.door.turn(turn).map_err(|NoPlace| gone())?;
        match timeout(CLOSING, leaving).await {
            Ok(Ok(Ok(()))) => Ok(left),
            Ok(Ok(Err(why))) => Err(format!("the audit trail cannot be handed over: {why}")),
            Ok(Err(_gone)) => Err(gone()),
            Err(_) => Err("the audit trail's disk did not answer in time".to_owned()),
        }
    }

    /// Puts on the trail what another process of this sidecar still has to say, until it has said all.
    pub(super) async fn receive(
        &self,
        stream: std::os::unix::net::UnixStream,
        shared: &Shared,
    ) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        receive(tokio::net::UnixStream::from_std(stream)?, &self.door, shared).await
    }

    /// Waits until all that was handed in is written, and the writer has ended.
    pub(super) async fn close(&self) {
        // What has not begun is at its end with this.
        drop(self.life.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.door.close();
        let mut ended = self.ended.clone();
        if timeout(CLOSING, async { while ended.changed().await.is_ok() {} }).await.is_err() {
            error!(within = ?CLOSING, "the audit writer did not come to its end");
        }
    }
}

impl Keeper {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    fn open(&self) -> Result<Trail, OpenError> {
        let trail = Trail::open(&self.settings, self.origin.clone(), Arc::clone(&self.shared))?;
        let orders = trail.keeper();
        let mut keeper = self.keeper.lock();
        if let Some(keeping) = &keeper.keeping {
            orders.keep(keeping.clone());
        }
        if let Some(needs) = &keeper.needs {
            orders.needs(Arc::clone(needs));
        }
        keeper.orders = Some(orders);
        Ok(trail)
    }

    /// All that waits is one batch, and one `fdatasync` at most.
    fn write(self, mut trail: Trail) {
        let mut batch = Vec::new();
        loop {
            let more = self.inbox.take(&mut batch, trail.patience());
            batch.drain(..).for_each(|handed| trail.take(handed));
            match more {
                More::Yes => trail.attempt(false),
                More::No => break,
                More::After(turn) => match self.leave(trail, turn) {
                    Some(back) => trail = back,
                    None => return,
                },
            }
        }
        self.inbox.close(&mut batch);
        batch.drain(..).for_each(|handed| trail.take(handed));
        trail.finish();
    }

    /// Leaves the trail to another process. It comes back when that does not go on with it.
    fn leave(&self, mut trail: Trail, turn: Turn) -> Option<Trail> {
        if let Err(why) = trail.leave() {
            // Whoever asked may have given up.
            let _gone = turn.left.send(Err(why));
            return Some(trail);
        }
        self.keeper.lock().orders = None;
        drop(trail); // with its lock
        self.shared.progress().is_left = true;
        if turn.left.send(Ok(())).is_err() {
            return self.back();
        }
        let Ok(stream) = turn.outcome.recv() else { return self.back() };
        forward(&self.inbox, &self.origin, stream, &self.shared);
        None
    }

    /// Opens the trail again, as soon as nobody else holds it and nothing else is in the way. `None` if the end comes first.
    fn back(&self) -> Option<Trail> {
        let deadline = Instant::now() + BACK;
        let (mut kept, mut told) = (Backlog::default(), None);
        loop {
            match self.open() {
                Ok(mut trail) => {
                    info!("this process goes on with the audit trail");
                    self.shared.progress().is_left = false;
                    trail.take_over(kept);
                    return Some(trail);
                }
                Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(AGAIN);
                }
                Err(error) => {
                    let why = self.cannot_open(&error, &mut told);
                    if self.until_next_attempt(&mut kept, &why).is_none() {
                        let (records, why) = (kept.len(), why.as_ref());
                        error!(records, why, "the audit trail ends without its last records");
                        return None;
                    }
                }
            }
        }
    }

    /// Says, and says once, why the trail cannot be opened again.
    fn cannot_open(&self, error: &OpenError, told: &mut Option<Arc<str>>) -> Arc<str> {
        let why = Report(error);
        let why: Arc<str> = format!(
            "cannot open the audit trail again: {why}; mend that: it is tried every second, and no restart is needed"
        )
        .into();
        if told.as_ref() != Some(&why) {
            error!("{why}");
        }
        *told = Some(Arc::clone(&why));
        self.shared.metrics.failed();
        self.shared.progress().failing = Some(Arc::clone(&why));
        why
    }

    /// Does with records what the trail does while its disk fails: refuses what somebody waits for, and keeps the rest. `None`
    /// when the writer is to end.
    fn until_next_attempt(&self, kept: &mut Backlog, why: &Arc<str>) -> Option<()> {
        let next = Instant::now() + SYNC_INTERVAL;
        let mut batch = Vec::new();
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let more = self.inbox.take(&mut batch, Some(left));
            if let More::No = more {
                self.inbox.close(&mut batch);
            }
            for handed in batch.drain(..) {
                if !kept.take(handed, &self.origin, self.settings.on_failure, &self.shared) {
                    self.shared.lose_at_door();
                }
            }
            let show = |page, line: &Encoded| self.shared.pages.keep(page, &line.unplaced());
            kept.after_failure(why, self.settings.on_failure, show);
            match more {
                More::Yes if left.is_zero() => return Some(()),
                More::Yes => {}
                More::After(turn) => {
                    // Whoever asked may have given up.
                    let _gone = turn.left.send(Err(Arc::clone(why)));
                }
                More::No => return None,
            }
        }
    }
}

/// At the end of the writer's thread.
impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.progress().failing = Some("the audit writer has panicked".into());
        }
    }
}
