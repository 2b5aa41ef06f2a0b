//! Counts what the trail's exports deliver.

use std::collections::BTreeMap;

use metrics::{Counter, Gauge, SharedString};

use super::metrics::{
    EXPORT_DELIVERED, EXPORT_FAILURES, EXPORT_LAG_RECORDS, EXPORT_LAG_SECONDS, Metrics,
};
use crate::outcome::Undelivered;

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
        let failures = Undelivered::ALL.into_iter().map(|why| {
            let labels = [("exporter", name.clone()), ("reason", why.label().into())];
            let counter = metrics.counter(EXPORT_FAILURES, &labels);
            counter.absolute(0);
            (why.label(), counter)
        });
        Self {
            lag_records: metrics.gauge(EXPORT_LAG_RECORDS, &label),
            lag_seconds: metrics.gauge(EXPORT_LAG_SECONDS, &label),
            delivered: metrics.counter(EXPORT_DELIVERED, &label),
            failures: failures.collect(),
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
