//! The life of an outbound connection: plaintext from the workload, mutual TLS to the peer.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::dial::{Dialed, dial};
use super::life::Life;
use super::plain::Plain;
use super::{Bound, Services, accept};
use crate::authz::ListenerPolicy;
use crate::config::{Outbound, Protocol};
use crate::live::Live;
use crate::outcome::{Ending, Refusal};
use crate::proxy::l4;
use crate::tls::{self, TlsClient};
use crate::upstream::Upstreams;

/// One generation of an outbound listener: settings, keys and policy that belong together.
pub struct OutboundState {
    /// The listener as configured.
    pub config: Outbound,
    /// What it presents, and whom it believes.
    pub tls: TlsClient,
    /// Whom the server must prove to be.
    pub policy: Arc<ListenerPolicy>,
    /// Where the peer is.
    pub upstreams: Arc<Upstreams>,
}

/// An outbound listener.
pub struct OutboundListener {
    live: Live<OutboundState>,
    services: Services,
}

impl OutboundListener {
    /// Serves according to the current state, whatever that is when a connection comes.
    pub fn new(live: Live<OutboundState>, services: Services) -> Arc<Self> {
        Arc::new(Self { live, services })
    }

    /// Accepts until the drain.
    pub async fn run(self: Arc<Self>, bound: Bound) {
        let limit = self.live.snapshot().value.config.limits.connections;
        accept::accept_loop(bound, limit, &self.services, |stream, source| {
            let this = Arc::clone(&self);
            async move { this.connection(stream, source).await }
        })
        .await;
    }

    /// One connection. However it ends, it is counted and recorded here, once.
    async fn connection(&self, downstream: Plain, source: Option<SocketAddr>) {
        let _open = self.services.metrics.opened();
        let begun = Instant::now();
        let mut life = Life::default();
        let ending = tokio::select! {
            ending = self.serve(downstream, source, &mut life) => ending,
            () = self.services.shutdown.cutting() => Ending::Cut,
        };
        life.end(&self.services, ending, begun).await;
    }

    async fn serve(
        &self,
        downstream: Plain,
        source: Option<SocketAddr>,
        life: &mut Life,
    ) -> Ending {
        let now = self.live.snapshot(); // one view of keys and policy
        match now.value.config.protocol {
            Protocol::Tcp => self.carry(downstream, source, &now.value, life).await,
            Protocol::Http => Ending::Finished,
        }
    }

    /// Any byte stream, as it is: one connection to the peer for each from the workload.
    async fn carry(
        &self,
        downstream: Plain,
        source: Option<SocketAddr>,
        state: &OutboundState,
        life: &mut Life,
    ) -> Ending {
        let dialed = match dial(state, &self.services, &state.tls, source).await {
            Ok(dialed) => dialed,
            Err(failed) => return failed.ending(),
        };
        let Dialed { session, permit, connection } = dialed;
        life.permitted = Some(connection);
        let ended = l4::relay(
            &permit,
            downstream,
            session.stream,
            state.config.limits.idle_timeout,
            &mut life.moved,
            &self.services.metrics,
        )
        .await;
        // In TLS 1.3 a server refuses its client after the client's handshake: with the first read.
        if life.moved.down == 0
            && let Some(alert) = ended.cause.as_ref().and_then(tls::alert_of)
        {
            self.services.metrics.refused(Refusal::RefusedByPeer);
            life.message = Some(format!("the peer refused us: {alert}"));
            return Ending::Refused;
        }
        life.relayed(ended)
    }
}
