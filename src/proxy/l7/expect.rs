//! `Expect: 100-continue`: whether a request's body is wanted is the upstream's to say.
//!
//! hyper sends `100 Continue` downstream when the body is first polled, and polls it as soon as the
//! request goes upstream. So the body is held here until the upstream has said 100 itself, or has
//! kept silent for a second, as clients do with servers that know no 100 (RFC 9110, 10.1.1).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Sleep, sleep};

/// How long an upstream may keep silent before the body is sent unasked.
const PATIENCE: Duration = Duration::from_secs(1);

const WAITING: u8 = 0;
const WANTED: u8 = 1;
const ANSWERED: u8 = 2;
const UNWANTED: u8 = 3;

/// Whether the upstream wants the body; shared by all who learn or need to know it.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    state: AtomicU8,
    waker: AtomicWaker,
}

impl Expectation {
    /// The upstream said 100.
    pub(super) fn body_wanted(&self) {
        self.advance(WAITING, WANTED);
    }

    /// The upstream gave its final answer. If that came before 100, the body stays where it is.
    pub(super) fn answered(&self) {
        self.advance(WAITING, ANSWERED);
    }

    /// The answer has been passed on; a body that was never asked for is not sent any more.
    pub(super) fn over(&self) {
        self.advance(ANSWERED, UNWANTED);
        self.advance(WAITING, UNWANTED);
    }

    fn advance(&self, from: u8, to: u8) {
        let _ = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }
}

/// Holds one body until it is wanted.
#[derive(Debug)]
pub(super) struct Held {
    expectation: Arc<Expectation>,
    patience: Pin<Box<Sleep>>,
}

/// What became of a body that was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// It may be sent.
    Send,
    /// It will never be asked for.
    Abandon,
}

impl Held {
    /// Holds a body until `expectation` says otherwise.
    pub(super) fn new(expectation: Arc<Expectation>) -> Self {
        Self { expectation, patience: Box::pin(sleep(PATIENCE)) }
    }

    /// Resolves when the body may be sent, or will not be.
    pub(super) fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<Release> {
        self.expectation.waker.register(cx.waker());
        if self.patience.as_mut().poll(cx).is_ready() {
            self.expectation.body_wanted();
        }
        match self.expectation.state.load(Ordering::Acquire) {
            WANTED => Poll::Ready(Release::Send),
            UNWANTED => Poll::Ready(Release::Abandon),
            _waiting => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn released(held: &mut Held) -> Release {
        poll_fn(|cx| held.poll_released(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_sent_when_the_upstream_says_100() {
        let expectation = Arc::new(Expectation::default());
        let mut held = Held::new(Arc::clone(&expectation));
        let begun = tokio::time::Instant::now();

        let (release, ()) = tokio::join!(released(&mut held), async { expectation.body_wanted() });

        assert_eq!(release, Release::Send);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_upstream_gets_the_body_after_a_second() {
        let mut held = Held::new(Arc::default());
        let begun = tokio::time::Instant::now();

        assert_eq!(released(&mut held).await, Release::Send);
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_not_sent_behind_a_final_answer() {
        let expectation = Arc::new(Expectation::default());
        let mut held = Held::new(Arc::clone(&expectation));

        expectation.answered();
        expectation.body_wanted();
        expectation.over();

        assert_eq!(released(&mut held).await, Release::Abandon);
    }
}
