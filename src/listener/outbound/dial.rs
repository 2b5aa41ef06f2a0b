//! From an outbound listener to its peer: an endpoint, a handshake, and proof of who is there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Caller, OutboundState};
use crate::audit::{Action, Connection, Record};
use crate::authz::Permit;
use crate::clock;
use crate::listener::permits::{Held, Permits};
use crate::listener::plain::tune;
use crate::listener::{Services, record};
use crate::live::Snapshot;
use crate::outcome::{DenyReason, Direction, Ending, Refusal};
use crate::tls::{self, HandshakeFailed, Session, TlsClient, TlsStream};
use crate::upstream::Candidate;

/// Endpoints tried for one connection; they share `connect_timeout`.
const ATTEMPTS: usize = 3;

/// What it takes to reach a peer, and for whom.
pub(super) struct Dialer<'a> {
    pub(super) services: &'a Services,
    pub(super) permits: &'a Arc<Permits<OutboundState>>,
    /// Who asks.
    pub(super) caller: &'a Caller,
}

/// A peer that is connected, expected and on record, and whose permit is looked after.
pub(super) struct Reached {
    pub(super) stream: TlsStream,
    /// What ALPN gave.
    pub(super) next_protocol: Option<String>,
    pub(super) permit: Permit,
    pub(super) held: Held<OutboundState>,
}

/// A peer that is connected, expected and on record.
struct Dialed {
    session: Session,
    permit: Permit,
    connection: Arc<Connection>,
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
    /// The handshake of the last endpoint that was tried did not come to its end in time.
    TooSlow,
    /// The last endpoint that was tried refused us, or is not whom we expect.
    Refused,
    /// The permit could not be put on record.
    NotAudited,
    /// The permit was on record, and lost before anything was done with it.
    Withdrawn,
}

impl DialFailed {
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::NoEndpoint | Self::Unreachable => Ending::UpstreamUnreachable,
            Self::TimedOut => Ending::UpstreamTimeout,
            Self::TooSlow | Self::Refused => Ending::Refused,
            Self::NotAudited => Ending::Denied,
            Self::Withdrawn => Ending::Withdrawn,
        }
    }
}

impl Dialer<'_> {
    /// A peer to whom a connection of its own is made by the rules of `now`, with `client`. Once it is on record,
    /// it is `permitted`: its end has to be told of. `is_endless`: it has no messages whose end could be waited for.
    pub(super) async fn reach(
        &self,
        now: &Snapshot<OutboundState>,
        client: &TlsClient,
        is_endless: bool,
        permitted: &mut Option<Arc<Connection>>,
    ) -> Result<Reached, DialFailed> {
        let Self { services, permits, caller } = *self;
        let dialed = dial(&now.value, services, permits, client, caller).await?;
        let Dialed { session, permit, connection } = dialed;
        *permitted = Some(Arc::clone(&connection));
        let holding = permits.hold(now, Some(&session), &permit, &connection, is_endless);
        let held = holding.await.map_err(|_lost| DialFailed::Withdrawn)?;
        let Session { stream, tls, .. } = session;
        Ok(Reached { stream, next_protocol: tls.next_protocol, permit, held })
    }
}

/// Connects to the first endpoint that answers and proves to be whom `expect` names.
async fn dial(
    state: &OutboundState,
    services: &Services,
    permits: &Permits<OutboundState>,
    client: &TlsClient,
    caller: &Caller,
) -> Result<Dialed, DialFailed> {
    let source = caller.source;
    let deadline = Instant::now() + state.config.limits.connect_timeout;
    let candidates = match &caller.wanted {
        Some(wanted) => vec![wanted.clone()],
        None => {
            let resolving = state.upstreams.candidates(&services.shutdown);
            timeout_at(deadline, resolving).await.unwrap_or_default()
        }
    };
    if candidates.is_empty() {
        let failed = DialFailed::NoEndpoint;
        let message = "no endpoint's name could be resolved".to_owned();
        not_reached(services, describe(state, None, source, None), failed, message).await;
        return Err(failed);
    }
    let mut failed = DialFailed::NoEndpoint;
    let mut left = candidates.len().min(ATTEMPTS);
    for candidate in candidates.iter().take(left) {
        let share =
            deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1);
        left -= 1;
        match attempt(state, services, client, candidate, source, share).await {
            Ok(mut session) => {
                permits.share(&mut session);
                state.upstreams.worked(candidate);
                return admit(state, services, candidate, source, session).await;
            }
            Err(why) => {
                state.upstreams.failed(candidate);
                failed = why;
            }
        }
    }
    Err(failed)
}

