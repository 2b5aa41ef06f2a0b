//! The life of one downstream connection: driven until it ends, is idle for too long, or is cut.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::Version;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::body::BodyError;
use super::exchange::Connection;
use super::flow::Activity;
use super::framing::Verdicts;
use super::host::{Host, Rejection, Rough};
use super::malformed::Malformed;
use super::resets::{Overseen, Violations};
use super::sniff::Rewound;
use super::tracked::Tracked;
use super::watched::Watched;
use super::{
    CONNECTION_WINDOW, PING_INTERVAL, PING_TIMEOUT, SETTLING, STREAM_WINDOW, buffer_bytes, quiet,
};
use crate::config::Limits;
use crate::outcome::Ending;
use crate::shutdown::Shutdown;

/// How long a connection that was told to close may take to do so.
const CLOSING: Duration = Duration::from_secs(5);

/// Serves HTTP/1, and the tunnel that it may turn into.
pub(super) async fn http1<S, H>(
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
    let ending = drive(pin!(served), (close, quiet(limits)), connection, shutdown).await;
    report_unseen(connection, &verdicts, ending).await;
    let tunnel = connection.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    match tunnel {
        Some(tunnel) if ending == Ending::Finished => {
            let mut tunnelled = pin!(tunnel.run(&*connection.host, limits.idle_timeout));
            tokio::select! {
                biased;
                // First: what was cut before it began moves nothing.
                () = shutdown.cutting() => Ending::Cut,
                () = tunnelled.as_mut() => Ending::Finished,
            }
        }
        Some(_) | None if verdicts.refused().is_some() => Ending::ProtocolError,
        Some(_) | None => ending,
    }
}

/// A malformed head that hyper turned away by itself never became a request; it is reported here.
async fn report_unseen<H: Host>(connection: &Connection<H>, verdicts: &Verdicts, ending: Ending) {
    let seen = connection.requests.load(Ordering::Acquire);
    let (number, why) = match (verdicts.refused(), verdicts.refused_number()) {
        (Some(refused), Some(number)) => (number, refused.why),
        // What the watcher has approved, hyper can only have refused for its target.
        _ if ending == Ending::ProtocolError && verdicts.check(seen + 1).is_ok() => {
            (seen + 1, Malformed::Target)
        }
        _ => return,
    };
    if number > seen {
        connection.requests.store(number, Ordering::Release);
        let rough = Rough { number, version: None, method: None, headers: None, span: None };
        connection.host.rejected(&rough, &Rejection::Malformed(why)).await;
    }
}

/// Serves HTTP/2, with one task for each stream.
pub(super) async fn http2<S, H>(
    downstream: Rewound<S>,
    connection: &Arc<Connection<H>>,
    shutdown: &Shutdown,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Host,
{
    let limits = &connection.limits;
    let (overseen, violations) = Overseen::new(downstream);
    let exchanges = Arc::clone(connection);
    let service = service_fn(move |request| Arc::clone(&exchanges).exchange(request));
    let driven = async move {
        let served = http2::Builder::new(Tracked(shutdown.clone()))
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(overseen), service);
        let close = |served: Pin<&mut http2::Connection<_, _, _>>| served.graceful_shutdown();
        // GOAWAY says which requests are still taken.
        drive(pin!(served), (close, Duration::ZERO), connection, shutdown).await
    };
    match tokio::join!(driven, report_violations(connection, violations)) {
        (Ending::Cut, _) => Ending::Cut,
        (_, Violations { is_fatal: true, .. }) => Ending::ProtocolError,
        (ending, _) => ending,
    }
}

/// Reports what the HTTP/2 library turns away by itself, until the connection is gone.
async fn report_violations<H: Host>(
    connection: &Connection<H>,
    mut news: watch::Receiver<Violations>,
) -> Violations {
    let (mut broken, mut too_large) = (0, 0);
    loop {
        let is_open = news.changed().await.is_ok();
        let violations = *news.borrow_and_update();
        // Counted before they go out: never less than there are.
        let ours = connection.bodyless.load(Ordering::Acquire);
        while broken < violations.count {
            broken += 1;
            reject_unseen(connection, Malformed::Http2).await;
        }
        while too_large < violations.bodyless.saturating_sub(ours) {
            too_large += 1;
            reject_unseen(connection, Malformed::TooLarge).await;
        }
        if !is_open {
            return violations;
        }
    }
}

