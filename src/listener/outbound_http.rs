//! HTTP on an outbound listener: requests of the workload share connections to the peer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::counted::{Counted, Side, Tally};
use super::dial::{DialFailed, Dialed, describe, dial};
use super::outbound::OutboundState;
use super::requests::{self, Refused, Ticket, Wish};
use super::{Services, record};
use crate::audit::{Connection, Rule};
use crate::authz::Permit;
use crate::live::Live;
use crate::outcome::{DenyReason, Ending};
use crate::proxy::l7::{
    ConnectError, Connected, Facing, Head, Host, NotAudited, PoolKey, Rejection, RequestEnd, Rough,
    Spoken, Wanted,
};
use crate::tls::TlsStream;

/// The exchanges of one connection from the workload.
pub(super) struct OutboundHttp {
    live: Live<OutboundState>,
    services: Services,
    source: Option<SocketAddr>,
    facing: Facing,
    /// What is known of a request that has no connection to the peer.
    unconnected: Arc<Connection>,
}

/// A connection to the peer, which many requests may share. Its end is recorded when it is dropped.
pub(super) struct Link {
    connection: Arc<Connection>,
    permit: Permit,
    services: Services,
    tally: Arc<Tally>,
    begun: Instant,
}

impl Drop for Link {
    fn drop(&mut self) {
        let (moved, took) = (self.tally.moved(), self.begun.elapsed());
        let cut = self.services.shutdown.is_cutting();
        let ending = if cut { Ending::Cut } else { Ending::Finished };
        let closed = record::closed(&self.connection, ending, None, moved, took);
        self.services.audit.note_now(closed);
    }
}

impl OutboundHttp {
    pub(super) fn new(
        live: Live<OutboundState>,
        services: Services,
        source: Option<SocketAddr>,
    ) -> Self {
        let unconnected = Arc::new(describe(&live.snapshot().value, None, source, None));
        Self { live, services, source, facing: Facing::Outbound, unconnected }
    }
}

impl Host for OutboundHttp {
    type Io = Counted<TlsStream>;
    type Link = Link;
    type Permit = ();
    type Denial = Infallible;
    type Ticket = Ticket;

    fn facing(&self) -> &Facing {
        &self.facing
    }

    /// Whoever reaches this listener is the workload; connections of an earlier generation are not used
    /// any more.
    fn pool_key(&self) -> PoolKey {
        let now = self.live.snapshot();
        PoolKey { name: now.value.config.name.as_str().into(), generation: now.generation.number() }
    }

    /// Whom a request may reach is for `expect` to say, at the handshake.
    fn judge(&self, _head: &Head<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    async fn connect(
        &self,
        wanted: Wanted,
    ) -> Result<Connected<Counted<TlsStream>, Link>, ConnectError> {
        let now = self.live.snapshot();
        let state = &now.value;
        let client = match wanted {
            Wanted::Http1 => &state.http1,
            Wanted::Http2 => &state.http2,
        };
        let dialed = dial(state, &self.services, client, self.source).await;
        let Dialed { session, permit, connection } = dialed.map_err(|failed| match failed {
            DialFailed::NoEndpoint => ConnectError::NoneHealthy,
            DialFailed::Unreachable => ConnectError::Unreachable,
            DialFailed::TimedOut | DialFailed::TooSlow => ConnectError::Timeout,
            DialFailed::Refused => ConnectError::Refused,
            DialFailed::NotAudited => ConnectError::NotAudited,
        })?;
        let spoken = match session.tls.next_protocol.as_deref() {
            Some("h2") => Spoken::Http2,
            Some(_) | None => Spoken::Http1,
        };
        let metrics = Arc::clone(&self.services.metrics);
        let (io, tally) = Counted::new(session.stream, Side::Upstream, metrics);
        let (services, begun) = (self.services.clone(), Instant::now());
        let link = Arc::new(Link { connection, permit, services, tally, begun });
        Ok(Connected { io, spoken, link })
    }

    async fn record(
        &self,
        head: &Head<'_>,
        (): &(),
        link: Option<&Link>,
    ) -> Result<Ticket, NotAudited> {
        let connection = link.map_or(&self.unconnected, |link| &link.connection);
        let rule = Rule {
            name: match link {
                Some(link) => Arc::clone(link.permit.rule()),
                None => connection.listener.as_str().into(),
            },
            version: self.live.snapshot().value.policy.version(),
            nearest: None,
        };
        let phi = connection.phi;
        let wish = Wish { recorded: phi, phi, permit: link.is_some() };
        requests::admit(&self.services, connection, head, None, rule, wish).await
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<Infallible>) {
        let (reason, message, status) = match rejection {
            Rejection::Malformed(malformed) => (
                DenyReason::MalformedRequest,
                Some(format!("{}: {}", malformed.label(), malformed.text())),
                malformed.status().as_u16(),
            ),
            Rejection::Denied(never) => match *never {},
            Rejection::NotAudited => (DenyReason::NotAudited, None, 503),
        };
        let refused = Refused { reason, message, template: None, rule: None, status };
        requests::rejected(&self.services, &self.unconnected, rough, refused).await;
    }

    fn completed(&self, ticket: Ticket, end: RequestEnd) {
        requests::completed(&self.services, ticket, end);
    }
}
