//! What peers have presented, by the names that the configuration gives them: so that it is known before
//! it hurts whose certificate ends, and whether an old authority can go.
//!
//! In memory only, from the start of the process on, and bounded: peers and authorities come from the
//! configuration, and of each peer only the certificates that were seen last are remembered.

mod expired;
mod lenience;
mod open;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

pub use lenience::{Lenience, Leniences, Tally};
pub use open::{Open, OpenConnections, Roll};
pub use usage::Usage;

use crate::clock;
use crate::identity::{Fingerprint, ListenerName, PeerCertificate, PeerName};
use crate::outcome::Direction;
use crate::telemetry::metrics::Metrics;

/// Certificates remembered of each peer.
const CERTIFICATES: usize = 16;
/// Trust anchors remembered, those that are in no bundle any more included.
const ANCHORS: usize = 256;
/// Less than this before its end, a peer's certificate is told of.
const SOON: Duration = Duration::days(14);
/// From one telling to the next.
const AGAIN: Duration = Duration::days(1);

/// What peers have presented. Cloned into everything that meets them.
#[derive(Clone)]
pub struct Inventory {
    memory: Arc<Mutex<Memory>>,
    expired: Arc<expired::Expired>,
    metrics: Metrics,
}

/// A peer that was let in.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// Its name in `peers`.
    pub peer: &'a PeerName,
    /// What it presented.
    pub certificate: &'a Arc<PeerCertificate>,
    /// SHA-256 of the certificate of the trust bundle in which its chain ended; `None` with a pin.
    pub anchor: Option<Fingerprint>,
    /// Where it was met.
    pub listener: &'a ListenerName,
    /// Which way that listener faces.
    pub direction: Direction,
    /// The version of TLS.
    pub version: &'static str,
    /// The cipher suite, IANA name.
    pub cipher: &'a str,
}

/// A peer of the configuration, and what it has presented.
#[derive(Debug, Clone)]
pub struct Partner {
    /// Its name in `peers`.
    pub name: PeerName,
    /// The certificates, the one that was seen last first. Empty: it was never seen.
    pub certificates: Vec<Presented>,
}

/// A certificate that a peer has presented.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The certificate.
    pub certificate: Arc<PeerCertificate>,
    /// When it was seen for the first time since the start.
    pub first_seen: OffsetDateTime,
    /// When it was seen last.
    pub last_seen: OffsetDateTime,
    /// How many connections were let in with it.
    pub connections: u64,
    /// Where it was seen last.
    pub listener: ListenerName,
    /// Which way that listener faces.
    pub direction: Direction,
    /// The version of TLS then.
    pub version: &'static str,
    /// The cipher suite then, IANA name.
    pub cipher: String,
}

/// Who has come with certificates of a trust anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorUse {
    /// When somebody came last.
    pub last_seen: OffsetDateTime,
    /// Who came, the last first.
    pub peers: Vec<PeerName>,
}

#[derive(Default)]
struct Memory {
    peers: HashMap<PeerName, Remembered>,
    anchors: HashMap<Fingerprint, HashMap<PeerName, OffsetDateTime>>,
}

#[derive(Default)]
struct Remembered {
    /// The one that was seen last first.
    certificates: VecDeque<Presented>,
    /// Which certificate's end was told of, and when.
    told: Option<(Fingerprint, OffsetDateTime)>,
}

impl Inventory {
    /// Remembers nobody yet.
    pub fn new(metrics: Metrics) -> Self {
        Self { memory: Arc::default(), expired: Arc::default(), metrics }
    }

