//! What waits for its next request, by whose it is.
//!
//! Each name has the shelf of one generation: a later one takes its place, and what comes back from
//! an earlier one finds none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::Open;
use crate::proxy::l7::body::Upload;
use crate::proxy::l7::host::{ConnectError, Host, Link, PoolKey, Spoken, Wanted};

/// The shelves of one pool.
pub(super) struct Shelves<H: Host> {
    of: HashMap<Arc<str>, Shelf<H>>,
    /// HTTP/1 connections that wait, on all shelves.
    pub(super) waiting: usize,
    /// Nothing is put on a shelf any more.
    pub(super) closed: bool,
    /// Taken off the shelves, to be dropped when the lock is free.
    discarded: Vec<Unused<H>>,
}

/// What there is for one key.
pub(super) struct Shelf<H: Host> {
    generation: u64,
    /// The one that was used last is last.
    pub(super) http1: Vec<Waiting<H>>,
    pub(super) http2: Vec<Shared<H>>,
    /// Held by who opens an HTTP/2 connection, so that others wait for it instead of opening theirs.
    pub(super) opening: Arc<tokio::sync::Mutex<Option<Failed>>>,
    pub(super) answers: Answers,
}

/// What upstreams answered with when a version was wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    to_http1: Spoken,
    to_http2: Spoken,
}

/// An attempt to connect that failed: those who waited for it share its fate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) at: Instant,
    pub(super) why: ConnectError,
}

/// An HTTP/1 connection between two requests.
pub(super) struct Waiting<H: Host> {
    pub(super) sender: http1::SendRequest<Upload<H>>,
    pub(super) open: Arc<Open<H::Link>>,
    pub(super) since: Instant,
}

/// An HTTP/2 connection, used or not.
pub(super) struct Shared<H: Host> {
    pub(super) sender: http2::SendRequest<Upload<H>>,
    pub(super) open: Arc<Open<H::Link>>,
    pub(super) streams: Arc<AtomicU32>,
    /// When it was shared last.
    pub(super) since: Instant,
}

/// A connection that nobody uses, taken off its shelf. Dropped, it is closed.
#[expect(dead_code, reason = "held to be dropped when the lock is free")]
pub(super) enum Unused<H: Host> {
    Http1(Waiting<H>),
    Http2(Shared<H>),
}

impl Answers {
    /// What is to be expected before anything is known.
    pub(super) const UNKNOWN: Self = Self { to_http1: Spoken::Http1, to_http2: Spoken::Http2 };

    pub(super) fn to(self, wanted: Wanted) -> Spoken {
        match wanted {
            Wanted::Http1 => self.to_http1,
            Wanted::Http2 => self.to_http2,
        }
    }

    pub(super) fn learn(&mut self, wanted: Wanted, spoken: Spoken) {
        match wanted {
            Wanted::Http1 => self.to_http1 = spoken,
            Wanted::Http2 => self.to_http2 = spoken,
        }
    }
}

impl<H: Host> Shared<H> {
    fn is_used(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    /// Whether nobody uses it, and nobody may.
    fn is_over(&self) -> bool {
        self.sender.is_closed() || (!self.is_used() && !self.open.link.is_good())
    }
}

impl<H: Host> Shelf<H> {
    fn into_connections(self) -> impl Iterator<Item = Unused<H>> {
        let http2 = self.http2.into_iter().map(Unused::Http2);
        self.http1.into_iter().map(Unused::Http1).chain(http2)
    }
}

impl<H: Host> Shelves<H> {
    pub(super) fn new() -> Self {
        Self { of: HashMap::new(), waiting: 0, closed: false, discarded: Vec::new() }
    }

