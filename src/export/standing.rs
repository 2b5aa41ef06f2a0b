//! How an export stands: for `/status`, the metrics and the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::failure::Failure;
use super::http::Rejected;
use crate::clock::{self, rfc3339};
use crate::config::{ExportFeed, ExportSettings, ExportTo, OtlpProtocol, SyslogFormat};
use crate::outcome::Undelivered;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ExportMetrics;

/// A failure that lasts is told again after this.
const AGAIN: Duration = Duration::from_secs(600);

/// How one export stands.
pub struct Standing {
    name: Arc<str>,
    kind: &'static str,
    to: String,
    feed: ExportFeed,
    metrics: ExportMetrics,
    durable: watch::Receiver<u64>,
    now: Mutex<Now>,
}

/// Goes with an export's task.
pub(super) struct Alive {
    standing: Arc<Standing>,
    shutdown: Shutdown,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.shutdown.is_draining() {
            self.standing.holds(&Failure::defect());
        }
    }
}

#[derive(Default)]
struct Now {
    sent: u64,
    delivered: u64,
    /// When the first record was written that waits to be sent.
    oldest: Option<OffsetDateTime>,
    failing: Option<Failing>,
    rejected: u64,
}

struct Failing {
    since: OffsetDateTime,
    what: String,
    told: Instant,
}

