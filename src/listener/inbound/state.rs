//! What an inbound listener goes by at one moment.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use time::OffsetDateTime;

use crate::authz::{Denied, ListenerPolicy, Permit};
use crate::config::{Inbound, Protocol};
use crate::identity::PeerCertificate;
use crate::listener::permits::Rules;
use crate::listener::quota::{Quotas, Running};
use crate::tls::Trust;
use crate::traces::Tracer;

/// One generation of an inbound listener: settings, keys and policy that belong together.
pub struct InboundState {
    /// The listener as configured.
    pub config: Inbound,
    /// Counts configurations: the same in every generation that key material alone has made.
    pub configuration: u64,
    /// What it presents and demands.
    pub tls: Arc<ServerConfig>,
    /// What peers are verified with, now and for as long as they are connected.
    pub trust: Arc<Trust>,
    /// Who may connect.
    pub policy: ListenerPolicy,
    /// How much of it peers may have.
    pub quotas: Arc<Quotas>,
    /// Our own certificate.
    pub own: Arc<PeerCertificate>,
    /// What takes the spans of connections that begin now. `None`: nothing is traced.
    pub tracer: Option<Arc<Tracer>>,
}

impl Rules for InboundState {
    fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    fn policy(&self) -> &ListenerPolicy {
        &self.policy
    }

    fn drain_timeout(&self) -> Duration {
        self.config.limits.drain_timeout
    }
}

impl InboundState {
    /// A connection begins whose peer holds `permit`. Where there are messages, these are what is limited.
    pub(super) fn begin(&self, permit: &Permit) -> Result<Running, Denied> {
        match self.config.protocol {
            Protocol::Tcp => self.quotas.begin(permit, None).map_err(|over| over.denied),
            Protocol::Http | Protocol::Mllp | Protocol::Dicom => Ok(Running::default()),
        }
    }

    /// It is let in.
    pub(super) fn begun(&self, permit: &Permit, now: OffsetDateTime) {
        if self.config.protocol == Protocol::Tcp {
            self.quotas.used(permit, None, now);
        }
    }
}
