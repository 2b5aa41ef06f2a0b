//! Renews key material while everything runs.
//!
//! Looks at the wall clock, not at a timer: a machine that was suspended wakes up with an old
//! certificate, and the timer does not know. Bad material changes nothing: the last good one stays.

mod alarm;
mod retry;
mod standing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

pub use standing::{Rejected, Standing};

use super::request::Request;
use super::{
    Loaded, Material, MaterialError, Prepared, Supply, Triggered, Trusted, anchors, inspect,
};
use crate::clock::{self, rfc3339};
use crate::identity::{PeerCertificate, Subject};
use crate::inventory::Inventory;
use crate::live::Publisher;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;
use alarm::{Alarm, Level};
use retry::Retry;
use standing::Telling;

/// At least so often the wall clock is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A source that does not answer is given up after this.
const LOADING: Duration = Duration::from_secs(60);
/// Material that was prepared for somebody is given up after this, so that renewals go on.
const DECIDING: Duration = Duration::from_secs(60);

/// What came of an attempt to replace key material.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// New material is in use.
    Rotated {
        /// What our certificate says now.
        facts: Arc<PeerCertificate>,
        /// What is another one than before: `certificate`, `trust bundle`, `revocation lists`.
        changed: Vec<&'static str>,
        /// What deserves a look.
        warnings: Vec<String>,
    },
    /// It cannot be used; the old one stays. Told once, and again every hour that it stays so.
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
    /// Ends the task when it cuts. While it drains no certificate is renewed, for none is needed; what peers are verified
    /// with is followed to the end.
    pub shutdown: Shutdown,
    /// Counts what came of it.
    pub metrics: Metrics,
    /// Where it is put how that goes.
    pub standing: Publisher<Standing>,
    /// Knows which trust anchors are in use.
    pub inventory: Inventory,
}

/// A rotator at work.
struct Working<F> {
    rotator: Rotator,
    standing: Standing,
    telling: Telling,
    on_event: F,
}

impl Rotator {
    /// Renews until the cut. `on_event` hears of every rotation, and of rejections.
    pub async fn run(self, on_event: impl Fn(Rotation) + Send) {
        let shutdown = self.shutdown.clone();
        let standing = Standing::of(&self.supply, &self.current);
        let telling = Telling::default();
        let working = Working { rotator: self, standing, telling, on_event };
        tokio::select! {
            () = shutdown.cutting() => {}
            () = working.renew() => {}
        }
    }
}

impl<F: Fn(Rotation) + Send> Working<F> {
    async fn renew(mut self) {
        measure(&self.rotator.current, &self.rotator.metrics);
        let mut retry = Retry::default();
        let mut alarm = Alarm::default();
        loop {
            self.sound(&mut alarm);
            let source = self.rotator.supply.source();
            let wake = sleep_until(self.wake_at(&retry));
            let request = tokio::select! {
                Some(request) = self.rotator.triggered.0.recv() => Some(request),
                () = source.news() => {
                    retry.news();
                    None
                }
                () = wake => None,
            };
            match request {
                Some(request) => self.answer(request, &mut retry).await,
                None if retry.may() && (retry.owed || self.is_due()) => {
                    let supply = self.rotator.supply.clone();
                    let result = self.load(&supply, Attended::No).await;
                    retry.after(&result);
                    if let Ok(loaded) = result {
                        self.put_in_place(supply, loaded);
                    }
                }
                None => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        let Rotator { supply, current, shutdown, .. } = &self.rotator;
        !shutdown.is_draining() && supply.is_due(current, clock::now())
    }

    fn sound(&self, alarm: &mut Alarm) {
        match alarm.look(&self.rotator.supply, &self.rotator.current, clock::now()) {
            Some((Level::Urgent, text)) => tracing::error!("{text}"),
            Some((Level::Late, text)) => tracing::warn!("{text}"),
            None => {}
        }
    }

    /// Loads what is asked for, and puts it in place if whoever asked wants that. No renewal comes
    /// between the two.
    async fn answer(&mut self, request: Request, retry: &mut Retry) {
        let supply = match request.supply {
            Some(supply) => supply.carrying_on(&self.rotator.supply),
            None => self.rotator.supply.clone(),
        };
        let result = self.load(&supply, Attended::Yes).await;
        retry.after(&result);
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                let _heard = request.answer.send(Err(error)); // whoever asked may be gone
                return;
            }
        };
        let (prepared, go_ahead) = Prepared::new(loaded.material.clone());
        let sent = request.answer.send(Ok(prepared)).is_ok();
        match timeout(DECIDING, go_ahead).await {
            Ok(Ok(done)) if sent => {
                self.put_in_place(supply, loaded);
                let _heard = done.send(());
            }
            // A source does not tell news again that were loaded for nothing.
            _ => retry.owed = true,
        }
    }

    fn wake_at(&self, retry: &Retry) -> Instant {
        let due = self.standing.renew_at.filter(|_| !self.rotator.shutdown.is_draining());
        let due = due.map(|due| due - clock::now());
        let left = due.map(|left| Duration::try_from(left).unwrap_or_default());
        let left = if retry.owed { Duration::ZERO } else { left.unwrap_or(LOOK).min(LOOK) };
        (Instant::now() + left).max(retry.not_before)
    }

