//! The downstream transport, with the watcher looking on.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::framing::{Verdicts, Watcher};

/// How long a peer may take to notice that we closed, before unread bytes reset the connection.
const LINGER: Duration = Duration::from_secs(1);
/// Most unread bytes that are thrown away while lingering.
const LINGER_BYTES: usize = 1 << 20;

/// A transport whose incoming bytes are watched, with a deadline on heads and a close that lets the
/// last answer arrive.
#[derive(Debug)]
pub(super) struct Watched<S> {
    io: S,
    watcher: Watcher,
    verdicts: Arc<Verdicts>,
    header_timeout: Duration,
    /// Runs while a head is incomplete; made only when one does not come in a single read.
    head_deadline: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
    /// A body is broken: nothing more is read.
    broken: bool,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    No,
    /// Our side is closed; this many bytes may still be thrown away before `deadline`.
    Lingering {
        deadline: Pin<Box<Sleep>>,
        bytes: usize,
    },
    Done,
}

impl<S> Watched<S> {
    /// Watches `io`.
    pub(super) fn new(
        io: S,
        verdicts: Arc<Verdicts>,
        header_bytes: usize,
        header_timeout: Duration,
    ) -> Self {
        Self {
            io,
            watcher: Watcher::new(header_bytes),
            verdicts,
            header_timeout,
            head_deadline: None,
            peer_closed: false,
            broken: false,
            closing: Closing::No,
        }
    }

    /// Whether the head that has begun is overdue.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.watcher.is_in_head() {
            self.head_deadline = None;
            return Poll::Pending;
        }
        let timeout = self.header_timeout;
        self.head_deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        if Pin::new(&mut this.io).poll_read(cx, buffer)?.is_pending() {
            ready!(this.poll_overdue(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let news = buffer.filled().get(before..).unwrap_or_default();
        if news.is_empty() {
            this.peer_closed = true;
            return Poll::Ready(Ok(()));
        }
        if let Err(good) = this.watcher.feed(news, &this.verdicts) {
            this.broken = true;
            buffer.set_filled(before + good);
            if good == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        if !this.watcher.is_in_head() {
            this.head_deadline = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Closes our side. If the peer may still be sending what nobody will read, its bytes are thrown
    /// away for a moment: closing at once would reset the connection and lose the answer with it
    /// (RFC 9112, 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.closing {
                Closing::No => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.closing = if this.peer_closed || this.watcher.is_at_rest() {
                        Closing::Done
                    } else {
                        Closing::Lingering { deadline: Box::pin(sleep(LINGER)), bytes: 0 }
                    };
                }
                Closing::Lingering { deadline, bytes } => {
                    let mut scratch = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut scratch);
                    let read = Pin::new(&mut this.io).poll_read(cx, &mut buffer);
                    if read.is_pending() {
                        ready!(deadline.as_mut().poll(cx));
                    }
                    *bytes += buffer.filled().len();
                    let over = read.is_pending() || *bytes > LINGER_BYTES;
                    if over || buffer.filled().is_empty() {
                        this.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}
