//! One writer, many readers: snapshots that are replaced whole.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

/// Counts published snapshots; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The number itself, for logs and `/status`.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value together with the generation in which it was published.
#[derive(Debug)]
pub struct Snapshot<T> {
    /// When it was published, in the order of publications.
    pub generation: Generation,
    /// What was published.
    pub value: T,
}

/// Reads the current snapshot. Cloned into everything that needs one.
#[derive(Debug)]
pub struct Live<T> {
    current: Arc<ArcSwap<Snapshot<T>>>,
    news: watch::Receiver<Generation>,
}

/// Replaces the snapshot. There is one, and it cannot be cloned.
#[derive(Debug)]
pub struct Publisher<T> {
    current: Arc<ArcSwap<Snapshot<T>>>,
    news: watch::Sender<Generation>,
}

/// Publishes `value` as the first generation.
pub fn live<T>(value: T) -> (Publisher<T>, Live<T>) {
    let generation = Generation(1);
    let current = Arc::new(ArcSwap::from_pointee(Snapshot { generation, value }));
    let (sender, news) = watch::channel(generation);
    (Publisher { current: Arc::clone(&current), news: sender }, Live { current, news })
}

impl<T> Publisher<T> {
    /// Puts `value` in place for everyone who asks from now on, then tells those who wait.
    pub fn publish(&mut self, value: T) -> Generation {
        let generation = Generation(self.news.borrow().0 + 1);
        self.current.store(Arc::new(Snapshot { generation, value }));
        self.news.send_replace(generation); // after the store: who wakes sees the new value
        generation
    }
}

impl<T> Live<T> {
    /// The current snapshot, to be kept for as long as one consistent view is needed.
    pub fn snapshot(&self) -> Arc<Snapshot<T>> {
        self.current.load_full()
    }

    /// The generation of the current snapshot: quick, for those who ask whether theirs is still the one.
    pub fn generation(&self) -> Generation {
        self.current.load().generation
    }

    /// Waits until a snapshot newer than `seen` is current; `false` when the publisher is gone.
    pub async fn replaced_after(&mut self, seen: Generation) -> bool {
        self.news.wait_for(|current| *current > seen).await.is_ok()
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current), news: self.news.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_before_one_asked_is_not_missed() {
        let (mut publisher, mut live) = live("old");
        let seen = live.snapshot().generation;

        publisher.publish("new");

        assert!(live.replaced_after(seen).await);
        assert_eq!(live.snapshot().value, "new");
    }

    #[tokio::test]
    async fn a_publisher_that_is_gone_is_told() {
        let (publisher, mut live) = live(());
        let seen = live.snapshot().generation;

        drop(publisher);

        assert!(!live.replaced_after(seen).await);
    }
}
