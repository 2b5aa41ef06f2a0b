//! Counts the plaintext bytes of a stream, where HTTP leaves no other place for it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::l4::Moved;
use crate::telemetry::metrics::ListenerMetrics;

/// Which side of the proxy a stream is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Downstream,
    Upstream,
}

/// What went through, shared with whoever records the end.
#[derive(Debug, Default)]
pub(super) struct Tally {
    up: AtomicU64,
    down: AtomicU64,
}

impl Tally {
    pub(super) fn moved(&self) -> Moved {
        Moved { up: self.up.load(Ordering::Relaxed), down: self.down.load(Ordering::Relaxed) }
    }
}

/// A stream whose bytes are counted.
pub(super) struct Counted<S> {
    inner: S,
    side: Side,
    tally: Arc<Tally>,
    metrics: Arc<ListenerMetrics>,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, side: Side, metrics: Arc<ListenerMetrics>) -> (Self, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        (Self { inner, side, tally: Arc::clone(&tally), metrics }, tally)
    }

    fn count(&self, bytes: usize, up: bool) {
        let (tally, metric): (&AtomicU64, &Counter) = match up {
            true => (&self.tally.up, &self.metrics.bytes_up),
            false => (&self.tally.down, &self.metrics.bytes_down),
        };
        tally.fetch_add(bytes as u64, Ordering::Relaxed);
        metric.increment(bytes as u64);
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.count(bytes, self.side == Side::Upstream);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.count(buffer.filled().len() - before, self.side == Side::Downstream);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
