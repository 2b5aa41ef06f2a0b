//! Every metric: its name, its help text, and where its handles come from (`handles.rs`).
//!
//! Handles are looked up once, when a listener starts; counting is then one atomic addition. Labels are
//! configured names and closed sets, never an identity, a path or an address.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, SharedString, with_local_recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::exports;
pub use super::exports::{ExportMetrics, TraceMetrics};
pub use super::handles::{AuditMetrics, ListenerMetrics, OpenConnection};
pub use super::reading::{Durations, ListenerKey, Reading};
use crate::identity::{ListenerName, PeerName};
use crate::outcome::{Direction, Rejection};

pub(super) const CONNECTIONS_OPENED: &str = "myelin_connections_opened_total";
pub(super) const CONNECTIONS_OPEN: &str = "myelin_connections_open";
pub(super) const CONNECTIONS_CLOSED: &str = "myelin_connections_closed_total";
pub(super) const CONNECTIONS_DENIED: &str = "myelin_connections_denied_total";
pub(super) const PERMITS_WITHDRAWN: &str = "myelin_permits_withdrawn_total";
pub(super) const PLAINTEXT_CONNECTIONS: &str = "myelin_plaintext_connections_total";
pub(super) const WOULD_DENY: &str = "myelin_would_deny_total";
const PERMISSIVE_UNTIL: &str = "myelin_permissive_until_timestamp_seconds";
const EXPIRED_RULES: &str = "myelin_expired_rules";
const EXPIRED_PEERS: &str = "myelin_expired_peers";
const OVERDUE_REVIEWS: &str = "myelin_overdue_reviews";
const CLOCK_BEHIND: &str = "myelin_clock_behind_seconds";
const OBSERVE_UNTIL: &str = "myelin_observe_until_timestamp_seconds";
pub(super) const ACCEPT_ERRORS: &str = "myelin_accept_errors_total";
pub(super) const HANDSHAKES: &str = "myelin_handshakes_total";
pub(super) const HANDSHAKE_DURATION: &str = "myelin_handshake_duration_seconds";
pub(super) const REQUESTS: &str = "myelin_requests_total";
pub(super) const REQUEST_DURATION: &str = "myelin_request_duration_seconds";
pub(super) const ASSOCIATIONS: &str = "myelin_associations_total";
pub(super) const ASSOCIATIONS_ENDED: &str = "myelin_associations_ended_total";
pub(super) const MESSAGES: &str = "myelin_messages_total";
pub(super) const MESSAGE_DURATION: &str = "myelin_message_duration_seconds";
pub(super) const ACKNOWLEDGEMENTS: &str = "myelin_acknowledgements_total";
pub(super) const BYTES: &str = "myelin_bytes_total";
const CERTIFICATE_NOT_AFTER: &str = "myelin_certificate_not_after_timestamp_seconds";
const CERTIFICATE_ISSUED: &str = "myelin_certificate_issued_timestamp_seconds";
const PEER_NOT_AFTER: &str = "myelin_peer_certificate_not_after_timestamp_seconds";
const PEER_NOT_BEFORE: &str = "myelin_peer_certificate_not_before_timestamp_seconds";
const ROTATIONS: &str = "myelin_certificate_rotations_total";
const BUNDLE_NOT_AFTER: &str = "myelin_trust_bundle_not_after_timestamp_seconds";
const CRL_NEXT_UPDATE: &str = "myelin_crl_next_update_timestamp_seconds";
pub(super) const AUDIT_RECORDS: &str = "myelin_audit_records_total";
const AUDIT_APPEND: &str = "myelin_audit_append_duration_seconds";
const AUDIT_FAILURES: &str = "myelin_audit_failures_total";
const AUDIT_LOST: &str = "myelin_audit_records_lost_total";
const AUDIT_UNRECORDED: &str = "myelin_audit_passed_unrecorded_total";
const AUDIT_CHECKPOINT: &str = "myelin_audit_checkpoint_timestamp_seconds";
const RELOADS: &str = "myelin_config_reloads_total";
const HANDOVERS: &str = "myelin_handovers_total";
const LAST_RELOAD: &str = "myelin_config_last_reload_successful";
pub(super) const UPSTREAM_HEALTHY: &str = "myelin_upstream_healthy";
const BUILD_INFO: &str = "myelin_build_info";

