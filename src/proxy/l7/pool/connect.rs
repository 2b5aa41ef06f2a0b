//! A new upstream connection, and who keeps it going.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::room::{Need, Room};
use super::shelves::Shared;
use super::{Lease, Open, Pool};
use crate::proxy::l7::host::{ConnectError, Connected, Host, Link, PoolKey, Spoken, Wanted};
use crate::proxy::l7::tracked::Tracked;
use crate::proxy::l7::{
    CONNECTION_WINDOW, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW, buffer_bytes,
};
use crate::shutdown::Shutdown;

impl<H: Host> Pool<H> {
    /// Opens a connection, as soon as there is room for one. A new HTTP/2 connection is on the shelf at
    /// once, for others to share.
    pub(super) async fn open(
        self: &Arc<Self>,
        (host, permit): (&H, &H::Permit),
        key: PoolKey,
        wanted: Wanted,
        need: Need,
    ) -> Result<Lease<H>, ConnectError> {
        let slot = match self.room(&key, wanted, need).await? {
            Room::Slot(slot) => slot,
            Room::Back(lease) => return Ok(lease),
        };
        let Connected { io, spoken, link } = host.connect(permit, wanted).await?;
        let open = Arc::new(Open { link, _slot: slot });
        self.on_shelves(|shelves| {
            if let Some(shelf) = shelves.shelf(&key) {
                shelf.answers.learn(wanted, spoken);
            }
        });
        match spoken {
            Spoken::Http1 => self.http1(io, open, key).await,
            Spoken::Http2 => self.http2(io, open, key).await,
        }
    }

    async fn http1(
        self: &Arc<Self>,
        io: H::Io,
        open: Arc<Open<H::Link>>,
        key: PoolKey,
    ) -> Result<Lease<H>, ConnectError> {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            // Legacy servers fold header lines; they leave here unfolded (RFC 9112, 5.2).
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .max_header_size(self.limits.header_bytes)
            .max_buf_size(buffer_bytes(&self.limits))
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_closed| ConnectError::Unreachable)?;
        self.keep_going(Arc::clone(&open), &key, connection.with_upgrades());
        Ok(Lease::http1(sender, open, key, self, false))
    }

    async fn http2(
        self: &Arc<Self>,
        io: H::Io,
        open: Arc<Open<H::Link>>,
        key: PoolKey,
    ) -> Result<Lease<H>, ConnectError> {
        let header_bytes = u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX);
        let handshake = http2::Builder::new(Tracked(self.end_of(&open)))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(header_bytes)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(io));
        let (sender, connection) = timeout(self.limits.connect_timeout, handshake)
            .await
            .map_err(|_elapsed| ConnectError::Timeout)?
            .map_err(|_closed| ConnectError::Unreachable)?;
        self.keep_going(Arc::clone(&open), &key, connection);
        let streams = Arc::new(AtomicU32::new(0));
        let shared = Shared {
            sender: sender.clone(),
            open: Arc::clone(&open),
            streams: Arc::clone(&streams),
            since: Instant::now(),
        };
        let lease = Lease::http2(sender, open, key.clone(), self, streams, false);
        let unwanted = self.on_shelves(|shelves| {
            let is_open = !shelves.closed;
            match shelves.shelf(&key).filter(|_| is_open) {
                Some(shelf) => {
                    shelf.http2.push(shared);
                    None
                }
                None => Some(shared),
            }
        });
        drop(unwanted); // the lease alone keeps it open
        Ok(lease)
    }

    /// Moves the bytes of a connection until it ends. It counts as open for as long. When it is to end, it
    /// is taken off its shelf: then it ends with the request that it has, or at once.
    fn keep_going(
        self: &Arc<Self>,
        open: Arc<Open<H::Link>>,
        key: &PoolKey,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) {
        let (pool, end, key) = (Arc::downgrade(self), self.end_of(&open), key.clone());
        self.shutdown.spawn(async move {
            let mut connection = pin!(connection);
            let mut is_ending = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            debug!(%error, "upstream connection broke off");
                        }
                        break;
                    }
                    () = end.cutting() => break,
                    () = end.draining(), if !is_ending => {
                        is_ending = true;
                        if let Some(pool) = pool.upgrade() {
                            pool.on_shelves(|shelves| shelves.discard(&key, &open));
                        }
                    }
                }
            }
            drop(open);
        });
    }

    fn end_of(&self, open: &Open<H::Link>) -> Shutdown {
        open.link.end().unwrap_or(&self.shutdown).clone()
    }
}
