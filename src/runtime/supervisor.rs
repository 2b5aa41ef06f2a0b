//! Owns what may change while the process runs: configuration, key material, listeners.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::assemble::{Assembled, Renewal, assemble, renew};
use super::build::Given;
use super::leniency::{Leniency, Said};
use super::listeners::Listeners;
use super::records::Offered;
use super::rego::rego;
use super::restart::needs_restart;
use super::shown::Shown;
use super::supply::supply;
use super::timekeeping::Timekeeping;
use super::upkeep::Upkeep;
use super::{Obstacle, ReloadError, StartError, Started, records};
use crate::admin::View;
use crate::admin::control::Act;
use crate::audit::{Audit, Origin, Pseudonyms, Reader};
use crate::authz::RegoPolicy;
use crate::certs::{Material, Trigger};
use crate::clock;
use crate::config::{Config, Problems};
use crate::export::Exports;
use crate::live::{Live, Publisher, live};
use crate::report::Report;
use crate::shutdown::{Drained, Shutdown};
use crate::telemetry::metrics::Metrics;

/// So often histograms are drained (scrapes do it, too), and peers' certificates looked at.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is left of the trail at the end gets so long to go out; the rest goes after the next start.
const EXPORTS: Duration = Duration::from_secs(5);

/// What the sidecar's handle asks for.
pub(super) enum Command {
    Reload {
        loaded: Box<Result<Config, Problems>>,
        by: Option<Reader>,
        answer: oneshot::Sender<Result<(), ReloadError>>,
    },
    Stop {
        by: Option<Reader>,
        answer: oneshot::Sender<Drained>,
    },
}

pub(super) struct Supervisor {
    config: Config,
    /// What its `policy` narrows the rules by.
    rego: Option<Arc<RegoPolicy>>,
    material: Live<Material>,
    trigger: Trigger,
    listeners: Listeners,
    leniency: Leniency,
    upkeep: Upkeep,
    timekeeping: Timekeeping,
    exports: Exports,
    view: Publisher<View>,
    /// Configurations that took effect.
    configurations: u64,
    shown: Shown,
    last_failure: Option<String>,
    draining: bool,
    audit: Audit,
    metrics: Metrics,
    shutdown: Shutdown,
    /// The administrative listeners', cut after all others.
    admin: Shutdown,
}

impl Supervisor {
    /// Binds everything, then serves. `None` when it was ended before.
    pub(super) async fn start(
        config: Config,
        (data, acts): (Handle, mpsc::Sender<Act>),
        shutdown: Shutdown,
        end: &CancellationToken,
    ) -> Result<Option<(Self, Started)>, StartError> {
        let metrics = Metrics::new().map_err(StartError::Metrics)?;
        let origin = Origin::of(&config);
        let pseudonyms = Pseudonyms::of(&config).map_err(StartError::Pseudonyms)?;
        let audit = Audit::open(config.audit.as_ref(), origin, metrics.audit())
            .map_err(StartError::Audit)?
            .with_pseudonyms(pseudonyms);
        let setting_up = Self::set_up(config, (data, acts), shutdown, metrics, &audit);
        // Boxed: it is large, and is gone when everything runs.
        let set_up = tokio::select! {
            set_up = Box::pin(setting_up) => set_up.map(Some),
            () = end.cancelled() => Ok(None),
        };
        if !matches!(set_up, Ok(Some(_))) {
            audit.close().await;
        }
        set_up
    }