/// Reports a request of HTTP/2 that nobody has seen.
async fn reject_unseen<H: Host>(connection: &Connection<H>, why: Malformed) {
    let number = connection.requests.fetch_add(1, Ordering::AcqRel) + 1;
    let rough =
        Rough { number, version: Some(Version::HTTP_2), method: None, headers: None, span: None };
    connection.host.rejected(&rough, &Rejection::Malformed(why)).await;
}

/// Polls a connection until it ends, is idle for too long, or is cut. At a drain it asks it to `close`: one that is idle after
/// its next request, or when `quiet` has passed without one, for a request may be on its way.
async fn drive<C, H>(
    mut served: Pin<&mut C>,
    (close, quiet): (impl Fn(Pin<&mut C>), Duration),
    connection: &Connection<H>,
    shutdown: &Shutdown,
) -> Ending
where
    C: Future<Output = hyper::Result<()>>,
    H: Host,
{
    let (activity, limits) = (&connection.activity, &connection.limits);
    let mut timer = pin!(sleep_until(overdue(activity, limits)));
    let mut is_idle = false;
    let mut is_closing = false;
    let mut lingers = false;
    loop {
        tokio::select! {
            biased;
            // First: a cut ends the upstream's side, too, and must not be answered as its doing.
            () = shutdown.cutting() => return Ending::Cut,
            ended = poll_fn(|context| match served.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if lingers && activity.is_busy() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }) => return match ended {
                None => {
                    close(served.as_mut());
                    (lingers, is_closing) = (false, true);
                    timer.as_mut().reset(overdue(activity, limits));
                    continue;
                }
                Some(Ok(())) if is_idle => Ending::Idle,
                Some(Ok(())) => Ending::Finished,
                Some(Err(error)) => {
                    turned_away(connection, &error);
                    ending(&error)
                }
            },
            () = shutdown.draining(), if !is_closing && !lingers => {
                if activity.is_busy() || quiet.is_zero() {
                    close(served.as_mut());
                    is_closing = true;
                } else {
                    lingers = true;
                    timer.as_mut().reset(Instant::now() + quiet);
                }
            }
            () = timer.as_mut() => match patience(activity, limits) {
                _ if lingers => {
                    close(served.as_mut());
                    (lingers, is_closing) = (false, true);
                    timer.as_mut().reset(Instant::now() + CLOSING);
                }
                Patience::Until(next) => timer.as_mut().reset(next),
                Patience::Idle if !is_idle => {
                    close(served.as_mut());
                    (is_idle, is_closing) = (true, true);
                    timer.as_mut().reset(Instant::now() + CLOSING);
                }
                Patience::Idle | Patience::Stalled => return Ending::Idle,
            }
        }
    }
}

/// hyper gave up a head before the watcher had come to its end: then the watcher refuses it now.
fn turned_away<H: Host>(connection: &Connection<H>, error: &hyper::Error) {
    let next = connection.requests.load(Ordering::Acquire) + 1;
    let unapproved = |verdicts: &&Arc<Verdicts>| verdicts.check(next).is_err();
    if let Some(verdicts) = connection.verdicts.as_ref().filter(unapproved)
        && error.is_parse()
    {
        verdicts.turned_away(error.is_parse_too_large());
    }
}

/// Whether to wait for a connection any longer.
enum Patience {
    /// Until then.
    Until(Instant),
    /// No; it has a request in flight on which nothing moves.
    Stalled,
    /// No; it has no request in flight and may be closed.
    Idle,
}

fn patience(activity: &Activity, limits: &Limits) -> Patience {
    let now = Instant::now();
    match overdue(activity, limits) {
        // It may cease to be busy, and then be due earlier.
        at if at > now => Patience::Until(at.min(now + limits.idle_timeout)),
        _overdue if activity.is_busy() => Patience::Stalled,
        _overdue => Patience::Idle,
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
fn ending(error: &hyper::Error) -> Ending {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<BodyError>() {
            return match error {
                BodyError::Broken(_) => Ending::UpstreamLost,
                BodyError::Idle(_) => Ending::Idle,
                BodyError::Unwanted => Ending::Finished,
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
