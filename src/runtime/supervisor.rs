//! Owns what may change while the process runs: configuration, key material, listeners.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::activated::Activated;
use super::assemble::{Assembled, Before, DoorSockets, Renewal, assemble, renew};
use super::commands::Command;
use super::leniency::{Leniency, Said};
use super::listeners::Listeners;
use super::parting::Asked;
use super::predecessor::Predecessor;
use super::shown::Shown;
use super::successor::{Successor, wants};
use super::timekeeping::Timekeeping;
use super::upkeep::Upkeep;
use super::{Inheritance, Obstacle, StartError, Started, records};
use crate::admin::View;
use crate::admin::control::Act;
use crate::audit::{Audit, Origin, Pseudonyms, Reader};
use crate::authz::RegoPolicy;
use crate::certs::{Material, Trigger};
use crate::clock;
use crate::config::Config;
use crate::export::Exports;
use crate::export::traces::Traces;
use crate::live::{Generation, Live, Publisher, live};
use crate::report::Report;
use crate::sandbox::Sandbox;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// So often histograms are drained (scrapes do it, too), and peers' certificates looked at.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is left of the trail and of spans at the end gets so long to go out; the rest of the trail goes after the next start.
const EXPORTS: Duration = Duration::from_secs(5);

pub(super) struct Supervisor {
    pub(super) config: Config,
    /// What its `policy` narrows the rules by.
    pub(super) rego: Option<Arc<RegoPolicy>>,
    pub(super) material: Live<Material>,
    /// Which of it the listeners have.
    pub(super) applied: Generation,
    pub(super) trigger: Trigger,
    pub(super) listeners: Listeners,
    /// The administrative listeners' sockets.
    pub(super) doors: DoorSockets,
    pub(super) leniency: Leniency,
    pub(super) upkeep: Upkeep,
    pub(super) timekeeping: Timekeeping,
    pub(super) exports: Exports,
    pub(super) traces: Traces,
    pub(super) view: Publisher<View>,
    /// Configurations that took effect.
    pub(super) configurations: u64,
    pub(super) shown: Shown,
    pub(super) last_failure: Option<String>,
    pub(super) draining: bool,
    /// The process that is to serve instead of this one.
    pub(super) successor: Option<Successor>,
    pub(super) audit: Audit,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    /// The administrative listeners', cut after all others.
    pub(super) admin: Shutdown,
}

impl Supervisor {
    /// Binds everything, then serves. `None` when it was ended before.
    pub(super) async fn start(
        config: Config,
        inheritance: Inheritance,
        threads: (Handle, mpsc::Sender<Act>, Shutdown),
        end: &CancellationToken,
    ) -> Result<Option<(Self, Started)>, StartError> {
        let Inheritance { predecessor, sockets, early, sandbox } = inheritance;
        let predecessor = predecessor.map(Predecessor::over).transpose();
        let predecessor = predecessor.map_err(StartError::Predecessor)?;
        let metrics = Metrics::new().map_err(StartError::Metrics)?;
        let origin = Origin::of(&config);
        let pseudonyms = Pseudonyms::of(&config).map_err(StartError::Pseudonyms)?;
        let audit = Audit::to_begin(config.audit.as_ref(), origin, metrics.audit())
            .with_pseudonyms(pseudonyms);
        if predecessor.is_none() {
            audit.begin().map_err(StartError::Audit)?;
        }
        let before = Before { predecessor: predecessor.as_ref(), early };
        let given = (before, sockets, sandbox);
        let setting_up = Self::set_up(config, threads, metrics.clone(), &audit, given);
        // Boxed: it is large, and is gone when everything runs.
        let set_up = tokio::select! {
            set_up = Box::pin(setting_up) => set_up.map(Some),
            () = end.cancelled() => Ok(None),
        };
        if !matches!(set_up, Ok(Some(_))) {
            audit.close().await;
        }
        match (&set_up, predecessor) {
            (Ok(Some((supervisor, _))), Some(predecessor)) => {
                predecessor.nothing_more().await.map_err(StartError::Predecessor)?;
                supervisor.listeners.files_go();
                metrics.handed_over(true);
            }
            (Err(error), Some(predecessor)) => {
                predecessor.cannot(Report(error).to_string()).await;
            }
            _ => {}
        }
        set_up
    }

