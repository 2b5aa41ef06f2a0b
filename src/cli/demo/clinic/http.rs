//! A small HTTP/1.1 server, as a legacy service has one: whole requests in, whole answers out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shutdown::Shutdown;

/// Connections at once.
const CONNECTIONS: usize = 64;
/// A request's body.
const BODY: usize = 64 * 1024;
/// For a request's head, and for its body.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the drain begins: by then the sidecar in front has ended.
pub(super) async fn serve<F>(listener: TcpListener, shutdown: Shutdown, answer: F)
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let (answer, slots) = (Arc::new(answer), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let next = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
        let (slot, accepted) = tokio::select! {
            () = shutdown.draining() => return,
            next = next => next,
        };
        let Ok((socket, _caller)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let (answer, end) = (Arc::clone(&answer), shutdown.clone());
        shutdown.spawn(async move {
            tokio::select! {
                () = end.draining() => {}
                () = connection(socket, answer) => {}
            }
            drop(slot);
        });
    }
}

async fn connection<F>(socket: TcpStream, answer: Arc<F>)
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>>,
{
    let service = service_fn(|request| {
        let answer = Arc::clone(&answer);
        async move {
            Ok::<_, Infallible>(match whole(request).await {
                Ok(request) => answer(request),
                Err(status) => reply(status, "text/plain", "the body is too long or too slow\n"),
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "sample service: connection broke off");
    }
}

async fn whole(request: Request<Incoming>) -> Result<Request<Bytes>, StatusCode> {
    let (head, body) = request.into_parts();
    match timeout(PATIENCE, Limited::new(body, BODY).collect()).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, body.to_bytes())),
        Ok(Err(_too_long)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_elapsed) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// An answer with a body.
pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The SPIFFE ID in `x-forwarded-client-cert`: whom the sidecar has let in.
pub(super) fn vouched(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-forwarded-client-cert")?.to_str().ok()?;
    value.split(';').find_map(|field| field.strip_prefix("URI=")).map(ToOwned::to_owned)
}
