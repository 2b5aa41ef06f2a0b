//! Bounds on what strangers can take: unfinished handshakes, connections in plaintext, and lines of the
//! trail.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::network::network;

/// Unfinished handshakes of one listener.
pub(super) const UNFINISHED: usize = 1024;
/// One source may have a quarter of the places.
const OF_ONE: usize = 4;
/// Refusals of one source that are recorded at once, each with a line of its own.
const BURST: u32 = 100;
/// One more for every such time.
const REFILL: Duration = Duration::from_millis(100);
/// Sources that are remembered. Beyond them the one that was quiet for longest is forgotten.
const SOURCES: usize = 4096;

/// Everybody who is not let in yet, or was without saying who they are.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// Places that one source may have.
    of_one: usize,
    sources: Mutex<HashMap<IpAddr, Source>>,
}

/// One address, or one network of IPv6 (a host has the whole of a /64).
struct Source {
    taken: usize,
    tokens: u32,
    filled: Instant,
    unrecorded: u64,
}

/// A place in the crowd, until it drops.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    source: IpAddr,
    _place: Option<OwnedSemaphorePermit>,
}

/// Whether a refusal gets a line of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Yes.
    Own,
    /// No: it is counted, and told of with others.
    Shared,
}

impl Crowd {
    /// Those whose handshakes are not finished.
    pub(super) fn unfinished() -> Arc<Self> {
        Self::with(UNFINISHED)
    }

    /// Those who were let in in plaintext. They have half of the listener's connections at most, so that
    /// they keep out nobody who proves who they are.
    pub(super) fn plaintext(connections: usize) -> Arc<Self> {
        Self::with((connections / 2).max(1))
    }

    fn with(places: usize) -> Arc<Self> {
        let of_one = (places / OF_ONE).max(1);
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Self { places, of_one, sources: Mutex::default() })
    }

    /// Waits for a place among the unfinished handshakes.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// A place for `source` if there is one at once, and it has not as many as one may have.
    pub(super) fn enter_now(self: &Arc<Self>, source: SocketAddr) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.enter(source, Some(place))
    }

    /// Gives the place to a source; `None` when it has as many as one may have.
    pub(super) fn enter(
        self: &Arc<Self>,
        source: SocketAddr,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<Place> {
        let source = network(source.ip());
        let mut sources = self.sources();
        let known = remembered(&mut sources, source);
        if known.taken >= self.of_one {
            return None;
        }
        known.taken += 1;
        Some(Place { crowd: Arc::clone(self), source, _place: place })
    }

    /// Takes a line of the trail for a refusal.
    pub(super) fn line(&self, source: SocketAddr) -> Line {
        let mut sources = self.sources();
        let known = remembered(&mut sources, network(source.ip()));
        let now = Instant::now();
        let earned = now.duration_since(known.filled).as_millis() / REFILL.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST);
            known.tokens = known.tokens.saturating_add(earned).min(BURST);
            known.filled = now;
        }
        match known.tokens.checked_sub(1) {
            Some(left) => {
                known.tokens = left;
                Line::Own
            }
            None => {
                known.unrecorded += 1;
                Line::Shared
            }
        }
    }

    /// How many refusals of each source got no line of their own since this was asked last.
    pub(super) fn rest(&self) -> Vec<(IpAddr, u64)> {
        let mut sources = self.sources();
        let owed = sources.iter_mut().filter(|(_, known)| known.unrecorded > 0);
        owed.map(|(ip, known)| (*ip, std::mem::take(&mut known.unrecorded))).collect()
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(known) = self.crowd.sources().get_mut(&self.source) {
            known.taken = known.taken.saturating_sub(1);
        }
    }
}

fn remembered(sources: &mut HashMap<IpAddr, Source>, source: IpAddr) -> &mut Source {
    if sources.len() >= SOURCES && !sources.contains_key(&source) {
        // Those with a handshake under way are counted on, and there are fewer of them than places.
        let quiet = sources.iter().filter(|(_, known)| known.taken == 0 && known.unrecorded == 0);
        let oldest = quiet.min_by_key(|(_, known)| known.filled).map(|(ip, _)| *ip);
        oldest.and_then(|ip| sources.remove(&ip));
    }
    sources.entry(source).or_insert_with(|| Source {
        taken: 0,
        tokens: BURST,
        filled: Instant::now(),
        unrecorded: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 40_000)
    }

    #[tokio::test]
    async fn one_source_cannot_take_all_places() {
        let crowd = Crowd::unfinished();
        let mut taken = Vec::new();
        while let Some(place) = crowd.enter(from("10.0.0.1"), crowd.place().await) {
            taken.push(place);
        }

        assert_eq!(taken.len(), UNFINISHED / 4);
        assert!(crowd.enter(from("10.0.0.2"), crowd.place().await).is_some());
        taken.pop();
        assert!(crowd.enter(from("10.0.0.1"), crowd.place().await).is_some());
    }

    #[tokio::test]
    async fn plaintext_takes_half_of_the_connections_at_most_and_nobody_waits_for_more() {
        let crowd = Crowd::plaintext(16);
        let mut taken = Vec::new();
        for host in 1..=4 {
            let source = from(&format!("10.0.0.{host}"));
            taken.extend([crowd.enter_now(source).unwrap(), crowd.enter_now(source).unwrap()]);
            assert!(crowd.enter_now(source).is_none(), "one source has a quarter of them");
        }

        assert!(crowd.enter_now(from("10.0.0.5")).is_none());
        taken.pop();
        assert!(crowd.enter_now(from("10.0.0.5")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_gets_a_bounded_number_of_lines_that_tell_of_the_rest() {
        let crowd = Crowd::unfinished();
        let source = from("2001:db8::1");

        let own = (0..1000).filter(|_| crowd.line(source) != Line::Shared).count();
        assert_eq!(own, 100);
        assert_eq!(crowd.line(from("2001:db8::2")), Line::Shared, "one host has a whole network");
        assert_eq!(crowd.line(from("2001:db8:0:1::1")), Line::Own);
        assert_eq!(crowd.rest(), [("2001:db8::".parse().unwrap(), 901)]);
        assert_eq!(crowd.rest(), []);

        tokio::time::advance(REFILL).await;
        assert_eq!(crowd.line(source), Line::Own);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_sources_does_not_grow_without_bound() {
        let crowd = Crowd::unfinished();
        for n in 0..10_000_u32 {
            crowd.line(SocketAddr::new(IpAddr::V4(n.into()), 1));
        }

        assert_eq!(crowd.sources().len(), SOURCES);
    }
}
