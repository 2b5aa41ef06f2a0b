//! Bounds on what strangers can take of a listener: unfinished handshakes, and connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network::network;

/// Unfinished handshakes of one listener.
pub(super) const UNFINISHED: usize = 1024;
/// One source may have a quarter of the places.
const OF_ONE: usize = 4;

/// Everybody who is not let in yet, or was without being listed.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// Places that one source may have.
    of_one: usize,
    /// How many places each source has that has any.
    sources: Mutex<HashMap<IpAddr, usize>>,
}

/// A place in the crowd, until it drops.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    source: IpAddr,
    _place: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    /// Those whose handshakes are not finished.
    pub(super) fn unfinished() -> Arc<Self> {
        Self::with(UNFINISHED)
    }

    /// Those who were let in because the listener is not strict yet: in plaintext, or although policy would deny
    /// them. Together they have half of its connections at most, so that they keep out nobody who is listed.
    pub(super) fn unlisted(connections: usize) -> Arc<Self> {
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
        let taken = sources.get(&source).copied().unwrap_or_default();
        if taken >= self.of_one {
            return None;
        }
        sources.insert(source, taken + 1);
        Some(Place { crowd: Arc::clone(self), source, _place: place })
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.crowd.sources();
        match sources.get_mut(&self.source) {
            Some(taken) if *taken > 1 => *taken -= 1,
            Some(_) | None => drop(sources.remove(&self.source)),
        }
    }
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
    async fn who_is_not_listed_takes_half_of_the_connections_at_most_and_nobody_waits_for_more() {
        let crowd = Crowd::unlisted(16);
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

    #[tokio::test]
    async fn a_source_is_forgotten_with_its_last_place() {
        let crowd = Crowd::unfinished();
        let taken = [(), ()].map(|()| crowd.enter_now(from("2001:db8::1")).unwrap());
        assert_eq!(crowd.sources().len(), 1);

        drop(taken);

        assert!(crowd.sources().is_empty());
    }
}
