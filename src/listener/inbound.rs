//! The life of an inbound connection: mutual TLS from the peer, plaintext to the workload.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::Instant;

use super::counted::{Counted, Side};
use super::inbound_http::InboundHttp;
use super::life::Life;
use super::plain::Plain;
use super::{Bound, Services, accept, record};
use crate::audit::{Connection, Record};
use crate::authz::{ListenerPolicy, Permit};
use crate::clock;
use crate::config::{Inbound, Limits, Protocol};
use crate::identity::SpiffeId;
use crate::live::Live;
use crate::outcome::{DenyReason, Direction, Ending};
use crate::proxy::l4;
use crate::proxy::l7::{self, Downstream, Pool, PoolLimits};
use crate::tls::{self, HandshakeFailed, Session};

/// One generation of an inbound listener: settings, keys and policy that belong together.
pub struct InboundState {
    /// The listener as configured.
    pub config: Inbound,
    /// What it presents and demands.
    pub tls: Arc<ServerConfig>,
    /// Who may connect.
    pub policy: ListenerPolicy,
    /// Our own SPIFFE ID, if our certificate has one.
    pub own: Option<SpiffeId>,
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
        let limits = self.live.snapshot().value.config.limits.clone();
        let pool = Pool::start(PoolLimits::of(&limits), &limits, &self.services.shutdown);
        accept::accept_loop(bound, limits.connections, &self.services, |stream, source| {
            let (this, pool) = (Arc::clone(&self), Arc::clone(&pool));
            async move { this.connection(stream, source, &pool).await }
        })
        .await;
    }

    /// One connection. However it ends, it is counted and recorded here, once.
    async fn connection(
        &self,
        downstream: Plain,
        source: Option<SocketAddr>,
        pool: &Arc<Pool<InboundHttp>>,
    ) {
        let _open = self.services.metrics.opened();
        let begun = Instant::now();
        let mut life = Life::default();
        let ending = tokio::select! {
            biased; // at the cut, what is in flight first hears that it was cut
            ending = self.serve(downstream, source, pool, &mut life) => ending,
            () = self.services.shutdown.cutting() => Ending::Cut,
        };
        life.end(&self.services, ending, begun).await;
    }

    async fn serve(
        &self,
        downstream: Plain,
        source: Option<SocketAddr>,
        pool: &Arc<Pool<InboundHttp>>,
        life: &mut Life,
    ) -> Ending {
        let now = self.live.snapshot(); // one view of keys and policy, until the peer is let in
        let state = &now.value;
        let Some((session, connection)) = self.greet(state, downstream, source).await else {
            return Ending::Refused;
        };
        let admitted = self.admit(state, session, connection, life).await;
        let Some((session, permit, connection)) = admitted else { return Ending::Denied };
        match state.config.protocol {
            Protocol::Tcp => self.carry(&permit, session, &state.config, life).await,
            Protocol::Http => {
                let limits = &state.config.limits;
                Box::pin(self.exchange(connection, &permit, session, limits, pool, life)).await
            }
        }
    }

    /// Who is there? A handshake, or a refusal on record.
    async fn greet(
        &self,
        state: &InboundState,
        downstream: Plain,
        source: Option<SocketAddr>,
    ) -> Option<(Session, Connection)> {
        let Plain::Tcp(socket) = downstream else { return None };
        let begun = Instant::now();
        let destination = socket.local_addr().ok();
        let describe = |session| describe(&state.config, source, destination, session);
        let limit = state.config.limits.handshake_timeout;
        match tls::accept(Arc::clone(&state.tls), socket, limit).await {
            Ok(session) => {
                self.services.metrics.handshaken(begun.elapsed());
                let connection = describe(Ok(&session));
                Some((session, connection))
            }
            Err((failed, socket)) => {
                self.services.metrics.refused(failed.refusal);
                let connection = Arc::new(describe(Err(&failed)));
                let record = Record::refused(connection, failed.refusal, failed.message);
                self.services.audit.note(record).await;
                if let Some(socket) = socket {
                    tls::part(socket).await;
                }
                None
            }
        }
    }

    /// May they? A permit on record, or a denial on record.
    async fn admit(
        &self,
        state: &InboundState,
        session: Session,
        mut connection: Connection,
        life: &mut Life,
    ) -> Option<(Session, Permit, Arc<Connection>)> {
        let Services { audit, metrics, .. } = &self.services;
        let permit = match state.policy.authorize(&session.peer, clock::now()) {
            Ok(permit) => permit,
            Err(denied) => {
                metrics.denied(denied.reason);
                let version = state.policy.version();
                audit.note(record::denied(&Arc::new(connection), &denied, version)).await;
                tls::part(session.stream).await;
                return None;
            }
        };
        connection.peer = Some(permit.peer().clone());
        let not_after = session.peer.certificate.not_after.unix_timestamp();
        metrics.peer_not_after(permit.peer(), not_after);

        let connection = Arc::new(connection);
        let allowed = record::allowed(&connection, &permit);
        life.permitted = Some(Arc::clone(&connection));
        if audit.permit(allowed, state.config.phi).await.is_err() {
            life.permitted = None;
            metrics.denied(DenyReason::NotAudited);
            audit.note(record::not_audited(&connection)).await;
            tls::part(session.stream).await;
            return None;
        }
        Some((session, permit, connection))
    }

    /// HTTP, each request judged on its own.
    async fn exchange(
        &self,
        connection: Arc<Connection>,
        permit: &Permit,
        session: Session,
        limits: &Limits,
        pool: &Arc<Pool<InboundHttp>>,
        life: &mut Life,
    ) -> Ending {
        let version = match session.tls.next_protocol.as_deref() {
            Some("h2") => Downstream::Http2,
            Some(_) | None => Downstream::Http1,
        };
        let (live, services) = (self.live.clone(), self.services.clone());
        let name = permit.peer().clone();
        let host = InboundHttp::new(live, services, connection, session.peer, name);
        let metrics = Arc::clone(&self.services.metrics);
        let (stream, tally) = Counted::new(session.stream, Side::Downstream, metrics);
        life.tally = Some(tally);
        let (host, pool) = (Arc::new(host), Arc::clone(pool));
        l7::serve(stream, version, host, pool, limits, &self.services.shutdown).await.ending
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