    async fn load(&mut self, supply: &Supply, who: Attended) -> Result<Loaded, MaterialError> {
        let Rotator { supply: old, current, shutdown, .. } = &self.rotator;
        let loading = async {
            if shutdown.is_draining() {
                supply.refresh(old, current).await
            } else {
                supply.load_again(old, current).await
            }
        };
        let loaded = timeout(LOADING, loading).await;
        let loaded = loaded.unwrap_or(Err(MaterialError::TooSlow(LOADING)));
        let loaded = loaded.and_then(|loaded| self.with_our_names(loaded, who));
        if let Err(error) = &loaded {
            self.reject(error, who);
        }
        loaded
    }

    /// Nobody looks at an unattended rotation: it may not take a name from us while the certificate in
    /// use is good.
    fn with_our_names(&self, loaded: Loaded, who: Attended) -> Result<Loaded, MaterialError> {
        let (old, new) = (&self.rotator.current, &loaded.material.facts);
        match new.names_lacking(&old.facts) {
            Some(lost) if who == Attended::No && clock::now() < old.not_after() => {
                Err(MaterialError::NamesLost { serial: new.serial.clone(), lost })
            }
            _ => Ok(loaded),
        }
    }

    fn reject(&mut self, error: &MaterialError, who: Attended) {
        self.rotator.metrics.rejected(error.reason());
        let problems = error.problems();
        if self.telling.is_due(error.gist()) || who == Attended::Yes {
            tracing::error!(?problems, "key material rejected; the old one stays in use");
            (self.on_event)(Rotation::Rejected { problems: problems.clone() });
        } else {
            tracing::debug!(?problems, "key material rejected again");
        }
        self.standing.reject(problems, clock::now());
        self.rotator.standing.publish(self.standing.clone());
    }

    fn put_in_place(&mut self, supply: Supply, loaded: Loaded) {
        let rotator = &mut self.rotator;
        rotator.supply = supply;
        let Loaded { material, mut warnings } = loaded;
        let changed = changes(&rotator.current, &material);
        self.telling = Telling::default();
        self.standing.accept(&rotator.supply, &material, (!changed.is_empty()).then(clock::now));
        if changed.is_empty() {
            rotator.standing.publish(self.standing.clone());
            return;
        }
        let facts = Arc::clone(&material.facts);
        warnings.extend(facts.names_lacking(&rotator.current.facts).map(|lost| {
            format!(
                "the new certificate no longer names {lost}: peers that know us by it will refuse us"
            )
        }));
        let (old, new) = (&rotator.current.trusted, &material.trusted);
        warnings.extend(anchors::left_out(old, new, &rotator.inventory));
        warnings.extend(anchors::added(old, new));
        warnings.extend(lists_lost(old, new));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        rotator.current = material.clone();
        let generation = rotator.publisher.publish(material);
        rotator.standing.publish(self.standing.clone());
        rotator.metrics.rotated();
        measure(&rotator.current, &rotator.metrics);
        tracing::info!(
            %generation,
            changed = changed.join(", "),
            serial = facts.serial,
            not_after = %rfc3339(facts.not_after),
            "key material rotated"
        );
        (self.on_event)(Rotation::Rotated { facts, changed, warnings });
    }
}

/// Whether somebody has asked for the rotation, and sees what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attended {
    Yes,
    No,
}

/// What is another one than before.
fn changes(old: &Material, new: &Material) -> Vec<&'static str> {
    let (trusted, now_trusted) = (&old.trusted, &new.trusted);
    let bundles = |trusted: &Trusted| {
        (trusted.bundle.clone(), trusted.federated.clone(), trusted.domain.clone())
    };
    [
        ("certificate", old.presents() != new.presents()),
        ("trust bundle", bundles(trusted) != bundles(now_trusted)),
        ("revocation lists", trusted.crls != now_trusted.crls),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}

/// Authorities that have no current revocation list any more, though the old one would still count.
/// Where one of theirs is an intermediate of a chain, nobody would notice that it is revoked.
fn lists_lost(old: &Trusted, new: &Trusted) -> Vec<String> {
    let issuers = |trusted: &Trusted| -> BTreeSet<String> {
        let parsed = trusted.crls.iter().filter_map(|der| inspect::revocation_list(der));
        let current = parsed
            .filter(|list| list.next_update().is_none_or(|due| due.to_datetime() > clock::now()));
        current.map(|list| Subject::of(list.issuer()).text).collect()
    };
    let lost = issuers(old).into_iter().filter(|issuer| !issuers(new).contains(issuer));
    lost.map(|issuer| {
        format!(
            "there is no revocation list of {issuer} any more: what it has revoked is not known from \
             now on"
        )
    })
    .collect()
}

fn measure(material: &Material, metrics: &Metrics) {
    metrics.certificate(material.issued.unix_timestamp(), material.not_after().unix_timestamp());
    if let Some(at) = material.trusted.not_after() {
        metrics.trust_bundle_not_after(at.unix_timestamp());
    }
    let lists = material.trusted.crl_next_update();
    metrics.crl_next_update(lists.map(|at| at.unix_timestamp()));
}

#[cfg(test)]
mod tests;
