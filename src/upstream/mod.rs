//! Where an outbound listener's peer is: names resolved again and again, endpoints taken in turn, failing
//! ones set aside and tried again.

mod health;
mod names;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use health::Health;
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub use self::names::Names;
use crate::config::Endpoint;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// How long an answer of the resolver is good for; after that it is used while a new one is fetched.
const FRESH: Duration = Duration::from_secs(10);
/// After a failure, with no address known, the resolver is asked again so soon.
const RETRY: Duration = Duration::from_secs(1);
/// How long the resolver may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Addresses kept of one name.
const ADDRESSES: usize = 64;

/// The endpoints of one outbound listener.
pub struct Upstreams {
    endpoints: Vec<Place>,
    turn: AtomicUsize,
    /// Tells those who wait that the resolver has answered.
    answered: Notify,
    /// Others have taken their place; connections that began before may still use these.
    is_replaced: AtomicBool,
    metrics: Arc<ListenerMetrics>,
}

struct Place {
    endpoint: Endpoint,
    label: Arc<str>,
    resolved: Mutex<Resolved>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    at: Option<Instant>,
    refreshing: bool,
    literal: bool,
}

/// One address to try.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The endpoint's host, as configured.
    pub host: Arc<str>,
    /// The endpoint as configured, `host:port`.
    pub label: Arc<str>,
    /// Where it is now.
    pub address: SocketAddr,
    /// Where the workload wanted to go, if it was sent here by the kernel.
    pub asked: Option<SocketAddr>,
    /// Its number among the endpoints; `None` when it is none of them.
    place: Option<usize>,
}

impl Candidate {
    /// `asked`, which is one of `host`'s, and takes mutual TLS on `port`.
    pub fn redirected(host: Arc<str>, asked: SocketAddr, port: u16) -> Self {
        let address = SocketAddr::new(asked.ip(), port);
        let label = match host.parse::<IpAddr>() {
            Ok(_) => address.to_string(),
            Err(_) => format!("{host}:{port}"),
        };
        Self { host, label: label.into(), address, asked: Some(asked), place: None }
    }
}

impl Upstreams {
    /// Starts with every endpoint in use and none resolved.
    pub fn new(endpoints: &[Endpoint], metrics: Arc<ListenerMetrics>) -> Arc<Self> {
        let endpoints: Vec<Place> = endpoints
            .iter()
            .map(|endpoint| Place {
                label: format!("{}:{}", endpoint.host, endpoint.port).into(),
                endpoint: endpoint.clone(),
                resolved: Mutex::new(Resolved::of(endpoint)),
                health: Mutex::default(),
            })
            .collect();
        let (turn, answered) = (AtomicUsize::new(0), Notify::new());
        let is_replaced = AtomicBool::new(false);
        Arc::new(Self { endpoints, turn, answered, is_replaced, metrics })
    }

    /// The listener takes these from now on: the metrics tell of their health.
    pub fn show(&self) {
        self.is_replaced.store(false, Ordering::Relaxed);
        for place in &self.endpoints {
            let healthy = lock(&place.health).due().is_none();
            self.metrics.upstream_healthy(&place.label, healthy);
        }
    }

    /// The listener does not take these any more: the metrics are silent about them.
    pub fn hide(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
        for place in &self.endpoints {
            self.metrics.upstream_forgotten(&place.label);
        }
    }

