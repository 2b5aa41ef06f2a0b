//! What one socket has accepted, and may still hand on to a listener.

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Shared by those who hand on and those who are handed to: at a drain no listener closes while something may still come.
#[derive(Debug, Clone)]
pub struct Crossing(TaskTracker);

impl Default for Crossing {
    fn default() -> Self {
        let under_way = TaskTracker::new();
        under_way.close(); // only then can it be waited for; it still counts
        Self(under_way)
    }
}

impl Crossing {
    /// Something may be handed on until this drops.
    pub(super) fn begin(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Waits until nothing is left that could be handed on. What was handed on before is there by then.
    pub(super) async fn settled(&self) {
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn it_settles_when_the_last_has_crossed_and_at_once_when_there_is_none() {
        let crossing = Crossing::default();
        crossing.settled().now_or_never().unwrap();

        let (one, other) = (crossing.begin(), crossing.clone().begin());
        let mut settled = Box::pin(crossing.settled());
        drop(one);
        assert!((&mut settled).now_or_never().is_none());
        drop(other);

        settled.await;
    }
}
