//! Whether an address is a name's: for connections that were made to an address, where the configuration has a name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// So long an address is a name's after the resolver has last said so: resolvers give some of many, and workloads keep
/// what they were given.
const KEPT: Duration = Duration::from_secs(3600);
/// For an address that is not known, the resolver is asked again so soon.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the resolver may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Addresses kept of one name.
const ADDRESSES: usize = 256;

/// Names of the configuration, and the addresses that they have had.
#[derive(Debug, Default)]
pub struct Names {
    known: std::sync::Mutex<HashMap<Arc<str>, Arc<Name>>>,
}

#[derive(Debug, Default)]
struct Name {
    known: std::sync::Mutex<Known>,
    /// When the resolver answered last. Held while it is asked: others who wait for the same name hear its answer, and
    /// whoever has an address that is known does not wait.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: HashMap<IpAddr, Instant>,
}

impl Names {
    /// Whether `ip` is an address of `name`. Asks the resolver when that is not known, at most once a second for a name.
    pub async fn has(&self, name: &Arc<str>, ip: IpAddr) -> bool {
        let (of, ip) = (self.of(name), ip.to_canonical());
        if of.has(ip) {
            return true;
        }
        let mut asked = of.asked.lock().await;
        if of.has(ip) {
            return true; // somebody else has asked meanwhile
        }
        if asked.is_some_and(|asked| asked.elapsed() < AGAIN) {
            return false;
        }
        let answer = timeout(LOOKUP_LIMIT, lookup_host((name.as_ref(), 0))).await;
        let now = Instant::now();
        *asked = Some(now);
        match answer {
            Ok(Ok(found)) => super::lock(&of.known).learn(found.map(|address| address.ip()), now),
            Ok(Err(error)) => tracing::warn!(%name, %error, "a destination's name did not resolve"),
            Err(_elapsed) => {
                tracing::warn!(%name, "a destination's name did not resolve within {LOOKUP_LIMIT:?}");
            }
        }
        of.has(ip)
    }

    fn of(&self, name: &Arc<str>) -> Arc<Name> {
        Arc::clone(super::lock(&self.known).entry(Arc::clone(name)).or_default())
    }
}

impl Name {
    fn has(&self, ip: IpAddr) -> bool {
        super::lock(&self.known).has(ip, Instant::now())
    }
}

impl Known {
    fn has(&self, ip: IpAddr, now: Instant) -> bool {
        self.addresses.get(&ip).is_some_and(|said| now.saturating_duration_since(*said) < KEPT)
    }

    fn learn(&mut self, found: impl Iterator<Item = IpAddr>, now: Instant) {
        self.addresses.retain(|_, said| now.saturating_duration_since(*said) < KEPT);
        for ip in found.take(ADDRESSES) {
            let ip = ip.to_canonical();
            if self.addresses.len() < ADDRESSES || self.addresses.contains_key(&ip) {
                self.addresses.insert(ip, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_a_names_when_the_resolver_says_so() {
        let names = Names::default();
        let (localhost, nowhere): (Arc<str>, Arc<str>) =
            ("localhost".into(), "name.invalid".into());

        assert!(names.has(&localhost, ip("127.0.0.1")).await);
        assert!(names.has(&localhost, ip("::ffff:127.0.0.1")).await);
        assert!(!names.has(&localhost, ip("192.0.2.1")).await);
        assert!(!names.has(&nowhere, ip("127.0.0.1")).await);
    }

    #[tokio::test]
    async fn an_address_that_is_known_does_not_wait_for_the_resolver() {
        let (names, localhost): (_, Arc<str>) = (Names::default(), "localhost".into());
        assert!(names.has(&localhost, ip("127.0.0.1")).await);
        let of = names.of(&localhost);
        let _asking = of.asked.lock().await;

        assert_eq!(names.has(&localhost, ip("127.0.0.1")).now_or_never(), Some(true));
        assert_eq!(names.has(&localhost, ip("192.0.2.1")).now_or_never(), None, "this one asks");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_kept_for_an_hour_after_it_was_last_told() {
        let mut known = Known::default();
        known.learn([ip("192.0.2.1")].into_iter(), Instant::now());
        tokio::time::advance(KEPT / 2).await;
        known.learn([ip("192.0.2.2")].into_iter(), Instant::now());

        assert!(known.has(ip("192.0.2.1"), Instant::now()));
        tokio::time::advance(KEPT / 2).await;
        assert!(!known.has(ip("192.0.2.1"), Instant::now()));
        assert!(known.has(ip("192.0.2.2"), Instant::now()));
    }

    #[tokio::test]
    async fn no_more_addresses_are_kept_than_there_is_room_for() {
        let mut known = Known::default();
        for net in 0..4 {
            let many = (0..=255).map(|host| IpAddr::from([192, 0, net, host]));
            known.learn(many, Instant::now());
        }

        assert_eq!(known.addresses.len(), ADDRESSES);
    }
}
