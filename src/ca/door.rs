//! Bounds how often a source may try join tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::network::network;

/// Failures of one source within [`WINDOW`]; then it waits.
const FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are remembered. Beyond them the one whose window ends first is forgotten.
const SOURCES: usize = 4096;

/// Remembers who failed.
#[derive(Debug, Default)]
pub(super) struct Door {
    sources: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Door {
    /// Seconds after which `source` may try again; `None` when it may now.
    pub(super) fn closed_for(&self, source: IpAddr) -> Option<u16> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sources.get(&network(source))?;
        let left = WINDOW.checked_sub(known.since.elapsed()).filter(|left| !left.is_zero())?;
        (known.count >= FAILURES).then(|| u16::try_from(left.as_secs() + 1).unwrap_or(u16::MAX))
    }

    /// Notes that `source` has failed.
    pub(super) fn failed(&self, source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, now) = (network(source), Instant::now());
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            let oldest = sources.iter().min_by_key(|(_, known)| known.since).map(|(ip, _)| *ip);
            oldest.and_then(|ip| sources.remove(&ip));
        }
        let known = sources.entry(source).or_insert(Failures { count: 0, since: now });
        if known.since.elapsed() >= WINDOW {
            *known = Failures { count: 0, since: now };
        }
        known.count = known.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_too_often_waits_and_no_other() {
        let door = Door::default();
        let (guesser, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..FAILURES {
            assert_eq!(door.closed_for(guesser), None);
            door.failed(guesser);
        }

        assert_eq!(door.closed_for(guesser), Some(61));
        assert_eq!(door.closed_for(other), None);
        tokio::time::advance(WINDOW).await;
        assert_eq!(door.closed_for(guesser), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_one_ipv6_network_are_one_source_and_memory_is_bounded() {
        let door = Door::default();
        for host in 0..FAILURES {
            door.failed(format!("2001:db8::{host:x}").parse().unwrap());
        }
        assert!(door.closed_for("2001:db8::ffff".parse().unwrap()).is_some());

        for number in 0..2 * SOURCES {
            tokio::time::advance(Duration::from_millis(1)).await;
            door.failed(format!("2001:db8:{:x}::1", number + 1).parse().unwrap());
        }
        assert_eq!(door.sources.lock().unwrap().len(), SOURCES);
    }
}
