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
use crate::proxy::l7::host::{ConnectError, Host, PoolKey, Spoken, Wanted};

/// The shelves of one pool.
pub(super) struct Shelves<H: Host> {
    of: HashMap<Arc<str>, Shelf<H>>,
    /// HTTP/1 connections that wait, on all shelves.
    pub(super) waiting: usize,
    /// Nothing is put on a shelf any more.
    pub(super) closed: bool,
    /// Shelves of earlier generations, to be dropped when the lock is free.
    outdated: Vec<Shelf<H>>,
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
}

impl<H: Host> Shelves<H> {
    pub(super) fn new() -> Self {
        Self { of: HashMap::new(), waiting: 0, closed: false, outdated: Vec::new() }
    }

    /// The shelf of `key`, in place of one of an earlier generation. `None` if there is a later one.
    pub(super) fn shelf(&mut self, key: &PoolKey) -> Option<&mut Shelf<H>> {
        let is_outdated = |shelf: &Shelf<H>| shelf.generation < key.generation;
        if self.of.get(&key.name).is_some_and(is_outdated)
            && let Some(old) = self.of.remove(&key.name)
        {
            self.waiting = self.waiting.saturating_sub(old.http1.len());
            self.outdated.push(old);
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

    /// What was found to be of an earlier generation, to be dropped when the lock is free.
    pub(super) fn take_outdated(&mut self) -> Vec<Shelf<H>> {
        std::mem::take(&mut self.outdated)
    }

    /// Takes out the connection that nobody has used for longest, whoever it is for.
    pub(super) fn take_longest_unused(&mut self) -> Option<Unused<H>> {
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

    /// Takes out what is closed or has waited for longer than `limit`.
    pub(super) fn take_stale(&mut self, limit: Duration) -> Vec<Shelf<H>> {
        let is_fresh = |since: Instant| since.elapsed() < limit;
        for shelf in self.of.values_mut() {
            shelf.http1.retain(|one| !one.sender.is_closed() && is_fresh(one.since));
            shelf
                .http2
                .retain(|one| !one.sender.is_closed() && (one.is_used() || is_fresh(one.since)));
        }
        let is_empty = |shelf: &Shelf<H>| {
            shelf.http1.is_empty()
                && shelf.http2.is_empty()
                && Arc::strong_count(&shelf.opening) == 1
        };
        let empty = self.of.extract_if(|_, shelf| is_empty(shelf)).map(|(_, shelf)| shelf);
        let empty = empty.collect();
        self.waiting = self.of.values().map(|shelf| shelf.http1.len()).sum();
        empty
    }

    /// Takes out everything, for good.
    pub(super) fn close(&mut self) -> Vec<Shelf<H>> {
        self.closed = true;
        self.waiting = 0;
        self.of.drain().map(|(_, shelf)| shelf).collect()
    }
}