impl Standing {
    pub(super) fn new(
        settings: &ExportSettings,
        metrics: ExportMetrics,
        durable: watch::Receiver<u64>,
    ) -> Self {
        let (kind, to) = match &settings.to {
            ExportTo::Syslog(syslog) => {
                let kind = match syslog.format {
                    SyslogFormat::Atna => "syslog atna",
                    SyslogFormat::Json => "syslog json",
                };
                (kind, format!("{}:{}", syslog.address.host, syslog.address.port))
            }
            ExportTo::Fhir(fhir) => ("fhir", fhir.url.to_string()),
            ExportTo::Otlp(otlp) => {
                let kind = match otlp.protocol {
                    OtlpProtocol::Grpc => "otlp grpc",
                    OtlpProtocol::Http => "otlp http",
                };
                (kind, otlp.endpoint.to_string())
            }
        };
        let (name, feed) = (Arc::clone(&settings.name), settings.feed);
        Self { name, kind, to, feed, metrics, durable, now: Mutex::default() }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records wait, the first of them since then; none do any more.
    pub(super) fn waits(&self, oldest: Option<OffsetDateTime>) {
        self.now().oldest = oldest;
    }

    /// Everything up to `sequence` was sent. After a failure that may be less than before.
    pub(super) fn sent(&self, sequence: u64) {
        self.now().sent = sequence;
    }

    /// Everything up to `sequence` is delivered, `records` of it now.
    pub(super) fn delivered(&self, sequence: u64, records: u64) {
        self.metrics.delivered(records);
        let mut now = self.now();
        now.delivered = sequence;
        if records > 0
            && let Some(failing) = now.failing.take()
        {
            info!(
                exporter = &*self.name,
                since = rfc3339(failing.since),
                "the export delivers again"
            );
        }
    }

    /// It failed. Told when it is news, and now and then while it lasts.
    pub(super) fn failed(&self, failure: &Failure, retry_in: Duration) {
        self.metrics.failed(failure.reason);
        let mut now = self.now();
        let known = now.failing.as_ref();
        let is_news = known.is_none_or(|f| f.what != failure.what || f.told.elapsed() >= AGAIN);
        let since = known.map_or_else(clock::now, |failing| failing.since);
        let told = match known {
            Some(failing) if !is_news => failing.told,
            Some(_) | None => Instant::now(),
        };
        now.failing = Some(Failing { since, what: failure.what.clone(), told });
        drop(now);
        if is_news {
            let (exporter, to) = (&*self.name, &*self.to);
            let (reason, what) = (failure.reason.label(), &*failure.what);
            warn!(exporter, to, reason, ?retry_in, "an export of the audit trail fails: {what}");
        }
    }

    /// The receiver does not take these records, whatever the attempt: they are left out, and are kept in a list.
    pub(super) fn rejected(&self, rejected: &[Rejected]) {
        for Rejected { sequence, count, why } in rejected {
            self.metrics.failed(Undelivered::Rejected);
            self.now().rejected += count;
            let (exporter, sequence, count) = (&*self.name, *sequence, *count);
            error!(
                exporter,
                sequence, count, "an export of the audit trail leaves records out: {why}"
            );
        }
    }

    /// Something is wrong with the trail itself.
    pub(super) fn finds(&self, faults: &[String]) {
        for what in faults {
            self.metrics.failed(Undelivered::Trail);
            error!(exporter = &*self.name, "the audit trail is not as it should be: {what}");
        }
    }

    /// It will not go on before somebody has decided.
    pub(super) fn holds(&self, failure: &Failure) {
        self.metrics.failed(failure.reason);
        error!(
            exporter = &*self.name,
            "an export of the audit trail does not go on: {}", failure.what
        );
        let mut now = self.now();
        let since = now.failing.as_ref().map_or_else(clock::now, |failing| failing.since);
        let (what, told) = (failure.what.clone(), Instant::now());
        now.failing = Some(Failing { since, what, told });
    }

    /// What its task holds, so that an end that nobody has asked for is told.
    pub(super) fn while_alive(self: Arc<Self>, shutdown: Shutdown) -> Alive {
        Alive { standing: self, shutdown }
    }

    /// How many durable records were not sent yet, and for how many seconds the first of them waits.
    fn lag(&self, now: &Now) -> (u64, f64) {
        let records = self.durable.borrow().saturating_sub(now.sent);
        let age = now.oldest.map(|oldest| clock::now() - oldest).unwrap_or_default();
        (records, if records > 0 { age.as_seconds_f64().max(0.0) } else { 0.0 })
    }

    /// Brings the gauges up to date.
    pub(super) fn upkeep(&self) {
        let (records, seconds) = self.lag(&self.now());
        self.metrics.lags(records, seconds);
    }

    /// It is no longer configured.
    pub(super) fn forgotten(&self) {
        self.metrics.forgotten();
    }

    /// What `/ready` adds for whoever asks on this machine, if it fails.
    pub fn failing(&self) -> Option<String> {
        let now = self.now();
        now.failing.as_ref().map(|failing| format!("export {}: {}", self.name, failing.what))
    }

    /// What `/status` shows.
    pub fn json(&self) -> Value {
        let now = self.now();
        let (records, seconds) = self.lag(&now);
        json!({
            "name": self.name,
            "kind": self.kind,
            "to": self.to,
            "feed": match self.feed {
                ExportFeed::All => "all",
                ExportFeed::Failures => "failures",
            },
            "sent": now.sent,
            "delivered": now.delivered,
            "rejected": now.rejected,
            "lag_records": records,
            "lag_seconds": seconds,
            "failing": now.failing.as_ref().map(|failing| json!({
                "since": rfc3339(failing.since),
                "why": failing.what,
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, SyslogExport};
    use crate::telemetry::metrics::Metrics;

    fn standing() -> Standing {
        let syslog = SyslogExport {
            address: Endpoint { host: "arr.example".into(), port: 6514 },
            format: SyslogFormat::Json,
            plaintext: false,
            confirm: AGAIN,
        };
        let settings = ExportSettings {
            name: "arr".into(),
            feed: ExportFeed::All,
            trust_bundle: None,
            keep_undelivered: true,
            to: ExportTo::Syslog(syslog),
        };
        let metrics = Metrics::new().unwrap().export("arr");
        Standing::new(&settings, metrics, watch::channel(0).1)
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    async fn an_export_that_ends_by_itself_is_no_export_that_delivers() {
        for (asked, shutdown) in [(false, Shutdown::default()), (true, Shutdown::default())] {
            let standing = Arc::new(standing());
            let alive = Arc::clone(&standing).while_alive(shutdown.clone());
            if asked {
                shutdown.drain();
            }

            let ended = tokio::spawn(async move {
                let _alive = alive;
                panic!("a defect");
            });

            assert!(ended.await.is_err());
            assert_eq!(standing.failing().is_none(), asked);
        }
    }

    #[tokio::test]
    async fn since_when_an_export_waits_for_a_decision_stays_when_the_reason_changes() {
        let standing = standing();

        standing.holds(&Failure::new(Undelivered::OtherTrail, "one"));
        let since = standing.json()["failing"]["since"].clone();
        while rfc3339(clock::now()) == since {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        standing.holds(&Failure::new(Undelivered::OtherTrail, "another"));

        assert_eq!(standing.json()["failing"], json!({ "since": since, "why": "another" }));
    }
}