    /// The shelf of `key`, in place of one of an earlier generation. `None` if there is a later one.
    pub(super) fn shelf(&mut self, key: &PoolKey) -> Option<&mut Shelf<H>> {
        let is_outdated = |shelf: &Shelf<H>| shelf.generation < key.generation;
        if self.of.get(&key.name).is_some_and(is_outdated)
            && let Some(old) = self.of.remove(&key.name)
        {
            self.waiting = self.waiting.saturating_sub(old.http1.len());
            self.discarded.extend(old.into_connections());
        }
        let shelf = self.of.entry(Arc::clone(&key.name)).or_insert_with(|| Shelf {
            generation: key.generation,
            http1: Vec::new(),
            http2: Vec::new(),
            opening: Arc::default(),
            answers: Answers::UNKNOWN,
        });
        (shelf.generation == key.generation).then_some(shelf)
    }

    /// The HTTP/2 connections of `key` that are still open.
    pub(super) fn http2(&mut self, key: &PoolKey) -> Option<&mut Vec<Shared<H>>> {
        let over = self.shelf(key)?.http2.extract_if(.., |one| one.is_over());
        let over: Vec<_> = over.map(Unused::Http2).collect();
        self.discarded.extend(over);
        self.shelf(key).map(|shelf| &mut shelf.http2)
    }

    /// Discards one connection of `key`, if it is on the shelf.
    pub(super) fn discard(&mut self, key: &PoolKey, open: &Arc<Open<H::Link>>) {
        let Some(shelf) = self.of.get_mut(&key.name) else { return };
        let http1 = shelf.http1.extract_if(.., |one| Arc::ptr_eq(&one.open, open));
        let before = self.discarded.len();
        self.discarded.extend(http1.map(Unused::Http1));
        self.waiting = self.waiting.saturating_sub(self.discarded.len() - before);
        let http2 = shelf.http2.extract_if(.., |one| Arc::ptr_eq(&one.open, open));
        self.discarded.extend(http2.map(Unused::Http2));
    }

    /// What is to be closed by dropping it.
    pub(super) fn take_discarded(&mut self) -> Vec<Unused<H>> {
        std::mem::take(&mut self.discarded)
    }

    /// Discards the connection that nobody has used for longest, whoever it is for.
    pub(super) fn discard_longest_unused(&mut self) {
        let unused = self.longest_unused();
        self.discarded.extend(unused);
    }

    fn longest_unused(&mut self) -> Option<Unused<H>> {
        let since = |shelf: &Shelf<H>| {
            let http1 = shelf.http1.first().map(|one| one.since);
            let http2 = shelf.http2.iter().filter(|one| !one.is_used()).map(|one| one.since);
            http1.into_iter().chain(http2).min()
        };
        let shelves = self.of.values_mut();
        let (oldest, shelf) =
            shelves.filter_map(|shelf| Some((since(shelf)?, shelf))).min_by_key(|(at, _)| *at)?;
        if shelf.http1.first().is_some_and(|one| one.since == oldest) {
            self.waiting = self.waiting.saturating_sub(1);
            return Some(Unused::Http1(shelf.http1.remove(0)));
        }
        let at = shelf.http2.iter().position(|one| !one.is_used() && one.since == oldest)?;
        Some(Unused::Http2(shelf.http2.swap_remove(at)))
    }

    /// Discards what is closed, may not be used any more, or has waited for longer than `limit`.
    pub(super) fn discard_stale(&mut self, limit: Duration) {
        let is_stale = |since: Instant| since.elapsed() >= limit;
        for shelf in self.of.values_mut() {
            let http1 = shelf.http1.extract_if(.., |one| {
                one.sender.is_closed() || is_stale(one.since) || !one.open.link.is_good()
            });
            self.discarded.extend(http1.map(Unused::Http1));
            let http2 = shelf
                .http2
                .extract_if(.., |one| one.is_over() || (!one.is_used() && is_stale(one.since)));
            self.discarded.extend(http2.map(Unused::Http2));
        }
        self.of.retain(|_, shelf| {
            let is_opening = Arc::strong_count(&shelf.opening) > 1;
            is_opening || !shelf.http1.is_empty() || !shelf.http2.is_empty()
        });
        self.waiting = self.of.values().map(|shelf| shelf.http1.len()).sum();
    }

    /// Discards everything, for good.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting = 0;
        let shelves = self.of.drain().flat_map(|(_, shelf)| shelf.into_connections());
        self.discarded.extend(shelves);
    }
}
