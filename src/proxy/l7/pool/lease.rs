//! One upstream connection, or one stream of it, lent to one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::Notify;

use super::{Open, Pool};
use crate::proxy::l7::body::Upload;
use crate::proxy::l7::host::{Host, PoolKey, Spoken};

/// One upstream connection, or one stream of it, lent to one request.
///
/// Dropped without [`Lease::give_back`], an HTTP/1 connection is closed once its request is over.
pub(in crate::proxy::l7) struct Lease<H: Host> {
    sender: Sender<H>,
    open: Arc<Open<H::Link>>,
    key: PoolKey,
    pool: Arc<Pool<H>>,
    reused: bool,
}

enum Sender<H: Host> {
    Http1(http1::SendRequest<Upload<H>>),
    Http2 {
        sender: http2::SendRequest<Upload<H>>,
        /// Counts this lease as one stream until it drops.
        _stream: Stream,
    },
}

struct Stream {
    streams: Arc<AtomicU32>,
    returned: Arc<Notify>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
        self.returned.notify_one();
    }
}

/// A request that got no answer.
pub(in crate::proxy::l7) struct SendError<H: Host> {
    /// Why.
    pub(in crate::proxy::l7) error: hyper::Error,
    /// The request, if not a byte of it was sent.
    pub(in crate::proxy::l7) request: Option<Request<Upload<H>>>,
}

impl<H: Host> Lease<H> {
    pub(super) fn http1(
        sender: http1::SendRequest<Upload<H>>,
        open: Arc<Open<H::Link>>,
        key: PoolKey,
        pool: &Arc<Pool<H>>,
        reused: bool,
    ) -> Self {
        Self { sender: Sender::Http1(sender), open, key, pool: Arc::clone(pool), reused }
    }

    pub(super) fn http2(
        sender: http2::SendRequest<Upload<H>>,
        open: Arc<Open<H::Link>>,
        key: PoolKey,
        pool: &Arc<Pool<H>>,
        streams: Arc<AtomicU32>,
        reused: bool,
    ) -> Self {
        streams.fetch_add(1, Ordering::AcqRel);
        let stream = Stream { streams, returned: Arc::clone(&pool.returned) };
        let sender = Sender::Http2 { sender, _stream: stream };
        Self { sender, open, key, pool: Arc::clone(pool), reused }
    }

    /// The host's facts about the connection.
    pub(in crate::proxy::l7) fn link(&self) -> &H::Link {
        &self.open.link
    }

    /// What it speaks.
    pub(in crate::proxy::l7) fn spoken(&self) -> Spoken {
        match self.sender {
            Sender::Http1(_) => Spoken::Http1,
            Sender::Http2 { .. } => Spoken::Http2,
        }
    }

    /// Whether it has carried requests before, so that the upstream may be closing it just now.
    pub(in crate::proxy::l7) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the head of its answer.
    pub(in crate::proxy::l7) async fn send(
        &mut self,
        request: Request<Upload<H>>,
    ) -> Result<Response<Incoming>, Box<SendError<H>>> {
        let answer = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2 { sender, .. } => sender.try_send_request(request).await,
        };
        answer.map_err(|mut failed: TrySendError<_>| {
            let request = failed.take_message();
            Box::new(SendError { request, error: failed.into_error() })
        })
    }

    /// The answer has been read to its end. The connection may be used again if the request has been
    /// sent to its end, too.
    pub(in crate::proxy::l7) fn give_back(self, request_sent: bool) {
        match self.sender {
            Sender::Http1(sender) if request_sent && !sender.is_closed() => {
                self.pool.put_back(self.key, sender, self.open);
            }
            Sender::Http1(_) | Sender::Http2 { .. } => {}
        }
    }
}
