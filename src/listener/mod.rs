//! Accepts connections and leads each through its life: [`inbound`] and [`outbound`], one screen each.

mod accept;
mod associations;
mod connect;
mod counted;
mod crossing;
mod crowd;
mod description;
mod forward_proxy;
mod goal;
mod inbound;
mod life;
mod messages;
mod narrowed;
mod outbound;
mod permits;
mod plain;
mod question;
pub mod quota;
mod record;
mod redirect;
mod requests;
mod seldom;
mod shapes;
mod sockets;
mod traced;
mod workload;

use std::sync::Arc;

pub use accept::{BindError, Bound, Passing, adopt, bind, listen};
pub use crossing::Crossing;
pub use forward_proxy::{ForwardProxy, ForwardWay, ForwardWays};
pub use inbound::{InboundListener, InboundState};
pub use outbound::{OutboundListener, OutboundState};
pub use redirect::{BoundRedirect, Door, Redirector, Way, Ways, bind_redirect, redirector};
pub use sockets::Sockets;
pub use workload::Workload;

use crate::audit::{Audit, Connection};
use crate::authz::{Denied, Permit};
use crate::clock;
use crate::inventory::{Inventory, Lenience, OpenConnections, Sighting};
use crate::network::network;
use crate::outcome::DenyReason;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;
use crate::tls::Session;

/// What every listener needs besides its own state.
#[derive(Clone)]
pub struct Services {
    /// The trail.
    pub audit: Audit,
    /// The listener's metrics.
    pub metrics: Arc<ListenerMetrics>,
    /// Inbound: what is behind it.
    pub workload: Arc<Workload>,
    /// What peers have presented.
    pub inventory: Inventory,
    /// What it let through only because it is not strict yet.
    pub lenience: Arc<Lenience>,
    /// Where its connections are found that hold a permit.
    pub open: Arc<OpenConnections>,
    /// What may still be handed on to a listener, of all that accept for others.
    pub crossing: Crossing,
    /// The listener's end: drained with the process, or before when a reload removes the listener.
    pub shutdown: Shutdown,
}

impl Services {
    /// Remembers what the holder of `permit` has presented, if it is one of `peers`.
    fn seen(&self, permit: &Permit, connection: &Connection, session: &Session) {
        let Some(peer) = permit.peer() else { return };
        self.inventory.seen(Sighting {
            peer,
            certificate: &session.peer.certificate,
            anchor: session.grounds.anchor,
            listener: &connection.listener,
            direction: connection.direction,
            version: session.tls.version,
            cipher: &session.tls.cipher,
        });
    }

    /// Counts what was let through although policy says no: it is only observed. Once for each connection,
    /// request, message or association.
    fn would_deny(&self, denied: Option<&Arc<Denied>>) {
        let Some(denied) = denied else { return };
        self.expired(denied);
        self.metrics.would_deny(denied.reason);
        self.lenience.would_deny(clock::now());
    }

    /// Counts what was not let through.
    fn denied(&self, denied: &Denied) {
        self.metrics.denied(denied.reason);
        self.expired(denied);
    }

    /// Sounds the alarm when somebody still asks for what has expired. Not for each attempt.
    fn expired(&self, denied: &Denied) {
        let what = match denied.reason {
            DenyReason::RuleExpired => &*denied.rule,
            DenyReason::ListingExpired => denied.nearest.as_str(),
            _ => return,
        };
        if self.inventory.asks_for_expired(what, clock::now()) {
            let Denied { rule, line, nearest, .. } = denied;
            tracing::warn!(%rule, line, "{nearest}, and is still asked for; set a later date, or take it out");
        }
    }

    /// Counts a connection in plaintext that was let in.
    fn came_in_plaintext(&self, connection: &Connection) {
        self.metrics.came_in_plaintext();
        if let Some(source) = connection.source {
            self.lenience.came_in_plaintext(network(source.ip()), clock::now());
        }
    }
}
