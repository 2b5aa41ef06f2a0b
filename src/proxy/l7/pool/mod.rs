//! Upstream connections that wait for their next request.
//!
//! One pool for all connections of a listener. HTTP/1 connections are lent one request at a time,
//! the one that was used last first; HTTP/2 connections are shared up to a number of streams. What
//! waits, what is open and how long it waits all have bounds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::body::Upload;
use super::host::{ConnectError, Host, PoolKey, Spoken, Wanted};
use crate::config::Limits;
use crate::shutdown::Shutdown;

mod connect;
mod lease;

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
    shutdown: Shutdown,
}

struct Shelves<H: Host> {
    of: HashMap<PoolKey, Shelf<H>>,
    waiting: usize,
    closed: bool,
}

/// What there is for one key.
struct Shelf<H: Host> {
    http1: Vec<Waiting<H>>,
    http2: Vec<Shared<H>>,
    /// Held by who opens an HTTP/2 connection, so that others wait for it instead of opening theirs.
    opening: Arc<tokio::sync::Mutex<Option<Failed>>>,
    answers: Answers,
}

/// What upstreams answered with when a version was wanted.
#[derive(Debug, Clone, Copy)]
struct Answers {
    to_http1: Spoken,
    to_http2: Spoken,
}

impl Answers {
    /// What is to be expected before anything is known.
    const UNKNOWN: Self = Self { to_http1: Spoken::Http1, to_http2: Spoken::Http2 };

    fn to(self, wanted: Wanted) -> Spoken {
        match wanted {
            Wanted::Http1 => self.to_http1,
            Wanted::Http2 => self.to_http2,
        }
    }

    fn learn(&mut self, wanted: Wanted, spoken: Spoken) {
        match wanted {
            Wanted::Http1 => self.to_http1 = spoken,
            Wanted::Http2 => self.to_http2 = spoken,
        }
    }
}

/// An attempt to connect that failed: those who waited for it share its fate.
#[derive(Debug, Clone, Copy)]
struct Failed {
    at: Instant,
    why: ConnectError,
}

struct Waiting<H: Host> {
    sender: http1::SendRequest<Upload<H>>,
    open: Arc<Open<H::Link>>,
    since: Instant,
}

