//! Joins everything: one running sidecar, from a checked configuration to its end.
//!
//! Two kinds of threads: data threads carry traffic; the control thread answers administrative
//! requests, renews certificates and reloads, so that neither waits for the other. The trail has a thread
//! of its own.

mod activated;
mod assemble;
mod build;
mod commands;
mod confinement;
mod descriptors;
mod early;
mod fronts;
mod leniency;
mod listeners;
mod orders;
mod parting;
mod passing;
mod predecessor;
mod pulse;
mod records;
mod rego;
mod reload;
mod restart;
mod running;
mod shown;
mod successor;
mod supervisor;
mod supply;
mod threads;
mod timekeeping;
mod upkeep;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

pub use activated::ActivationError;
pub use build::{BuildError, pins};
pub use confinement::{Incomplete, confine};
pub use descriptors::{TooFew, raise_limit};
pub use early::bind_early;
pub use orders::{Orders, until_stopped};
pub use predecessor::{Inheritance, PredecessorError, decline};
pub use rego::rego;
pub use supply::supply;

use crate::admin::control::{Act, acts};
use crate::audit::{self, Reader};
use crate::authz::RegoError;
use crate::certs::MaterialError;
use crate::config::{Config, ListenAddr, Problems};
use crate::identity::{ListenerName, SpiffeIdError};
use crate::listener::BindError;
use crate::sandbox::Outside;
use crate::shutdown::{Drained, Shutdown};
use commands::{Commands, commands};
use threads::Threads;

/// A sidecar that is running.
pub struct Sidecar {
    commands: Commands,
    started: Started,
    shutdown: Shutdown,
    threads: Threads,
    /// What is asked for over the control socket.
    acts: mpsc::Receiver<Act>,
}

/// Where a sidecar listens (with port 0 the kernel has chosen), and what it found on its way.
#[derive(Debug, Clone, Default)]
pub struct Started {
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<(ListenerName, ListenAddr)>,
    /// The administrative listener.
    pub admin: Option<SocketAddr>,
    /// The listener for probes.
    pub probe: Option<SocketAddr>,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// What deserves a look about the key material.
    pub warnings: Vec<String>,
}

/// Why a configuration that is sound cannot be carried out, at a start or a reload.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// The key material cannot be used.
    #[error("the key material cannot be used")]
    Material(#[source] MaterialError),
    /// The service's name cannot stand in a SPIFFE ID.
    #[error("the service's name cannot stand in a SPIFFE ID")]
    Service(#[source] SpiffeIdError),
    /// The policy in Rego cannot be used.
    #[error("the policy in Rego cannot be used")]
    Rego(#[source] RegoError),
    /// A listener cannot be made from configuration and material.
    #[error("the configuration cannot be carried out")]
    Build(#[source] BuildError),
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(BindError),
    /// What the service manager has opened does not fit.
    #[error(transparent)]
    Activation(ActivationError),
}

/// Why a sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread or its reactor could not be made.
    #[error("the system gives no more threads or descriptors")]
    Threads(#[source] std::io::Error),
    /// The trail cannot be opened.
    #[error("the audit trail cannot be opened")]
    Audit(#[source] audit::OpenError),
    /// The key of the pseudonyms cannot be used.
    #[error("the key of the pseudonyms cannot be used")]
    Pseudonyms(#[source] audit::PseudonymsError),
    /// The configuration cannot be carried out.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The metrics cannot be set up.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    /// Nothing is handed over to it.
    #[error("nothing is handed over")]
    Predecessor(#[source] PredecessorError),
    /// The control thread ended before it had started.
    #[error("the control thread ended early")]
    Lost,
}

/// Why a configuration did not take effect; the old one stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It has problems.
    #[error("the configuration has problems\n{0}")]
    Problems(Problems),
    /// It changes what only a restart can.
    #[error("a restart is needed for a change of {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// A listener's address stays and its name, protocol or number of connections changes.
    #[error(
        "a restart is needed: the address of listener `{0}` is to serve another name, protocol or \
         limits.connections"
    )]
    Held(ListenerName),
    /// It names what this process cannot get at any more.
    #[error(transparent)]
    Outside(#[from] Outside),
    /// Another process is about to serve.
    #[error("a hand-over is under way: reload when it is over")]
    HandingOver,
    /// It cannot be carried out.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The sidecar drains, and cannot wait for key material.
    #[error("the key material does not come in time, and the sidecar is shutting down")]
    Slow,
    /// The sidecar is at its end.
    #[error("the sidecar is shutting down")]
    Stopping,
}

/// What became of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// The new process serves, and this one drains.
    Done,
    /// This one goes on.
    Off,
}

impl Sidecar {
    /// Starts everything: binds all addresses, then serves. When this returns, peers can connect.
    ///
    /// # Errors
    ///
    /// Says what is in the way; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let shutdown = Shutdown::default();
        let (commands, inbox) = commands();
        let (asking, acts) = acts();
        let worker = (Inheritance::default(), asking);
        let (threads, started) = threads::start(config, worker, inbox, shutdown.clone())?.wait()?;
        Ok(Self { commands, started, shutdown, threads, acts })
    }

    /// The same without blocking, and unless `orders` come to stop first: where key material comes from may be
    /// waited for. `None` when it was stopped; nothing is left running then. With a predecessor in its `inheritance` it
    /// takes over from that.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_unless(
        orders: &Orders,
        config: Config,
        inheritance: Inheritance,
    ) -> Result<Option<Self>, StartError> {
        let shutdown = Shutdown::default();
        let (commands, inbox) = commands();
        let (asking, acts) = acts();
        let starting = threads::start(config, (inheritance, asking), inbox, shutdown.clone())?;
        let pulse = starting.pulse().clone();
        let stop = async {
            tokio::select! {
                () = orders.ended() => {}
                never = orders.stay_alive(&pulse) => match never {},
            }
        };
        let started = starting.unless(stop).await?;
        Ok(started.map(|(threads, started)| Self { commands, started, shutdown, threads, acts }))
    }

    /// Where it listens.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// Puts a new configuration in place of the old one, all of it or nothing.
    ///
    /// # Errors
    ///
    /// Says why it did not take effect. The old one goes on as it was.
    pub async fn reload(&self, loaded: Result<Config, Problems>) -> Result<(), ReloadError> {
        self.commands.reload(None, loaded).await
    }

    /// Hands over to the process to which `end` leads. What becomes of it comes later; nothing, when this sidecar is at its end.
    pub async fn hand_over(&self, end: Option<OwnedFd>) -> Option<oneshot::Receiver<HandOver>> {
        self.commands.hand_over(end?).await
    }

    /// Cuts at once whatever a drain still waits for.
    pub fn cutter(&self) -> impl Fn() + Send + Sync + 'static {
        let shutdown = self.shutdown.clone();
        move || shutdown.cut()
    }

    /// Drains for at most `drain_timeout`, outbound listeners when the workload is gone, then cuts; the trail is closed last.
    pub async fn stop(self) -> Drained {
        self.stop_for(None).await
    }

    /// The same; who asked for it goes on record.
    async fn stop_for(self, by: Option<Reader>) -> Drained {
        let drained = self.commands.stop(by).await;
        self.threads.stop().await;
        drained
    }
}
