//! The life of an outbound connection: plaintext from the workload, mutual TLS to the peer.

mod dial;
mod dicom;
mod http;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::dial::{Dialer, Reached};
use self::dicom::OutboundDicom;
use self::http::OutboundHttp;
use crate::authz::ListenerPolicy;
use crate::config::{Limits, Outbound, Protocol};
use crate::listener::accept::{self, Arrived};
use crate::listener::life::Life;
use crate::listener::messages::MllpHost;
use crate::listener::permits::{Permits, Rules};
use crate::listener::plain::Plain;
use crate::listener::traced::TracedConnection;
use crate::listener::{Bound, Services};
use crate::live::{Live, Snapshot};
use crate::outcome::{Ending, Refusal};
use crate::proxy::l4;
use crate::proxy::l7::{self, Downstream, Pool, PoolLimits};
use crate::proxy::mllp::{self, Stay};
use crate::tls::{self, TlsClient, Trust};
use crate::traces::Tracer;
use crate::upstream::{Candidate, Upstreams};

/// One generation of an outbound listener: settings, keys and policy that belong together.
pub struct OutboundState {
    /// The listener as configured.
    pub config: Outbound,
    /// Counts configurations: the same in every generation that key material alone has made.
    pub configuration: u64,
    /// What it presents, and whom it believes.
    pub tls: TlsClient,
    /// The same, for HTTP/1.1: it is passed on as it came, since HTTP/2 has no place for all of it.
    pub http1: TlsClient,
    /// The same, for HTTP/2, or HTTP/1.1 if the peer has nothing else.
    pub http2: TlsClient,
    /// What servers are verified with, now and for as long as they are connected.
    pub trust: Arc<Trust>,
    /// Whom the server must prove to be.
    pub policy: Arc<ListenerPolicy>,
    /// Where the peer is.
    pub upstreams: Arc<Upstreams>,
    /// Connections made with our certificate carry no new request from then on: soon after, the peer
    /// ends them.
    pub used_until: OffsetDateTime,
    /// What takes the spans of connections that begin now. `None`: nothing is traced.
    pub tracer: Option<Arc<Tracer>>,
}

impl Rules for OutboundState {
    fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    fn policy(&self) -> &ListenerPolicy {
        &self.policy
    }

    fn drain_timeout(&self) -> Duration {
        self.config.limits.drain_timeout
    }
}

/// What is known of a connection of the workload.
#[derive(Debug, Clone)]
struct Caller {
    /// Where the workload connected from; `None` for a unix socket.
    source: Option<SocketAddr>,
    /// Where it wanted to go, if the kernel has sent it here.
    wanted: Option<Candidate>,
}

