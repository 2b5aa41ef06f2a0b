//! The HTTP proxy between two byte streams.
//!
//! It knows nothing of TLS, listeners and records: a [`Host`] judges, connects and records for it.
//! Reading order: [`serve`] drives one downstream connection, `exchange` has the life of a request,
//! `gate`, `path` and `framing` refuse what is ambiguous, `headers` and `body` carry what passes,
//! `pool` keeps upstream connections.

mod body;
mod exchange;
mod expect;
mod flow;
mod framing;
mod gate;
mod headers;
mod host;
mod malformed;
mod path;
mod pool;
mod respond;
mod sniff;
#[cfg(test)]
mod tests;
mod tracked;
mod upgrade;
mod watched;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use self::exchange::Connection;
use self::flow::Activity;
use self::framing::Verdicts;
use self::sniff::{Rewound, sniff};
use self::tracked::Tracked;
use self::watched::Watched;
use crate::config::Limits;
use crate::outcome::Ending;
use crate::shutdown::Shutdown;

pub use host::{
    ConnectError, Connected, Facing, Head, Host, NotAudited, PoolKey, Rejection, RequestEnd, Rough,
    Spoken, Wanted,
};
pub use malformed::Malformed;
pub use pool::{Pool, PoolLimits};

/// HTTP/2 receive window of one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 receive window of one connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How often a quiet HTTP/2 connection is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that was told to close may take to do so.
const CLOSING: Duration = Duration::from_secs(5);
/// How long exchanges may take to note their ends once their connection has ended.
const SETTLING: Duration = Duration::from_secs(1);

/// What a downstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downstream {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Plaintext without ALPN: HTTP/2 if it begins with HTTP/2's preface, else HTTP/1.
    Auto,
}

/// What came of a downstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// How it ended.
    pub ending: Ending,
    /// How many requests it had, those refused included.
    pub requests: u64,
}

/// Serves one downstream connection to its end.
///
/// When `shutdown` drains, what is in flight is finished and the connection closed; when it cuts, all
/// ends at once.
pub async fn serve<S, H>(
    downstream: S,
    version: Downstream,
    host: Arc<H>,
    pool: Arc<Pool<H>>,
    limits: &Limits,
    shutdown: &Shutdown,
) -> Served
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Host,
{
    let (spoken, downstream) = match version {
        Downstream::Http1 => (Spoken::Http1, Rewound::untouched(downstream)),
        Downstream::Http2 => (Spoken::Http2, Rewound::untouched(downstream)),
        Downstream::Auto => match first_bytes(downstream, limits, shutdown).await {
            Ok(sniffed) => sniffed,
            Err(ending) => return Served { ending, requests: 0 },
        },
    };
    let verdicts = match spoken {
        Spoken::Http1 => Some(Arc::<Verdicts>::default()),
        Spoken::Http2 => None,
    };
    let connection = Arc::new(Connection {
        host,
        pool,
        limits: limits.clone(),
        activity: Activity::new(shutdown.clone()),
        verdicts: verdicts.clone(),
        requests: AtomicU64::new(0),
        tunnel: Mutex::new(None),
    });
    let ending = match verdicts {
        Some(verdicts) => Box::pin(http1(downstream, &connection, verdicts, shutdown)).await,
        None => Box::pin(http2(downstream, &connection, shutdown)).await,
    };
    let _ = timeout(SETTLING, connection.activity.quiet()).await;
    Served { ending, requests: connection.requests.load(Ordering::Acquire) }
}

async fn first_bytes<S: AsyncRead + Unpin>(
    downstream: S,
    limits: &Limits,
    shutdown: &Shutdown,
) -> Result<(Spoken, Rewound<S>), Ending> {
    tokio::select! {
        sniffed = timeout(limits.idle_timeout, sniff(downstream)) => match sniffed {
            Ok(Ok(sniffed)) => Ok(sniffed),
            Ok(Err(_)) => Err(Ending::DownstreamLost),
            Err(_elapsed) => Err(Ending::Idle),
        },
        () = shutdown.draining() => Err(Ending::Finished),
    }
}

