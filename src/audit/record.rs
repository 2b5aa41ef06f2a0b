//! What a record says, before it has a place in the trail.
//!
//! Names follow the Elastic Common Schema, nested; `myelin.*` holds what it has no name for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Fingerprint, ListenerName, PeerCertificate, PeerName};
use crate::outcome::{DenyReason, Direction, Ending, Refusal};

/// What happened: the closed set of `event.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A peer was let in.
    ConnectionAllowed,
    /// A handshake came to nothing.
    ConnectionRefused,
    /// An authenticated peer was not let in.
    ConnectionDenied,
    /// A connection that was allowed would not be any more, and is about to end.
    ConnectionWithdrawn,
    /// A connection that was allowed is over.
    ConnectionClosed,
    /// An HTTP request was let through.
    RequestAllowed,
    /// An HTTP request was not let through.
    RequestDenied,
    /// An HTTP request that was let through is over.
    RequestCompleted,
    /// The trail begins, or goes on after a stop or a failure.
    RecordingStarted,
    /// The trail ends as it should.
    RecordingStopped,
    /// A torn last line was found and cut off when the trail was opened.
    TrailTruncated,
    /// A configuration took effect.
    ConfigLoaded,
    /// A configuration was refused; the old one stays.
    ConfigRejected,
    /// New key material took effect.
    CertificateRotated,
    /// New key material was refused; the old one stays.
    CertificateRejected,
}

/// One record, without sequence, time and hash: those are the trail's to give.
#[derive(Debug, Clone)]
pub struct Record {
    /// What happened.
    pub action: Action,
    /// Why, where there is a reason: a label of [`crate::outcome`].
    pub reason: Option<&'static str>,
    /// Why, in words, for whoever reads the trail. Never a peer's text unescaped, never PHI.
    pub message: Option<String>,
    /// The connection that it happened on.
    pub connection: Option<Arc<Connection>>,
    /// The HTTP request that it happened to.
    pub request: Option<Request>,
    /// Which rule decided.
    pub rule: Option<Rule>,
    /// How much moved, and for how long: for endings.
    pub traffic: Option<Traffic>,
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Derived from the TLS exporter, the same on both sides; random before a session exists.
    pub id: ConnectionId,
    /// The listener.
    pub listener: ListenerName,
    /// Which way it faces.
    pub direction: Direction,
    /// `tcp` or `http`.
    pub protocol: &'static str,
    /// Whether the listener is a PHI endpoint.
    pub phi: bool,
    /// Who connected. `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// To what: for inbound where the peer connected to, for outbound the upstream address.
    pub destination: Option<SocketAddr>,
    /// Outbound: the endpoint as the configuration names it.
    pub endpoint: Option<String>,
    /// What was negotiated. `None` when there was no session.
    pub tls: Option<Tls>,
    /// What the peer presented, verified or not.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Who the peer proved to be. `None` unless it was verified.
    pub identity: Option<String>,
    /// The peer's name in `peers`. `None` unless it was recognized.
    pub peer: Option<PeerName>,
}

/// A connection's id: 16 bytes, lower-case hexadecimal in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 16]);

/// What was negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `1.3` or `1.2`.
    pub version: &'static str,
    /// IANA name.
    pub cipher: String,
    /// Key exchange group, IANA name.
    pub group: Option<String>,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// ALPN.
    pub next_protocol: Option<String>,
    /// SNI, as far as it was seen.
    pub server_name: Option<String>,
}

/// What is known of an HTTP request. No PHI: a template for the path, no values.
#[derive(Debug, Clone)]
pub struct Request {
    /// Counts requests on their connection from 1.
    pub number: u64,
    /// The method.
    pub method: http::Method,
    /// The route's template; `None` when no route matched or none is configured.
    pub template: Option<Arc<str>>,
    /// HTTP version as the downstream spoke it: `1.0`, `1.1`, `2`.
    pub version: &'static str,
    /// Whether it is an access to PHI: its route may say otherwise than its listener.
    pub phi: bool,
    /// W3C trace id, if a well-formed `traceparent` came along.
    pub trace_id: Option<String>,
    /// The answer's status, once there is one.
    pub status: Option<u16>,
}

/// Which rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name: `listener`, or `listener/route`.
    pub name: Arc<str>,
    /// The policy's version: the configuration's digest.
    pub version: Fingerprint,
    /// For denials: the rule that came nearest, and what differed, in words.
    pub nearest: Option<String>,
}

/// How much moved, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// From downstream to upstream, plaintext bytes.
    pub sent_up: u64,
    /// From upstream to downstream, plaintext bytes.
    pub sent_down: u64,
    /// From accept to end, or from request to end of response.
    pub duration: Duration,
}

impl Record {
    /// A record of `action` about nothing yet.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            reason: None,
            message: None,
            connection: None,
            request: None,
            rule: None,
            traffic: None,
        }
    }

    /// A refused handshake.
    pub fn refused(connection: Arc<Connection>, refusal: Refusal, message: String) -> Self {
        Self {
            reason: Some(refusal.label()),
            message: Some(message),
            connection: Some(connection),
            ..Self::new(Action::ConnectionRefused)
        }
    }

    /// A peer that was not let in.
    pub fn denied(connection: Arc<Connection>, reason: DenyReason, rule: Option<Rule>) -> Self {
        Self {
            reason: Some(reason.label()),
            connection: Some(connection),
            rule,
            ..Self::new(Action::ConnectionDenied)
        }
    }

    /// The end of a connection.
    pub fn closed(connection: Arc<Connection>, ending: Ending, traffic: Traffic) -> Self {
        Self {
            reason: Some(ending.label()),
            connection: Some(connection),
            traffic: Some(traffic),
            ..Self::new(Action::ConnectionClosed)
        }
    }
}
