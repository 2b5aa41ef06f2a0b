//! The life of an inbound connection: mutual TLS from the peer, plaintext to the workload.

mod arrival;
mod dicom;
mod enter;
mod greet;
mod http;
mod judged;
mod mllp;
mod room;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::arrival::{Arrival, Incoming};
use self::dicom::InboundDicom;
use self::enter::Entered;
use self::greet::Greeter;
use self::http::InboundHttp;
use self::mllp::InboundMllp;
use self::room::Room;
pub use self::state::InboundState;
use crate::authz::Permit;
use crate::config::{Limits, Protocol, Target};
use crate::listener::accept::{self, Arrived};
use crate::listener::counted::{Counted, Side};
use crate::listener::crowd::{Crowd, Place};
use crate::listener::life::Life;
use crate::listener::messages::MllpHost;
use crate::listener::permits::{Held, Permits};
use crate::listener::plain::Plain;
use crate::listener::shapes::Shapes;
use crate::listener::{Bound, Services};
use crate::live::{Generation, Live};
use crate::outcome::Ending;
use crate::proxy::l4;
use crate::proxy::l7::{self, Pool, PoolLimits};

/// An inbound listener.
pub struct InboundListener {
    live: Live<InboundState>,
    services: Services,
    shapes: Arc<Shapes>,
}

impl InboundListener {
    /// Serves according to the current state, whatever that is when a connection comes.
    pub fn new(live: Live<InboundState>, services: Services) -> Arc<Self> {
        Arc::new(Self { live, services, shapes: Arc::default() })
    }

    /// Accepts until the drain.
    pub async fn run(self: Arc<Self>, bound: Bound) {
        let limits = self.live.snapshot().value.config.limits.clone();
        let pool = Pool::start(PoolLimits::of(&limits), &limits, &self.services.shutdown);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let permits = Permits::start(self.live.clone(), self.services.clone());
        let unlisted = Crowd::unlisted(limits.connections);
        let room = Arc::new(Room { pool, permits, slots, crowd: Crowd::unfinished(), unlisted });
        accept::accept_loop(
            bound,
            &self.services,
            || room.place(),
            |Arrived { stream, source, .. }, place| {
                let (this, room) = (Arc::clone(&self), Arc::clone(&room));
                async move { this.connection(stream, source, place, &room).await }
            },
        )
        .await;
    }

    /// One connection. However it ends, it is counted and recorded here, once.
    async fn connection(
        &self,
        downstream: Plain,
        source: Option<SocketAddr>,
        place: Option<OwnedSemaphorePermit>,
        room: &Arc<Room>,
    ) {
        // Others may have been let in since the accept: then its handshake waits for one of them to end.
        if self.services.shutdown.until_cut(room.free()).await.is_none() {
            return;
        }
        let _open = self.services.metrics.opened();
        let begun = Instant::now();
        let mut life = Life::default();
        let (Plain::Tcp(socket), Some(source)) = (downstream, source) else { return };
        let ending = match room.crowd.enter(source, place) {
            Some(place) => self.serve(socket, source, place, room, &mut life).await,
            None => {
                let now = self.live.snapshot();
                let destination = socket.local_addr().ok();
                self.greeter(&now.value, room).refuse_crowd(source, destination).await;
                Ending::Refused
            }
        };
        life.end(&self.services, ending, begun).await;
    }

    fn greeter<'a>(&'a self, state: &'a InboundState, room: &'a Room) -> Greeter<'a> {
        let (services, permits) = (&self.services, &*room.permits);
        Greeter { state, services, permits, unlisted: &room.unlisted }
    }

    async fn serve(
        &self,
        downstream: TcpStream,
        source: SocketAddr,
        place: Place,
        room: &Room,
        life: &mut Life,
    ) -> Ending {
        let now = self.live.snapshot(); // one view of keys and policy, until the peer is let in
        let state = &now.value;
        let shutdown = &self.services.shutdown;
        let entering = Box::pin(self.enter(state, downstream, source, room, life));
        let Entered { arrival, permit, connection, _slot, _place, _running } =
            match shutdown.until_cut(entering).await {
                Some(Ok(entered)) => entered,
                Some(Err(ending)) => return ending,
                None => return Ending::Cut,
            };
        drop(place);
        let is_endless = state.config.protocol == Protocol::Tcp;
        let holding = room.permits.hold(&now, arrival.session(), &permit, &connection, is_endless);
        let Ok(held) = holding.await else { return Ending::Withdrawn };
        let (limits, forward) = (state.config.limits.clone(), state.config.forward.clone());
        let (protocol, judged) = (state.config.protocol, now.generation);
        drop(now); // keys and policy of long ago need not live for as long as their last connection
        let held = Arc::new(held);
        let member = Arc::clone(held.member());
        let ending = match protocol {
            Protocol::Dicom => {
                let (live, services, held) = (&self.live, &self.services, &*held);
                let (permit, forward, limits) = (&permit, &forward, &limits);
                let dicom = InboundDicom { live, services, held, permit, forward, limits };
                Box::pin(dicom.serve(arrival.into_stream(), life)).await
            }
            Protocol::Mllp => {
                let (live, services) = (self.live.clone(), self.services.clone());
                let host = MllpHost::new(live, services, held, life.trace());
                let (permit, forward, limits) = (&permit, &forward, &limits);
                let messages = InboundMllp { host, permit, forward, limits };
                Box::pin(messages.serve(arrival.into_stream(), life)).await
            }
            Protocol::Tcp => {
                let carrying = self.carry(
                    (&held, judged),
                    &permit,
                    arrival.into_stream(),
                    (&forward, &limits),
                    life,
                );
                member.end().until_cut(carrying).await.unwrap_or(Ending::Cut)
            }
            Protocol::Http => {
                let pool = &room.pool;
                Box::pin(self.exchange(&permit, held, arrival, &limits, pool, life)).await
            }
        };
        member.ending(ending)
    }

    /// HTTP, each request judged on its own.
    async fn exchange(
        &self,
        permit: &Permit,
        held: Arc<Held<InboundState>>,
        arrival: Arrival,
        limits: &Limits,
        pool: &Arc<Pool<InboundHttp>>,
        life: &mut Life,
    ) -> Ending {
        let version = arrival.http_version();
        let (live, services) = (self.live.clone(), self.services.clone());
        let end = held.member().end().clone();
        let peer = arrival.session().map(|session| &session.peer);
        let host = InboundHttp::new(live, services, held, peer, permit, &self.shapes);
        let metrics = Arc::clone(&self.services.metrics);
        let (stream, tally) = Counted::new(arrival.into_stream(), Side::Downstream, metrics);
        life.tally = Some(tally);
        let (host, pool) = (Arc::new(host), Arc::clone(pool));
        l7::serve(stream, version, host, pool, limits, &end).await.ending
    }

    /// Any byte stream, as it is.
    async fn carry(
        &self,
        (held, judged): (&Held<InboundState>, Generation),
        permit: &Permit,
        downstream: Incoming,
        (forward, limits): (&Target, &Limits),
        life: &mut Life,
    ) -> Ending {
        let upstream = match self.services.workload.reach(forward, limits, life).await {
            Ok(upstream) => upstream,
            Err(ending) => return ending,
        };
        // The workload may have taken its time.
        if held.stands(judged, permit).await.is_err() {
            return Ending::Withdrawn;
        }
        let ended = l4::relay(
            permit,
            downstream,
            upstream,
            limits.idle_timeout,
            &mut life.moved,
            &self.services.metrics,
        )
        .await;
        life.relayed(ended)
    }
}
