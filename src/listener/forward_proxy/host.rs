//! The requests of one connection to the forward proxy: each is its listener's, who judges, connects and records as for those that
//! come to it by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::ways::{Asked, ForwardWays};
use super::{ForwardProxy, LEADS_NOWHERE, TAKES_TUNNELS, refusal};
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

/// For the operator.
const LEADS_ELSEWHERE: &str = "a reload has changed where it leads while the request waited";

/// The exchanges of one connection from the workload.
pub(super) struct ForwardHost {
    proxy: Arc<ForwardProxy>,
    source: Option<SocketAddr>,
    facing: Facing,
    /// What is known of requests that are no listener's.
    here: Arc<Connection>,
    /// The number of the last request that was turned away here, and is on record under `here`.
    rejected: AtomicU64,
    /// Whose the request was that could not be put on record. HTTP/1 has one at a time.
    unrecorded: Mutex<Option<Arc<OutboundHttp>>>,
    /// What takes the spans of requests: the one that there was when the connection began.
    tracer: Option<Arc<Tracer>>,
}

/// A request, and whose it is.
pub(super) struct Routed {
    host: Arc<OutboundHttp>,
    judged: Generation,
    /// What it asked for, and by which ways it was led.
    authority: Box<str>,
    ways: Arc<ForwardWays>,
}

/// What no listener leads to, and what the operator is told of that.
pub(super) struct Unknown {
    asked: Arc<str>,
    why: &'static str,
}

impl ForwardHost {
    pub(super) fn new(
        proxy: Arc<ForwardProxy>,
        source: Option<SocketAddr>,
        here: Arc<Connection>,
    ) -> Self {
        let (facing, rejected) = (Facing::ForwardProxy, AtomicU64::new(0));
        let (tracer, unrecorded) = (proxy.ways.load().tracer(), Mutex::default());
        Self { proxy, source, facing, here, rejected, unrecorded, tracer }
    }

    /// Whether what it was led to is still where its host leads. Looked up only after a change.
    fn leads_there(&self, routed: &Routed) -> bool {
        let ways = self.proxy.ways.load();
        if Arc::ptr_eq(&ways, &routed.ways) && routed.host.is_current(routed.judged) {
            return true;
        }
        let now = ways.requests(&Asked::of(&routed.authority), self.source);
        now.is_some_and(|(host, _judged)| host.goes_with(&routed.host))
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
        let authority = head.host.unwrap_or_default();
        let (asked, ways) = (Asked::of(authority), self.proxy.ways.load_full());
        if let Some((host, judged)) = ways.requests(&asked, self.source) {
            return Ok(Routed { host: Arc::new(host), judged, authority: authority.into(), ways });
        }
        let why = if ways.has_tunnels(&asked) { TAKES_TUNNELS } else { LEADS_NOWHERE };
        Err(Unknown { asked: asked.text(), why })
    }

    fn stands(&self, routed: &Routed, link: &Link) -> bool {
        self.leads_there(routed) && routed.host.stands(&routed.judged, link)
    }

    /// What leads elsewhere by now is not sent there: its connection and its record are of where it led before.
    fn judge_again(&self, head: &Head<'_>, before: &Routed) -> Result<Again<Routed>, Unknown> {
        let routed = self.judge(head)?;
        if routed.host.goes_with(&before.host) {
            return Ok(Again::AsBefore(routed));
        }
        Err(Unknown { asked: Asked::of(&routed.authority).text(), why: LEADS_ELSEWHERE })
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
        let host = Arc::clone(&routed.host);
        match host.record(head, &routed.judged, link).await {
            Ok(ticket) => Ok((host, ticket)),
            Err(not_audited) => {
                let mut unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
                *unrecorded = Some(host);
                Err(not_audited)
            }
        }
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<Unknown>) {
        let host = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Rejection::NotAudited, Some(host)) = (rejection, host) {
            return host.rejected(rough, &Rejection::NotAudited).await;
        }
        self.rejected.store(rough.number, Ordering::Release);
        let (connection, refused) = match rejection {
            Rejection::Malformed(malformed) => {
                (Arc::clone(&self.here), Refused::malformed(*malformed))
            }
            Rejection::NotAudited => (Arc::clone(&self.here), Refused::not_audited()),
            Rejection::Denied(Unknown { asked, why }) => refusal(
                &self.here,
                asked,
                (DenyReason::UnknownDestination, why),
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
