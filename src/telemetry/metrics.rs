//! Every metric: name, help, and the handles that count it.
//!
//! Handles are looked up once, when a listener starts; counting is then one atomic addition. Labels are
//! configured names and closed sets, never an identity, a path or an address.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, SharedString, with_local_recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::identity::{ListenerName, PeerName};
use crate::outcome::{DenyReason, Direction, Ending, Refusal};

const CONNECTIONS_OPENED: &str = "myelin_connections_opened_total";
const CONNECTIONS_OPEN: &str = "myelin_connections_open";
const CONNECTIONS_CLOSED: &str = "myelin_connections_closed_total";
const CONNECTIONS_DENIED: &str = "myelin_connections_denied_total";
const ACCEPT_ERRORS: &str = "myelin_accept_errors_total";
const HANDSHAKES: &str = "myelin_handshakes_total";
const HANDSHAKE_DURATION: &str = "myelin_handshake_duration_seconds";
const REQUESTS: &str = "myelin_requests_total";
const REQUEST_DURATION: &str = "myelin_request_duration_seconds";
const BYTES: &str = "myelin_bytes_total";
const CERTIFICATE_NOT_AFTER: &str = "myelin_certificate_not_after_timestamp_seconds";
const PEER_NOT_AFTER: &str = "myelin_peer_certificate_not_after_timestamp_seconds";
const ROTATIONS: &str = "myelin_certificate_rotations_total";
const BUNDLE_NOT_AFTER: &str = "myelin_trust_bundle_not_after_timestamp_seconds";
const CRL_NEXT_UPDATE: &str = "myelin_crl_next_update_timestamp_seconds";
const AUDIT_RECORDS: &str = "myelin_audit_records_total";
const AUDIT_APPEND: &str = "myelin_audit_append_duration_seconds";
const AUDIT_FAILURES: &str = "myelin_audit_failures_total";
const RELOADS: &str = "myelin_config_reloads_total";
const UPSTREAM_HEALTHY: &str = "myelin_upstream_healthy";
const BUILD_INFO: &str = "myelin_build_info";

