//! What the workload asks a proxy for (`http_proxy`): each request goes to the listener that leads there, each tunnel as well, and what
//! none leads to is denied. Nothing of it leaves this machine then, not even the question for a name's address.

mod host;
mod ways;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::host::ForwardHost;
use self::ways::Asked;
pub use self::ways::{ForwardWay, ForwardWays};
use super::accept::{Arrived, accept_loop};
use super::plain::Plain;
use super::redirect::{Redirected, Unserved};
use super::requests::{self, Refused};
use super::seldom::Seldom;
use super::{Bound, Services, connect, record};
use crate::audit::Connection;
use crate::config::{Config, Limits};
use crate::outcome::{DenyReason, Direction, Ending};
use crate::proxy::l7::{
    self, CONNECT_BEGINS, Downstream, Malformed, Pool, PoolLimits, Rough, Unasked, known_method,
};

/// At a drain, a connection on which nothing has come is closed after so long: a request may be on its way.
const QUIET: Duration = Duration::from_secs(1);

/// For the operator, as the next two. What was asked for is on record beside it.
const LEADS_NOWHERE: &str = "no listener's `destinations` lead there";
const SEES_REQUESTS: &str =
    "what leads there takes requests alone, and no CONNECT; only `protocol: tcp` does";
const TAKES_TUNNELS: &str =
    "what leads there takes CONNECT alone, and no other request; only `protocol: http` does";

/// For the workload.
const NOT_ALLOWED: &str = "not allowed\n";
/// For the workload.
const NO_TUNNEL: &str = "no CONNECT to this host: the proxy carries requests in plaintext, over TLS of its own; use http:// and http_proxy\n";
const NO_METHOD: &str = "method not allowed\n";
const NOT_AVAILABLE: &str = "not available\n";
const MALFORMED: &str = "malformed request\n";

/// Takes what the workload asks for to the listeners that lead there. They live at least as long: until the last of its
/// connections has ended.
pub struct ForwardProxy {
    ways: ArcSwap<ForwardWays>,
    services: Services,
    /// The log's words about tunnels that found no room.
    told: Seldom,
}

impl ForwardProxy {
    /// It leads nowhere yet.
    pub fn new(limits: Limits, services: Services) -> Arc<Self> {
        let ways = ArcSwap::from_pointee(ForwardWays { limits, ways: Vec::new() });
        Arc::new(Self { ways, services, told: Seldom::default() })
    }

    /// From now on it leads there.
    pub fn lead(&self, ways: ForwardWays) {
        self.ways.store(Arc::new(ways));
    }

    /// Accepts until the drain.
    pub async fn run(self: Arc<Self>, bound: Bound) {
        let limits = self.ways.load().limits.clone();
        let pool = Pool::start(PoolLimits::of(&limits), &limits, &self.services.shutdown);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let slot = || Arc::clone(&slots).acquire_owned();
        let _accepting = self.services.crossing.begin();
        accept_loop(bound, &self.services, slot, |Arrived { stream, source, .. }, slot| {
            let (this, pool) = (Arc::clone(&self), Arc::clone(&pool));
            let crossing = self.services.crossing.begin();
            async move {
                if let Plain::Tcp(stream) = stream.unpaced(source) {
                    this.connection((stream, crossing), source, pool).await;
                }
                drop(slot);
            }
        })
        .await;
    }

    /// One connection. What is handed on ends here, and begins with its listener.
    async fn connection(
        self: &Arc<Self>,
        (stream, crossing): (TcpStream, TaskTrackerToken),
        source: Option<SocketAddr>,
        pool: Arc<Pool<ForwardHost>>,
    ) {
        let _open = self.services.metrics.opened();
        let shutdown = &self.services.shutdown;
        let limits = self.ways.load().limits.clone();
        let name = Config::forward_proxy_name();
        let at = Connection::at((&name, Direction::Outbound, "http"), false);
        let here = Arc::new(Connection { id: record::random_id(), source, ..at });
        let ending = match self.first_byte(&stream, &limits).await {
            Err(ending) => ending,
            Ok(CONNECT_BEGINS) => {
                let tunnel = self.tunnel(stream, source, &limits, &here);
                shutdown.until_cut(Box::pin(tunnel)).await.unwrap_or(Ending::Cut)
            }
            Ok(_) => {
                drop(crossing); // requests are served here
                let host = Arc::new(ForwardHost::new(Arc::clone(self), source, here));
                let downstream = Plain::Tcp(stream);
                let http = Downstream::Http1;
                Box::pin(l7::serve(downstream, http, host, pool, &limits, shutdown)).await.ending
            }
        };
        self.services.metrics.closed(ending);
    }

