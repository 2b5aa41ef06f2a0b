//! HTTP on an outbound listener: requests of the workload share connections to the peer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::dial::{DialFailed, Dialer, Reached, describe};
use super::{Caller, OutboundState};
use crate::audit::{Connection, Rule};
use crate::authz::Permit;
use crate::clock;
use crate::listener::counted::{Counted, Side, Tally};
use crate::listener::description::Description;
use crate::listener::goal::Goal;
use crate::listener::permits::{Held, Permits};
use crate::listener::requests::{self, OpenRequest, Refused, Wish};
use crate::listener::traced::TracedConnection;
use crate::listener::{Services, record};
use crate::live::{Generation, Live};
use crate::outcome::Ending;
use crate::proxy::l4::Moved;
use crate::proxy::l7::{
    self, Again, ConnectError, Connected, Facing, Head, Host, NotAudited, PoolKey, Rejection,
    RequestEnd, Rough, Spoken, Wanted,
};
use crate::shutdown::Shutdown;
use crate::tls::TlsStream;
use crate::traces::{self, RequestSpan, Tracer};
use crate::upstream::Candidate;

/// The exchanges of one connection from the workload.
pub(in crate::listener) struct OutboundHttp {
    live: Live<OutboundState>,
    services: Services,
    permits: Arc<Permits<OutboundState>>,
    caller: Caller,
    facing: Facing,
    /// What is known of a request that has no connection to the peer.
    unconnected: Arc<Connection>,
    /// Whose connections to the peer it shares.
    shares_with: Arc<str>,
    tracer: Option<Arc<Tracer>>,
}

/// A connection to the peer, which many requests may share. Its end is recorded when it is dropped.
pub(in crate::listener) struct Link {
    connection: Arc<Connection>,
    permit: Permit,
    held: Held<OutboundState>,
    /// Our own certificate, by which the peer knows us here, is about to expire then.
    used_until: OffsetDateTime,
    services: Services,
    tally: Arc<Tally>,
    begun: Instant,
    traced: Option<Box<TracedConnection>>,
}

impl Link {
    /// It carries a tunnel from now on: nobody knows its messages.
    pub(in crate::listener) fn tunnelled(&self) {
        self.held.member().tunnelled();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let (moved, took) = (self.tally.moved(), self.begun.elapsed());
        let cut = self.services.shutdown.is_cutting();
        let ending = if cut { Ending::Cut } else { Ending::Finished };
        let ending = self.held.member().ending(ending);
        if let Some(traced) = &self.traced {
            traced.ended(ending, took);
        }
        let closed = record::closed(&self.connection, ending, None, moved, took);
        self.services.audit.note_now(closed);
    }
}

impl l7::Link for Link {
    fn is_good(&self) -> bool {
        clock::now() < self.used_until && self.held.is_good(clock::onward())
    }

    fn end(&self) -> Option<&Shutdown> {
        Some(self.held.member().end())
    }
}

impl OutboundHttp {
    pub(super) fn new(
        live: Live<OutboundState>,
        services: Services,
        permits: Arc<Permits<OutboundState>>,
        caller: Caller,
    ) -> Self {
        let state = &live.snapshot().value;
        let (unconnected, tracer) =
            (Arc::new(describe(state, None, &caller, None)), state.tracer.clone());
        let shares_with = shares_with(state.config.name.as_str(), caller.goal.as_ref());
        let facing = Facing::Outbound;
        Self { live, services, permits, caller, facing, unconnected, shares_with, tracer }
    }

    /// Whether its listener is as it was at `judged`.
    pub(in crate::listener) fn is_current(&self, judged: Generation) -> bool {
        self.live.generation() == judged
    }

    /// Whether requests of the other are the same listener's, for the same host, and go to the same place.
    pub(in crate::listener) fn goes_with(&self, other: &Self) -> bool {
        self.shares_with == other.shares_with
    }
}

impl Host for OutboundHttp {
    type Io = Counted<TlsStream>;
    type Link = Link;
    type Permit = Generation;
    type Denial = Infallible;
    type Running = ();
    type Ticket = OpenRequest;
    type Kept = ();
    type Lasting = ();

    fn facing(&self) -> &Facing {
        &self.facing
    }

    /// Whoever reaches this listener is the workload; connections of an earlier configuration are not used
    /// any more. New key material changes none of them: each is judged by it on its own.
    fn pool_key(&self, _judged: &Generation) -> PoolKey {
        let generation = self.live.snapshot().value.configuration;
        PoolKey { name: Arc::clone(&self.shares_with), generation }
    }

    fn span(&self, headers: &mut HeaderMap) -> Option<Arc<RequestSpan>> {
        self.tracer.as_ref()?.request(headers, traces::Caller::Known)
    }

    /// Whom a request may reach is for `expect` to say, at the handshake.
    fn judge(&self, _head: &Head<'_>) -> Result<Generation, Infallible> {
        Ok(self.live.generation())
    }

