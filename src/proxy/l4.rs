//! Moves bytes both ways between two streams until both have ended.
//!
//! Made for cost per byte and per idle connection: bytes are read into a scratch buffer of the worker
//! thread and written on in the same step, so a connection owns memory only while its receiver is
//! slower than its sender.

mod way;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use self::way::Blind;
pub(super) use self::way::{Look, Way};
use crate::authz::Permit;
use crate::outcome::Ending;
use crate::proxy::stream::Broken;
use crate::telemetry::metrics::ListenerMetrics;

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
        let up_state = up.poll(cx, &mut downstream, &mut upstream, &mut Blind);
        let down_state = down.poll(cx, &mut upstream, &mut downstream, &mut Blind);
        if before != (up.moved, down.moved) {
            metrics.bytes_up.increment(up.moved - before.0);
            metrics.bytes_down.increment(down.moved - before.1);
            *moved = Moved { up: up.moved, down: down.moved };
            watch.moved();
        }
        match (up_state, down_state) {
            (Poll::Ready(Err(broken)), _) => Poll::Ready(ended(broken, true)),
            (_, Poll::Ready(Err(broken))) => Poll::Ready(ended(broken, false)),
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

fn ended(broken: Broken, up: bool) -> Ended {
    let (ending, cause) = broken.ending(up);
    Ended { ending, cause: Some(cause) }
}

/// Fires when nothing moved for a whole period. Re-arms its timer lazily, once a period at most.
pub(super) struct IdleWatch {
    period: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl IdleWatch {
    pub(super) fn new(period: Duration) -> Self {
        let last = Instant::now();
        Self { period, last, timer: Box::pin(sleep_until(last + period)) }
    }

    pub(super) fn moved(&mut self) {
        self.last = Instant::now();
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
pub(super) mod tests;
