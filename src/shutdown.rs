//! Drain, then cut: how everything that runs comes to its end.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handed to everything that runs; its maker keeps one and calls [`Shutdown::run`].
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything finished by itself.
    Clean,
    /// This many tasks were cut.
    Cut(usize),
}

impl Shutdown {
    /// A shutdown of a part: drained and cut with the whole, or earlier on its own.
    pub fn child(&self) -> Self {
        Self {
            drain: self.drain.child_token(),
            cut: self.cut.child_token(),
            tasks: self.tasks.clone(),
        }
    }

    /// A shutdown of a part that goes on while the whole drains: drained on its own, and cut with the whole.
    pub fn outlasting(&self) -> Self {
        Self {
            drain: self.cut.child_token(),
            cut: self.cut.child_token(),
            tasks: self.tasks.clone(),
        }
    }

    /// Spawns a task that a drain waits for. The only spawn of the data path.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(future);
    }

    /// The same, on another runtime than the current one.
    pub fn spawn_on<F>(&self, runtime: &Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn_on(future, runtime);
    }

    /// Resolves when draining has begun: finish what is open, take on nothing new.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether what is still open must end at once.
    pub fn is_cutting(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Whether nothing that runs is left.
    pub fn is_over(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Does `work` unless it is cut before it is done.
    pub async fn until_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.cutting() => None,
        }
    }

    /// Resolves when what is still open must end at once.
    pub async fn cutting(&self) {
        self.cut.cancelled().await;
    }

    /// Begins to drain without waiting for it.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends at once whatever is still open.
    pub fn cut(&self) {
        self.drain.cancel();
        self.cut.cancel();
    }

    /// Drains for at most `grace`, then cuts what is left and waits for it to be gone.
    pub async fn run(&self, grace: Duration) -> Drained {
        self.drain.cancel();
        self.tasks.close();
        let drained = async {
            tokio::select! {
                () = self.tasks.wait() => true,
                () = self.cut.cancelled() => false,
            }
        };
        if timeout(grace, drained).await == Ok(true) {
            return Drained::Clean;
        }
        let left = self.tasks.len();
        self.cut.cancel();
        self.tasks.wait().await;
        if left == 0 { Drained::Clean } else { Drained::Cut(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_in_time_is_cut_and_counted() {
        let shutdown = Shutdown::default();
        let stubborn = shutdown.clone();
        shutdown.spawn(async move { stubborn.cutting().await });

        assert_eq!(shutdown.run(Duration::from_secs(30)).await, Drained::Cut(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_finishes_in_time_is_not_cut() {
        let shutdown = Shutdown::default();
        let polite = shutdown.clone();
        shutdown.spawn(async move { polite.draining().await });

        assert_eq!(shutdown.run(Duration::from_secs(30)).await, Drained::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_can_be_drained_without_the_whole() {
        let whole = Shutdown::default();
        let part = whole.child();

        part.drain();

        assert!(part.is_draining());
        assert!(!whole.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_a_drain_is_waited_for_and_ends_on_its_own_or_with_the_cut() {
        for ends_itself in [true, false] {
            let whole = Shutdown::default();
            let part = whole.outlasting();
            let (told, ended) = (part.clone(), whole.run(Duration::from_secs(30)));
            part.spawn(async move { told.draining().await });
            tokio::pin!(ended);

            assert!(timeout(Duration::from_secs(10), &mut ended).await.is_err());
            assert!(whole.is_draining() && !part.is_draining());
            if ends_itself {
                part.drain();
            }

            let drained = if ends_itself { Drained::Clean } else { Drained::Cut(1) };
            assert_eq!(ended.await, drained);
            assert!(part.is_draining());
        }
    }
}
