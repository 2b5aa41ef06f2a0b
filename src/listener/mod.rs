//! Accepts connections and leads each through its life: [`inbound`] and [`outbound`], one screen each.

mod accept;
mod dial;
mod inbound;
mod life;
mod outbound;
mod plain;
mod record;

use std::sync::Arc;

pub use accept::{BindError, Bound, bind};
pub use inbound::{InboundListener, InboundState};
pub use outbound::{OutboundListener, OutboundState};

use crate::audit::Audit;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// What every listener needs besides its own state.
#[derive(Clone)]
pub struct Services {
    /// The trail.
    pub audit: Audit,
    /// The listener's metrics.
    pub metrics: Arc<ListenerMetrics>,
    /// The listener's end: drained with the process, or before when a reload removes the listener.
    pub shutdown: Shutdown,
}
