//! The HTTP proxy between two byte streams.
//!
//! It knows nothing of TLS, listeners and records: a [`Host`] judges, connects and records for it.
//! Reading order: [`serve`] and `drive` have the life of one downstream connection, `exchange` and
//! `sending` that of a request, `inside` looks into its body where policy wants that, `gate`, `path`, `names` and `framing` refuse what is ambiguous,
//! `headers` and `body` carry what passes, `pool` keeps upstream connections.

mod body;
mod discard;
mod drive;
mod exchange;
mod expect;
mod flow;
mod framing;
mod gate;
mod headers;
mod host;
mod inside;
mod malformed;
mod methods;
mod names;
mod pool;
mod resets;
mod respond;
mod sending;
mod sniff;
#[cfg(test)]
mod tests;
mod tracked;
mod upgrade;
mod watched;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use self::exchange::Connection;
use self::flow::Activity;
use self::framing::Verdicts;
use self::sniff::{Rewound, sniff};
use crate::config::Limits;
use crate::outcome::Ending;
use crate::shutdown::Shutdown;

pub use host::{
    Again, ConnectError, Connected, Facing, Head, Host, Inside, Link, NotAudited, PoolKey,
    Rejection, RequestEnd, Rough, Sought, Spoken, Wanted,
};
pub use malformed::Malformed;
pub use methods::known_method;
pub use pool::{Pool, PoolLimits};

/// HTTP/2 receive window of one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 receive window of one connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How often a quiet HTTP/2 connection is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long exchanges may take to note their ends once their connection has ended.
const SETTLING: Duration = Duration::from_secs(1);
/// At a drain, a connection without a request in flight is closed when so long none has come, at most: one may be on its way.
const QUIET: Duration = Duration::from_secs(1);

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
        bodyless: AtomicU64::new(0),
        tunnel: Mutex::new(None),
    });
    let ending = match verdicts {
        Some(verdicts) => Box::pin(drive::http1(downstream, &connection, verdicts, shutdown)).await,
        None => Box::pin(drive::http2(downstream, &connection, shutdown)).await,
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
        sniffed = sniff(downstream, limits) => sniffed,
        () = drained(shutdown, quiet(limits)) => Err(Ending::Finished),
    }
}

/// Resolves when a drain has begun, and nothing came for a while.
async fn drained(shutdown: &Shutdown, quiet: Duration) {
    shutdown.draining().await;
    sleep(quiet).await;
}

/// How long a connection counts as quiet at a drain: outbound ones may have no more than half of `drain_timeout`, and what is
/// closed needs some of it, too, not to be cut.
fn quiet(limits: &Limits) -> Duration {
    QUIET.min(limits.drain_timeout / 4)
}

/// Read and write buffer of one HTTP/1 connection, at most: a whole head fits.
fn buffer_bytes(limits: &Limits) -> usize {
    limits.header_bytes.max(64 * 1024)
}
