//! What a listener let through only because it is not strict yet: what has to come to an end before its
//! date does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// Sources of plaintext that are remembered; beyond them the one that was quiet for longest is forgotten.
const SOURCES: usize = 256;

/// What one listener let through only because it is not strict yet, since it started.
#[derive(Debug, Default)]
pub struct Lenience {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    would_deny: Tally,
    plaintext: Tally,
    sources: HashMap<IpAddr, Tally>,
}

/// How often, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Option<OffsetDateTime>,
}

/// What has been counted, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leniences {
    /// Connections, requests, messages and associations that policy would have denied.
    pub would_deny: Tally,
    /// Connections in plaintext that were let in.
    pub plaintext: Tally,
    /// Who came in plaintext, the last first. Bounded: those of long ago are forgotten.
    pub sources: Vec<(IpAddr, Tally)>,
}

impl Tally {
    fn add(&mut self, now: OffsetDateTime) {
        self.count += 1;
        self.last = Some(now);
    }
}

impl Lenience {
    /// Something was let through that policy would have denied.
    pub fn would_deny(&self, now: OffsetDateTime) {
        self.with(|memory| memory.would_deny.add(now));
    }

    /// A connection in plaintext was let in.
    pub fn came_in_plaintext(&self, source: IpAddr, now: OffsetDateTime) {
        self.with(|memory| {
            memory.plaintext.add(now);
            if memory.sources.len() >= SOURCES && !memory.sources.contains_key(&source) {
                let quiet = memory.sources.iter().min_by_key(|(_, tally)| tally.last);
                let quiet = quiet.map(|(source, _)| *source);
                quiet.and_then(|source| memory.sources.remove(&source));
            }
            memory.sources.entry(source).or_default().add(now);
        });
    }

    /// What has been counted until now.
    pub fn so_far(&self) -> Leniences {
        let (would_deny, plaintext, mut sources) = self.with(|memory| {
            let sources: Vec<_> = memory.sources.iter().map(|(ip, tally)| (*ip, *tally)).collect();
            (memory.would_deny, memory.plaintext, sources)
        });
        sources.sort_by(|(a, one), (b, other)| other.last.cmp(&one.last).then(a.cmp(b)));
        Leniences { would_deny, plaintext, sources }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn what_never_happened_has_no_last_moment() {
        let so_far = Lenience::default().so_far();

        assert_eq!((so_far.would_deny, so_far.plaintext), Default::default());
        assert!(so_far.sources.is_empty());
    }

    #[test]
    fn sources_are_told_the_last_first_and_those_of_long_ago_are_forgotten() {
        let lenience = Lenience::default();
        for number in 0..300 {
            lenience.came_in_plaintext(source(number), NOW + Duration::seconds(number.into()));
        }
        lenience.came_in_plaintext(source(200), NOW + Duration::HOUR);

        let so_far = lenience.so_far();

        assert_eq!(so_far.plaintext, Tally { count: 301, last: Some(NOW + Duration::HOUR) });
        assert_eq!(so_far.sources.len(), SOURCES);
        let twice = Tally { count: 2, last: Some(NOW + Duration::HOUR) };
        assert_eq!(so_far.sources[0], (source(200), twice));
        assert_eq!(so_far.sources[1].0, source(299));
        assert!(so_far.sources.iter().all(|(ip, _)| *ip >= source(44)), "{so_far:?}");
    }
}
