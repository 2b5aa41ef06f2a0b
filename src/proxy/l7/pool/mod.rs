//! Upstream connections that wait for their next request.
//!
//! One pool for all connections of a listener. HTTP/1 connections are lent one request at a time,
//! the one that was used last first; HTTP/2 connections are shared up to a number of streams. What
//! waits, what is open and how long it waits all have bounds. A connection that only waits is closed
//! before a request of anybody else is turned away for want of room.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use self::room::Need;
use self::shelves::{Answers, Failed, Shared, Shelves, Waiting};

use super::body::Upload;
use super::host::{ConnectError, Host, Link, PoolKey, Spoken, Wanted};
use crate::config::Limits;
use crate::shutdown::Shutdown;

mod connect;
mod lease;
mod room;
mod shelves;

pub(super) use lease::{Lease, SendError};

/// How long a connection that has just finished may take to be ready again.
const BREATH: Duration = Duration::from_millis(50);

/// Bounds of a pool.
#[derive(Debug, Clone)]
pub struct PoolLimits {
    /// Upstream connections that are open at the same time.
    pub open: usize,
    /// HTTP/1 connections that wait for one key.
    pub idle_per_key: usize,
    /// HTTP/1 connections that wait in all.
    pub idle: usize,
    /// A connection that has waited this long is closed.
    pub idle_timeout: Duration,
}

