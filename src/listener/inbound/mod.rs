//! The life of an inbound connection: mutual TLS from the peer, plaintext to the workload.

mod arrival;
mod dicom;
mod greet;
mod http;
mod judged;
mod mllp;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::arrival::{Arrival, Incoming};
use self::dicom::InboundDicom;
use self::greet::Greeter;
use self::http::InboundHttp;
use self::mllp::InboundMllp;
pub use self::state::InboundState;
use crate::audit::Connection;
use crate::authz::{Denied, Holder, Permit};
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
use crate::live::{Generation, Live};
use crate::outcome::{DenyReason, Differs, Ending};
use crate::proxy::l4;
use crate::proxy::l7::{self, Pool, PoolLimits};
use crate::tls;

/// What is said to nobody but the operator, of whoever comes beyond the bound.
const TOO_MANY_UNLISTED: &str = "there are as many connections of those who are not listed as there may be: half of \
                                 limits.connections, and an eighth for one source";

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
    _place: Option<Place>,
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
    /// Those who were let in without being listed.
    unlisted: Arc<Crowd>,
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

    /// The place of somebody who is let in only because policy is observed. Plaintext has its place before.
    fn place_of(&self, permit: &Permit, source: SocketAddr) -> Result<Option<Place>, Denied> {
        match permit.holder() {
            Holder::Peer(_) | Holder::Plaintext => Ok(None),
            Holder::Observed => match self.unlisted.enter_now(source) {
                Some(place) => Ok(Some(place)),
                None => Err(Denied {
                    reason: DenyReason::ConcurrencyLimit,
                    rule: Arc::clone(permit.rule()),
                    line: permit.line(),
                    version: permit.version(),
                    peer: None,
                    template: None,
                    differs: Some(Differs::Concurrency),
                    nearest: TOO_MANY_UNLISTED.to_owned(),
                }),
            },
        }
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
        let unlisted = Crowd::unlisted(limits.connections);
        let room = Arc::new(Room { pool, permits, slots, crowd: Crowd::unfinished(), unlisted });
        accept::accept_loop(
            bound,
            &self.services,
            || room.place(),
            |stream, source, place| {
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
                let host = MllpHost::new(live, services, held);
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

    /// From an accepted socket to a peer that is let in, or an ending.
    async fn enter(
        &self,
        state: &InboundState,
        downstream: TcpStream,
        source: SocketAddr,
        room: &Room,
        life: &mut Life,
    ) -> Result<Entered, Ending> {
        let (services, greeter) = (&self.services, self.greeter(state, room));
        let greeted = greeter.greet(downstream, source).await;
        let (arrival, mut connection) = greeted.ok_or(Ending::Refused)?;
        let slot = Arc::clone(&room.slots).acquire_owned().await.ok();
        let now = clock::onward();
        let judged = match arrival.session() {
            Some(session) => state.policy.authorize(&session.peer, now),
            None => match state.policy.plaintext(now) {
                Some(permit) => Ok(permit),
                None => {
                    greeter.refuse_plaintext(connection).await;
                    return Err(Ending::Refused);
                }
            },
        };
        connection.peer = record::named(&judged);
        let connection = Arc::new(connection);
        let admitted = judged.and_then(|permit| {
            let place = room.place_of(&permit, source)?;
            let running = state.begin(&permit)?; // before Rego is asked: questions cost time
            let permit = services.narrow_permit(&state.policy, permit, &connection, now)?;
            state.begun(&permit, now);
            Ok((place, (permit, running)))
        });
        let (_place, (permit, _running)) = match admitted {
            Ok(admitted) => admitted,
            Err(denied) => {
                services.denied(&denied);
                let record = record::denied(&connection, &denied);
                services.audit.note(record).await;
                drop(slot); // who is shown out may take its time
                tls::part(arrival.into_stream()).await;
                return Err(Ending::Denied);
            }
        };
        match self.put_on_record(&permit, &connection, arrival, life).await {
            Some(arrival) => {
                Ok(Entered { arrival, permit, connection, _slot: slot, _place, _running })
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
        (held, judged): (&Held<InboundState>, Generation),
        permit: &Permit,
        downstream: Incoming,
        (forward, limits): (&Target, &Limits),
        life: &mut Life,
    ) -> Ending {
        let upstream = match Plain::reach(forward, limits, permit.rule(), life).await {
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
