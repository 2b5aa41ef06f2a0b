//! HL7 v2 messages of a peer that was let in, on their way to the workload.

use super::arrival::Incoming;
use super::state::InboundState;
use crate::authz::Permit;
use crate::config::{Limits, Target};
use crate::listener::life::Life;
use crate::listener::messages::MllpHost;
use crate::outcome::Ending;
use crate::proxy::mllp::{Stay, relay};
use crate::tls;

/// A connection with messages to the workload.
pub(super) struct InboundMllp<'a> {
    pub(super) host: MllpHost<InboundState>,
    pub(super) permit: &'a Permit,
    pub(super) forward: &'a Target,
    pub(super) limits: &'a Limits,
}

impl InboundMllp<'_> {
    /// The workload is connected to before there is a message, as without a sidecar.
    pub(super) async fn serve(self, mut downstream: Incoming, life: &mut Life) -> Ending {
        let Self { host, permit, forward, limits } = self;
        let (end, metrics) = (host.end().clone(), host.metrics());
        let workload = host.workload();
        let connecting = workload.reach(forward, limits, life);
        let upstream = match end.until_cut(connecting).await {
            Some(Ok(upstream)) => upstream,
            Some(Err(ending)) => return ending,
            None => return Ending::Cut,
        };
        let stay = Stay { idle: limits.idle_timeout, drain: limits.drain_timeout, end: &end };
        let streams = (&mut downstream, upstream);
        let ended = relay(permit, &host, streams, stay, &mut life.moved, metrics).await;
        if ended.is_ours {
            tls::part(downstream).await;
        }
        life.message = ended.cause.map(|cause| cause.to_string());
        ended.ending
    }
}
