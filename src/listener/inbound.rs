//! The life of an inbound connection: mutual TLS from the peer, plaintext to the workload.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::Instant;

use super::life::Life;
use super::plain::Plain;
use super::{Bound, Services, accept, record};
use crate::audit::{Connection, Record};
use crate::authz::{ListenerPolicy, Permit};
use crate::clock;
use crate::config::{Inbound, Protocol};
use crate::live::Live;
use crate::outcome::{DenyReason, Direction, Ending};
use crate::proxy::l4;
use crate::tls::{self, HandshakeFailed, Session};

/// One generation of an inbound listener: settings, keys and policy that belong together.
pub struct InboundState {
    /// The listener as configured.
    pub config: Inbound,
    /// What it presents and demands.
    pub tls: Arc<ServerConfig>,
    /// Who may connect.
    pub policy: ListenerPolicy,
}

/// An inbound listener.
pub struct InboundListener {
    live: Live<InboundState>,
    services: Services,
}

impl InboundListener {
    /// Serves according to the current state, whatever that is when a connection comes.
    pub fn new(live: Live<InboundState>, services: Services) -> Arc<Self> {
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
        let begun = Instant::now();
        let now = self.live.snapshot(); // one view of keys and policy, until the peer is let in
        let state = &now.value;
        let Plain::Tcp(socket) = downstream else { return Ending::Refused };
        let destination = socket.local_addr().ok();
        let describe = |session| describe(&state.config, source, destination, session);

        let limit = state.config.limits.handshake_timeout;
        let session = match tls::accept(Arc::clone(&state.tls), socket, limit).await {
            Ok(session) => session,
            Err(failed) => return self.refused(describe(Err(&failed)), failed).await,
        };
        self.services.metrics.handshaken(begun.elapsed());

        let mut connection = describe(Ok(&session));
        let permit = match state.policy.authorize(&session.peer, clock::now()) {
            Ok(permit) => permit,
            Err(denied) => {
                self.services.metrics.denied(denied.reason);
                let connection = Arc::new(connection);
                let version = state.policy.version();
                self.services.audit.note(record::denied(&connection, &denied, version)).await;
                return Ending::Denied;
            }
        };
        connection.peer = Some(permit.peer().clone());
        let not_after = session.peer.certificate.not_after.unix_timestamp();
        self.services.metrics.peer_not_after(permit.peer(), not_after);

        let connection = Arc::new(connection);
        let allowed = record::allowed(&connection, &permit);
        if self.services.audit.permit(allowed, state.config.phi).await.is_err() {
            self.services.metrics.denied(DenyReason::NotAudited);
            self.services.audit.note(record::not_audited(&connection)).await;
            return Ending::Denied;
        }
        life.permitted = Some(connection);

        match state.config.protocol {
            Protocol::Tcp => self.carry(&permit, session, &state.config, life).await,
            Protocol::Http => Ending::Finished,
        }
    }

    /// Any byte stream, as it is.
    async fn carry(
        &self,
        permit: &Permit,
        session: Session,
        config: &Inbound,
        life: &mut Life,
    ) -> Ending {
        let limits = &config.limits;
        let upstream = match Plain::connect(&config.forward, limits.connect_timeout).await {
            Ok(upstream) => upstream,
            Err((ending, message)) => {
                tracing::warn!(listener = %config.name, error = %message, "workload not reached");
                life.message = Some(format!("workload: {message}"));
                return ending;
            }
        };
        let ended = l4::relay(
            permit,
            session.stream,
            upstream,
            limits.idle_timeout,
            &mut life.moved,
            &self.services.metrics,
        )
        .await;
        life.relayed(ended)
    }

    async fn refused(&self, connection: Connection, failed: HandshakeFailed) -> Ending {
        self.services.metrics.refused(failed.refusal);
        let record = Record::refused(Arc::new(connection), failed.refusal, failed.message);
        self.services.audit.note(record).await;
        Ending::Refused
    }
}

/// What is known of a connection after its handshake, however that ended.
fn describe(
    config: &Inbound,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    handshake: Result<&Session, &HandshakeFailed>,
) -> Connection {
    let session = handshake.ok();
    Connection {
        id: session.map_or_else(record::random_id, |session| session.id),
        listener: config.name.clone(),
        direction: Direction::Inbound,
        protocol: record::protocol(config.protocol),
        phi: config.phi,
        source,
        destination,
        endpoint: None,
        tls: session.map(|session| session.tls.clone()),
        certificate: match handshake {
            Ok(session) => Some(Arc::clone(&session.peer.certificate)),
            Err(failed) => failed.presented.clone(),
        },
        identity: session.map(|session| session.peer.to_string()),
        peer: None,
    }
}