    /// The first byte, which stays where it is.
    async fn first_byte(&self, stream: &TcpStream, limits: &Limits) -> Result<u8, Ending> {
        let mut first = [0];
        let drained = async {
            self.services.shutdown.draining().await;
            sleep(QUIET.min(limits.drain_timeout / 4)).await;
        };
        tokio::select! {
            peeked = timeout(limits.idle_timeout, stream.peek(&mut first)) => match peeked {
                Ok(Ok(0)) => Err(Ending::Finished),
                Ok(Ok(_)) => Ok(u8::from_ne_bytes(first)),
                Ok(Err(_lost)) => Err(Ending::DownstreamLost),
                Err(_elapsed) => Err(Ending::Idle),
            },
            () = drained => Err(Ending::Finished),
        }
    }

    /// CONNECT: the connection goes on with the listener that leads there, which answers once it has reached the peer.
    async fn tunnel(
        &self,
        mut stream: TcpStream,
        source: Option<SocketAddr>,
        limits: &Limits,
        here: &Arc<Connection>,
    ) -> Ending {
        let authority = match l7::connect_asked(&mut stream, limits).await {
            Ok(authority) => authority,
            Err(Unasked::Ended(ending)) => return ending,
            Err(Unasked::Malformed(malformed)) => {
                let text = match malformed {
                    Malformed::Method => NO_METHOD,
                    _ => MALFORMED,
                };
                let refused = Refused::malformed(malformed);
                let answer = (malformed.status(), text);
                self.refuse(stream, (Arc::clone(here), refused), None, answer).await;
                return Ending::ProtocolError;
            }
        };
        let asked = Asked::of(&authority);
        let ways = self.ways.load_full();
        let Some((door, goal)) = ways.tunnel(&asked) else {
            let (why, status, text) = match ways.has_requests(&asked) {
                true => (SEES_REQUESTS, StatusCode::METHOD_NOT_ALLOWED, NO_TUNNEL),
                false => (LEADS_NOWHERE, StatusCode::FORBIDDEN, NOT_ALLOWED),
            };
            let reason = (DenyReason::UnknownDestination, why);
            let refusal = refusal(here, &asked.text(), reason, status);
            let method = known_method(&Method::CONNECT);
            self.refuse(stream, refusal, Some(&method), (status, text)).await;
            return Ending::Denied;
        };
        let stream = Unserved::new(stream);
        let (lost, why) = match door.0.try_send(Redirected { stream, source, goal }) {
            Ok(()) => return Ending::Finished,
            Err(TrySendError::Full(lost)) => (lost, "has as many as it may have"),
            Err(TrySendError::Closed(lost)) => (lost, "ends"),
        };
        self.lost(lost.stream, &asked.text(), why).await
    }

    /// Answers a CONNECT that no room was found for. Each is counted, and the log has a word about it once a second.
    async fn lost(&self, stream: Unserved, asked: &str, why: &str) -> Ending {
        self.services.metrics.accept_error();
        if self.told.is_due() {
            tracing::warn!(asked, "tunnel refused: its listener {why}");
        }
        let (status, mut stream) = (StatusCode::SERVICE_UNAVAILABLE, Plain::Tcp(stream.serve()));
        connect::refused(&mut stream, status, NOT_AVAILABLE, None).await;
        Ending::UpstreamUnreachable
    }

    /// Counts, records and answers a CONNECT that leads nowhere, or what is none and has no `method` that is known.
    async fn refuse(
        &self,
        stream: TcpStream,
        (connection, refused): (Arc<Connection>, Refused),
        method: Option<&Method>,
        (status, text): (StatusCode, &'static str),
    ) {
        let version = Some(Version::HTTP_11);
        let rough = Rough { number: 1, version, method, headers: None, span: None };
        requests::rejected(&self.services, &connection, &rough, refused).await;
        let id = connection.request_id(rough.number);
        connect::refused(&mut Plain::Tcp(stream), status, text, Some(&id)).await;
    }
}

/// What goes on record of something that no listener takes.
fn refusal(
    here: &Connection,
    asked: &Arc<str>,
    (reason, why): (DenyReason, &str),
    status: StatusCode,
) -> (Arc<Connection>, Refused) {
    let connection = Connection { asked: Some(Arc::clone(asked)), ..here.clone() };
    (Arc::new(connection), Refused::denied(reason, Some(why.to_owned()), status))
}
