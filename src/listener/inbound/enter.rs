//! From an accepted socket to a peer that is let in: greeted, judged, on record.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::arrival::Arrival;
use super::room::Room;
use super::{InboundListener, InboundState};
use crate::audit::Connection;
use crate::authz::Permit;
use crate::clock;
use crate::listener::crowd::Place;
use crate::listener::life::Life;
use crate::listener::quota::Running;
use crate::listener::traced::TracedConnection;
use crate::listener::{Services, record};
use crate::outcome::{DenyReason, Ending};
use crate::tls;

/// Somebody who was let in, on record.
pub(super) struct Entered {
    pub(super) arrival: Arrival,
    pub(super) permit: Permit,
    pub(super) connection: Arc<Connection>,
    pub(super) _slot: Option<OwnedSemaphorePermit>,
    pub(super) _place: Option<Place>,
    pub(super) _running: Running,
}

impl InboundListener {
    /// From an accepted socket to a peer that is let in, or an ending.
    pub(super) async fn enter(
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
                let tracer = state.tracer.as_ref();
                life.traced = TracedConnection::denied(tracer, &connection, &denied);
                let record = record::denied(&connection, &denied);
                services.audit.note(record).await;
                drop(slot); // who is shown out may take its time
                tls::part(arrival.into_stream()).await;
                return Err(Ending::Denied);
            }
        };
        life.traced = TracedConnection::permitted(state.tracer.as_ref(), &connection, &permit);
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
}