    /// The peers are these from now on; what is remembered of others is forgotten.
    pub fn of_peers<'a>(&self, names: impl Iterator<Item = &'a PeerName>) {
        let mut memory = self.memory();
        let mut old = std::mem::take(&mut memory.peers);
        memory.peers =
            names.map(|name| (name.clone(), old.remove(name).unwrap_or_default())).collect();
        for (name, peer) in old {
            if !peer.certificates.is_empty() {
                self.metrics.peer_forgotten(&name);
            }
            memory.anchors.values_mut().for_each(|seen| seen.retain(|peer, _| *peer != name));
        }
        memory.anchors.retain(|_, seen| !seen.is_empty());
    }

    /// Remembers a peer that was let in. The cost of a connection that is like the last: a short lock and
    /// two look-ups.
    pub fn seen(&self, sighting: Sighting<'_>) {
        let now = clock::now();
        let mut memory = self.memory();
        if let Some(anchor) = sighting.anchor {
            memory.anchored(anchor, sighting.peer, now);
        }
        let Some(peer) = memory.peers.get_mut(sighting.peer) else { return };
        let is_news = peer.seen(&sighting, now);
        drop(memory);
        if is_news {
            let (from, to) = (sighting.certificate.not_before, sighting.certificate.not_after);
            let (from, to) = (from.unix_timestamp(), to.unix_timestamp());
            self.metrics.peer_certificate(sighting.peer, from, to);
        }
    }

    /// `what` has expired and is still asked for, at `now`. Whether that is to be told: once an hour it is.
    pub fn asks_for_expired(&self, what: &str, now: OffsetDateTime) -> bool {
        self.expired.asked(what, now)
    }

    /// Every peer of the configuration, by name.
    pub fn partners(&self) -> Vec<Partner> {
        let memory = self.memory();
        let mut partners: Vec<_> = memory
            .peers
            .iter()
            .map(|(name, peer)| Partner {
                name: name.clone(),
                certificates: peer.certificates.iter().cloned().collect(),
            })
            .collect();
        drop(memory);
        partners.sort_by(|one, other| one.name.cmp(&other.name));
        partners
    }

    /// Who has come with certificates of one of `anchors`, which are the same authority's; `None` when
    /// nobody has.
    pub fn use_of(&self, anchors: &[Fingerprint]) -> Option<AnchorUse> {
        let memory = self.memory();
        let mut seen: HashMap<&PeerName, OffsetDateTime> = HashMap::new();
        for (name, at) in anchors.iter().filter_map(|anchor| memory.anchors.get(anchor)).flatten() {
            let last = seen.entry(name).or_insert(*at);
            *last = (*last).max(*at);
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_by(|(one, at_one), (other, at_other)| at_other.cmp(at_one).then(one.cmp(other)));
        let (_, last_seen) = *seen.first()?;
        Some(AnchorUse {
            last_seen,
            peers: seen.into_iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// Whose certificate ends soon, one a text. Each is told once a day. Certificates that live for two
    /// weeks or less are left out: nobody renews them by hand.
    pub fn ending(&self, now: OffsetDateTime) -> Vec<String> {
        let mut memory = self.memory();
        let mut texts: Vec<_> =
            memory.peers.iter_mut().filter_map(|(name, peer)| peer.ending(name, now)).collect();
        drop(memory);
        texts.sort();
        texts
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory").finish_non_exhaustive()
    }
}

impl Memory {
    fn anchored(&mut self, anchor: Fingerprint, peer: &PeerName, now: OffsetDateTime) {
        if let Some(last) = self.anchors.get_mut(&anchor).and_then(|seen| seen.get_mut(peer)) {
            *last = now;
            return;
        }
        if !self.peers.contains_key(peer) {
            return; // a connection from before a reload that removed its peer
        }
        self.anchors.entry(anchor).or_default().insert(peer.clone(), now);
        if self.anchors.len() > ANCHORS {
            let last = |seen: &HashMap<_, OffsetDateTime>| seen.values().max().copied();
            let oldest = self.anchors.iter().min_by_key(|(_, seen)| last(seen));
            let oldest = oldest.map(|(anchor, _)| *anchor);
            oldest.and_then(|anchor| self.anchors.remove(&anchor));
        }
    }
}

impl Remembered {
    /// Whether it is another certificate than the last time.
    fn seen(&mut self, sighting: &Sighting<'_>, now: OffsetDateTime) -> bool {
        let same = |known: &Presented| known.certificate.sha256 == sighting.certificate.sha256;
        let place = self.certificates.iter().position(same);
        let known = place.and_then(|place| self.certificates.remove(place));
        let presented = match known {
            Some(known) => known.again(sighting, now),
            None => Presented::first(sighting, now),
        };
        self.certificates.push_front(presented);
        self.certificates.truncate(CERTIFICATES);
        place != Some(0)
    }

    fn ending(&mut self, name: &PeerName, now: OffsetDateTime) -> Option<String> {
        let Presented { certificate, last_seen, .. } = self.certificates.front()?;
        let left = certificate.not_after - now;
        let life = certificate.not_after - certificate.not_before;
        let is_old_news = self
            .told
            .is_some_and(|(told, at)| told == certificate.sha256 && now - at < AGAIN && now >= at);
        if life <= SOON || left > SOON.min(life / 3) || left < -SOON || is_old_news {
            return None;
        }
        self.told = Some((certificate.sha256, now));
        let which = format!("serial {}, sha256 {}", certificate.serial, certificate.sha256);
        let at = clock::rfc3339(certificate.not_after);
        Some(if left.is_negative() {
            let last_seen = clock::rfc3339(*last_seen);
            format!(
                "peer `{name}`: its certificate ({which}) expired at {at}, and it has not come with \
                 another; it was last seen at {last_seen}"
            )
        } else {
            let days = left.whole_days();
            let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
            format!("peer `{name}`: its certificate ({which}) expires in {days}, at {at}")
        })
    }
}

impl Presented {
    fn first(sighting: &Sighting<'_>, now: OffsetDateTime) -> Self {
        Self {
            certificate: Arc::clone(sighting.certificate),
            first_seen: now,
            last_seen: now,
            connections: 1,
            listener: sighting.listener.clone(),
            direction: sighting.direction,
            version: sighting.version,
            cipher: sighting.cipher.to_owned(),
        }
    }

    fn again(mut self, sighting: &Sighting<'_>, now: OffsetDateTime) -> Self {
        self.last_seen = now;
        self.connections += 1;
        if self.listener != *sighting.listener {
            self.listener = sighting.listener.clone();
        }
        self.direction = sighting.direction;
        self.version = sighting.version;
        if self.cipher != sighting.cipher {
            sighting.cipher.clone_into(&mut self.cipher);
        }
        self
    }

    /// Whole days until it expires; negative when it has.
    pub fn expires_in_days(&self, now: OffsetDateTime) -> i64 {
        (self.certificate.not_after - now).whole_seconds().div_euclid(24 * 60 * 60)
    }
}
