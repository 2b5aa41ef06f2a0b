//! Work that blocks, off the threads that carry traffic.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::MaterialError;

/// A file system that does not answer is given up after this.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Does one thing at a time.
#[derive(Debug)]
pub(super) struct Blocking(Arc<Semaphore>);

impl Default for Blocking {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Blocking {
    /// Does `work`, for at most [`LIMIT`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, MaterialError> + Send + 'static,
    ) -> Result<T, MaterialError> {
        // While an attempt hangs there is no second one: threads would pile up.
        let waiting = timeout(LIMIT, Arc::clone(&self.0).acquire_owned());
        let Ok(Ok(alone)) = waiting.await else { return Err(MaterialError::TooSlow(LIMIT)) };
        let working = spawn_blocking(move || {
            let _alone = alone;
            work()
        });
        match timeout(LIMIT, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panicked)) => Err(MaterialError::BrokenOff),
            Err(_elapsed) => Err(MaterialError::TooSlow(LIMIT)),
        }
    }
}
