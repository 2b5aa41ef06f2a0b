//! Bounds how many connections of a listener one source may hold.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network::network;

/// Connections at once to each listener: whoever crowds the one for lists keeps nobody from enrolling.
const PLACES: usize = 256;
/// Of one source: a quarter of them all.
const PLACES_OF_ONE: usize = PLACES / 4;

/// Who holds how many.
pub(super) struct Places {
    slots: Arc<Semaphore>,
    /// Those who hold any; there are no more of them than places.
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// A place, until it drops.
pub(super) struct Place {
    places: Arc<Places>,
    source: IpAddr,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { slots: Arc::new(Semaphore::new(PLACES)), held: Mutex::default() })
    }

    /// Waits until there is one for somebody.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Gives it to a source; `None` when that has as many as one may have.
    pub(super) fn give(
        self: &Arc<Self>,
        source: IpAddr,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Option<Place> {
        let source = network(source);
        let mut held = self.held();
        let its = held.entry(source).or_insert(0);
        if *its >= PLACES_OF_ONE {
            return None;
        }
        *its += 1;
        Some(Place { places: Arc::clone(self), source, _slot: slot })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(its) = held.get_mut(&self.source) {
            *its = its.saturating_sub(1);
            if *its == 0 {
                held.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_source_gets_a_quarter_and_its_network_is_forgotten_with_its_last_place() {
        let places = Places::new();
        let mut held = Vec::new();
        for host in 0..PLACES_OF_ONE {
            let source = format!("2001:db8::{host:x}").parse().unwrap();
            held.push(places.give(source, places.slot().await).unwrap());
        }
        let one = "2001:db8::ffff".parse().unwrap();

        assert!(places.give(one, places.slot().await).is_none());
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(places.give(other, places.slot().await).is_some());
        held.pop();
        assert!(places.give(one, places.slot().await).is_some());
        held.clear();
        assert_eq!(places.held().len(), 0);
        assert_eq!(places.slots.available_permits(), PLACES);
    }
}
