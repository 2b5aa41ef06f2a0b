//! From an outbound listener to its peer: an endpoint, a handshake, and proof of who is there.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::outbound::OutboundState;
use super::plain::tune;
use super::{Services, record};
use crate::audit::{Connection, Record};
use crate::authz::Permit;
use crate::clock;
use crate::outcome::{DenyReason, Direction, Ending};
use crate::tls::{self, HandshakeFailed, Session, TlsClient};
use crate::upstream::Candidate;

/// Endpoints tried for one connection; they share `connect_timeout`.
const ATTEMPTS: usize = 3;

/// A peer that is connected, expected and on record.
pub(super) struct Dialed {
    pub(super) session: Session,
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
}

/// Why no peer could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialFailed {
    /// None of the names resolved.
    NoEndpoint,
    /// No endpoint accepted the connection.
    Unreachable,
    /// No endpoint answered in time.
    TimedOut,
    /// The last endpoint that was tried refused us, or is not whom we expect.
    Refused,
    /// The permit could not be put on record.
    NotAudited,
}

impl DialFailed {
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::NoEndpoint | Self::Unreachable => Ending::UpstreamUnreachable,
            Self::TimedOut => Ending::UpstreamTimeout,
            Self::Refused => Ending::Refused,
            Self::NotAudited => Ending::Denied,
        }
    }
}

/// Connects to the first endpoint that answers and proves to be whom `expect` names.
pub(super) async fn dial(
    state: &OutboundState,
    services: &Services,
    client: &TlsClient,
    source: Option<SocketAddr>,
) -> Result<Dialed, DialFailed> {
    let limit = state.config.limits.connect_timeout;
    let found = timeout(limit, state.upstreams.candidates(&services.shutdown)).await;
    let candidates = found.map_err(|_elapsed| DialFailed::TimedOut)?;
    let attempts = candidates.len().clamp(1, ATTEMPTS);
    let share = limit / u32::try_from(attempts).unwrap_or(1);
    let mut failed = DialFailed::NoEndpoint;
    for candidate in candidates.iter().take(attempts) {
        let deadline = Instant::now() + share;
        let socket = match timeout(share, TcpStream::connect(candidate.address)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                tracing::warn!(endpoint = %candidate.label, %error, "endpoint not reached");
                state.upstreams.failed(candidate);
                failed = DialFailed::Unreachable;
                continue;
            }
            Err(_elapsed) => {
                tracing::warn!(endpoint = %candidate.label, "endpoint did not answer in time");
                state.upstreams.failed(candidate);
                failed = DialFailed::TimedOut;
                continue;
            }
        };
        tune(&socket);
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = left.min(state.config.limits.handshake_timeout);
        let begun = Instant::now();
        match tls::connect(client, server_name(candidate), socket, limit).await {
            Ok(session) => {
                services.metrics.handshaken(begun.elapsed());
                state.upstreams.worked(candidate);
                return admit(state, services, candidate, source, session).await;
            }
            Err(refused) => {
                state.upstreams.failed(candidate);
                services.metrics.refused(refused.refusal);
                let connection = describe(state, candidate, source, Err(&refused));
                let record =
                    Record::refused(Arc::new(connection), refused.refusal, refused.message);
                services.audit.note(record).await;
                failed = DialFailed::Refused;
            }
        }
    }
    Err(failed)
}

/// Puts the permit on record. The verifier has already asked `expect`, before our certificate was shown.
async fn admit(
    state: &OutboundState,
    services: &Services,
    candidate: &Candidate,
    source: Option<SocketAddr>,
    session: Session,
) -> Result<Dialed, DialFailed> {
    let mut connection = describe(state, candidate, source, Ok(&session));
    let permit = match state.policy.authorize(&session.peer, clock::now()) {
        Ok(permit) => permit,
        Err(denied) => {
            services.metrics.denied(denied.reason);
            let version = state.policy.version();
            services.audit.note(record::denied(&Arc::new(connection), &denied, version)).await;
            return Err(DialFailed::Refused);
        }
    };
    connection.peer = Some(permit.peer().clone());
    let not_after = session.peer.certificate.not_after.unix_timestamp();
    services.metrics.peer_not_after(permit.peer(), not_after);

    let connection = Arc::new(connection);
    let allowed = record::allowed(&connection, &permit);
    if services.audit.permit(allowed, state.config.phi).await.is_err() {
        services.metrics.denied(DenyReason::NotAudited);
        services.audit.note(record::not_audited(&connection)).await;
        return Err(DialFailed::NotAudited);
    }
    Ok(Dialed { session, permit, connection })
}

/// The name sent as SNI. Who the server must be is for `expect` to say.
fn server_name(candidate: &Candidate) -> ServerName<'static> {
    ServerName::try_from(candidate.host.as_ref())
        .map_or_else(|_no_dns_name| candidate.address.ip().into(), |name| name.to_owned())
}

fn describe(
    state: &OutboundState,
    candidate: &Candidate,
    source: Option<SocketAddr>,
    handshake: Result<&Session, &HandshakeFailed>,
) -> Connection {
    let session = handshake.ok();
    Connection {
        id: session.map_or_else(record::random_id, |session| session.id),
        listener: state.config.name.clone(),
        direction: Direction::Outbound,
        protocol: record::protocol(state.config.protocol),
        phi: state.config.phi,
        source,
        destination: Some(candidate.address),
        endpoint: Some(candidate.label.as_ref().to_owned()),
        tls: session.map(|session| session.tls.clone()),
        certificate: match handshake {
            Ok(session) => Some(Arc::clone(&session.peer.certificate)),
            Err(failed) => failed.presented.clone(),
        },
        identity: session.map(|session| session.peer.to_string()),
        peer: None,
    }
}