/// Every metric that has a source, with its kind and help text.
const DESCRIPTIONS: &[(&str, Kind, &str)] = &[
    (CONNECTIONS_OPENED, Kind::Counter, "Connections accepted by a listener."),
    (CONNECTIONS_OPEN, Kind::Gauge, "Connections that are open."),
    (CONNECTIONS_CLOSED, Kind::Counter, "Connections that are over, by how they ended."),
    (CONNECTIONS_DENIED, Kind::Counter, "Authenticated peers, or requests, not let in, by reason."),
    (ACCEPT_ERRORS, Kind::Counter, "Failures to accept a connection, such as too many open files."),
    (HANDSHAKES, Kind::Counter, "TLS handshakes, by result: ok, or why they came to nothing."),
    (HANDSHAKE_DURATION, Kind::Histogram, "Duration of TLS handshakes that succeeded."),
    (REQUESTS, Kind::Counter, "HTTP requests, by method, status class and decision."),
    (REQUEST_DURATION, Kind::Histogram, "From a request's head to the end of its response."),
    (BYTES, Kind::Counter, "Plaintext bytes moved; flow up is from downstream to upstream."),
    (CERTIFICATE_NOT_AFTER, Kind::Gauge, "When this sidecar's certificate expires."),
    (PEER_NOT_AFTER, Kind::Gauge, "When the certificate that a peer last presented expires."),
    (ROTATIONS, Kind::Counter, "New key material, by whether it took effect."),
    (BUNDLE_NOT_AFTER, Kind::Gauge, "When the first certificate of the trust bundle expires."),
    (CRL_NEXT_UPDATE, Kind::Gauge, "When the first revocation list is due for its next update."),
    (AUDIT_RECORDS, Kind::Counter, "Records written to the trail."),
    (AUDIT_APPEND, Kind::Histogram, "From a permit's record handed over to its being durable."),
    (AUDIT_FAILURES, Kind::Counter, "Failed attempts to write the trail."),
    (RELOADS, Kind::Counter, "Configuration reloads, by result."),
    (UPSTREAM_HEALTHY, Kind::Gauge, "1 when the endpoint is in use, 0 while it is set aside."),
    (BUILD_INFO, Kind::Gauge, "Always 1; what was built and which cryptography it uses."),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Latency buckets in seconds: handshakes, requests and disk writes all fit.
const BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// The process's metrics. Cloned into everything that makes handles.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Metrics {
    /// An empty set, with every metric described.
    ///
    /// # Errors
    ///
    /// Never for the buckets that are compiled in.
    pub fn new() -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?
            .build_recorder();
        let metrics = Self {
            handle: recorder.handle(),
            recorder: Arc::new(recorder),
            process: metrics_process::Collector::default(),
        };
        with_local_recorder(&*metrics.recorder, || {
            for (name, kind, help) in DESCRIPTIONS {
                match kind {
                    Kind::Counter => metrics::describe_counter!(*name, *help),
                    Kind::Gauge => metrics::describe_gauge!(*name, *help),
                    Kind::Histogram => metrics::describe_histogram!(*name, *help),
                }
            }
            metrics.process.describe();
        });
        metrics
            .gauge(
                BUILD_INFO,
                &[
                    ("version", env!("CARGO_PKG_VERSION").into()),
                    ("fips", "false".into()),
                    ("provider", "aws-lc-rs".into()),
                ],
            )
            .set(1.0);
        Ok(metrics)
    }

    /// The Prometheus text form, process metrics brought up to date.
    pub fn render(&self) -> String {
        with_local_recorder(&*self.recorder, || self.process.collect());
        self.handle.render()
    }

    /// Moves samples into their buckets; called every few seconds so that nothing piles up.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The handles of one listener.
    pub fn listener(&self, name: &ListenerName, direction: Direction) -> Arc<ListenerMetrics> {
        Arc::new(ListenerMetrics::new(self, name, direction))
    }

    /// The handles of the trail.
    pub fn audit(&self) -> AuditMetrics {
        AuditMetrics {
            metrics: self.clone(),
            append: self.histogram(AUDIT_APPEND, &[]),
            failures: self.counter(AUDIT_FAILURES, &[]),
        }
    }

    /// Sets when this sidecar's certificate expires, in seconds since 1970.
    pub fn certificate_not_after(&self, timestamp: i64) {
        self.gauge(CERTIFICATE_NOT_AFTER, &[]).set(seconds(timestamp));
    }

    /// Sets when the first certificate of the trust bundle expires.
    pub fn trust_bundle_not_after(&self, timestamp: i64) {
        self.gauge(BUNDLE_NOT_AFTER, &[]).set(seconds(timestamp));
    }

    /// Sets when the first revocation list is due.
    pub fn crl_next_update(&self, timestamp: i64) {
        self.gauge(CRL_NEXT_UPDATE, &[]).set(seconds(timestamp));
    }

    /// Counts new key material that took effect, or did not.
    pub fn rotated(&self, ok: bool) {
        self.counter(ROTATIONS, &[("result", result(ok))]).increment(1);
    }

    /// Counts a configuration that took effect, or did not.
    pub fn reloaded(&self, ok: bool) {
        self.counter(RELOADS, &[("result", result(ok))]).increment(1);
    }

    /// Sets when the certificate that `peer` presented last expires.
    pub fn peer_not_after(&self, peer: &PeerName, timestamp: i64) {
        self.gauge(PEER_NOT_AFTER, &[("peer", peer.as_str().to_owned().into())])
            .set(seconds(timestamp));
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, SharedString)]) -> Counter {
        #[expect(clippy::disallowed_macros, reason = "this is the one place")]
        with_local_recorder(&*self.recorder, || metrics::counter!(name, pairs(labels)))
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, SharedString)]) -> Gauge {
        #[expect(clippy::disallowed_macros, reason = "this is the one place")]
        with_local_recorder(&*self.recorder, || metrics::gauge!(name, pairs(labels)))
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, SharedString)]) -> Histogram {
        #[expect(clippy::disallowed_macros, reason = "this is the one place")]
        with_local_recorder(&*self.recorder, || metrics::histogram!(name, pairs(labels)))
    }
}

