//! Moves bytes both ways between two streams until both have ended.
//!
//! Made for cost per byte and per idle connection: bytes are read into a scratch buffer of the worker
//! thread and written on in the same step, so a connection owns memory only while its receiver is
//! slower than its sender.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::authz::Permit;
use crate::outcome::Ending;
use crate::telemetry::metrics::ListenerMetrics;

/// Bytes moved at once.
const SCRATCH: usize = 8 * RECORD;
/// The plaintext of a full TLS record (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;

thread_local! {
    /// Where a worker reads to; borrowed within one poll, never across an await.
    static WORKER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How much was moved, filled while bytes move, so that it is known however the relay ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// From downstream to upstream.
    pub up: u64,
    /// From upstream to downstream.
    pub down: u64,
}

/// How a relay came to its end.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// The error of the stream that broke, if one did.
    pub cause: Option<io::Error>,
}

/// Relays between `downstream` and `upstream` until both have ended, or nothing moves for `idle`.
///
/// Half-close is kept: when one side ends its stream, the other goes on. TLS ends without close_notify
/// (RFC 8446, 6.1) are [`Ending::Truncated`]. The permit is proof that the peer may do this.
pub async fn relay<D, U>(
    _permit: &Permit,
    mut downstream: D,
    mut upstream: U,
    idle: Duration,
    moved: &mut Moved,
    metrics: &ListenerMetrics,
) -> Ended
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Way::default();
    let mut down = Way::default();
    let mut watch = IdleWatch::new(idle);
    poll_fn(|cx| {
        let before = (up.moved, down.moved);
        let up_state = up.poll(cx, &mut downstream, &mut upstream);
        let down_state = down.poll(cx, &mut upstream, &mut downstream);
        if before != (up.moved, down.moved) {
            metrics.bytes_up.increment(up.moved - before.0);
            metrics.bytes_down.increment(down.moved - before.1);
            *moved = Moved { up: up.moved, down: down.moved };
            watch.moved();
        }
        match (up_state, down_state) {
            (Poll::Ready(Err(broken)), _) => Poll::Ready(broken.ended(true)),
            (_, Poll::Ready(Err(broken))) => Poll::Ready(broken.ended(false)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                Poll::Ready(Ended { ending: Ending::Finished, cause: None })
            }
            (Poll::Pending, _) | (_, Poll::Pending) => {
                watch.poll(cx).map(|()| Ended { ending: Ending::Idle, cause: None })
            }
        }
    })
    .await
}

/// Which end of a way broke, and how.
enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

impl Broken {
    /// `up`: the way from downstream to upstream.
    fn ended(self, up: bool) -> Ended {
        let ending = match (&self, up) {
            (Self::Reading(error), _) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ending::Truncated
            }
            (Self::Reading(_), true) | (Self::Writing(_), false) => Ending::DownstreamLost,
            (Self::Reading(_), false) | (Self::Writing(_), true) => Ending::UpstreamLost,
        };
        let (Self::Reading(cause) | Self::Writing(cause)) = self;
        Ended { ending, cause: Some(cause) }
    }
}

/// One of the two ways, from a reader to a writer.
#[derive(Default)]
struct Way {
    /// Read and not yet taken by the writer; empty nearly always.
    left: Vec<u8>,
    /// How much of `left` the writer has taken.
    taken: usize,
    state: State,
    /// Bytes that the writer has taken: what was only read has not moved yet.
    moved: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    /// The reader has ended; the writer is to be told.
    Ending,
    Ended,
    /// The reader broke; reported once the writer has what came before.
    Broken(io::Error),
}

impl Way {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        // A bound on one turn, so that a fast pair does not starve the worker's other connections.
        let mut turns = 16;
        loop {
            ready!(self.poll_left(cx, writer)).map_err(Broken::Writing)?;
            match std::mem::take(&mut self.state) {
                State::Ended => {
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Broken(error) => return Poll::Ready(Err(Broken::Reading(error))),
                State::Ending => {
                    self.state = State::Ending;
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Broken::Writing)?;
                    self.state = State::Ended;
                    continue;
                }
                State::Open => {}
            }
            if turns == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            turns -= 1;
            match WORKER.with_borrow_mut(|scratch| self.poll_move(cx, reader, writer, scratch)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => {
                    // Nothing to read: what the writer still holds must go out, the peer may wait for it.
                    // That may be TLS' own: an answer to what the other way has just read.
                    ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Broken::Writing)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads what there is into `scratch` and hands on as much as the writer takes; the rest becomes
    /// `left`.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = ReadBuf::new(scratch);
        ready!(self.poll_fill(cx, reader, &mut buffer)).map_err(Broken::Reading)?;
        let mut rest = buffer.filled();
        while !rest.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Broken::Writing(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Writing(error))),
                Poll::Ready(Ok(n)) => {
                    self.moved += n as u64;
                    rest = rest.get(n..).unwrap_or_default();
                }
                Poll::Pending => {
                    self.left = rest.to_vec();
                    self.taken = 0;
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads until there is nothing more at the moment, or no room for another TLS record.
    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let before = buffer.filled().len();
            match Pin::new(&mut *reader).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                    self.state = State::Ending;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if buffer.remaining() >= RECORD => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) if before == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    self.state = State::Broken(error);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes what was read earlier, then gives its memory back.
    fn poll_left<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while let Some(rest) = self.left.get(self.taken..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += n;
            self.moved += n as u64;
        }
        if self.taken > 0 {
            self.left = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// Fires when nothing moved for a whole period. Re-arms its timer lazily, once a period at most.
struct IdleWatch {
    period: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl IdleWatch {
    fn new(period: Duration) -> Self {
        let last = Instant::now();
        Self { period, last, timer: Box::pin(sleep_until(last + period)) }
    }

    fn moved(&mut self) {
        self.last = Instant::now();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.last + self.period;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests;
