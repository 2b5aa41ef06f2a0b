//! The life of an inbound connection: mutual TLS from the peer, plaintext to the workload.

mod arrival;
mod dicom;
mod greet;
mod http;
mod mllp;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use self::arrival::{Arrival, Incoming};
use self::dicom::InboundDicom;
use self::greet::{Greeter, describe};
use self::http::InboundHttp;
use self::mllp::InboundMllp;
pub use self::state::InboundState;
use crate::audit::Connection;
use crate::authz::Permit;
use crate::clock;
use crate::config::{Limits, Protocol, Target};
use crate::listener::counted::{Counted, Side};
use crate::listener::crowd::{Crowd, Place};
use crate::listener::life::Life;
use crate::listener::messages::MllpHost;
use crate::listener::permits::{Held, Permits};
use crate::listener::plain::Plain;
use crate::listener::quota::Running;
use crate::listener::shapes::Shapes;
use crate::listener::{Bound, Services, accept, record};
use crate::live::Live;
use crate::outcome::{DenyReason, Ending, Refusal};
use crate::proxy::l4;
use crate::proxy::l7::{self, Pool, PoolLimits};
use crate::tls;

/// How often refusals that got no line of their own are told of.
const REST: Duration = Duration::from_secs(1);

/// An inbound listener.
pub struct InboundListener {
    live: Live<InboundState>,
    services: Services,
    shapes: Arc<Shapes>,
}

/// Somebody who was let in, on record.
struct Entered {
    arrival: Arrival,
    permit: Permit,
    connection: Arc<Connection>,
    _slot: Option<OwnedSemaphorePermit>,
    _running: Running,
}

/// What the connections of a listener share.
struct Room {
    pool: Arc<Pool<InboundHttp>>,
    permits: Arc<Permits<InboundState>>,
    /// Those who were let in.
    slots: Arc<Semaphore>,
    /// Those who were not, or not yet.
    crowd: Arc<Crowd>,
    /// Those who were let in in plaintext.
    plaintext: Arc<Crowd>,
}