fn pairs(labels: &[(&'static str, SharedString)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| Label::new(*key, value.clone())).collect()
}

fn result(ok: bool) -> SharedString {
    if ok { "ok".into() } else { "rejected".into() }
}

#[expect(clippy::cast_precision_loss, reason = "timestamps are far below 2^53")]
fn seconds(timestamp: i64) -> f64 {
    timestamp as f64
}

/// One listener's handles.
pub struct ListenerMetrics {
    opened: Counter,
    open: Gauge,
    accept_errors: Counter,
    closed: BTreeMap<&'static str, Counter>,
    denied: BTreeMap<&'static str, Counter>,
    handshakes: BTreeMap<&'static str, Counter>,
    handshake_duration: Histogram,
    request_duration: Histogram,
    /// Plaintext bytes from downstream to upstream.
    pub bytes_up: Counter,
    /// Plaintext bytes from upstream to downstream.
    pub bytes_down: Counter,
    requests: BTreeMap<(&'static str, &'static str, &'static str), OnceLock<Counter>>,
    metrics: Metrics,
    labels: [(&'static str, SharedString); 2],
}

/// Methods that are label values; all others count as `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const DECISIONS: [&str; 2] = ["allowed", "denied"];

impl ListenerMetrics {
    fn new(metrics: &Metrics, name: &ListenerName, direction: Direction) -> Self {
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
            accept_errors: with(ACCEPT_ERRORS, &[]),
            closed: each(CONNECTIONS_CLOSED, "ending", &mut Ending::ALL.iter().map(|e| e.label())),
            denied: each(
                CONNECTIONS_DENIED,
                "reason",
                &mut DenyReason::ALL.iter().map(|r| r.label()),
            ),
            handshakes: each(
                HANDSHAKES,
                "result",
                &mut std::iter::once("ok").chain(Refusal::ALL.iter().map(|r| r.label())),
            ),
            handshake_duration: metrics.histogram(HANDSHAKE_DURATION, &labels),
            request_duration: metrics.histogram(REQUEST_DURATION, &labels),
            bytes_up: with(BYTES, &[("flow", "up")]),
            bytes_down: with(BYTES, &[("flow", "down")]),
            requests,
            metrics: metrics.clone(),
            labels,
        }
    }

    /// Counts a connection that was accepted, until the guard drops.
    pub fn opened(self: &Arc<Self>) -> OpenConnection {
        self.opened.increment(1);
        self.open.increment(1.0);
        OpenConnection { metrics: Arc::clone(self) }
    }

    /// Counts the one ending of a connection.
    pub fn closed(&self, ending: Ending) {
        count(&self.closed, ending.label());
    }

    /// Counts an authenticated peer, or a request, that was not let in.
    pub fn denied(&self, reason: DenyReason) {
        count(&self.denied, reason.label());
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
        let [listener, direction] = self.labels.clone();
        self.metrics
            .gauge(
                UPSTREAM_HEALTHY,
                &[listener, direction, ("endpoint", endpoint.to_owned().into())],
            )
            .set(if healthy { 1.0 } else { 0.0 });
    }

    /// Sets when the certificate that `peer` presented last expires.
    pub fn peer_not_after(&self, peer: &PeerName, timestamp: i64) {
        self.metrics.peer_not_after(peer, timestamp);
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
    }
}

/// The trail's handles.
pub struct AuditMetrics {
    metrics: Metrics,
    append: Histogram,
    failures: Counter,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_its_help() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics.listener(&ListenerName::new("fhir"), Direction::Inbound);

        let _open = listener.opened();
        listener.refused(Refusal::Expired);

        let text = metrics.render();
        assert!(text.contains("# HELP myelin_connections_open Connections that are open."));
        assert!(text.contains(r#"myelin_connections_open{listener="fhir",direction="inbound"} 1"#));
        assert!(text.contains(
            r#"myelin_handshakes_total{listener="fhir",direction="inbound",result="expired"} 1"#
        ));
    }
}