    async fn set_up(
        config: Config,
        (data, acts): (Handle, mpsc::Sender<Act>),
        shutdown: Shutdown,
        metrics: Metrics,
        audit: &Audit,
    ) -> Result<(Self, Started), StartError> {
        let assembled = assemble(&config, data, &shutdown, &metrics, audit).await?;
        let Assembled { rego, supply, material: first, warnings, inventory, listeners, doors } =
            assembled;
        let admin = Shutdown::default();
        let renewing = (supply, first.clone(), inventory.clone());
        let Renewal { material, standing, trigger } =
            renew(renewing, (audit, &metrics), shutdown.clone(), &admin);
        let shown = Shown { started: clock::now(), standing, inventory };
        let mut exports = Exports::new(audit.clone(), material.clone(), metrics.clone());
        exports.put_in_place(&config);
        let (view, reader) = live(shown.view(&config, &first, (&listeners, &exports)));
        let listening = listeners.addresses(&config);
        let started = Started { listeners: listening, warnings, ..doors.addresses() };
        doors.open(&config.admin, reader, (audit, &metrics), (acts, shutdown.clone()), &admin);
        let (telling, end) = (audit.clone().tell_of_floods(), admin.clone());
        admin.spawn(async move { end.until_cut(telling).await.unwrap_or_default() });
        let mut supervisor = Self {
            config,
            rego,
            material,
            trigger,
            listeners,
            leniency: Leniency::default(),
            upkeep: Upkeep::default(),
            timekeeping: Timekeeping::default(),
            exports,
            view,
            configurations: 1,
            shown,
            last_failure: None,
            draining: false,
            audit: audit.clone(),
            metrics,
            shutdown,
            admin,
        };
        supervisor.metrics.reloaded(true);
        supervisor.loaded(None, None).await;
        Ok((supervisor, started))
    }

    /// A configuration has taken effect: the first, or in place of `previous`.
    async fn loaded(&mut self, previous: Option<&Config>, by: Option<Reader>) {
        if let Some(audit) = &self.config.audit {
            self.audit.keep(&audit.keeping);
        }
        self.audit.note(records::asked(records::loaded(&self.config, previous), by)).await;
        let now = clock::onward();
        let said = self.leniency.loaded(&self.config, &self.metrics, now);
        self.say(said).await;
        self.upkeep.loaded(&self.config, &self.metrics, now);
    }