impl Room {
    /// Waits until somebody more could be let in, and for a place among the unfinished handshakes.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.free().await;
        self.crowd.place().await
    }

    /// Waits until somebody more could be let in.
    async fn free(&self) {
        drop(self.slots.acquire().await);
    }
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
        let plaintext = Crowd::plaintext(limits.connections);
        let room = Arc::new(Room { pool, permits, slots, crowd: Crowd::unfinished(), plaintext });
        let accepting = accept::accept_loop(
            bound,
            &self.services,
            || room.place(),
            |stream, source, place| {
                let (this, room) = (Arc::clone(&self), Arc::clone(&room));
                async move { this.connection(stream, source, place, &room).await }
            },
        );
        tokio::select! {
            () = accepting => {}
            () = self.tell_of_the_rest(&room.crowd) => {}
        }
        self.rest(&room.crowd).await;
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
                self.services.metrics.refused(Refusal::TooMany);
                room.crowd.line(source);
                Ending::Refused
            }
        };
        life.end(&self.services, ending, begun).await;
    }

    /// Refusals that got no line of their own are told of once a second.
    async fn tell_of_the_rest(&self, crowd: &Crowd) {
        loop {
            sleep(REST).await;
            self.rest(crowd).await;
        }
    }

    async fn rest(&self, crowd: &Crowd) {
        for (source, count) in crowd.rest() {
            let state = self.live.snapshot();
            let source = Some(SocketAddr::new(source, 0));
            let connection = Arc::new(describe(&state.value, source, None, None));
            let message = format!(
                "{count} more handshakes of this source, or its /64, came to nothing; a source gets a \
                 bounded number of lines of its own"
            );
            self.services.audit.note(record::flood(connection, message)).await;
        }
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
        let Entered { arrival, permit, connection, _slot, _running } =
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
        let protocol = state.config.protocol;
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
                let host = MllpHost::new(live, services, held);
                let (permit, forward, limits) = (&permit, &forward, &limits);
                let messages = InboundMllp { host, permit, forward, limits };
                Box::pin(messages.serve(arrival.into_stream(), life)).await
            }
            Protocol::Tcp => {
                let carrying = self.carry(&permit, arrival.into_stream(), &forward, &limits, life);
                member.end().until_cut(carrying).await.unwrap_or(Ending::Cut)
            }
            Protocol::Http => {
                let pool = &room.pool;
                Box::pin(self.exchange(&permit, held, arrival, &limits, pool, life)).await
            }
        };
        member.ending(ending)
    }

    /// From an accepted socket to a peer that is let in, or an ending.
    async fn enter(
        &self,
        state: &InboundState,
        downstream: TcpStream,
        source: SocketAddr,
        room: &Room,
        life: &mut Life,
    ) -> Result<Entered, Ending> {
        let (services, permits, crowd) = (&self.services, &*room.permits, &*room.crowd);
        let greeter = Greeter { state, services, permits, crowd, plaintext: &room.plaintext };
        let greeted = greeter.greet(downstream, source).await;
        let (arrival, mut connection) = greeted.ok_or(Ending::Refused)?;
        let slot = Arc::clone(&room.slots).acquire_owned().await.ok();
        let now = clock::now();
        let judged = match arrival.session() {
            Some(session) => state.policy.authorize(&session.peer, now),
            None => match state.policy.plaintext(now) {
                Some(permit) => Ok(permit),
                None => {
                    greeter.refuse_plaintext(connection, source).await;
                    return Err(Ending::Refused);
                }
            },
        };
        if let Ok(permit) = &judged {
            connection.peer = permit.peer().cloned();
        }
        let connection = Arc::new(connection);
        let narrow = |permit| services.narrow_permit(&state.policy, permit, &connection, now);
        let admitted = judged.and_then(narrow).and_then(|permit| state.begin(permit, now));
        let (permit, running) = match admitted {
            Ok(admitted) => admitted,
            Err(denied) => {
                services.denied(&denied);
                let record = record::denied(&connection, &denied);
                services.audit.note(record).await;
                tls::part(arrival.into_stream()).await;
                return Err(Ending::Denied);
            }
        };
        match self.put_on_record(&permit, &connection, arrival, life).await {
            Some(arrival) => {
                Ok(Entered { arrival, permit, connection, _slot: slot, _running: running })
            }
            None => Err(Ending::Denied),
        }
    }

    /// A permit on record, or none that counts.
    async fn put_on_record(
        &self,
        permit: &Permit,
        connection: &Arc<Connection>,
        arrival: Arrival,
        life: &mut Life,
    ) -> Option<Arrival> {
        let Services { audit, metrics, .. } = &self.services;
        if let Some(session) = arrival.session() {
            self.services.seen(permit, connection, session);
        }
        let allowed = record::allowed(connection, permit);
        life.permitted = Some(Arc::clone(connection));
        if audit.permit(allowed, connection.phi).await.is_err() {
            life.permitted = None;
            metrics.denied(DenyReason::NotAudited);
            audit.note(record::not_audited(connection)).await;
            tls::part(arrival.into_stream()).await;
            return None;
        }
        if connection.plaintext {
            self.services.came_in_plaintext(connection);
        }
        self.services.would_deny(permit.would_deny());
        Some(arrival)
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
        let host = InboundHttp::new(live, services, held, peer, permit.peer(), &self.shapes);
        let metrics = Arc::clone(&self.services.metrics);
        let (stream, tally) = Counted::new(arrival.into_stream(), Side::Downstream, metrics);
        life.tally = Some(tally);
        let (host, pool) = (Arc::new(host), Arc::clone(pool));
        l7::serve(stream, version, host, pool, limits, &end).await.ending
    }

    /// Any byte stream, as it is.
    async fn carry(
        &self,
        permit: &Permit,
        downstream: Incoming,
        forward: &Target,
        limits: &Limits,
        life: &mut Life,
    ) -> Ending {
        let upstream = match Plain::reach(forward, limits, permit.rule(), life).await {
            Ok(upstream) => upstream,
            Err(ending) => return ending,
        };
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