async fn http1<S, H>(
    downstream: Rewound<S>,
    connection: &Arc<Connection<H>>,
    verdicts: Arc<Verdicts>,
    shutdown: &Shutdown,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Host,
{
    let limits = &connection.limits;
    let watched =
        Watched::new(downstream, Arc::clone(&verdicts), limits.header_bytes, limits.header_timeout);
    let exchanges = Arc::clone(connection);
    let service = service_fn(move |request| Arc::clone(&exchanges).exchange(request));
    let served = http1::Builder::new()
        .preserve_header_case(true)
        .auto_date_header(false)
        .header_read_timeout(None) // the watcher's, which does not run between requests
        .max_header_size(limits.header_bytes)
        .max_buf_size(buffer_bytes(limits))
        .serve_connection(TokioIo::new(watched), service)
        .with_upgrades();
    let close = |connection: Pin<&mut http1::UpgradeableConnection<_, _>>| {
        connection.graceful_shutdown();
    };
    let ending = drive(pin!(served), close, connection, shutdown).await;
    report_unseen(connection, &verdicts).await;
    let tunnel = connection.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    match tunnel {
        Some(tunnel) if ending == Ending::Finished => {
            let mut tunnelled = pin!(tunnel.run(limits.idle_timeout));
            tokio::select! {
                () = tunnelled.as_mut() => Ending::Finished,
                () = shutdown.cutting() => Ending::Cut,
            }
        }
        Some(_) | None if verdicts.refused().is_some() => Ending::ProtocolError,
        Some(_) | None => ending,
    }
}

/// A malformed head that hyper turned away by itself never became a request; it is reported here.
async fn report_unseen<H: Host>(connection: &Connection<H>, verdicts: &Verdicts) {
    let (Some(refused), Some(number)) = (verdicts.refused(), verdicts.refused_number()) else {
        return;
    };
    if connection.requests.fetch_max(number, Ordering::AcqRel) >= number {
        return;
    }
    let rough = Rough { number, version: None, method: None, headers: None };
    connection.host.rejected(&rough, &Rejection::Malformed(refused.why)).await;
}

async fn http2<S, H>(
    downstream: Rewound<S>,
    connection: &Arc<Connection<H>>,
    shutdown: &Shutdown,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Host,
{
    let limits = &connection.limits;
    let exchanges = Arc::clone(connection);
    let service = service_fn(move |request| Arc::clone(&exchanges).exchange(request));
    let served = http2::Builder::new(Tracked(shutdown.clone()))
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(downstream), service);
    let close = |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
    drive(pin!(served), close, connection, shutdown).await
}

/// Polls a connection until it ends, is idle for too long, or is cut; asks it to `close` at a drain.
async fn drive<C, H>(
    mut served: Pin<&mut C>,
    close: impl Fn(Pin<&mut C>),
    connection: &Connection<H>,
    shutdown: &Shutdown,
) -> Ending
where
    C: Future<Output = hyper::Result<()>>,
    H: Host,
{
    let activity = &connection.activity;
    let overdue = || overdue(activity, &connection.limits);
    let mut timer = pin!(sleep_until(overdue()));
    let mut is_idle = false;
    let mut is_closing = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cutting() => return Ending::Cut, // before an answer that the cut has made
            ended = served.as_mut() => return match ended {
                Ok(()) if is_idle => Ending::Idle,
                Ok(()) => Ending::Finished,
                Err(error) => ending(&error, connection.verdicts.as_deref()),
            },
            () = shutdown.draining(), if !is_closing => {
                close(served.as_mut());
                is_closing = true;
            }
            () = timer.as_mut() => {
                if overdue() > Instant::now() {
                    // It may cease to be busy, and then be due earlier.
                    timer.as_mut().reset(overdue().min(Instant::now() + connection.limits.idle_timeout));
                } else if is_idle || activity.is_busy() {
                    return Ending::Idle;
                } else {
                    close(served.as_mut());
                    (is_idle, is_closing) = (true, true);
                    timer.as_mut().reset(Instant::now() + CLOSING);
                }
            }
        }
    }
}

/// When a connection on which nothing more moves has been idle for too long.
fn overdue(activity: &Activity, limits: &Limits) -> Instant {
    // A request in flight may also wait for its answer, which has a timeout of its own.
    let limit = if activity.is_busy() {
        limits.idle_timeout.max(limits.response_timeout) + SETTLING
    } else {
        limits.idle_timeout
    };
    activity.last_moved() + limit
}

/// How a connection ended that hyper gave up.
fn ending(error: &hyper::Error, verdicts: Option<&Verdicts>) -> Ending {
    if let Some(verdicts) = verdicts.filter(|_| error.is_parse()) {
        verdicts.turned_away(error.is_parse_too_large());
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<body::BodyError>() {
            return match error {
                body::BodyError::Broken(_) => Ending::UpstreamLost,
                body::BodyError::Idle(_) => Ending::Idle,
                body::BodyError::Unwanted => Ending::Finished,
            };
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return Ending::Idle,
            Some(io::ErrorKind::UnexpectedEof) => return Ending::Truncated,
            Some(io::ErrorKind::InvalidData) => return Ending::ProtocolError,
            Some(_) => return Ending::DownstreamLost,
            None => source = cause.source(),
        }
    }
    if error.is_parse() { Ending::ProtocolError } else { Ending::DownstreamLost }
}

/// Read and write buffer of one HTTP/1 connection, at most: a whole head fits.
fn buffer_bytes(limits: &Limits) -> usize {
    limits.header_bytes.max(64 * 1024)
}
