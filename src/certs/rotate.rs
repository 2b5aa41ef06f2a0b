//! Renews key material while everything runs.
//!
//! Looks at the wall clock, not at a timer: a machine that was suspended wakes up with an old
//! certificate, and the timer does not know. Bad material changes nothing: the last good one stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::inspect::moment;
use super::request::Request;
use super::{Loaded, Material, MaterialError, Prepared, Supply, Triggered};
use crate::clock;
use crate::identity::PeerCertificate;
use crate::live::Publisher;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// At least so often the wall clock is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// From a failure to the next attempt; doubled by every further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Retries are never further apart.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// Renewals are never closer together, whatever the certificates say.
const BREATH: Duration = Duration::from_secs(1);
/// A source that does not answer is given up after this.
const LOADING: Duration = Duration::from_secs(60);
/// Material that was prepared for somebody is given up after this, so that renewals go on.
const DECIDING: Duration = Duration::from_secs(60);

/// What came of an attempt to replace key material.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// New material is in use.
    Rotated {
        /// What our new certificate says.
        facts: Arc<PeerCertificate>,
        /// What deserves a look.
        warnings: Vec<String>,
    },
    /// It cannot be used; the old one stays.
    Rejected {
        /// Every problem, one a text.
        problems: Vec<String>,
    },
}

/// The task that renews key material.
pub struct Rotator {
    /// Where it comes from, and what it must be good for.
    pub supply: Supply,
    /// What is in use.
    pub current: Material,
    /// Where new material is put.
    pub publisher: Publisher<Material>,
    /// Requests to load it now.
    pub triggered: Triggered,
    /// Ends the task when draining begins.
    pub shutdown: Shutdown,
    /// Counts what came of it.
    pub metrics: Metrics,
}

impl Rotator {
    /// Renews until draining begins. `on_event` hears of every rotation and every rejection.
    pub async fn run(self, on_event: impl Fn(Rotation) + Send) {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.draining() => {}
            () = self.renew(on_event) => {}
        }
    }

    async fn renew(mut self, on_event: impl Fn(Rotation) + Send) {
        measure(&self.current, &self.metrics);
        let mut retry = Retry::default();
        loop {
            let source = self.supply.source();
            let wake = sleep_until(self.wake_at(&retry));
            let request = tokio::select! {
                Some(request) = self.triggered.0.recv() => Some(request),
                () = source.news() => {
                    retry.owed = true;
                    None
                }
                () = wake => None,
            };
            match request {
                Some(request) => self.answer(request, &mut retry, &on_event).await,
                None if retry.may() && (retry.owed || self.is_due()) => {
                    let supply = self.supply.clone();
                    let result = self.load(&supply, &on_event).await;
                    retry.after(&result);
                    if let Ok(loaded) = result {
                        self.put_in_place(supply, loaded, &on_event);
                    }
                }
                None => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        self.supply.is_due(&self.current, clock::now())
    }

    /// Loads what is asked for, and puts it in place if whoever asked wants that. No renewal comes
    /// between the two.
    async fn answer(&mut self, request: Request, retry: &mut Retry, on_event: &impl Fn(Rotation)) {
        let supply = match request.supply {
            Some(supply) => supply.carrying_on(&self.supply),
            None => self.supply.clone(),
        };
        let result = self.load(&supply, on_event).await;
        retry.after(&result);
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                let _heard = request.answer.send(Err(error)); // whoever asked may be gone
                return;
            }
        };
        let (prepared, go_ahead) = Prepared::new(loaded.material.clone());
        if request.answer.send(Ok(prepared)).is_err() {
            return;
        }
        if let Ok(Ok(done)) = timeout(DECIDING, go_ahead).await {
            self.put_in_place(supply, loaded, on_event);
            let _heard = done.send(());
        }
    }

    fn wake_at(&self, retry: &Retry) -> Instant {
        let due = self.supply.renew_at(&self.current).map(|due| due - clock::now());
        let left = due.map(|left| Duration::try_from(left).unwrap_or_default());
        let left = if retry.owed { Duration::ZERO } else { left.unwrap_or(LOOK).min(LOOK) };
        (Instant::now() + left).max(retry.not_before)
    }

    async fn load(
        &self,
        supply: &Supply,
        on_event: &impl Fn(Rotation),
    ) -> Result<Loaded, MaterialError> {
        let loading = timeout(LOADING, supply.load_again(&self.supply, &self.current));
        let loaded = loading.await.unwrap_or(Err(MaterialError::TooSlow(LOADING)));
        loaded.inspect_err(|error| {
            self.metrics.rotated(false);
            let problems = error.problems();
            tracing::error!(?problems, "key material rejected; the old one stays in use");
            on_event(Rotation::Rejected { problems });
        })
    }

    fn put_in_place(&mut self, supply: Supply, loaded: Loaded, on_event: &impl Fn(Rotation)) {
        self.supply = supply;
        let Loaded { material, mut warnings } = loaded;
        if material.same_as(&self.current) {
            return;
        }
        let facts = Arc::clone(&material.facts);
        warnings.extend(names_lost(&self.current.facts, &facts));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        self.current = material.clone();
        let generation = self.publisher.publish(material);
        self.metrics.rotated(true);
        measure(&self.current, &self.metrics);
        tracing::info!(
            %generation,
            serial = facts.serial,
            not_after = %moment(facts.not_after),
            "key material rotated"
        );
        on_event(Rotation::Rotated { facts, warnings });
    }
}

/// Names by which peers may know us, and which the new certificate does not carry on.
fn names_lost(old: &PeerCertificate, new: &PeerCertificate) -> Option<String> {
    let spiffe = old.spiffe.iter().filter(|id| new.spiffe.as_ref() != Some(*id));
    let dns = old.dns.iter().filter(|name| !new.dns.contains(name));
    let lost: Vec<String> =
        spiffe.map(ToString::to_string).chain(dns.map(ToString::to_string)).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "the new certificate no longer names {}: peers that know us by it will refuse us",
            lost.join(", ")
        )
    })
}

fn measure(material: &Material, metrics: &Metrics) {
    metrics.certificate_not_after(material.not_after().unix_timestamp());
    if let Some(at) = material.trusted.not_after() {
        metrics.trust_bundle_not_after(at.unix_timestamp());
    }
    if let Some(at) = material.trusted.crl_next_update() {
        metrics.crl_next_update(at.unix_timestamp());
    }
}

/// When the next attempt may be made.
struct Retry {
    /// There may be something new that was not loaded yet.
    owed: bool,
    not_before: Instant,
    pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { owed: false, not_before: Instant::now(), pause: FIRST_RETRY }
    }
}

impl Retry {
    fn may(&self) -> bool {
        Instant::now() >= self.not_before
    }

    fn after<T>(&mut self, result: &Result<T, MaterialError>) {
        let pause = match result {
            Ok(_) => {
                (self.owed, self.pause) = (false, FIRST_RETRY);
                BREATH
            }
            Err(_) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(LAST_RETRY);
                pause
            }
        };
        self.not_before = Instant::now() + pause;
    }
}

#[cfg(test)]
mod tests;
