//! Handshakes, each within one deadline, and what they established.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::asking::{Findings, take_findings};
use super::config::TlsClient;
use super::error::HandshakeFailed;
use super::verify::Grounds;
use super::wire::Wire;
use crate::audit::{ConnectionId, Tls};
use crate::identity::PeerIdentity;
use crate::outcome::Refusal;

/// A TLS stream over TCP, of either side. Boxed: it is large, and is moved into whatever uses it.
pub type TlsStream = Box<tokio_rustls::TlsStream<Wire<TcpStream>>>;

/// Sealed bytes that a stream holds for a socket that is full: what the relay moves at once goes out in
/// one system call.
const SEALED: usize = 128 * 1024;

/// The label of our exporter (RFC 8446, 7.5): both sidecars of a connection derive the same id from it.
const CONNECTION_ID_LABEL: &[u8] = b"EXPORTER-myelin-connection-id";

/// What a handshake established.
#[derive(Debug)]
pub struct Session {
    /// The encrypted stream.
    pub stream: TlsStream,
    /// Who the peer proved to be.
    pub peer: PeerIdentity,
    /// What that rests on.
    pub grounds: Grounds,
    /// What was negotiated.
    pub tls: Tls,
    /// The connection's id, the same on both sides.
    pub id: ConnectionId,
}

impl Session {
    /// What the peer presented, leaf first.
    pub fn presented(&self) -> &[CertificateDer<'static>] {
        self.stream.get_ref().1.peer_certificates().unwrap_or_default()
    }
}

/// Performs the server's side of a handshake on `socket`, within `limit` as a whole.
///
/// # Errors
///
/// Says why it came to nothing, with what the peer presented, and returns the socket unless it was too
/// slow: an alert may still be on its way, see [`super::part()`].
pub async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    limit: Duration,
) -> Result<Session, (HandshakeFailed, Option<Wire<TcpStream>>)> {
    let handshake = TlsAcceptor::from(config).accept(Wire::new(socket)).into_fallible();
    let mut rest = None;
    let handshake = Box::pin(async {
        handshake.await.map_err(|(error, socket)| {
            rest = Some(socket);
            error
        })
    });
    let (mut stream, findings) = match watched(handshake, limit).await {
        Ok(established) => established,
        Err(failed) => return Err((failed, rest)),
    };
    stream.get_mut().1.set_buffer_limit(Some(SEALED));
    session(Box::new(stream.into()), findings).map_err(|failed| (failed, None))
}

/// Performs the client's side of a handshake on `socket`, within `limit` as a whole.
///
/// # Errors
///
/// Says why it came to nothing, with what the server presented.
pub async fn connect(
    client: &TlsClient,
    name: ServerName<'static>,
    socket: TcpStream,
    limit: Duration,
) -> Result<Session, HandshakeFailed> {
    let handshake = TlsConnector::from(client.config()).connect(name, Wire::new(socket));
    let (mut stream, findings) = watched(Box::pin(handshake), limit).await?;
    stream.get_mut().1.set_buffer_limit(Some(SEALED));
    session(Box::new(stream.into()), findings)
}

/// Polls a handshake and collects what the verifier finds on the way.
///
/// Its state is boxed, and so gone when it is done: it would be the largest part of a connection's task.
async fn watched<S>(
    mut handshake: Pin<Box<impl Future<Output = io::Result<S>>>>,
    limit: Duration,
) -> Result<(S, Findings), HandshakeFailed> {
    let mut findings = Findings::default();
    let polled = poll_fn(|cx| {
        let poll = handshake.as_mut().poll(cx);
        if let Some(found) = take_findings() {
            findings = found;
        }
        poll
    });
    let mut failed = match timeout(limit, polled).await {
        Ok(Ok(stream)) => return Ok((stream, findings)),
        Ok(Err(error)) => HandshakeFailed::from_io(&error),
        Err(_elapsed) => HandshakeFailed::too_slow(limit),
    };
    if let Some((refusal, message)) = findings.refused {
        failed = HandshakeFailed { refusal, message, presented: None };
    }
    failed.presented = findings.presented;
    Err(failed)
}

fn session(stream: TlsStream, findings: Findings) -> Result<Session, HandshakeFailed> {
    // Without a verified peer there is no session: the verifier is mandatory on both sides.
    let Some((peer, grounds)) = findings.proven else {
        return Err(HandshakeFailed::without_certificate(findings.presented));
    };
    let server_name = match &*stream {
        tokio_rustls::TlsStream::Server(stream) => stream.get_ref().1.server_name(),
        tokio_rustls::TlsStream::Client(_) => None,
    };
    let server_name = server_name.map(ToOwned::to_owned);
    let id = connection_id(&stream).map_err(|error| HandshakeFailed {
        refusal: Refusal::Protocol,
        message: error.to_string(),
        presented: Some(Arc::clone(&peer.certificate)),
    })?;
    let tls = negotiated(stream.get_ref().1, server_name);
    Ok(Session { stream, peer, grounds, tls, id })
}

fn connection_id(stream: &TlsStream) -> Result<ConnectionId, rustls::Error> {
    let id = match &**stream {
        tokio_rustls::TlsStream::Server(stream) => {
            stream.get_ref().1.export_keying_material([0; 16], CONNECTION_ID_LABEL, None)
        }
        tokio_rustls::TlsStream::Client(stream) => {
            stream.get_ref().1.export_keying_material([0; 16], CONNECTION_ID_LABEL, None)
        }
    };
    id.map(ConnectionId)
}

fn negotiated(state: &CommonState, server_name: Option<String>) -> Tls {
    Tls {
        version: match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(_) | None => "unknown",
        },
        cipher: state.negotiated_cipher_suite().map_or_else(String::new, |suite| {
            format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
        }),
        group: state.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        next_protocol: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        server_name,
    }
}
