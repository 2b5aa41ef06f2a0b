//! A bound on the lines that denials take: of one stranger, and of one denial that a peer meets again and again.
//!
//! Each bucket has so many lines at once, and one more every now and then. What finds it empty is counted, and
//! told of once a second with all others of the bucket: nothing is lost but a line of its own. Only denials ever
//! come here; what was let through has its line always.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::record::{Action, Connection, Flood, Hl7, Record, Request};
use crate::clock;
use crate::identity::{ListenerName, PeerName};
use crate::network::network;
use crate::outcome::Direction;

/// Lines that a bucket has at once.
const BURST: u32 = 100;
/// One more for a stranger every such time: it may go on for as long as it likes.
const OF_STRANGERS: Duration = Duration::from_secs(1);
/// One more for the same denial of a peer that `peers` names.
const OF_PEERS: Duration = Duration::from_millis(100);
/// Buckets that are remembered. Beyond them, one is for all.
const BUCKETS: usize = 4096;

/// All denials of late, as far as they have to be bounded.
#[derive(Debug, Default)]
pub(super) struct Floods {
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: HashMap<Key, Bucket>,
    /// There is no room for more; it is looked for once a second.
    is_full: bool,
}

/// Whose lines they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    listener: ListenerName,
    direction: Direction,
    /// One address, or one network of IPv6. `None` for a unix socket, and for all who find no bucket of their own.
    source: Option<IpAddr>,
    /// Of a peer with a name: which denial. A stranger has one bucket for all of them.
    denial: Option<Same>,
}

/// What the same denial of a peer has in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Same {
    peer: PeerName,
    action: Action,
    reason: Option<&'static str>,
    rule: Option<Arc<str>>,
    template: Option<Arc<str>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    /// From one token to the next.
    refill: Duration,
    filled: Instant,
    /// One for each action.
    owed: Vec<Owed>,
}

/// Denials that are still to be told of.
#[derive(Debug)]
struct Owed {
    /// The first of them, as far as the others are like it.
    shown: Record,
    is_bare: bool,
    flood: Flood,
}

impl Floods {
    /// `record`, if it is to have a line of its own; otherwise it is counted.
    pub(super) fn own(&self, record: Record) -> Option<Record> {
        let Some(key) = Key::of(&record) else { return Some(record) };
        let mut buckets = self.buckets();
        let now = Instant::now();
        let bucket = buckets.of(key, now);
        if bucket.take(now) {
            return Some(record);
        }
        bucket.owe(record);
        None
    }

    /// What got no line of its own since this was asked last.
    pub(super) fn rest(&self) -> Vec<Record> {
        let mut buckets = self.buckets();
        buckets.is_full = false;
        let owed = buckets.all.values_mut().flat_map(|bucket| std::mem::take(&mut bucket.owed));
        owed.map(Owed::told).collect()
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    /// The bucket of `key`; when there are too many, that of all who have none of their own.
    fn of(&mut self, key: Key, now: Instant) -> &mut Bucket {
        let is_new = self.all.len() >= BUCKETS && !self.all.contains_key(&key);
        if is_new && !self.is_full {
            // One that is full again is as good as none.
            self.all.retain(|_, bucket| !bucket.is_at_rest(now));
            self.is_full = self.all.len() >= BUCKETS;
        }
        let key = if is_new && self.is_full { key.of_others() } else { key };
        let refill = if key.denial.is_some() { OF_PEERS } else { OF_STRANGERS };
        let new = || Bucket { tokens: BURST, refill, filled: now, owed: Vec::new() };
        self.all.entry(key).or_insert_with(new)
    }
}

impl Key {
    /// `None` for what has a line always.
    fn of(record: &Record) -> Option<Self> {
        let connection = record.connection.as_deref().filter(|_| record.action.may_flood())?;
        let template = record.request.as_ref().and_then(|request| request.template.clone());
        Some(Self {
            listener: connection.listener.clone(),
            direction: connection.direction,
            source: connection.source.map(|source| network(source.ip())),
            denial: connection.peer.clone().map(|peer| Same {
                peer,
                action: record.action,
                reason: record.reason,
                rule: record.rule.as_ref().map(|rule| Arc::clone(&rule.name)),
                template,
            }),
        })
    }

