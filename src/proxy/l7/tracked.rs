//! hyper's HTTP/2 tasks, under our shutdown.

use std::future::Future;

use hyper::rt::Executor;

use crate::shutdown::Shutdown;

/// Spawns what hyper wants to have spawned, so that a drain waits for it and a cut ends it.
#[derive(Debug, Clone)]
pub(super) struct Tracked(pub(super) Shutdown);

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let shutdown = self.0.clone();
        self.0.spawn(async move {
            tokio::select! {
                biased;
                () = future => {}
                () = shutdown.cutting() => {}
            }
        });
    }
}
