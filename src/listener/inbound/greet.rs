//! Who is there? A handshake within its time, a peer that speaks plaintext where that is taken, or a
//! refusal on record.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::room::TOO_MANY_UNLISTED;
use super::state::InboundState;
use crate::audit::{Connection, Record};
use crate::clock;
use crate::listener::crowd::Crowd;
use crate::listener::permits::Permits;
use crate::listener::{Services, record};
use crate::outcome::{Direction, Refusal};
use crate::tls::{self, HandshakeFailed, Session};

/// Who greets, and who is to hear of it when nothing comes of that.
pub(super) struct Greeter<'a> {
    pub(super) state: &'a InboundState,
    pub(super) services: &'a Services,
    pub(super) permits: &'a Permits<InboundState>,
    /// Those who were let in without being listed.
    pub(super) unlisted: &'a Arc<Crowd>,
}

impl Greeter<'_> {
    /// What came in on `socket`, and what is known of it. `None`: it was refused.
    pub(super) async fn greet(
        &self,
        socket: TcpStream,
        source: SocketAddr,
    ) -> Option<(Arrival, Connection)> {
        let state = self.state;
        let begun = Instant::now();
        let destination = socket.local_addr().ok();
        let describe = |handshake| describe(state, Some(source), destination, handshake);
        let limit = state.config.limits.handshake_timeout;
        // One look more, and only while plaintext is taken.
        if state.config.permissive_until.is_some_and(|until| clock::onward() < until) {
            match tls::begins_with_tls(&socket, limit).await {
                Ok(true) => {}
                Ok(false) => {
                    let Some(place) = self.unlisted.enter_now(source) else {
                        self.refuse(describe(None), too_many(TOO_MANY_UNLISTED)).await;
                        return None;
                    };
                    let connection = Connection { plaintext: true, ..describe(None) };
                    return Some((Arrival::Plaintext(socket, place), connection));
                }
                Err(failed) => {
                    self.refuse(describe(Some(Err(&failed))), failed).await;
                    return None;
                }
            }
        }
        let left = limit.saturating_sub(begun.elapsed());
        match tls::accept(Arc::clone(&state.tls), socket, left).await {
            Ok(mut session) => {
                self.services.metrics.handshaken(begun.elapsed());
                self.permits.share(&mut session);
                let connection = describe(Some(Ok(&session)));
                Some((Arrival::Tls(session), connection))
            }
            Err((failed, socket)) => {
                self.refuse(describe(Some(Err(&failed))), failed).await;
                if let Some(socket) = socket {
                    tls::part(socket).await;
                }
                None
            }
        }
    }

    /// Somebody in plaintext who came too late: it was still taken when the connection began.
    pub(super) async fn refuse_plaintext(&self, connection: Connection) {
        let message = "plaintext is not taken any more: `mode: permissive` has come to its end";
        let failed = HandshakeFailed {
            refusal: Refusal::NotTls,
            message: message.to_owned(),
            presented: None,
        };
        self.refuse(Connection { plaintext: false, ..connection }, failed).await;
    }

    /// One more handshake of somebody who has as many unfinished ones as one source may have.
    pub(super) async fn refuse_crowd(&self, source: SocketAddr, destination: Option<SocketAddr>) {
        let message = "the source has as many unfinished handshakes as one source may have";
        let connection = describe(self.state, Some(source), destination, None);
        self.refuse(connection, too_many(message)).await;
    }

    async fn refuse(&self, connection: Connection, failed: HandshakeFailed) {
        self.services.metrics.refused(failed.refusal);
        let record = Record::refused(Arc::new(connection), failed.refusal, failed.message);
        self.services.audit.note(record).await;
    }
}

fn too_many(message: &str) -> HandshakeFailed {
    HandshakeFailed { refusal: Refusal::TooMany, message: message.to_owned(), presented: None }
}

/// What is known of a connection after its handshake, however that ended.
pub(super) fn describe(
    state: &InboundState,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    handshake: Option<Result<&Session, &HandshakeFailed>>,
) -> Connection {
    let config = &state.config;
    let listener = (&config.name, Direction::Inbound, config.protocol);
    let mut known = record::described(listener, state.policy.guards_phi(), handshake);
    if let Some(tls) = &mut known.tls {
        // A stranger may write anybody's name there.
        tls.server_name = tls.server_name.take().filter(|name| state.own.bears(name));
    }
    Connection { source, destination, ..known }
}