    /// Of all at the same listener who have no bucket of their own.
    fn of_others(self) -> Self {
        Self { source: None, denial: None, ..self }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let earned = self.earned(now);
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.filled = now;
        }
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    fn earned(&self, now: Instant) -> u32 {
        let earned = now.duration_since(self.filled).as_millis() / self.refill.as_millis().max(1);
        u32::try_from(earned).unwrap_or(BURST)
    }

    /// Whether it owes nothing, and has all the lines that one may have.
    fn is_at_rest(&self, now: Instant) -> bool {
        self.owed.is_empty() && self.tokens.saturating_add(self.earned(now)) >= BURST
    }

    fn owe(&mut self, record: Record) {
        let now = clock::now();
        match self.owed.iter_mut().find(|owed| owed.shown.action == record.action) {
            Some(owed) => owed.and(&record, now),
            None => self.owed.push(Owed::first(record, now)),
        }
    }
}

impl Owed {
    fn first(record: Record, now: OffsetDateTime) -> Self {
        let reasons = BTreeMap::from([(record.reason.unwrap_or_default(), 1)]);
        let flood = Flood { count: 1, reasons, first: now, last: now };
        Self { shown: without_its_own(record), is_bare: false, flood }
    }

    fn and(&mut self, record: &Record, now: OffsetDateTime) {
        self.flood.count += 1;
        *self.flood.reasons.entry(record.reason.unwrap_or_default()).or_default() += 1;
        self.flood.last = now;
        if !self.is_bare && !is_like(&self.shown, record) {
            self.shown = bare(&self.shown);
            self.is_bare = true;
        }
    }

    fn told(self) -> Record {
        let Self { shown, flood, .. } = self;
        let count = flood.count;
        let peer = shown.connection.as_deref().and_then(|connection| connection.peer.as_ref());
        let (reason, message) = match peer {
            Some(peer) => {
                (shown.reason, format!("{count} more of the same denial of peer `{peer}`"))
            }
            None => {
                let what = match shown.action {
                    Action::ConnectionRefused => {
                        "handshakes of this source, or its /64, came to nothing"
                    }
                    _ => "of this source, or its /64, were denied",
                };
                (
                    Some(Flood::REASON),
                    format!(
                        "{count} more {what}; a source gets a bounded number of lines of its own"
                    ),
                )
            }
        };
        Record { reason, message: Some(message), flood: Some(flood), ..shown }
    }
}

/// The same, as an example of many: without what is the one's alone.
fn without_its_own(record: Record) -> Record {
    let connection = record.connection.map(|connection| {
        let source = connection.source.map(|source| (network(source.ip()), 0).into());
        Arc::new(Connection { source, ..(*connection).clone() })
    });
    let request = record.request.map(|request| Request { words: None, trace_id: None, ..request });
    let hl7 = record.hl7.map(|hl7| Hl7 { control_id: None, ..hl7 });
    Record { connection, request, hl7, ..record }
}

/// Whether both say the same of who was denied what.
fn is_like(shown: &Record, other: &Record) -> bool {
    let who = |record: &Record| {
        record.connection.as_deref().map(|connection| {
            let certificate = connection.certificate.as_ref().map(|leaf| leaf.sha256);
            (connection.identity.clone(), certificate, connection.plaintext)
        })
    };
    let asked = |record: &Record| {
        let request = record.request.clone();
        let request = request.map(|asked| (asked.method, asked.template, asked.operation));
        let hl7 = record.hl7.clone();
        let hl7 = hl7.map(|hl7| Hl7 { number: 0, control_id: None, ..hl7 });
        (request, hl7, record.dicom.clone())
    };
    who(shown) == who(other)
        && shown.reason == other.reason
        && shown.rule == other.rule
        && asked(shown) == asked(other)
}

/// What all in one bucket have in common.
fn bare(record: &Record) -> Record {
    let connection = record.connection.as_deref().map(|connection| {
        Arc::new(Connection {
            destination: None,
            asked: None,
            endpoint: None,
            tls: None,
            plaintext: false,
            certificate: None,
            anchor: None,
            identity: None,
            ..connection.clone()
        })
    });
    let is_named = connection.as_ref().is_some_and(|connection| connection.peer.is_some());
    let (reason, rule) = (record.reason, record.rule.clone());
    let rule = rule.map(|rule| super::Rule { nearest: None, ..rule });
    let bare = Record { connection, ..Record::new(record.action) };
    if is_named { Record { reason, rule, ..bare } } else { bare }
}