    /// Carries out commands and follows the key material, until it is stopped or abandoned.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>, end: &CancellationToken) {
        let mut upkeep = tokio::time::interval(UPKEEP);
        let mut seen = self.material.snapshot().generation;
        let mut news = self.material.clone();
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                command = inbox.recv() => match command {
                    Some(Command::Reload { loaded, by, answer }) => {
                        let result = self.reload(*loaded, by).await;
                        // Whoever asked may have gone; the outcome is on record all the same.
                        let _heard = answer.send(result);
                    }
                    Some(Command::Stop { by, answer }) => {
                        let drained = self.drain(self.config.limits.drain_timeout, by).await;
                        let _heard = answer.send(drained);
                        return;
                    }
                    None => break,
                },
                true = news.replaced_after(seen) => {
                    seen = news.snapshot().generation;
                    self.rotated();
                }
                () = at(self.leniency.due()) => self.look_how_strict().await,
                _ = upkeep.tick() => self.look_after().await,
            }
        }
        self.drain(Duration::ZERO, None).await;
    }

    /// Whatever is to be seen to every few seconds.
    async fn look_after(&mut self) {
        self.metrics.upkeep();
        self.exports.upkeep();
        self.look_how_strict().await;
        let now = clock::onward();
        let passed = self.upkeep.look(&self.config, &self.metrics, now);
        let ending = self.shown.inventory.ending(now);
        passed.iter().chain(&ending).for_each(|text| tracing::warn!("{text}"));
        if let Some(text) = self.upkeep.set_back(&self.metrics, clock::behind()) {
            tracing::error!("{text}");
        }
        for news in self.timekeeping.look() {
            self.audit.note(news).await;
        }
        self.audit.take_notes().await;
    }

    /// All of the new configuration takes effect, or nothing of it.
    async fn reload(
        &mut self,
        loaded: Result<Config, Problems>,
        by: Option<Reader>,
    ) -> Result<(), ReloadError> {
        let offered = Offered::of(&loaded, &self.config);
        let result = match loaded {
            Ok(config) => self.try_reload(config).await,
            Err(problems) => Err(ReloadError::Problems(problems)),
        };
        self.metrics.reloaded(result.is_ok());
        match &result {
            Ok(previous) => {
                self.last_failure = None;
                self.loaded(Some(previous), by).await;
            }
            Err(error) => {
                let message = match error {
                    ReloadError::Problems(problems) => problems.one_line(),
                    other => Report(other).to_string(),
                };
                self.last_failure = Some(message.clone());
                let rejected = offered.rejected(&self.config, message);
                self.audit.note(records::asked(rejected, by)).await;
            }
        }
        self.show();
        if result.is_ok() {
            let count = self.configurations;
            tracing::info!(count, policy = ?self.config.digest, "configuration reloaded");
        }
        result.map(drop)
    }

    /// The configuration that was in effect before.
    async fn try_reload(&mut self, config: Config) -> Result<Config, ReloadError> {
        let keys = needs_restart(&self.config, &config);
        if !keys.is_empty() {
            return Err(ReloadError::NeedsRestart(keys));
        }
        let rego = rego(&config).map_err(Obstacle::Rego)?;
        let supply = supply(&config).map_err(Obstacle::Service)?;
        let prepared = self.trigger.prepare(Some(supply)).await.map_err(Obstacle::Material)?;
        let given = Given {
            config: &config,
            material: prepared.material(),
            rego: rego.as_ref(),
            configuration: self.configurations + 1,
        };
        let plan = self.listeners.plan(given).map_err(Obstacle::Build)?;
        if let Some(listener) = self.listeners.held(&plan) {
            return Err(ReloadError::Held(listener));
        }
        let bound = self.listeners.bind(&plan).map_err(Obstacle::Bind)?;
        prepared.put_in_place().await.map_err(Obstacle::Material)?;
        self.listeners.put_in_place(plan, bound); // nothing can fail from here on
        self.exports.put_in_place(&config);
        if !config.warnings.is_empty() {
            tracing::warn!("the new configuration deserves a look\n{}", config.warnings);
        }
        self.shown.inventory.of_peers(config.peers.keys());
        self.rego = rego;
        self.configurations += 1;
        Ok(std::mem::replace(&mut self.config, config))
    }

    /// New key material takes effect for connections from now on; open ones are judged again by it.
    fn rotated(&mut self) {
        let material = self.material.snapshot();
        let given = Given {
            config: &self.config,
            material: &material.value,
            rego: self.rego.as_ref(),
            configuration: self.configurations,
        };
        match self.listeners.plan(given) {
            Ok(plan) => self.listeners.put_in_place(plan, Vec::new()),
            Err(error) => {
                let message = Report(&error).to_string();
                tracing::error!("new key material cannot be used, the old stays: {message}");
                self.last_failure = Some(message);
            }
        }
        self.show();
    }

    /// Finishes what is open, cuts what does not end, closes the trail, and stops answering probes last.
    async fn drain(&mut self, grace: Duration, by: Option<Reader>) -> Drained {
        self.draining = true;
        self.show();
        tracing::info!(?grace, "draining");
        let drained = self.shutdown.run(grace).await;
        self.audit.take_notes().await;
        let own = Arc::clone(&self.material.snapshot().value.facts);
        self.audit.note(records::asked(records::stopped(&own, drained), by)).await;
        self.audit.close().await;
        self.exports.drain(EXPORTS.min(grace)).await;
        self.admin.cut();
        self.admin.run(Duration::from_secs(1)).await;
        drained
    }

    /// Dates may have passed, or be worth another warning.
    async fn look_how_strict(&mut self) {
        let said = self.leniency.look(&self.config, clock::onward());
        self.say(said).await;
    }

    async fn say(&self, said: Vec<Said>) {
        for said in said {
            match said {
                // The configuration's own warnings say it in the log.
                Said::Lenient(which, text) => self.audit.note(records::lenient(which, text)).await,
                Said::Warning(text) => tracing::warn!("{text}"),
                Said::Strict(which, text) => {
                    tracing::info!("{text}");
                    self.audit.note(records::strict(which, text)).await;
                }
            }
        }
    }

    fn show(&mut self) {
        let material = self.material.snapshot();
        let view = self.shown.view(&self.config, &material.value, (&self.listeners, &self.exports));
        self.view.publish(View {
            configurations: self.configurations,
            last_failure: self.last_failure.clone(),
            draining: self.draining,
            ..view
        });
    }
}

/// Resolves at a moment of the wall clock, or a little before; never without one.
async fn at(moment: Option<OffsetDateTime>) {
    match moment {
        Some(moment) => {
            sleep(Duration::try_from(moment - clock::onward()).unwrap_or_default()).await
        }
        None => std::future::pending().await,
    }
}