    /// The addresses to try, in this order: those in use in turn, then those set aside, the one that is
    /// due first before the others.
    ///
    /// Names are resolved all at once. Whoever has an answer is a candidate; only when nobody has one, the
    /// first answer is waited for. Empty when no name could be resolved.
    pub async fn candidates(self: &Arc<Self>, shutdown: &Shutdown) -> Vec<Candidate> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        loop {
            let answered = self.answered.notified(); // before the look, so that no answer is missed
            let resolving = self.resolve_stale(shutdown);
            let candidates = self.known(turn);
            if !candidates.is_empty() || !resolving {
                return candidates;
            }
            answered.await;
        }
    }

    /// Asks for every name whose answer is old, unless that is under way; whether any is under way.
    fn resolve_stale(self: &Arc<Self>, shutdown: &Shutdown) -> bool {
        let mut resolving = false;
        for (index, place) in self.endpoints.iter().enumerate() {
            if place.resolved().begins(Instant::now()) {
                let this = Arc::clone(self);
                shutdown.spawn(async move { this.resolve(index).await });
            }
            resolving |= place.resolved().refreshing;
        }
        resolving
    }

    fn known(&self, turn: usize) -> Vec<Candidate> {
        let now = Instant::now();
        let mut in_use = Vec::new();
        let mut aside = Vec::new();
        let count = self.endpoints.len();
        for index in (0..count).map(|i| (turn + i) % count) {
            let Some(place) = self.endpoints.get(index) else { continue };
            let addresses = place.resolved().addresses.clone();
            let first = (turn / count) % addresses.len().max(1);
            let turned = addresses.iter().cycle().skip(first).take(addresses.len());
            let candidates = turned.map(|address| Candidate {
                host: Arc::clone(&place.endpoint.host),
                label: Arc::clone(&place.label),
                address: *address,
                asked: None,
                place: Some(index),
            });
            match lock(&place.health).due() {
                Some(due) if due > now => aside.extend(candidates.map(|c| (due, c))),
                Some(_) | None => in_use.extend(candidates),
            }
        }
        aside.sort_by_key(|(due, _)| *due);
        in_use.extend(aside.into_iter().map(|(_, candidate)| candidate));
        in_use
    }

    /// The candidate could not be connected to, or was not whom we expect: its endpoint is set aside,
    /// longer each time.
    pub fn failed(&self, candidate: &Candidate) {
        if let Some(place) = candidate.place.and_then(|place| self.endpoints.get(place)) {
            self.set_aside(place);
        }
    }

    /// The candidate was connected to: its endpoint is in use.
    pub fn worked(&self, candidate: &Candidate) {
        if let Some(place) = candidate.place.and_then(|place| self.endpoints.get(place))
            && lock(&place.health).worked()
        {
            self.tell(place, true);
            tracing::info!(endpoint = %place.label, "endpoint is in use again");
        }
    }

    /// Every endpoint, and whether it is in use.
    pub fn status(&self) -> Vec<(Arc<str>, bool)> {
        self.endpoints
            .iter()
            .map(|place| (Arc::clone(&place.label), lock(&place.health).due().is_none()))
            .collect()
    }

    /// Asks the resolver. Without an answer the old addresses stay; without any, the endpoint is set aside.
    async fn resolve(&self, index: usize) {
        let Some(place) = self.endpoints.get(index) else { return };
        let lookup = lookup_host((place.endpoint.host.as_ref(), place.endpoint.port));
        let answer = match timeout(LOOKUP_LIMIT, lookup).await {
            Ok(Ok(addresses)) => Ok(addresses.take(ADDRESSES).collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(format!("no answer within {LOOKUP_LIMIT:?}")),
        };
        let unknown = place.resolved().answer(answer, &place.label);
        if unknown {
            self.set_aside(place);
        }
        self.answered.notify_waiters();
    }

    fn set_aside(&self, place: &Place) {
        if lock(&place.health).failed(Instant::now()) {
            self.tell(place, false);
            tracing::warn!(endpoint = %place.label, "endpoint set aside after a failure");
        }
    }

    fn tell(&self, place: &Place, healthy: bool) {
        if !self.is_replaced.load(Ordering::Relaxed) {
            self.metrics.upstream_healthy(&place.label, healthy);
        }
    }
}

impl Place {
    fn resolved(&self) -> MutexGuard<'_, Resolved> {
        lock(&self.resolved)
    }
}

