//! The handles that count: looked up once, then one atomic addition each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, SharedString};

use super::messages::MessageMetrics;
use super::metrics::{
    ACCEPT_ERRORS, ASSOCIATIONS, ASSOCIATIONS_ENDED, AUDIT_RECORDS, BYTES, CONNECTIONS_CLOSED,
    CONNECTIONS_DENIED, CONNECTIONS_OPEN, CONNECTIONS_OPENED, HANDSHAKE_DURATION, HANDSHAKES,
    Metrics, PERMITS_WITHDRAWN, PLAINTEXT_CONNECTIONS, REQUEST_DURATION, REQUESTS,
    UPSTREAM_HEALTHY, WOULD_DENY, seconds,
};
use crate::identity::ListenerName;
use crate::outcome::{AssociationEnding, DenyReason, Direction, Ending, Refusal, Withdrawal};

/// One listener's handles.
pub struct ListenerMetrics {
    opened: Counter,
    open: Gauge,
    /// How many connections were opened and closed: what the two above count, for whoever asks.
    used: [AtomicU64; 2],
    accept_errors: Counter,
    closed: BTreeMap<&'static str, Counter>,
    denied: BTreeMap<&'static str, Counter>,
    associations: OnceLock<Associations>,
    withdrawn: BTreeMap<&'static str, Counter>,
    plaintext: Counter,
    would_deny: BTreeMap<&'static str, Counter>,
    handshakes: BTreeMap<&'static str, Counter>,
    handshake_duration: Histogram,
    request_duration: Histogram,
    /// Plaintext bytes from downstream to upstream.
    pub bytes_up: Counter,
    /// Plaintext bytes from upstream to downstream.
    pub bytes_down: Counter,
    messages: MessageMetrics,
    requests: BTreeMap<(&'static str, &'static str, &'static str), OnceLock<Counter>>,
    metrics: Metrics,
    labels: [(&'static str, SharedString); 2],
}

/// The handles of a listener that has associations.
struct Associations {
    allowed: Counter,
    denied: Counter,
    ended: BTreeMap<&'static str, Counter>,
}

/// Methods that are label values; all others count as `other`.
pub(super) const METHODS: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
pub(super) const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const DECISIONS: [&str; 2] = ["allowed", "denied"];

impl ListenerMetrics {
    pub(super) fn new(metrics: &Metrics, name: &ListenerName, direction: Direction) -> Self {
        let labels: [(&'static str, SharedString); 2] = [
            ("listener", name.as_str().to_owned().into()),
            ("direction", direction.label().into()),
        ];
        let with = |name: &'static str, more: &[(&'static str, &'static str)]| {
            let mut all = labels.to_vec();
            all.extend(more.iter().map(|(key, value)| (*key, SharedString::from(*value))));
            metrics.counter(name, &all)
        };
        let each = |name, key, values: &mut dyn Iterator<Item = &'static str>| {
            values.map(|value| (value, with(name, &[(key, value)]))).collect()
        };
        let requests = METHODS
            .into_iter()
            .flat_map(|method| STATUSES.map(|status| (method, status)))
            .flat_map(|(method, status)| DECISIONS.map(|decision| (method, status, decision)))
            .map(|key| (key, OnceLock::new()))
            .collect();
        Self {
            opened: with(CONNECTIONS_OPENED, &[]),
            open: metrics.gauge(CONNECTIONS_OPEN, &labels),
            used: Default::default(),
            accept_errors: with(ACCEPT_ERRORS, &[]),
            closed: each(CONNECTIONS_CLOSED, "ending", &mut Ending::ALL.iter().map(|e| e.label())),
            denied: each(
                CONNECTIONS_DENIED,
                "reason",
                &mut DenyReason::ALL.iter().map(|r| r.label()),
            ),
            associations: OnceLock::new(),
            withdrawn: each(
                PERMITS_WITHDRAWN,
                "reason",
                &mut Withdrawal::all().map(Withdrawal::label),
            ),
            plaintext: match direction {
                Direction::Inbound => with(PLAINTEXT_CONNECTIONS, &[]),
                Direction::Outbound => Counter::noop(), // the workload's side is plaintext always
            },
            would_deny: match direction {
                Direction::Inbound => {
                    each(WOULD_DENY, "reason", &mut DenyReason::ALL.iter().map(|r| r.label()))
                }
                Direction::Outbound => BTreeMap::new(),
            },
            handshakes: each(
                HANDSHAKES,
                "result",
                &mut std::iter::once("ok").chain(Refusal::ALL.iter().map(|r| r.label())),
            ),
            handshake_duration: metrics.histogram(HANDSHAKE_DURATION, &labels),
            request_duration: metrics.histogram(REQUEST_DURATION, &labels),
            bytes_up: with(BYTES, &[("flow", "up")]),
            bytes_down: with(BYTES, &[("flow", "down")]),
            messages: MessageMetrics::new(metrics, &labels),
            requests,
            metrics: metrics.clone(),
            labels,
        }
    }

    /// Counts a connection that was accepted, until the guard drops.
    pub fn opened(self: &Arc<Self>) -> OpenConnection {
        self.opened.increment(1);
        self.open.increment(1.0);
        let [opened, _] = &self.used;
        opened.fetch_add(1, Ordering::Relaxed);
        OpenConnection { metrics: Arc::clone(self) }
    }

    /// How many connections were opened until now, and how many of them have ended.
    pub fn used(&self) -> (u64, u64) {
        let [opened, closed] = &self.used;
        let closed = closed.load(Ordering::Relaxed); // first: never more than were opened
        (opened.load(Ordering::Relaxed), closed)
    }

    /// Counts the one ending of a connection.
    pub fn closed(&self, ending: Ending) {
        count(&self.closed, ending.label());
    }

    /// Counts an authenticated peer, or a request, that was not let in.
    pub fn denied(&self, reason: DenyReason) {
        count(&self.denied, reason.label());
    }

    /// Counts a connection in plaintext that was let in.
    pub fn came_in_plaintext(&self) {
        self.plaintext.increment(1);
    }

    /// Counts what was let through although policy says no.
    pub fn would_deny(&self, reason: DenyReason) {
        count(&self.would_deny, reason.label());
    }

    /// Counts a DICOM association by whether it was let through.
    pub fn association(&self, allowed: bool) {
        let associations = self.associations();
        let counter = if allowed { &associations.allowed } else { &associations.denied };
        counter.increment(1);
    }

    /// Counts the end of an association that was let through.
    pub fn association_ended(&self, how: AssociationEnding) {
        count(&self.associations().ended, how.label());
    }

    /// Made by the first association: other listeners have none.
    fn associations(&self) -> &Associations {
        self.associations.get_or_init(|| {
            let with = |name, key, value: &'static str| {
                let [listener, direction] = self.labels.clone();
                self.metrics.counter(name, &[listener, direction, (key, value.into())])
            };
            let ended = AssociationEnding::ALL.map(AssociationEnding::label);
            Associations {
                allowed: with(ASSOCIATIONS, "decision", "allowed"),
                denied: with(ASSOCIATIONS, "decision", "denied"),
                ended: ended
                    .into_iter()
                    .map(|how| (how, with(ASSOCIATIONS_ENDED, "result", how)))
                    .collect(),
            }
        })
    }

    /// Counts a permit that was withdrawn.
    pub fn withdrawn(&self, reason: Withdrawal) {
        count(&self.withdrawn, reason.label());
    }

    /// Counts a failure to accept.
    pub fn accept_error(&self) {
        self.accept_errors.increment(1);
    }

    /// Counts a handshake that succeeded.
    pub fn handshaken(&self, duration: Duration) {
        count(&self.handshakes, "ok");
        self.handshake_duration.record(duration.as_secs_f64());
    }

    /// Counts a handshake that came to nothing.
    pub fn refused(&self, refusal: Refusal) {
        count(&self.handshakes, refusal.label());
    }

    /// Counts an HTTP request that has its answer.
    pub fn request(&self, method: &str, status: u16, allowed: bool, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let status = match status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        let decision = if allowed { "allowed" } else { "denied" };
        if let Some(counter) = self.requests.get(&(method, status, decision)) {
            counter.get_or_init(|| self.request_counter(method, status, decision)).increment(1);
        }
        self.request_duration.record(took.as_secs_f64());
    }

    /// Counts an HL7 message by MSH-9.1.
    pub fn message(&self, code: &[u8], allowed: bool) {
        self.messages.judged(code, allowed);
    }

    /// Counts what became of a message that was let through: MSA-1 of its acknowledgement.
    pub fn acknowledged(&self, code: Option<&str>, took: Duration) {
        self.messages.acknowledged(code, took);
    }

    fn request_counter(
        &self,
        method: &'static str,
        status: &'static str,
        decision: &'static str,
    ) -> Counter {
        let [listener, direction] = self.labels.clone();
        self.metrics.counter(
            REQUESTS,
            &[
                listener,
                direction,
                ("method", method.into()),
                ("status", status.into()),
                ("decision", decision.into()),
            ],
        )
    }

    /// Sets whether an endpoint, as the configuration names it, is in use or set aside.
    pub fn upstream_healthy(&self, endpoint: &str, healthy: bool) {
        self.upstream(endpoint).set(if healthy { 1.0 } else { 0.0 });
    }

    /// No alert goes on about an endpoint that is no longer configured.
    pub fn upstream_forgotten(&self, endpoint: &str) {
        self.upstream(endpoint).set(f64::NAN);
    }

    fn upstream(&self, endpoint: &str) -> Gauge {
        let [listener, direction] = self.labels.clone();
        let endpoint = ("endpoint", endpoint.to_owned().into());
        self.metrics.gauge(UPSTREAM_HEALTHY, &[listener, direction, endpoint])
    }
}

fn count(counters: &BTreeMap<&'static str, Counter>, label: &str) {
    if let Some(counter) = counters.get(label) {
        counter.increment(1);
    }
}

/// Takes the connection off the gauge when dropped, however its task ends.
#[must_use = "the connection counts as closed as soon as this drops"]
pub struct OpenConnection {
    metrics: Arc<ListenerMetrics>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.open.decrement(1.0);
        let [_, closed] = &self.metrics.used;
        closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The trail's handles.
pub struct AuditMetrics {
    pub(super) metrics: Metrics,
    pub(super) append: Histogram,
    pub(super) failures: Counter,
    pub(super) lost: Counter,
    pub(super) unrecorded: Counter,
    pub(super) checkpoint: Gauge,
}

impl AuditMetrics {
    /// Counts `count` records of one action that were written.
    pub fn written(&self, action: &'static str, count: u64) {
        self.metrics.counter(AUDIT_RECORDS, &[("action", action.into())]).increment(count);
    }

    /// Notes how long a permit waited for its record to be durable.
    pub fn durable_after(&self, duration: Duration) {
        self.append.record(duration.as_secs_f64());
    }

    /// Counts an attempt to write that failed.
    pub fn failed(&self) {
        self.failures.increment(1);
    }

    /// Counts a record that was never written.
    pub fn lost(&self) {
        self.lost.increment(1);
    }

    /// Counts a PHI access that passed before it was durable.
    pub fn passed_unrecorded(&self) {
        self.unrecorded.increment(1);
    }

    /// Sets when the last checkpoint became durable, in seconds since 1970.
    pub fn sealed(&self, timestamp: i64) {
        self.checkpoint.set(seconds(timestamp));
    }
}
