//! What was seen: trails as attempts, each told once with how often it was made.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::what::What;
use super::who::Who;
use crate::audit::{Hl7From, Reading, Recorded, UnreadableTrail};
use crate::identity::Fingerprint;
use crate::outcome::{DenyReason, Direction};

/// Most attempts that are told apart. A stranger who varies what it asks for cannot fill the memory.
const MOST: usize = 200_000;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Nothing before this moment.
    pub since: Option<OffsetDateTime>,
    /// Nothing of other listeners.
    pub listener: Option<String>,
}

/// Everything that was attempted.
#[derive(Debug, Default)]
pub struct History {
    /// What there was to read.
    pub reading: Reading,
    /// The listeners at which it was, by name.
    pub listeners: BTreeMap<(Direction, Arc<str>), ListenerSeen>,
    /// Denials that no rule made: limits, malformed requests, a trail that failed.
    pub beside: u64,
    /// Handshakes that came to nothing.
    pub refused: u64,
    /// Denials that were told of together, and differed in who was denied what.
    pub summed_up: u64,
    /// Records of attempts beyond those that are told apart.
    pub left_out: u64,
    whos: Interned<Who>,
    certificates: Vec<Fingerprint>,
    whats: Interned<What>,
    attempts: HashMap<Key, Tally>,
}

/// A listener on record.
#[derive(Debug, Clone, Default)]
pub struct ListenerSeen {
    /// `tcp`, `http`, `mllp` or `dicom`.
    pub protocol: String,
    /// Whether its connections were accesses to PHI.
    pub phi: bool,
    /// Where peers connected to.
    pub address: Option<SocketAddr>,
}

/// How often an attempt was made, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// It was let through.
    pub allowed: u64,
    /// Of these: only because policy was observed.
    pub would_deny: u64,
    /// A rule denied it, or the lack of one.
    pub denied: u64,
    /// Why, last.
    pub reason: Option<DenyReason>,
    /// When first.
    pub first: OffsetDateTime,
    /// When last.
    pub last: OffsetDateTime,
}

impl Tally {
    /// How often it was made.
    pub fn count(&self) -> u64 {
        self.allowed + self.denied
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            allowed: self.allowed + other.allowed,
            would_deny: self.would_deny + other.would_deny,
            denied: self.denied + other.denied,
            reason: other.reason.or(self.reason),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    direction: Direction,
    listener: Arc<str>,
    who: usize,
    what: usize,
}

/// An attempt, with who made it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'h> {
    /// Which way the listener faces.
    pub direction: Direction,
    /// Its name.
    pub listener: &'h Arc<str>,
    /// Who.
    pub who: &'h Who,
    /// The certificate that was presented last.
    pub certificate: Fingerprint,
    /// What.
    pub what: &'h What,
    /// How often.
    pub tally: Tally,
}

impl History {
    /// Reads the trail in `dir`, too.
    ///
    /// # Errors
    ///
    /// There is no trail, or it cannot be read.
    pub fn read(&mut self, dir: &Path, filter: &Filter) -> Result<(), UnreadableTrail> {
        let mut reading = std::mem::take(&mut self.reading);
        let read = reading.read(dir, &mut |recorded| self.take(&recorded, filter));
        self.reading = reading;
        read
    }

