//! The life of a connection to the enrolment server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Answer};
use super::{Office, est};
use crate::certs::embedded::MAX_REQUEST_BYTES;
use crate::shutdown::Shutdown;

/// A handshake, and a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// A request's body, and the work on it: the authority's directory may be locked by another.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// A connection's whole life.
const LIFETIME: Duration = Duration::from_secs(120);
/// A request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// A request is base64 with line breaks.
const BODY_BYTES: usize = MAX_REQUEST_BYTES * 3 / 2;
/// So much of what is longer is read, and thrown away.
const DISCARDED_BYTES: usize = 2 * 1024 * 1024;

/// What may be asked on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// EST, over TLS.
    Est,
    /// Revocation lists alone, over plain HTTP.
    Lists,
}

/// A request, whole, and who sent it.
pub(super) struct Received {
    pub(super) request: Request<Bytes>,
    pub(super) source: SocketAddr,
    /// Verified against the authority's root and lists.
    pub(super) client: Option<CertificateDer<'static>>,
}

/// Serves one connection to its end.
pub(super) async fn converse(
    office: &Office,
    scope: Scope,
    socket: TcpStream,
    source: SocketAddr,
    shutdown: &Shutdown,
) {
    match scope {
        Scope::Lists => serve(office, scope, socket, source, None, shutdown).await,
        Scope::Est => {
            let handshake = TlsAcceptor::from(office.presented.config()).accept(socket);
            match timeout(HEAD_LIMIT, Box::pin(handshake)).await {
                Ok(Ok(stream)) => {
                    let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let client = presented.first().map(|der| der.clone().into_owned());
                    serve(office, scope, stream, source, client, shutdown).await;
                }
                Ok(Err(error)) => {
                    if let Some(untold) = office.line(source) {
                        tracing::warn!(%source, %error, untold, "TLS handshake refused");
                    }
                }
                Err(_elapsed) => {
                    if let Some(untold) = office.line(source) {
                        tracing::warn!(%source, untold, "TLS handshake not finished in time");
                    }
                }
            }
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    office: &Office,
    scope: Scope,
    stream: S,
    source: SocketAddr,
    client: Option<CertificateDer<'static>>,
    shutdown: &Shutdown,
) {
    let service = service_fn(|request| {
        let client = client.clone();
        async move {
            let answered = timeout(REQUEST_LIMIT, respond(office, scope, request, source, client));
            let late = |_elapsed| {
                answer::later(StatusCode::SERVICE_UNAVAILABLE, 10, "not done in time; try again\n")
            };
            Ok::<_, Infallible>(answered.await.unwrap_or_else(late))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let finished = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.draining() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    if let Ok(Err(error)) = timeout(LIFETIME, finished).await {
        tracing::debug!(%source, %error, "connection broke off");
    }
}

/// Who is still sending when the connection ends does not get to read why.
async fn discard(body: &mut Incoming) {
    let mut left = DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

async fn respond(
    office: &Office,
    scope: Scope,
    request: Request<Incoming>,
    source: SocketAddr,
    client: Option<CertificateDer<'static>>,
) -> Answer {
    let (head, mut body) = request.into_parts();
    let body = match Limited::new(&mut body, BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            let why = format!("a request has at most {BODY_BYTES} bytes\n");
            return answer::text(StatusCode::PAYLOAD_TOO_LARGE, why);
        }
        Err(_broken) => return answer::text(StatusCode::BAD_REQUEST, "the body broke off\n"),
    };
    let request = Request::from_parts(head, body);
    est::answer(office, scope, Received { request, source, client }).await
}