impl Resolved {
    /// What an endpoint begins with: an IP address needs no resolver, ever.
    fn of(endpoint: &Endpoint) -> Self {
        let literal = endpoint.host.parse::<IpAddr>().ok();
        Self {
            addresses: literal.map(|ip| SocketAddr::new(ip, endpoint.port)).into_iter().collect(),
            literal: literal.is_some(),
            ..Self::default()
        }
    }

    /// Whether the caller is to ask the resolver; from then on that is under way.
    fn begins(&mut self, now: Instant) -> bool {
        let good_for = if self.addresses.is_empty() { RETRY } else { FRESH };
        let fresh = self.at.is_some_and(|at| now.saturating_duration_since(at) < good_for);
        let ask = !self.literal && !fresh && !self.refreshing;
        self.refreshing |= ask;
        ask
    }

    /// Takes an answer; whether nothing is known of the endpoint now.
    fn answer(&mut self, answer: Result<Vec<SocketAddr>, String>, label: &str) -> bool {
        self.refreshing = false;
        self.at = Some(Instant::now());
        match answer {
            Ok(addresses) => self.addresses = addresses,
            Err(error) => {
                tracing::warn!(endpoint = %label, %error, "the endpoint's name did not resolve");
            }
        }
        self.addresses.is_empty()
    }
}

/// A poisoned lock is still a lock: what it guards is valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ListenerName;
    use crate::outcome::Direction;
    use crate::telemetry::metrics::Metrics;

    fn upstreams(hosts: &[&str]) -> Arc<Upstreams> {
        let metrics = Metrics::new().unwrap();
        let listener = metrics.listener(&ListenerName::new("to-lab"), Direction::Outbound);
        let endpoints: Vec<_> =
            hosts.iter().map(|host| Endpoint { host: (*host).into(), port: 8443 }).collect();
        Upstreams::new(&endpoints, listener)
    }

    async fn labels(upstreams: &Arc<Upstreams>) -> Vec<String> {
        let candidates = upstreams.candidates(&Shutdown::default()).await;
        candidates.iter().map(|candidate| candidate.address.ip().to_string()).collect()
    }

    #[tokio::test]
    async fn endpoints_are_taken_in_turn() {
        let upstreams = upstreams(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);

        assert_eq!(labels(&upstreams).await, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        assert_eq!(labels(&upstreams).await, ["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_endpoint_is_tried_last_until_its_time_is_over() {
        let upstreams = upstreams(&["127.0.0.1", "127.0.0.2"]);
        let first = upstreams.candidates(&Shutdown::default()).await.remove(0);

        upstreams.failed(&first);
        assert_eq!(labels(&upstreams).await, ["127.0.0.2", "127.0.0.1"]);
        assert_eq!(labels(&upstreams).await, ["127.0.0.2", "127.0.0.1"]);

        tokio::time::advance(Duration::from_secs(2)).await;
        let again = labels(&upstreams).await;
        assert!(again == ["127.0.0.1", "127.0.0.2"] || again == ["127.0.0.2", "127.0.0.1"]);
        assert_ne!(labels(&upstreams).await, again, "both take turns again");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_holds_nobody_up() {
        let upstreams = upstreams(&["name.invalid", "127.0.0.1"]);

        assert_eq!(labels(&upstreams).await, ["127.0.0.1"]);
    }

    #[tokio::test]
    async fn without_any_address_the_answer_is_waited_for_and_the_endpoint_set_aside() {
        let upstreams = upstreams(&["name.invalid"]);

        assert!(labels(&upstreams).await.is_empty());
        assert_eq!(upstreams.status(), [("name.invalid:8443".into(), false)]);
    }

    #[tokio::test]
    async fn names_are_resolved() {
        let upstreams = upstreams(&["localhost"]);

        assert!(labels(&upstreams).await.contains(&"127.0.0.1".to_owned()));
    }
}