    /// All attempts, in a stable order.
    pub fn attempts(&self) -> Vec<Attempt<'_>> {
        let mut all: Vec<_> = self.attempts.iter().collect();
        all.sort_by(|(a, _), (b, _)| {
            (a.direction, &a.listener, a.who, a.what).cmp(&(
                b.direction,
                &b.listener,
                b.who,
                b.what,
            ))
        });
        let told = all.into_iter().filter_map(|(key, tally)| {
            Some(Attempt {
                direction: key.direction,
                listener: &key.listener,
                who: self.whos.all.get(key.who)?,
                certificate: *self.certificates.get(key.who)?,
                what: self.whats.all.get(key.what)?,
                tally: *tally,
            })
        });
        told.collect()
    }

    fn take(&mut self, recorded: &Recorded, filter: &Filter) {
        let Some(listener) = recorded.myelin.listener.as_deref() else { return };
        let is_wanted = filter.since.is_none_or(|since| recorded.at >= since)
            && filter.listener.as_deref().is_none_or(|wanted| wanted == listener);
        let Some((kind, end)) = recorded.event.action.split_once('-').filter(|_| is_wanted) else {
            return;
        };
        let is_allowed = match end {
            "allowed" => true,
            "denied" => false,
            "refused" => {
                self.refused += times(recorded);
                return;
            }
            _ => return,
        };
        let direction = match recorded.network.direction.as_deref() {
            Some("egress") => Direction::Outbound,
            _ => Direction::Inbound,
        };
        // Outbound, rules say whom the server must prove to be, and nothing of what is asked of it.
        if direction == Direction::Outbound && kind != "connection" {
            return;
        }
        // Nor do they say what the workload may send to a peer that is let in.
        let hl7 = recorded.myelin.hl7.as_ref();
        if hl7.is_some_and(|hl7| hl7.from == Hl7From::Workload.label()) {
            return;
        }
        let reason = reason(recorded, is_allowed);
        if !is_allowed && reason.is_none() && recorded.myelin.flood.is_some() {
            self.summed_up += times(recorded);
            return;
        }
        if !is_allowed && !reason.is_some_and(is_of_rules) {
            self.beside += times(recorded);
            return;
        }
        let Some(((who, certificate), what)) = Who::of(recorded).zip(What::of(kind, recorded))
        else {
            self.summed_up += recorded.myelin.flood.as_ref().map_or(0, |flood| flood.count);
            return;
        };
        let listener = self.listener((direction, listener), recorded);
        self.count((direction, listener), (who, certificate), what, (recorded, is_allowed, reason));
    }

    fn listener(&mut self, (direction, name): (Direction, &str), of: &Recorded) -> Arc<str> {
        let name: Arc<str> = name.into();
        let seen = self.listeners.entry((direction, Arc::clone(&name))).or_default();
        seen.protocol = of.network.protocol.clone().unwrap_or_else(|| "tcp".to_owned());
        seen.phi |= of.myelin.phi;
        let side = of.destination.as_ref();
        let address = side.and_then(|side| Some(SocketAddr::new(side.ip?, side.port?)));
        seen.address = address.or(seen.address);
        name
    }

    fn count(
        &mut self,
        (direction, listener): (Direction, Arc<str>),
        (who, certificate): (Who, Fingerprint),
        what: What,
        (of, is_allowed, reason): (&Recorded, bool, Option<DenyReason>),
    ) {
        let room = self.attempts.len() < MOST;
        let (Some(who), Some(what)) = (self.whos.number(who, room), self.whats.number(what, room))
        else {
            self.left_out += 1;
            return;
        };
        match self.certificates.get_mut(who) {
            Some(known) => *known = certificate,
            None => self.certificates.push(certificate),
        }
        let key = Key { direction, listener, who, what };
        let tally = Tally {
            allowed: u64::from(is_allowed),
            would_deny: u64::from(is_allowed && reason.is_some()),
            denied: if is_allowed { 0 } else { times(of) },
            reason,
            first: of.myelin.flood.as_ref().map_or(of.at, |flood| flood.first),
            last: of.at,
        };
        match self.attempts.get_mut(&key) {
            Some(known) => *known = known.and(tally),
            None if room => {
                self.attempts.insert(key, tally);
            }
            None => self.left_out += 1,
        }
    }
}

/// For how many attempts a record stands.
fn times(recorded: &Recorded) -> u64 {
    recorded.myelin.flood.as_ref().map_or(1, |flood| flood.count)
}

/// Why it was denied, or would have been. Of several reasons, none.
fn reason(recorded: &Recorded, is_allowed: bool) -> Option<DenyReason> {
    let label = match is_allowed {
        true => recorded.myelin.would_deny.as_deref(),
        false => match &recorded.myelin.flood {
            Some(flood) if flood.reasons.len() > 1 => None,
            Some(flood) => flood.reasons.keys().next().map(String::as_str),
            None => recorded.event.reason.as_deref(),
        },
    };
    DenyReason::ALL.into_iter().find(|reason| Some(reason.label()) == label)
}

/// Whether a reason is that of the allowlist, so that another allowlist may decide otherwise.
fn is_of_rules(reason: DenyReason) -> bool {
    match reason {
        DenyReason::UnknownPeer
        | DenyReason::NotListed
        | DenyReason::ListingExpired
        | DenyReason::NoRoute
        | DenyReason::NotListedForRoute
        | DenyReason::RuleExpired
        | DenyReason::NoMessageRule
        | DenyReason::NotListedForMessage
        | DenyReason::UnknownSender
        | DenyReason::NoAssociationRule
        | DenyReason::NotListedForAssociation
        | DenyReason::SopClass
        | DenyReason::Rego => true,
        DenyReason::CertificateExpired
        | DenyReason::PeerChanged
        | DenyReason::SoapMismatch
        | DenyReason::BatchTooLarge
        | DenyReason::SopClassMismatch
        | DenyReason::RateLimit
        | DenyReason::ConcurrencyLimit
        | DenyReason::MalformedRequest
        | DenyReason::NotAudited
        | DenyReason::UnknownDestination
        | DenyReason::PermitWithdrawn => false,
    }
}

/// Values by number.
#[derive(Debug)]
struct Interned<T> {
    all: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { all: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Eq + std::hash::Hash> Interned<T> {
    /// The number of `value`; a new one only if there is `room`.
    fn number(&mut self, value: T, room: bool) -> Option<usize> {
        if let Some(number) = self.numbers.get(&value) {
            return Some(*number);
        }
        room.then(|| {
            let (value, number) = (Arc::new(value), self.all.len());
            self.all.push(Arc::clone(&value));
            self.numbers.insert(value, number);
            number
        })
    }
}
