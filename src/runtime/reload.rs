//! Another configuration, or new key material, takes the place of what there is.

use super::build::Given;
use super::confinement::needs;
use super::records::Offered;
use super::rego::rego;
use super::restart::needs_restart;
use super::supervisor::Supervisor;
use super::supply::supply;
use super::{Obstacle, ReloadError, records};
use crate::audit::Reader;
use crate::certs::Prepared;
use crate::config::{Config, Problems};
use crate::listener::Sockets;
use crate::report::Report;

impl Supervisor {
    /// All of the new configuration takes effect, or nothing of it.
    pub(super) async fn reload(
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
        if self.successor.is_some() {
            return Err(ReloadError::HandingOver);
        }
        let keys = needs_restart(&self.config, &config);
        if !keys.is_empty() {
            return Err(ReloadError::NeedsRestart(keys));
        }
        self.shown.sandbox.has_room_for(&needs(&config))?;
        self.listeners.activated.fit(&config).map_err(Obstacle::Activation)?;
        let rego = rego(&config).map_err(Obstacle::Rego)?;
        let supply = supply(&config).map_err(Obstacle::Service)?;
        let prepared = self.trigger.prepare(Some(supply)).await.map_err(Obstacle::Material)?;
        let traces = self.traces.prepare(&config, &self.metrics);
        let given = Given {
            config: &config,
            material: prepared.material(),
            rego: rego.as_ref(),
            tracer: traces.tracer.as_ref(),
            configuration: self.configurations + 1,
        };
        let plan = self.listeners.plan(given).map_err(Obstacle::Build)?;
        if let Some(listener) = self.listeners.held(&plan) {
            return Err(ReloadError::Held(listener));
        }
        let bound = self.listeners.bind(&plan, &mut Sockets::default()).map_err(Obstacle::Bind)?;
        prepared.put_in_place().await.map_err(Obstacle::Material)?;
        self.listeners.put_in_place(plan, bound); // nothing can fail from here on
        self.exports.put_in_place(&config);
        self.traces.put_in_place(traces, (&self.material, &self.metrics));
        if !config.warnings.is_empty() {
            tracing::warn!("the new configuration deserves a look\n{}", config.warnings);
        }
        self.shown.inventory.of_peers(config.peers.keys());
        self.rego = rego;
        self.configurations += 1;
        Ok(std::mem::replace(&mut self.config, config))
    }

    /// Judges what is still open while this process drains by another configuration, and takes nothing else from it: another
    /// process serves, or nobody does any more. The configuration that was in effect before.
    pub(super) async fn judge(
        &mut self,
        loaded: Result<Config, Problems>,
    ) -> Result<Config, ReloadError> {
        let config = loaded.map_err(ReloadError::Problems)?;
        let rego = rego(&config).map_err(Obstacle::Rego)?;
        let prepared = if has_other_material(&self.config, &config) {
            let supply = supply(&config).map_err(Obstacle::Service)?;
            Some(self.trigger.prepare(Some(supply)).await.map_err(Obstacle::Material)?)
        } else {
            None
        };
        let (in_use, tracer) = (self.material.snapshot(), self.traces.tracer());
        let given = Given {
            config: &config,
            material: prepared.as_ref().map_or(&in_use.value, Prepared::material),
            rego: rego.as_ref(),
            tracer: tracer.as_ref(),
            configuration: self.configurations + 1,
        };
        let plan = self.listeners.plan(given).map_err(Obstacle::Build)?;
        if let Some(prepared) = prepared {
            prepared.put_in_place().await.map_err(Obstacle::Material)?;
        }
        self.listeners.judge(plan);
        self.rego = rego;
        self.configurations += 1;
        let previous = std::mem::replace(&mut self.config, config);
        self.show();
        tracing::info!(
            policy = ?self.config.digest,
            process = std::process::id(),
            "what is still open is judged by another configuration"
        );
        Ok(previous)
    }

    /// New key material takes effect for connections from now on; open ones are judged again by it.
    pub(super) fn rotated(&mut self) {
        let (material, tracer) = (self.material.snapshot(), self.traces.tracer());
        self.applied = material.generation;
        let given = Given {
            config: &self.config,
            material: &material.value,
            rego: self.rego.as_ref(),
            tracer: tracer.as_ref(),
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
}

/// Whether `new` has its key material, or what that is judged by, from elsewhere.
fn has_other_material(old: &Config, new: &Config) -> bool {
    old.identity != new.identity
        || old.service != new.service
        || old.trust_domain != new.trust_domain
}
