//! Accepts connections and leads each through its life: [`inbound`] and [`outbound`], one screen each.

mod accept;
mod counted;
mod crowd;
mod dial;
mod inbound;
mod inbound_http;
mod life;
mod outbound;
mod outbound_http;
mod permits;
mod plain;
mod record;
mod requests;

use std::sync::Arc;

pub use accept::{BindError, Bound, bind};
pub use inbound::{InboundListener, InboundState};
pub use outbound::{OutboundListener, OutboundState};

use crate::audit::{Audit, Connection};
use crate::authz::Permit;
use crate::inventory::{Inventory, Sighting};
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
    /// What peers have presented.
    pub inventory: Inventory,
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
}