/// Every metric that has a source, with its kind and help text; those of what goes out are in `exports`.
const DESCRIPTIONS: &[(&str, Kind, &str)] = &[
    (CONNECTIONS_OPENED, Kind::Counter, "Connections accepted by a listener."),
    (CONNECTIONS_OPEN, Kind::Gauge, "Connections that are open."),
    (CONNECTIONS_CLOSED, Kind::Counter, "Connections that are over, by how they ended."),
    (
        CONNECTIONS_DENIED,
        Kind::Counter,
        "Denials, by reason: of connections, requests, messages and associations.",
    ),
    (PERMITS_WITHDRAWN, Kind::Counter, "Permits withdrawn from open connections, by reason."),
    (PLAINTEXT_CONNECTIONS, Kind::Counter, "Connections let in that came in plaintext."),
    (WOULD_DENY, Kind::Counter, "Let through although policy says no, which is only observed."),
    (PERMISSIVE_UNTIL, Kind::Gauge, "Until when a listener takes plaintext, too."),
    (EXPIRED_RULES, Kind::Gauge, "Rules that have expired, and let nobody in."),
    (EXPIRED_PEERS, Kind::Gauge, "Peers whose entry has expired, and lets nobody in."),
    (OVERDUE_REVIEWS, Kind::Gauge, "Peers whose entry should have been looked at by now."),
    (CLOCK_BEHIND, Kind::Gauge, "How far the wall clock was set back: dates go on without it."),
    (OBSERVE_UNTIL, Kind::Gauge, "Until when a listener only observes its policy."),
    (ACCEPT_ERRORS, Kind::Counter, "Failures to accept a connection, such as too many open files."),
    (HANDSHAKES, Kind::Counter, "TLS handshakes, by result: ok, or why they came to nothing."),
    (HANDSHAKE_DURATION, Kind::Histogram, "Duration of TLS handshakes that succeeded."),
    (REQUESTS, Kind::Counter, "HTTP requests, by method, status class and decision."),
    (REQUEST_DURATION, Kind::Histogram, "From a request's head to the end of its response."),
    (ASSOCIATIONS, Kind::Counter, "DICOM associations, by decision."),
    (ASSOCIATIONS_ENDED, Kind::Counter, "DICOM associations that are over, by how they ended."),
    (MESSAGES, Kind::Counter, "HL7 v2 messages, by type (MSH-9.1) and decision."),
    (
        MESSAGE_DURATION,
        Kind::Histogram,
        "From a message's header to the end of its acknowledgement.",
    ),
    (
        ACKNOWLEDGEMENTS,
        Kind::Counter,
        "Messages that passed, by their acknowledgement's code, or none.",
    ),
    (BYTES, Kind::Counter, "Plaintext bytes moved; flow up is from downstream to upstream."),
    (
        CERTIFICATE_NOT_AFTER,
        Kind::Gauge,
        "When this sidecar's certificate expires; of several, the first to do so.",
    ),
    (CERTIFICATE_ISSUED, Kind::Gauge, "When this sidecar's certificate was issued."),
    (PEER_NOT_AFTER, Kind::Gauge, "When the certificate that a peer last presented expires."),
    (
        PEER_NOT_BEFORE,
        Kind::Gauge,
        "From when on the certificate that a peer last presented is valid.",
    ),
    (ROTATIONS, Kind::Counter, "New key material, by whether it took effect, and why not."),
    (BUNDLE_NOT_AFTER, Kind::Gauge, "When the first certificate of the trust bundle expires."),
    (CRL_NEXT_UPDATE, Kind::Gauge, "When the first revocation list is due for its next update."),
    (AUDIT_RECORDS, Kind::Counter, "Records written to the trail."),
    (AUDIT_APPEND, Kind::Histogram, "From a permit's record handed over to its being durable."),
    (AUDIT_FAILURES, Kind::Counter, "Failed attempts to write the trail."),
    (AUDIT_LOST, Kind::Counter, "Records that were never written to the trail."),
    (
        AUDIT_UNRECORDED,
        Kind::Counter,
        "PHI accesses that passed before they were durable: audit.on_failure is allow.",
    ),
    (AUDIT_CHECKPOINT, Kind::Gauge, "When the last checkpoint of the trail became durable."),
    (RELOADS, Kind::Counter, "Configuration reloads, by result."),
    (HANDOVERS, Kind::Counter, "Hand-overs to this process, and from it that came to nothing."),
    (
        LAST_RELOAD,
        Kind::Gauge,
        "1 when the last configuration took effect, 0 when it was rejected.",
    ),
    (UPSTREAM_HEALTHY, Kind::Gauge, "1 when the endpoint is in use, 0 while it is set aside."),
    (BUILD_INFO, Kind::Gauge, "Always 1; what was built and which cryptography it uses."),
];

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Latency buckets in seconds. From a request on loopback or an `fdatasync` of a good disk to the timeouts
/// that are set by default, each at most 2.5 times the one before it.
pub(super) const BUCKETS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// In what a listener need not be strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lenient {
    /// It takes plaintext, too.
    Permissive,
    /// It only observes its policy.
    Observe,
}

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
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
            .build_recorder();
        let metrics = Self {
            handle: recorder.handle(),
            recorder: Arc::new(recorder),
            process: metrics_process::Collector::default(),
        };
        with_local_recorder(&*metrics.recorder, || {
            for (name, kind, help) in DESCRIPTIONS.iter().chain(exports::DESCRIPTIONS) {
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
        let zero = |name, ok| metrics.counter(name, &[("result", result(ok))]).absolute(0);
        [ROTATIONS, RELOADS, HANDOVERS].into_iter().for_each(|name| zero(name, true));
        [RELOADS, HANDOVERS].into_iter().for_each(|name| zero(name, false));
        Rejection::ALL.into_iter().for_each(|why| metrics.rejections(why).absolute(0));
        Ok(metrics)
    }

    /// The Prometheus text form, process metrics brought up to date.
    pub fn render(&self) -> String {
        with_local_recorder(&*self.recorder, || self.process.collect());
        self.exposition()
    }

    /// The Prometheus text form of Myelin's own metrics.
    pub(super) fn exposition(&self) -> String {
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
            lost: self.counter(AUDIT_LOST, &[]),
            unrecorded: self.counter(AUDIT_UNRECORDED, &[]),
            checkpoint: self.gauge(AUDIT_CHECKPOINT, &[]),
        }
    }

    /// The handles of one export.
    pub fn export(&self, name: &str) -> ExportMetrics {
        ExportMetrics::new(self, name)
    }

    /// The handles of traces.
    pub fn traces(&self) -> TraceMetrics {
        TraceMetrics::new(self)
    }

    /// Sets until when a listener need not be strict; `None` when it has to be.
    pub fn lenient_until(&self, listener: &ListenerName, which: Lenient, until: Option<i64>) {
        let name = match which {
            Lenient::Permissive => PERMISSIVE_UNTIL,
            Lenient::Observe => OBSERVE_UNTIL,
        };
        let gauge = self.gauge(name, &[("listener", listener.as_str().to_owned().into())]);
        gauge.set(until.map_or(f64::NAN, seconds));
    }

    /// Sets how many rules and peers have expired, and how many peers should have been looked at by now.
    pub fn expired(&self, rules: usize, peers: usize, overdue: usize) {
        let counts = [(EXPIRED_RULES, rules), (EXPIRED_PEERS, peers), (OVERDUE_REVIEWS, overdue)];
        for (name, count) in counts {
            self.gauge(name, &[]).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }

    /// Sets how far the wall clock is behind the latest that it has shown.
    pub fn clock_behind(&self, behind: Duration) {
        self.gauge(CLOCK_BEHIND, &[]).set(behind.as_secs_f64().trunc());
    }

    /// Sets from when to when this sidecar's certificate lasts, in seconds since 1970.
    pub fn certificate(&self, issued: i64, not_after: i64) {
        self.gauge(CERTIFICATE_ISSUED, &[]).set(seconds(issued));
        self.gauge(CERTIFICATE_NOT_AFTER, &[]).set(seconds(not_after));
    }

    /// Sets when the first certificate of the trust bundle expires.
    pub fn trust_bundle_not_after(&self, timestamp: i64) {
        self.gauge(BUNDLE_NOT_AFTER, &[]).set(seconds(timestamp));
    }

    /// Sets when the first revocation list is due; `None` when there is none, or none any more.
    pub fn crl_next_update(&self, timestamp: Option<i64>) {
        self.gauge(CRL_NEXT_UPDATE, &[]).set(timestamp.map_or(f64::NAN, seconds));
    }

    /// Counts new key material that took effect.
    pub fn rotated(&self) {
        self.counter(ROTATIONS, &[("result", result(true))]).increment(1);
    }

    /// Counts new key material, or an attempt to get some, that came to nothing.
    pub fn rejected(&self, why: Rejection) {
        self.rejections(why).increment(1);
    }

    fn rejections(&self, why: Rejection) -> Counter {
        let labels = [("result", result(false)), ("reason", why.label().into())];
        self.counter(ROTATIONS, &labels)
    }

    /// Counts a configuration that took effect, or did not.
    pub fn reloaded(&self, ok: bool) {
        self.counter(RELOADS, &[("result", result(ok))]).increment(1);
        self.gauge(LAST_RELOAD, &[]).set(f64::from(u8::from(ok)));
    }

    /// Counts a hand-over to this process, or one from it that came to nothing.
    pub fn handed_over(&self, ok: bool) {
        self.counter(HANDOVERS, &[("result", result(ok))]).increment(1);
    }

    /// Sets from when to when the certificate that `peer` presented last is valid.
    pub fn peer_certificate(&self, peer: &PeerName, not_before: i64, not_after: i64) {
        self.peer_gauge(PEER_NOT_BEFORE, peer).set(seconds(not_before));
        self.peer_gauge(PEER_NOT_AFTER, peer).set(seconds(not_after));
    }

    /// No alert goes on about a peer that is no longer configured.
    pub fn peer_forgotten(&self, peer: &PeerName) {
        for name in [PEER_NOT_BEFORE, PEER_NOT_AFTER] {
            self.peer_gauge(name, peer).set(f64::NAN);
        }
    }

    fn peer_gauge(&self, name: &'static str, peer: &PeerName) -> Gauge {
        self.gauge(name, &[("peer", peer.as_str().to_owned().into())])
    }

    pub(super) fn counter(
        &self,
        name: &'static str,
        labels: &[(&'static str, SharedString)],
    ) -> Counter {
        #[expect(clippy::disallowed_macros, reason = "this is the one place")]
        with_local_recorder(&*self.recorder, || metrics::counter!(name, pairs(labels)))
    }

    pub(super) fn gauge(
        &self,
        name: &'static str,
        labels: &[(&'static str, SharedString)],
    ) -> Gauge {
        #[expect(clippy::disallowed_macros, reason = "this is the one place")]
        with_local_recorder(&*self.recorder, || metrics::gauge!(name, pairs(labels)))
    }

    pub(super) fn histogram(
        &self,
        name: &'static str,
        labels: &[(&'static str, SharedString)],
    ) -> Histogram {
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
pub(super) fn seconds(timestamp: i64) -> f64 {
    timestamp as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Refusal;

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