/// What the connections of a listener share.
#[derive(Clone)]
struct Shared {
    pool: Arc<Pool<OutboundHttp>>,
    permits: Arc<Permits<OutboundState>>,
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
        let limits = self.live.snapshot().value.config.limits.clone();
        let pool = Pool::start(PoolLimits::of(&limits), &limits, &self.services.shutdown);
        let permits = Permits::start(self.live.clone(), self.services.clone());
        let shared = Shared { pool, permits };
        let slots = Arc::new(Semaphore::new(limits.connections));
        let slot = || Arc::clone(&slots).acquire_owned();
        accept::accept_loop(
            bound,
            &self.services,
            slot,
            |Arrived { stream, source, wanted }, slot| {
                let (this, shared) = (Arc::clone(&self), shared.clone());
                async move {
                    let caller = Caller { source, wanted };
                    this.connection(stream.unpaced(source), &caller, &shared).await;
                    drop(slot);
                }
            },
        )
        .await;
    }

    /// One connection. However it ends, it is counted and recorded here, once.
    async fn connection(&self, downstream: Plain, caller: &Caller, shared: &Shared) {
        let _open = self.services.metrics.opened();
        let begun = Instant::now();
        let mut life = Life::default();
        let ending = self.serve(downstream, caller, shared, &mut life).await;
        life.end(&self.services, ending, begun).await;
    }

    async fn serve(
        &self,
        downstream: Plain,
        caller: &Caller,
        shared: &Shared,
        life: &mut Life,
    ) -> Ending {
        let now = self.live.snapshot(); // one view of keys and policy
        let dialer = Dialer { services: &self.services, permits: &shared.permits, caller };
        match now.value.config.protocol {
            Protocol::Dicom => {
                Box::pin(OutboundDicom { dialer }.serve(downstream, now, life)).await
            }
            Protocol::Mllp => Box::pin(self.messages(downstream, &dialer, now, life)).await,
            Protocol::Tcp => {
                let carrying = self.carry(downstream, &dialer, now, life);
                self.services.shutdown.until_cut(carrying).await.unwrap_or(Ending::Cut)
            }
            Protocol::Http => {
                let limits = now.value.config.limits.clone();
                drop(now); // connections outlive many generations
                Box::pin(self.exchange(downstream, caller, &limits, shared)).await
            }
        }
    }

    /// HTTP/1.1 or HTTP/2 with prior knowledge: requests share connections to the peer.
    async fn exchange(
        &self,
        downstream: Plain,
        caller: &Caller,
        limits: &Limits,
        shared: &Shared,
    ) -> Ending {
        let (live, services) = (self.live.clone(), self.services.clone());
        let Shared { pool, permits } = shared.clone();
        let host = Arc::new(OutboundHttp::new(live, services, permits, caller.clone()));
        let shutdown = &self.services.shutdown;
        l7::serve(downstream, Downstream::Auto, host, pool, limits, shutdown).await.ending
    }

    /// HL7 v2 messages: one connection to the peer for each from the workload.
    async fn messages(
        &self,
        mut downstream: Plain,
        dialer: &Dialer<'_>,
        now: Arc<Snapshot<OutboundState>>,
        life: &mut Life,
    ) -> Ending {
        let state = &now.value;
        let reaching = Box::pin(dialer.reach(&now, &state.tls, false, &mut life.permitted));
        let reached = match self.services.shutdown.until_cut(reaching).await {
            Some(Ok(reached)) => reached,
            Some(Err(failed)) => return failed.ending(),
            None => return Ending::Cut,
        };
        let Reached { stream, permit, held, .. } = reached;
        let tracer = state.tracer.as_ref();
        life.traced = TracedConnection::permitted(tracer, held.member().connection(), &permit);
        let Limits { idle_timeout, drain_timeout, .. } = state.config.limits;
        drop(now); // connections outlive many generations
        let member = Arc::clone(held.member());
        let host = {
            let (live, services) = (self.live.clone(), self.services.clone());
            MllpHost::new(live, services, Arc::new(held), life.trace())
        };
        let stay = Stay { idle: idle_timeout, drain: drain_timeout, end: member.end() };
        let streams = (&mut downstream, stream);
        let metrics = &self.services.metrics;
        let ended = mllp::relay(&permit, &host, streams, stay, &mut life.moved, metrics).await;
        match refused(&self.services, ended.cause.as_ref(), life) {
            Some(refused) => refused,
            None => {
                life.message = ended.cause.map(|cause| cause.to_string());
                member.ending(ended.ending)
            }
        }
    }

    /// Any byte stream, as it is: one connection to the peer for each from the workload.
    async fn carry(
        &self,
        downstream: Plain,
        dialer: &Dialer<'_>,
        now: Arc<Snapshot<OutboundState>>,
        life: &mut Life,
    ) -> Ending {
        let state = &now.value;
        let reaching = Box::pin(dialer.reach(&now, &state.tls, true, &mut life.permitted));
        let Reached { stream, permit, held, .. } = match reaching.await {
            Ok(reached) => reached,
            Err(failed) => return failed.ending(),
        };
        let tracer = state.tracer.as_ref();
        life.traced = TracedConnection::permitted(tracer, held.member().connection(), &permit);
        let idle_timeout = state.config.limits.idle_timeout;
        drop(now); // connections outlive many generations
        let relaying = l4::relay(
            &permit,
            downstream,
            stream,
            idle_timeout,
            &mut life.moved,
            &self.services.metrics,
        );
        let Some(ended) = held.member().end().until_cut(relaying).await else {
            return held.member().ending(Ending::Cut);
        };
        if let Some(refused) = refused(&self.services, ended.cause.as_ref(), life) {
            return refused;
        }
        life.relayed(ended)
    }
}

/// In TLS 1.3 a server refuses its client after the client's handshake: with the first read.
fn refused(services: &Services, cause: Option<&io::Error>, life: &mut Life) -> Option<Ending> {
    let alert = cause.filter(|_| life.moved.down == 0).and_then(tls::alert_of)?;
    services.metrics.refused(Refusal::RefusedByPeer);
    life.message = Some(format!("the peer refused us: {alert}"));
    Some(Ending::Refused)
}