    async fn set_up(
        config: Config,
        (data, acts, shutdown): (Handle, mpsc::Sender<Act>, Shutdown),
        metrics: Metrics,
        audit: &Audit,
        (before, sockets, sandbox): (Before<'_>, Vec<(String, OwnedFd)>, Arc<Sandbox>),
    ) -> Result<(Self, Started), StartError> {
        let activated = Activated::of(sockets).map_err(Obstacle::Activation)?;
        activated.fit(&config).map_err(Obstacle::Activation)?;
        let serving = ((data, activated), &shutdown, before);
        let assembled = assemble(&config, serving, &metrics, audit).await?;
        let Assembled { rego, supply, material: first, warnings, inventory, .. } = assembled;
        let Assembled { listeners, traces: prepared, doors, .. } = assembled;
        let admin = Shutdown::default();
        let renewing = (supply, first.clone(), inventory.clone());
        let Renewal { material, standing, trigger } =
            renew(renewing, (audit, &metrics), listeners.last().clone(), &admin);
        let shown = Shown { started: clock::now(), standing, inventory, sandbox };
        let mut exports = Exports::new(audit.clone(), material.clone(), metrics.clone());
        exports.put_in_place(&config);
        let mut traces = Traces::default();
        traces.put_in_place(prepared, (&material, &metrics));
        let (view, reader) = live(shown.view(&config, &first, (&listeners, &exports)));
        let door_sockets = doors.sockets(&config.admin);
        let listening = listeners.addresses(&config);
        let started = Started { listeners: listening, warnings, ..doors.addresses() };
        doors.open(&config.admin, reader, (audit, &metrics), (acts, shutdown.clone()), &admin);
        let (telling, end) = (audit.clone().tell_of_floods(), admin.clone());
        admin.spawn(async move { end.until_cut(telling).await.unwrap_or_default() });
        let mut supervisor = Self {
            config,
            rego,
            applied: material.generation(),
            material,
            trigger,
            listeners,
            doors: door_sockets,
            leniency: Leniency::default(),
            upkeep: Upkeep::default(),
            timekeeping: Timekeeping::default(),
            exports,
            traces,
            view,
            configurations: 1,
            shown,
            last_failure: None,
            draining: false,
            successor: None,
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
    pub(super) async fn loaded(&mut self, previous: Option<&Config>, by: Option<Reader>) {
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
                    Some(Command::HandOver { end, answer }) => {
                        self.begin_to_hand_over(end, answer).await;
                    }
                    Some(Command::Stop { by, answer }) => {
                        let grace = self.config.limits.drain_timeout;
                        let asked = Asked::over(&mut inbox, Some(answer));
                        self.stop(grace, by, asked).await;
                        return;
                    }
                    None => break,
                },
                wanted = wants(self.successor.as_ref()) => {
                    if let Some(process) = self.serve_successor(wanted).await {
                        let grace = self.config.limits.drain_timeout;
                        let asked = Asked::over(&mut inbox, None);
                        self.drain(grace, (Some(process), None), asked).await;
                        return;
                    }
                }
                true = news.replaced_after(self.applied) => self.rotated(),
                () = at(self.leniency.due()) => self.look_how_strict().await,
                _ = upkeep.tick() => self.look_after().await,
            }
        }
        self.stop(Duration::ZERO, None, Asked::over(&mut inbox, None)).await;
    }

    /// Ends, and so does a hand-over that is under way.
    async fn stop(&mut self, grace: Duration, by: Option<Reader>, asked: Asked<'_>) {
        if self.successor.is_some() {
            self.stays("this sidecar is being stopped".to_owned()).await;
        }
        self.drain(grace, (None, by), asked).await;
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

    /// Finishes what is open, cuts what does not end, closes the trail, and stops answering probes last: at once when
    /// a successor answers them. Who has asked for it goes on record.
    async fn drain(
        &mut self,
        grace: Duration,
        (successor, by): (Option<u32>, Option<Reader>),
        mut asked: Asked<'_>,
    ) {
        self.draining = true;
        self.show();
        tracing::info!(?grace, process = std::process::id(), "draining");
        if successor.is_some() {
            self.admin.cut();
        }
        let drained = self.part(grace, successor.is_some(), &mut asked).await;
        self.audit.take_notes().await;
        let own = Arc::clone(&self.material.snapshot().value.facts);
        let stopped = records::stopped(&own, drained, successor);
        self.audit.note(records::asked(stopped, by)).await;
        self.audit.close().await;
        let grace = EXPORTS.min(grace);
        tokio::join!(self.exports.drain(grace), self.traces.drain(grace));
        self.admin.cut();
        self.admin.run(Duration::from_secs(1)).await;
        asked.tell(drained);
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

    pub(super) fn show(&mut self) {
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