impl PoolLimits {
    /// What a listener with `limits` needs: an upstream connection for each of its own, 64 waiting for
    /// one key, 1024 in all, for a minute.
    pub fn of(limits: &Limits) -> Self {
        Self {
            open: limits.connections,
            idle_per_key: 64,
            idle: 1024,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Upstream connections of one listener.
pub struct Pool<H: Host> {
    shelves: Mutex<Shelves<H>>,
    bounds: PoolLimits,
    limits: Limits,
    open: Arc<Semaphore>,
    /// A connection, or a stream of one, is not used any more.
    returned: Arc<Notify>,
    shutdown: Shutdown,
}

/// An upstream connection that counts as open until nobody holds this any more.
struct Open<L> {
    link: Arc<L>,
    _slot: OwnedSemaphorePermit,
}

impl<H: Host> Pool<H> {
    /// An empty pool, which closes what waits for too long, and everything that waits when `shutdown`
    /// begins to drain.
    pub fn start(bounds: PoolLimits, limits: &Limits, shutdown: &Shutdown) -> Arc<Self> {
        let pool = Arc::new(Self {
            shelves: Mutex::new(Shelves::new()),
            open: Arc::new(Semaphore::new(bounds.open.min(Semaphore::MAX_PERMITS))),
            bounds,
            limits: limits.clone(),
            returned: Arc::default(),
            shutdown: shutdown.clone(),
        });
        shutdown.spawn(sweep(Arc::downgrade(&pool), shutdown.clone()));
        pool
    }

    /// A connection for one request: one that waits, or a new one.
    pub(super) async fn lease(
        self: &Arc<Self>,
        who: (&H, &H::Permit),
        wanted: Wanted,
    ) -> Result<Lease<H>, ConnectError> {
        let (host, permit) = who;
        let key = host.pool_key(permit);
        match self.reuse(&key, wanted).await {
            Some(lease) => Ok(lease),
            None => self.connection(who, key, wanted, Need::Any).await,
        }
    }

    /// A connection that nobody has used before.
    pub(super) async fn fresh(
        self: &Arc<Self>,
        who: (&H, &H::Permit),
        wanted: Wanted,
    ) -> Result<Lease<H>, ConnectError> {
        let (host, permit) = who;
        self.connection(who, host.pool_key(permit), wanted, Need::New).await
    }

    async fn connection(
        self: &Arc<Self>,
        who: (&H, &H::Permit),
        key: PoolKey,
        wanted: Wanted,
        need: Need,
    ) -> Result<Lease<H>, ConnectError> {
        match self.expected(&key, wanted) {
            Spoken::Http1 => self.open(who, key, wanted, need).await,
            Spoken::Http2 => self.open_shared(who, key, wanted, need).await,
        }
    }

    /// Opens an HTTP/2 connection, or shares the one that somebody else is opening.
    async fn open_shared(
        self: &Arc<Self>,
        who: (&H, &H::Permit),
        key: PoolKey,
        wanted: Wanted,
        need: Need,
    ) -> Result<Lease<H>, ConnectError> {
        let asked = Instant::now();
        let opening =
            self.on_shelves(|shelves| shelves.shelf(&key).map(|shelf| Arc::clone(&shelf.opening)));
        let Some(opening) = opening else {
            return self.open(who, key, wanted, need).await; // of an earlier generation
        };
        let mut failed = opening.lock().await;
        if let Some(Failed { why, .. }) = failed.filter(|failed| failed.at > asked) {
            return Err(why);
        }
        if let Some(lease) = self.share(&key) {
            return Ok(lease);
        }
        if self.expected(&key, wanted) == Spoken::Http1 {
            drop(failed); // it has turned out that there is nothing to share
            return self.open(who, key, wanted, need).await;
        }
        let opened = self.open(who, key, wanted, need).await;
        *failed = opened.as_ref().err().map(|why| Failed { at: Instant::now(), why: *why });
        opened
    }

    async fn reuse(self: &Arc<Self>, key: &PoolKey, wanted: Wanted) -> Option<Lease<H>> {
        match self.expected(key, wanted) {
            Spoken::Http2 => self.share(key),
            Spoken::Http1 => loop {
                let Waiting { mut sender, open, .. } = self.take(key)?;
                if !open.link.is_good() {
                    continue;
                }
                let is_ready = sender.is_ready()
                    || (!sender.is_closed()
                        && timeout(BREATH, sender.ready()).await.is_ok_and(|ready| ready.is_ok()));
                if is_ready {
                    return Some(Lease::http1(sender, open, key.clone(), self, true));
                }
            },
        }
    }

    /// The waiting HTTP/1 connection that was used last.
    fn take(&self, key: &PoolKey) -> Option<Waiting<H>> {
        self.on_shelves(|shelves| {
            let waiting = shelves.shelf(key)?.http1.pop()?;
            shelves.waiting = shelves.waiting.saturating_sub(1);
            Some(waiting)
        })
    }

    /// A stream of an HTTP/2 connection that has one left.
    fn share(self: &Arc<Self>, key: &PoolKey) -> Option<Lease<H>> {
        let most = self.limits.streams;
        self.on_shelves(|shelves| {
            let has_room = |shared: &&mut Shared<H>| {
                shared.streams.load(Ordering::Acquire) < most && shared.open.link.is_good()
            };
            let shared = shelves.http2(key)?.iter_mut().find(has_room)?;
            shared.since = Instant::now();
            let (sender, open) = (shared.sender.clone(), Arc::clone(&shared.open));
            let streams = Arc::clone(&shared.streams);
            Some(Lease::http2(sender, open, key.clone(), self, streams, true))
        })
    }

    /// Puts an HTTP/1 connection back, unless there are enough that wait, it may not be used any more, or
    /// it is of an earlier generation: then it is closed.
    fn put_back(
        &self,
        key: PoolKey,
        sender: http1::SendRequest<Upload<H>>,
        open: Arc<Open<H::Link>>,
    ) {
        let is_good = open.link.is_good();
        let back = Waiting { sender, open, since: Instant::now() };
        let too_many = self.on_shelves(|shelves| {
            if shelves.closed || !is_good || shelves.waiting >= self.bounds.idle {
                return Some(back);
            }
            match shelves.shelf(&key) {
                Some(shelf) if shelf.http1.len() < self.bounds.idle_per_key => {
                    shelf.http1.push(back);
                    shelves.waiting += 1;
                    None
                }
                Some(_) | None => Some(back),
            }
        });
        drop(too_many);
        self.returned.notify_one();
    }

    /// What an upstream of `key` will speak when asked for `wanted`, as far as is known.
    fn expected(&self, key: &PoolKey, wanted: Wanted) -> Spoken {
        let answers = self.on_shelves(|shelves| shelves.shelf(key).map(|shelf| shelf.answers));
        answers.unwrap_or(Answers::UNKNOWN).to(wanted)
    }

    /// Does `work` under the lock. Closing, which may be recorded, is not done under it.
    fn on_shelves<T>(&self, work: impl FnOnce(&mut Shelves<H>) -> T) -> T {
        let mut shelves = self.lock();
        let done = work(&mut shelves);
        let discarded = shelves.take_discarded();
        drop(shelves);
        drop(discarded);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Shelves<H>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has waited for too long; at the drain, all that waits.
async fn sweep<H: Host>(pool: Weak<Pool<H>>, shutdown: Shutdown) {
    loop {
        let Some(pause) = pool.upgrade().map(|pool| pool.bounds.idle_timeout / 4) else { return };
        tokio::select! {
            () = sleep(pause.max(Duration::from_millis(10))) => {
                let Some(pool) = pool.upgrade() else { return };
                pool.on_shelves(|shelves| shelves.discard_stale(pool.bounds.idle_timeout));
            }
            () = shutdown.draining() => {
                let Some(pool) = pool.upgrade() else { return };
                pool.on_shelves(Shelves::close);
                return;
            }
        }
    }
}
