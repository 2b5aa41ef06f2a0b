//! What follows a `101 Switching Protocols`: bytes both ways, and no HTTP any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{HeaderMap, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::flow::Flow;
use super::headers;
use super::host::{Host, Link};
use super::pool::Lease;
use crate::outcome::Ending;

/// Bytes that one direction reads at once.
const BUFFER: usize = 16 * 1024;

/// Whether a request asks for an upgrade that may go on (RFC 9110, 7.8).
///
/// One to HTTP itself, or to TLS, may not: it would carry requests past the gate. It is not refused,
/// only not passed on, and the request is answered as any other.
pub(super) fn is_wanted(version: Version, request_headers: &HeaderMap, has_body: bool) -> bool {
    let leads_past_us = |protocol: &str| {
        let name = protocol.split('/').next().unwrap_or(protocol);
        ["h2", "h2c", "h3", "http", "tls"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    version == Version::HTTP_11
        && !has_body
        && request_headers.contains_key(UPGRADE)
        && headers::has_token(request_headers, &http::header::CONNECTION, "upgrade")
        && !headers::tokens(request_headers, &UPGRADE).any(leads_past_us)
}

/// Both sides of a connection that was upgraded.
pub(super) struct Tunnel<H: Host> {
    pub(super) downstream: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) flow: Arc<Flow<H>>,
    /// Keeps the upstream connection counted as open.
    pub(super) lease: Lease<H>,
    /// What it was asked for as.
    pub(super) kept: H::Kept,
}

impl<H: Host> Tunnel<H> {
    /// Moves bytes until both sides have closed, one broke off, nothing moved for `idle_timeout`, or the
    /// upstream's side is cut.
    pub(super) async fn run(self, host: &H, idle_timeout: Duration) {
        let Self { downstream, upstream, flow, lease, kept } = self;
        let Some(lasting) = host.tunnelled(lease.link(), kept).await else {
            return flow.end(Ending::Cut);
        };
        let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else {
            return flow.end(Ending::DownstreamLost);
        };
        let cut = async {
            match lease.link().end() {
                Some(end) => end.cutting().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cut => flow.end(Ending::UpstreamLost),
            ending = both_ways(downstream, upstream, &flow) => match ending {
                Ending::Finished => flow.finished(),
                other => flow.end(other),
            },
            () = idle(&flow, idle_timeout) => flow.end(Ending::Idle),
        }
        drop((lease, lasting));
    }
}

async fn both_ways<H: Host>(downstream: Upgraded, upstream: Upgraded, flow: &Flow<H>) -> Ending {
    let (from_downstream, to_downstream) = tokio::io::split(TokioIo::new(downstream));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let up = async {
        pump(from_downstream, to_upstream, |bytes| flow.moved_up(bytes))
            .await
            .map_err(|broken| broken.ending(Ending::DownstreamLost, Ending::UpstreamLost))
    };
    let down = async {
        pump(from_upstream, to_downstream, |bytes| flow.moved_down(bytes))
            .await
            .map_err(|broken| broken.ending(Ending::UpstreamLost, Ending::DownstreamLost))
    };
    match tokio::try_join!(up, down) {
        Ok(((), ())) => Ending::Finished,
        Err(ending) => ending,
    }
}

/// Which end of a pump broke.
enum Broken {
    Reading,
    Writing,
}

impl Broken {
    fn ending(self, reading: Ending, writing: Ending) -> Ending {
        match self {
            Self::Reading => reading,
            Self::Writing => writing,
        }
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: impl Fn(usize),
) -> Result<(), Broken> {
    let writing = |_error: io::Error| Broken::Writing;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_error| Broken::Reading)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await.map_err(writing); // half-close: the other direction goes on
        };
        to.write_all(bytes).await.map_err(writing)?;
        to.flush().await.map_err(writing)?;
        moved(read);
    }
}

async fn idle<H: Host>(flow: &Flow<H>, limit: Duration) {
    loop {
        let deadline = flow.last_moved() + limit;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}