struct Shared<H: Host> {
    sender: http2::SendRequest<Upload<H>>,
    open: Arc<Open<H::Link>>,
    streams: Arc<AtomicU32>,
    since: Instant,
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
        let shelves = Shelves { of: HashMap::new(), waiting: 0, closed: false };
        let pool = Arc::new(Self {
            shelves: Mutex::new(shelves),
            open: Arc::new(Semaphore::new(bounds.open.min(Semaphore::MAX_PERMITS))),
            bounds,
            limits: limits.clone(),
            shutdown: shutdown.clone(),
        });
        shutdown.spawn(sweep(Arc::downgrade(&pool), shutdown.clone()));
        pool
    }

    /// Closes the waiting connections of all keys but those that `keep` wants.
    pub fn retain(&self, keep: impl Fn(&PoolKey) -> bool) {
        let mut shelves = self.lock();
        let unwanted: Vec<_> = shelves.of.extract_if(|key, _| !keep(key)).collect();
        shelves.recount();
        drop(shelves); // closing is not done under the lock
        drop(unwanted);
    }

    /// A connection for one request: one that waits, or a new one.
    pub(super) async fn lease(
        self: &Arc<Self>,
        host: &H,
        wanted: Wanted,
    ) -> Result<Lease<H>, ConnectError> {
        let key = host.pool_key();
        match self.reuse(&key, wanted).await {
            Some(lease) => Ok(lease),
            None => self.fresh(host, key, wanted).await,
        }
    }

    /// A connection that nobody has used before.
    pub(super) async fn fresh(
        self: &Arc<Self>,
        host: &H,
        key: PoolKey,
        wanted: Wanted,
    ) -> Result<Lease<H>, ConnectError> {
        match self.expected(&key, wanted) {
            Spoken::Http1 => self.open(host, key, wanted).await,
            Spoken::Http2 => self.open_shared(host, key, wanted).await,
        }
    }

    /// Opens an HTTP/2 connection, or shares the one that somebody else is opening.
    async fn open_shared(
        self: &Arc<Self>,
        host: &H,
        key: PoolKey,
        wanted: Wanted,
    ) -> Result<Lease<H>, ConnectError> {
        let asked = Instant::now();
        let opening = Arc::clone(&self.lock().shelf(&key).opening);
        let mut failed = opening.lock().await;
        if let Some(Failed { why, .. }) = failed.filter(|failed| failed.at > asked) {
            return Err(why);
        }
        if let Some(lease) = self.share(&key) {
            return Ok(lease);
        }
        if self.expected(&key, wanted) == Spoken::Http1 {
            drop(failed); // it has turned out that there is nothing to share
            return self.open(host, key, wanted).await;
        }
        let opened = self.open(host, key, wanted).await;
        *failed = opened.as_ref().err().map(|why| Failed { at: Instant::now(), why: *why });
        opened
    }

    async fn reuse(self: &Arc<Self>, key: &PoolKey, wanted: Wanted) -> Option<Lease<H>> {
        match self.expected(key, wanted) {
            Spoken::Http2 => self.share(key),
            Spoken::Http1 => loop {
                let Waiting { mut sender, open, .. } = self.take(key)?;
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
        let mut shelves = self.lock();
        let waiting = shelves.of.get_mut(key)?.http1.pop()?;
        shelves.waiting = shelves.waiting.saturating_sub(1);
        Some(waiting)
    }

    /// A stream of an HTTP/2 connection that has one left.
    fn share(self: &Arc<Self>, key: &PoolKey) -> Option<Lease<H>> {
        let mut shelves = self.lock();
        let shelf = shelves.of.get_mut(key)?;
        shelf.http2.retain(|shared| !shared.sender.is_closed());
        let most = self.limits.streams;
        let has_room = |shared: &&mut Shared<H>| shared.streams.load(Ordering::Acquire) < most;
        let shared = shelf.http2.iter_mut().find(has_room)?;
        shared.since = Instant::now();
        let (sender, open) = (shared.sender.clone(), Arc::clone(&shared.open));
        let streams = Arc::clone(&shared.streams);
        Some(Lease::http2(sender, open, key.clone(), self, streams, true))
    }

    /// Puts an HTTP/1 connection back, unless there are enough that wait.
    fn put_back(
        &self,
        key: PoolKey,
        sender: http1::SendRequest<Upload<H>>,
        open: Arc<Open<H::Link>>,
    ) {
        let mut shelves = self.lock();
        if shelves.closed || shelves.waiting >= self.bounds.idle {
            return;
        }
        let shelf = shelves.shelf(&key);
        if shelf.http1.len() < self.bounds.idle_per_key {
            shelf.http1.push(Waiting { sender, open, since: Instant::now() });
            shelves.waiting += 1;
        }
    }

    /// What an upstream of `key` will speak when asked for `wanted`, as far as is known.
    fn expected(&self, key: &PoolKey, wanted: Wanted) -> Spoken {
        let shelves = self.lock();
        shelves.of.get(key).map_or(Answers::UNKNOWN, |shelf| shelf.answers).to(wanted)
    }

    fn lock(&self) -> MutexGuard<'_, Shelves<H>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Host> Shelves<H> {
    fn shelf(&mut self, key: &PoolKey) -> &mut Shelf<H> {
        self.of.entry(key.clone()).or_insert_with(|| Shelf {
            http1: Vec::new(),
            http2: Vec::new(),
            opening: Arc::default(),
            answers: Answers::UNKNOWN,
        })
    }

    /// Takes out what is closed or has waited for longer than `limit`.
    fn take_stale(&mut self, limit: Duration) -> Vec<Shelf<H>> {
        let is_fresh = |since: Instant| since.elapsed() < limit;
        for shelf in self.of.values_mut() {
            shelf.http1.retain(|one| !one.sender.is_closed() && is_fresh(one.since));
            shelf.http2.retain(|one| {
                let is_used = one.streams.load(Ordering::Acquire) > 0;
                !one.sender.is_closed() && (is_used || is_fresh(one.since))
            });
        }
        let is_empty = |shelf: &Shelf<H>| {
            shelf.http1.is_empty()
                && shelf.http2.is_empty()
                && Arc::strong_count(&shelf.opening) == 1
        };
        let empty = self.of.extract_if(|_, shelf| is_empty(shelf)).map(|(_, shelf)| shelf);
        let empty = empty.collect();
        self.recount();
        empty
    }

    fn recount(&mut self) {
        self.waiting = self.of.values().map(|shelf| shelf.http1.len()).sum();
    }
}

/// Closes what has waited for too long; at the drain, all that waits.
async fn sweep<H: Host>(pool: Weak<Pool<H>>, shutdown: Shutdown) {
    loop {
        let Some(pause) = pool.upgrade().map(|pool| pool.bounds.idle_timeout / 4) else { return };
        tokio::select! {
            () = sleep(pause.max(Duration::from_millis(10))) => {
                let Some(pool) = pool.upgrade() else { return };
                let stale = pool.lock().take_stale(pool.bounds.idle_timeout);
                drop(stale);
            }
            () = shutdown.draining() => {
                let Some(pool) = pool.upgrade() else { return };
                let mut shelves = pool.lock();
                shelves.closed = true;
                let all = std::mem::take(&mut shelves.of);
                shelves.waiting = 0;
                drop(shelves);
                drop(all);
                return;
            }
        }
    }
}
