//! Holds the trails of two services against each other. Both sidecars of a connection derive the same id from its TLS
//! session (RFC 5705; RFC 8446, 7.5), so what one side has on record the other must have, too.
//!
//! ```text
//! records of A ──▶ Seen ─┐ by connection
//!                        ├──▶ Pair ──▶ judged ──▶ Difference
//! records of B ──▶ Seen ─┘
//! ```
//!
//! Neither trail says of itself that it is whole: that is for [`verify()`](super::verify()).

mod exchanges;
mod expected;
mod judge;
mod seen;

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use self::expected::Names;
pub use self::judge::{Difference, Lack, Reconciled, SideSummary};
use self::seen::{Refusals, Seen};
use super::read::{Recorded, Window};

/// Most connections that are held against each other at once: about 300 bytes each.
const MOST: usize = 500_000;
/// So much is read before and behind the time that is asked for: what begins in it on one side may be a little beside
/// it on the other.
const MARGIN: Duration = Duration::minutes(10);

/// One of two sides. Each may have several trails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn of<T>(self, [a, b]: &[T; 2]) -> &T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    fn of_mut<T>(self, [a, b]: &mut [T; 2]) -> &mut T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Irreconcilable {
    /// There are too many connections.
    #[error("more than {MOST} connections: narrow it with --from and --to")]
    TooMany,
    /// The same end of a connection is on both sides.
    #[error(
        "both sides hold the {direction} end of connection {connection}: they are trails of one service"
    )]
    SameEnd {
        /// Which.
        connection: String,
        /// `inbound` or `outbound`.
        direction: &'static str,
    },
}

/// What both sides have of one connection.
#[derive(Debug, Default)]
struct Pair {
    seen: [Option<Seen>; 2],
    /// One side has both of its ends on record: there is nothing to hold against each other.
    is_within: bool,
}

/// What is known of one side apart from its connections.
#[derive(Debug, Default)]
struct Known {
    trails: Vec<Trail>,
    services: Vec<String>,
    first: Option<OffsetDateTime>,
    last: Option<OffsetDateTime>,
    refusals: Refusals,
    /// Denied requests, messages and associations that are told of together, without their connections.
    denied_together: u64,
}

/// What is known of one trail.
#[derive(Debug, Default)]
struct Trail {
    /// When its sidecar last began or ended: nothing that was open before is open behind it.
    restarted: Option<OffsetDateTime>,
}

/// Takes the records of both sides, one by one and in any order of the trails.
#[derive(Debug)]
pub struct Reconciler {
    window: Window,
    pairs: HashMap<[u8; 16], Pair>,
    known: [Known; 2],
    names: Names,
    most: usize,
    is_full: bool,
}

impl Reconciler {
    /// About connections that begin in `window`. `identities` are names that the services of each side are known by
    /// to their peers, beside those that the trails tell.
    pub fn new(window: Window, identities: [&[String]; 2]) -> Self {
        Self {
            window,
            pairs: HashMap::new(),
            known: Default::default(),
            names: Names::given(identities),
            most: MOST,
            is_full: false,
        }
    }

    /// Of which time records are wanted.
    pub fn wanted(&self) -> Window {
        let Window { from, to } = self.window;
        Window {
            from: from.and_then(|from| from.checked_sub(MARGIN)),
            to: to.and_then(|to| to.checked_add(MARGIN)),
        }
    }

    /// A trail begins, of which the next records are.
    pub fn begin(&mut self, side: Side) {
        side.of_mut(&mut self.known).trails.push(Trail::default());
    }

    /// Takes a record. Breaks off when there are too many connections.
    pub fn take(&mut self, side: Side, recorded: &Recorded) -> ControlFlow<()> {
        side.of_mut(&mut self.known).take(recorded);
        let Some(id) = id(recorded).filter(|_| recorded.myelin.flood.is_none()) else {
            return ControlFlow::Continue(());
        };
        // Without TLS, or before there is a session, the id is chance, and the other side has no part in it.
        if recorded.myelin.plaintext || recorded.event.action == "connection-refused" {
            return ControlFlow::Continue(());
        }
        if self.pairs.len() >= self.most && !self.pairs.contains_key(&id) {
            self.is_full = true;
            return ControlFlow::Break(());
        }
        let trail = side.of(&self.known).trails.len();
        let who = recorded.myelin.identity.as_deref().map(|identity| self.names.number(identity));
        let pair = self.pairs.entry(id).or_default();
        match side.of_mut(&mut pair.seen) {
            Some(seen) if seen.is_outbound != recorded.is_outbound() => pair.is_within = true,
            // The same end in another trail of this side is a copy.
            Some(seen) if seen.trail != trail => {}
            Some(seen) => seen.take(recorded),
            empty => empty.insert(Seen::first(recorded, trail, who)).take(recorded),
        }
        ControlFlow::Continue(())
    }

    /// What does not agree.
    ///
    /// # Errors
    ///
    /// There were too many connections, or both sides are the same.
    pub fn finish(self) -> Result<Reconciled, Irreconcilable> {
        if self.is_full {
            return Err(Irreconcilable::TooMany);
        }
        judge::judge(self)
    }
}

impl Known {
    fn take(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if !self.services.contains(&recorded.service.name) {
            self.services.push(recorded.service.name.clone());
        }
        match recorded.event.action.as_str() {
            "recording-started" | "recording-stopped" => {
                if let Some(trail) = self.trails.last_mut() {
                    trail.restarted = trail.restarted.max(Some(at));
                }
            }
            "connection-refused" => self.refusals.take(recorded),
            "connection-denied" if recorded.myelin.flood.is_some() => self.refusals.take(recorded),
            _ if recorded.myelin.flood.is_some() => {
                self.denied_together = self.denied_together.saturating_add(recorded.count());
            }
            _ => {}
        }
    }
}

/// The connection that a record is about.
fn id(recorded: &Recorded) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    hex::decode_to_slice(recorded.myelin.connection.as_deref()?, &mut id).ok()?;
    Some(id)
}