/// One endpoint, within its share of the time. What comes to nothing goes on record.
async fn attempt(
    state: &OutboundState,
    services: &Services,
    client: &TlsClient,
    candidate: &Candidate,
    source: Option<SocketAddr>,
    share: Duration,
) -> Result<Session, DialFailed> {
    let deadline = Instant::now() + share;
    let unreached = match timeout_at(deadline, TcpStream::connect(candidate.address)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => Err((DialFailed::Unreachable, error.to_string())),
        Err(_elapsed) => Err((DialFailed::TimedOut, format!("no answer within {share:?}"))),
    };
    let socket = match unreached {
        Ok(socket) => socket,
        Err((failed, message)) => {
            tracing::debug!(endpoint = %candidate.label, %message, "endpoint not reached");
            let connection = describe(state, Some(candidate), source, None);
            not_reached(services, connection, failed, message).await;
            return Err(failed);
        }
    };
    tune(&socket);
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = left.min(state.config.limits.handshake_timeout);
    let begun = Instant::now();
    match tls::connect(client, server_name(candidate), socket, limit).await {
        Ok(session) => {
            services.metrics.handshaken(begun.elapsed());
            Ok(session)
        }
        Err(refused) => {
            services.metrics.refused(refused.refusal);
            let is_silent = refused.refusal == Refusal::TooSlow;
            let failed = if is_silent { DialFailed::TooSlow } else { DialFailed::Refused };
            let connection = describe(state, Some(candidate), source, Some(Err(&refused)));
            let record = Record::refused(Arc::new(connection), refused.refusal, refused.message);
            services.audit.note(record).await;
            Err(failed)
        }
    }
}

/// An attempt that reached nobody is an attempt all the same.
async fn not_reached(
    services: &Services,
    connection: Connection,
    failed: DialFailed,
    message: String,
) {
    let record = Record {
        reason: Some(failed.ending().label()),
        message: Some(message),
        connection: Some(Arc::new(connection)),
        ..Record::new(Action::ConnectionRefused)
    };
    services.audit.note(record).await;
}

/// Puts the permit on record. The verifier has already asked `expect`, before our certificate was shown.
async fn admit(
    state: &OutboundState,
    services: &Services,
    candidate: &Candidate,
    source: Option<SocketAddr>,
    session: Session,
) -> Result<Dialed, DialFailed> {
    let mut connection = describe(state, Some(candidate), source, Some(Ok(&session)));
    let now = clock::onward();
    let authorized = state.policy.authorize(&session.peer, now);
    connection.peer = record::named(&authorized);
    let connection = Arc::new(connection);
    let narrow = |permit| services.narrow_permit(&state.policy, permit, &connection, now);
    let permit = match authorized.and_then(narrow) {
        Ok(permit) => permit,
        Err(denied) => {
            services.denied(&denied);
            services.audit.note(record::denied(&connection, &denied)).await;
            return Err(DialFailed::Refused);
        }
    };
    services.seen(&permit, &connection, &session);

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

/// What is known of a connection to the peer, as far as it got.
pub(super) fn describe(
    state: &OutboundState,
    candidate: Option<&Candidate>,
    source: Option<SocketAddr>,
    handshake: Option<Result<&Session, &HandshakeFailed>>,
) -> Connection {
    let config = &state.config;
    let listener = (&config.name, Direction::Outbound, config.protocol);
    Connection {
        source,
        destination: candidate.map(|candidate| candidate.asked.unwrap_or(candidate.address)),
        endpoint: candidate.map(|candidate| candidate.label.as_ref().to_owned()),
        ..record::described(listener, config.phi, handshake)
    }
}
