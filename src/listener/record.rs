//! What a connection's records say.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Connection, ConnectionId, Record, Rule, Traffic};
use crate::authz::{Denied, Permit};
use crate::config::Protocol;
use crate::identity::{ListenerName, PeerName};
use crate::outcome::{DenyReason, Direction, Ending};
use crate::proxy::l4::Moved;
use crate::tls::{HandshakeFailed, Session};

/// A connection's id before there is a session to derive it from.
pub(super) fn random_id() -> ConnectionId {
    let mut id = [0; 16];
    // Without randomness there is no TLS either; an id of zeros then says so.
    let _unavailable = aws_lc_rs::rand::fill(&mut id);
    ConnectionId(id)
}

pub(super) fn allowed(connection: &Arc<Connection>, permit: &Permit) -> Record {
    Record {
        connection: Some(Arc::clone(connection)),
        rule: Some(Rule::permitted(permit)),
        ..Record::new(Action::ConnectionAllowed)
    }
}

/// What a handshake has shown of a connection, however it ended.
pub(super) fn described(
    (listener, direction, protocol): (&ListenerName, Direction, Protocol),
    phi: bool,
    handshake: Option<Result<&Session, &HandshakeFailed>>,
) -> Connection {
    let session = handshake.and_then(Result::ok);
    Connection {
        id: session.map_or_else(random_id, |session| session.id),
        tls: session.map(|session| session.tls.clone()),
        certificate: match handshake {
            Some(Ok(session)) => Some(Arc::clone(&session.peer.certificate)),
            Some(Err(failed)) => failed.presented.clone(),
            None => None,
        },
        anchor: session.and_then(|session| session.grounds.anchor),
        identity: session.map(|session| session.peer.to_string()),
        ..Connection::at((listener, direction, protocol.label()), phi)
    }
}

/// The name in `peers` of whoever was let in, or is known and was not.
pub(super) fn named(judged: &Result<Permit, Denied>) -> Option<PeerName> {
    match judged {
        Ok(permit) => permit.peer().cloned(),
        Err(denied) => denied.peer.clone(),
    }
}

pub(super) fn denied(connection: &Arc<Connection>, denied: &Denied) -> Record {
    Record::denied(Arc::clone(connection), denied.reason, Some(Rule::refused_by(denied)))
}

pub(super) fn not_audited(connection: &Arc<Connection>) -> Record {
    Record {
        message: Some("the record of the permit could not be made durable".to_owned()),
        ..Record::denied(Arc::clone(connection), DenyReason::NotAudited, None)
    }
}

pub(super) fn closed(
    connection: &Arc<Connection>,
    ending: Ending,
    message: Option<String>,
    moved: Moved,
    duration: Duration,
) -> Record {
    let traffic = Traffic { sent_up: moved.up, sent_down: moved.down, duration };
    Record { message, ..Record::closed(Arc::clone(connection), ending, traffic) }
}
