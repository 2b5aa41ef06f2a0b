//! The requests of one connection to the forward proxy: each is its listener's, who judges, connects and records as for those that
//! come to it by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::ways::Asked;
use super::{ForwardProxy, LEADS_NOWHERE, refusal};
use crate::audit::Connection;
use crate::listener::counted::Counted;
use crate::listener::outbound::{Link, OutboundHttp};
use crate::listener::requests::{self, OpenRequest, Refused};
use crate::live::Generation;
use crate::outcome::DenyReason;
use crate::proxy::l7::{
    Again, ConnectError, Connected, Facing, Head, Host, NotAudited, PoolKey, Rejection, RequestEnd,
    Rough, Wanted,
};
use crate::tls::TlsStream;
use crate::traces::{self, RequestSpan, Tracer};

/// The exchanges of one connection from the workload.
pub(super) struct ForwardHost {
    proxy: Arc<ForwardProxy>,
    source: Option<SocketAddr>,
    facing: Facing,
    /// What is known of requests that are no listener's.
    here: Arc<Connection>,
    /// The number of the last request that was turned away here, and is on record under `here`.
    rejected: AtomicU64,
    /// What takes the spans of requests: the one that there was when the connection began.
    tracer: Option<Arc<Tracer>>,
}

/// A request, and whose it is.
pub(super) struct Routed {
    host: Arc<OutboundHttp>,
    judged: Generation,
}

/// What no listener leads to.
pub(super) struct Unknown(Arc<str>);

impl ForwardHost {
    pub(super) fn new(
        proxy: Arc<ForwardProxy>,
        source: Option<SocketAddr>,
        here: Arc<Connection>,
    ) -> Self {
        let (facing, rejected) = (Facing::ForwardProxy, AtomicU64::new(0));
        let tracer = proxy.ways.load().tracer();
        Self { proxy, source, facing, here, rejected, tracer }
    }
}

impl Host for ForwardHost {
    type Io = Counted<TlsStream>;
    type Link = Link;
    type Permit = Routed;
    type Denial = Unknown;
    type Running = ();
    type Ticket = (Arc<OutboundHttp>, OpenRequest);
    type Kept = ();
    type Lasting = ();

    fn facing(&self) -> &Facing {
        &self.facing
    }

    fn pool_key(&self, routed: &Routed) -> PoolKey {
        routed.host.pool_key(&routed.judged)
    }

    fn span(&self, headers: &mut HeaderMap) -> Option<Arc<RequestSpan>> {
        self.tracer.as_ref()?.request(headers, traces::Caller::Known)
    }

    fn judge(&self, head: &Head<'_>) -> Result<Routed, Unknown> {
        let asked = Asked::of(head.host.unwrap_or_default());
        match self.proxy.ways.load().requests(&asked, self.source) {
            Some((host, judged)) => Ok(Routed { host: Arc::new(host), judged }),
            None => Err(Unknown(asked.text())),
        }
    }

    fn stands(&self, routed: &Routed, link: &Link) -> bool {
        routed.host.stands(&routed.judged, link)
    }

    fn judge_again(&self, head: &Head<'_>, _before: &Routed) -> Result<Again<Routed>, Unknown> {
        self.judge(head).map(Again::AsBefore)
    }

    fn begin(&self, _head: &Head<'_>, routed: Routed) -> Result<(Routed, ()), Unknown> {
        Ok((routed, ()))
    }

    fn retry_after(&self, _unknown: &Unknown) -> Option<Duration> {
        None
    }

    fn respond(&self, _routed: &Routed) -> Option<StatusCode> {
        None
    }

    /// Those that a listener has taken are on record after the connections that carry them.
    fn request_id(&self, number: u64) -> Option<HeaderValue> {
        let is_here = self.rejected.load(Ordering::Acquire) == number;
        let id = is_here.then(|| self.here.request_id(number))?;
        HeaderValue::from_str(&id).ok()
    }

    async fn connect(
        &self,
        routed: &Routed,
        wanted: Wanted,
    ) -> Result<Connected<Counted<TlsStream>, Link>, ConnectError> {
        routed.host.connect(&routed.judged, wanted).await
    }

    async fn record(
        &self,
        head: &Head<'_>,
        routed: &Routed,
        link: Option<&Link>,
    ) -> Result<Self::Ticket, NotAudited> {
        let ticket = routed.host.record(head, &routed.judged, link).await?;
        Ok((Arc::clone(&routed.host), ticket))
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<Unknown>) {
        self.rejected.store(rough.number, Ordering::Release);
        let (connection, refused) = match rejection {
            Rejection::Malformed(malformed) => {
                (Arc::clone(&self.here), Refused::malformed(*malformed))
            }
            Rejection::NotAudited => (Arc::clone(&self.here), Refused::not_audited()),
            Rejection::Denied(Unknown(asked)) => refusal(
                &self.here,
                asked,
                (DenyReason::UnknownDestination, LEADS_NOWHERE),
                StatusCode::FORBIDDEN,
            ),
        };
        requests::rejected(&self.proxy.services, &connection, rough, refused).await;
    }

    fn keep(&self, _head: &Head<'_>, _routed: &Routed) {}

    async fn tunnelled(&self, link: &Link, (): ()) -> Option<()> {
        link.tunnelled();
        Some(())
    }

    fn completed(&self, (host, ticket): Self::Ticket, end: RequestEnd) {
        host.completed(ticket, end);
    }
}