    /// The connection to the peer is what is permitted: rules that are new are asked of it, not of the request.
    fn stands(&self, judged: &Generation, link: &Link) -> bool {
        link.held.is_still(*judged) || l7::Link::is_good(link)
    }

    fn judge_again(
        &self,
        head: &Head<'_>,
        _before: &Generation,
    ) -> Result<Again<Generation>, Infallible> {
        self.judge(head).map(Again::AsBefore)
    }

    fn begin(&self, _head: &Head<'_>, judged: Generation) -> Result<(Generation, ()), Infallible> {
        Ok((judged, ()))
    }

    fn retry_after(&self, denial: &Infallible) -> Option<Duration> {
        match *denial {}
    }

    fn respond(&self, _judged: &Generation) -> Option<StatusCode> {
        None
    }

    /// Records name the request after the connection that carries it, which may be none.
    fn request_id(&self, _number: u64) -> Option<HeaderValue> {
        None
    }

    async fn connect(
        &self,
        _judged: &Generation,
        wanted: Wanted,
    ) -> Result<Connected<Counted<TlsStream>, Link>, ConnectError> {
        let now = self.live.snapshot();
        let state = &now.value;
        let client = match wanted {
            Wanted::Http1 => &state.http1,
            Wanted::Http2 => &state.http2,
        };
        let begun = Instant::now();
        let Self { services, permits, caller, .. } = self;
        let dialer = Dialer { services, permits, caller };
        let mut permitted = None;
        let reached = match dialer.reach(&now, client, false, &mut permitted).await {
            Ok(reached) => reached,
            Err(failed) => {
                if let Some(connection) = &permitted {
                    let (ending, took) = (failed.ending(), begun.elapsed());
                    let closed = record::closed(connection, ending, None, Moved::default(), took);
                    services.audit.note(closed).await;
                }
                return Err(unconnected(failed));
            }
        };
        let Reached { stream, next_protocol, permit, held } = reached;
        let connection = Arc::clone(held.member().connection());
        let spoken = match next_protocol.as_deref() {
            Some("h2") => Spoken::Http2,
            Some(_) | None => Spoken::Http1,
        };
        let metrics = Arc::clone(&self.services.metrics);
        let (io, tally) = Counted::new(stream, Side::Upstream, metrics);
        let (services, used_until) = (self.services.clone(), state.used_until);
        let traced = TracedConnection::permitted(state.tracer.as_ref(), &connection, &permit);
        let link = Link { connection, permit, held, used_until, services, tally, begun, traced };
        let link = Arc::new(link);
        Ok(Connected { io, spoken, link })
    }

    async fn record(
        &self,
        head: &Head<'_>,
        _judged: &Generation,
        link: Option<&Link>,
    ) -> Result<OpenRequest, NotAudited> {
        let connection = link.map_or(&self.unconnected, |link| &link.connection);
        let now = self.live.snapshot();
        let rule = Rule {
            name: match link {
                Some(link) => Arc::clone(link.permit.rule()),
                None => connection.listener.as_str().into(),
            },
            line: now.value.config.line,
            version: now.value.policy.version(),
            nearest: None,
        };
        drop(now);
        let phi = connection.phi;
        let wish = Wish { recorded: phi, phi, permit: link.is_some() };
        let ticket =
            requests::admit(&self.services, connection, head, Description::default(), rule, wish)
                .await?;
        Ok(ticket.carried_by(link.map(|link| link.held.member())))
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<Infallible>) {
        let refused = match rejection {
            Rejection::Malformed(malformed) => Refused::malformed(*malformed),
            Rejection::Denied(never) => match *never {},
            Rejection::NotAudited => Refused::not_audited(),
        };
        requests::rejected(&self.services, &self.unconnected, rough, refused).await;
    }

    fn keep(&self, _head: &Head<'_>, _judged: &Generation) {}

    async fn tunnelled(&self, link: &Link, (): ()) -> Option<()> {
        link.tunnelled();
        Some(())
    }

    fn completed(&self, ticket: OpenRequest, end: RequestEnd) {
        requests::completed(&self.services, ticket, end);
    }
}

/// Connections that were to go elsewhere are shared only with those that were to go to the same place: they are on record with it.
fn shares_with(listener: &str, goal: Option<&Goal>) -> Arc<str> {
    let Some(goal) = goal else { return listener.into() };
    let place = match goal.address() {
        Some(Candidate { label, address, asked, .. }) => {
            format!("{label} {address} {}", asked.unwrap_or(*address))
        }
        None => goal.endpoint(),
    };
    format!("{listener} {} {place}", goal.asked.as_deref().unwrap_or_default()).into()
}

/// What the workload hears of it.
fn unconnected(failed: DialFailed) -> ConnectError {
    match failed {
        DialFailed::NoEndpoint => ConnectError::NoneHealthy,
        DialFailed::Unreachable => ConnectError::Unreachable,
        DialFailed::TimedOut | DialFailed::TooSlow => ConnectError::Timeout,
        DialFailed::Refused | DialFailed::Withdrawn => ConnectError::Refused,
        DialFailed::NotAudited => ConnectError::NotAudited,
    }
}
