//! Counts what goes out: records of the trail, and spans.

use std::collections::BTreeMap;
use std::fmt;

use metrics::{Counter, Gauge, SharedString};

use super::metrics::{Kind, Metrics};
use crate::outcome::Undelivered;

const LAG_RECORDS: &str = "myelin_audit_export_lag_records";
const LAG_SECONDS: &str = "myelin_audit_export_lag_seconds";
const DELIVERED: &str = "myelin_audit_export_delivered_total";
const FAILURES: &str = "myelin_audit_export_failures_total";
const SPANS_DELIVERED: &str = "myelin_trace_spans_delivered_total";
const SPANS_DROPPED: &str = "myelin_trace_spans_dropped_total";
const SPAN_FAILURES: &str = "myelin_trace_export_failures_total";

/// The metrics of this file, with their kinds and help texts.
pub(super) const DESCRIPTIONS: &[(&str, Kind, &str)] = &[
    (LAG_RECORDS, Kind::Gauge, "Durable records that an export has not sent yet."),
    (LAG_SECONDS, Kind::Gauge, "Age of the first record that an export has not sent yet."),
    (DELIVERED, Kind::Counter, "Records that an export has delivered."),
    (FAILURES, Kind::Counter, "Failures of an export, by reason."),
    (SPANS_DELIVERED, Kind::Counter, "Spans that their receiver has taken."),
    (SPANS_DROPPED, Kind::Counter, "Spans that nobody will see: no room for them, or no receiver."),
    (SPAN_FAILURES, Kind::Counter, "Failures to send spans, by reason."),
];

/// One export's handles.
pub struct ExportMetrics {
    lag_records: Gauge,
    lag_seconds: Gauge,
    delivered: Counter,
    failures: BTreeMap<&'static str, Counter>,
}

impl ExportMetrics {
    pub(super) fn new(metrics: &Metrics, exporter: &str) -> Self {
        let name: SharedString = exporter.to_owned().into();
        let label = [("exporter", name.clone())];
        let of = |why: &'static str| [("exporter", name.clone()), ("reason", why.into())];
        Self {
            lag_records: metrics.gauge(LAG_RECORDS, &label),
            lag_seconds: metrics.gauge(LAG_SECONDS, &label),
            delivered: metrics.counter(DELIVERED, &label),
            failures: failures(|why| metrics.counter(FAILURES, &of(why))),
        }
    }

    /// Sets how many durable records were not sent yet, and how old the first of them is, in seconds.
    pub fn lags(&self, records: u64, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "records are far below 2^53")]
        self.lag_records.set(records as f64);
        self.lag_seconds.set(seconds);
    }

    /// No alert goes on about an export that is no longer configured.
    pub fn forgotten(&self) {
        self.lag_records.set(f64::NAN);
        self.lag_seconds.set(f64::NAN);
    }

    /// Counts records that were delivered.
    pub fn delivered(&self, records: u64) {
        self.delivered.increment(records);
    }

    /// Counts a failure.
    pub fn failed(&self, why: Undelivered) {
        if let Some(counter) = self.failures.get(why.label()) {
            counter.increment(1);
        }
    }
}

/// The handles of traces.
#[derive(Clone)]
pub struct TraceMetrics {
    delivered: Counter,
    dropped: Counter,
    failures: BTreeMap<&'static str, Counter>,
}

impl TraceMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            delivered: metrics.counter(SPANS_DELIVERED, &[]),
            dropped: metrics.counter(SPANS_DROPPED, &[]),
            failures: failures(|why| metrics.counter(SPAN_FAILURES, &[("reason", why.into())])),
        }
    }

    /// Counts spans that their receiver has taken.
    pub fn delivered(&self, spans: u64) {
        self.delivered.increment(spans);
    }

    /// Counts spans that nobody will see.
    pub fn dropped(&self, spans: u64) {
        self.dropped.increment(spans);
    }

    /// Counts a failure.
    pub fn failed(&self, why: Undelivered) {
        if let Some(counter) = self.failures.get(why.label()) {
            counter.increment(1);
        }
    }
}

impl fmt::Debug for TraceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceMetrics").finish_non_exhaustive()
    }
}

/// A counter for each reason, all of which begin at zero.
fn failures(counter: impl Fn(&'static str) -> Counter) -> BTreeMap<&'static str, Counter> {
    let of = |why: Undelivered| {
        let counter = counter(why.label());
        counter.absolute(0);
        (why.label(), counter)
    };
    Undelivered::ALL.into_iter().map(of).collect()
}
