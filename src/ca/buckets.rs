//! Bounds how often something is done for somebody: so often at once, and again after a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Those who are remembered. Beyond them the one that was quiet for longest is forgotten.
const KNOWN: usize = 4096;

/// What everybody may still do.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    known: Mutex<HashMap<K, Bucket>>,
    /// So often at once.
    burst: u32,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
    refused: u64,
}

/// It was done too often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Empty {
    /// It may be done again after this.
    pub(super) wait: Duration,
    /// Whether it could be done the last time.
    pub(super) is_first: bool,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    pub(super) fn new(burst: u32) -> Self {
        Self { known: Mutex::default(), burst }
    }

    /// Whether it may be done for `who`, for whom it may be done once more after every `refill`.
    pub(super) fn look(&self, who: &K, refill: Duration) -> Result<(), Empty> {
        let mut known = self.known();
        let bucket = self.bucket(&mut known, who, refill);
        if bucket.left > 0 {
            return Ok(());
        }
        bucket.refused += 1;
        let wait = refill.saturating_sub(bucket.filled.elapsed());
        Err(Empty { wait, is_first: bucket.refused == 1 })
    }

    /// Notes that it was done for `who`; how often it was refused since the last time.
    pub(super) fn take(&self, who: &K, refill: Duration) -> u64 {
        let mut known = self.known();
        let bucket = self.bucket(&mut known, who, refill);
        bucket.left = bucket.left.saturating_sub(1);
        std::mem::take(&mut bucket.refused)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket<'m>(
        &self,
        known: &'m mut HashMap<K, Bucket>,
        who: &K,
        refill: Duration,
    ) -> &'m mut Bucket {
        if known.len() >= KNOWN && !known.contains_key(who) {
            let oldest = known.iter().min_by_key(|(_, bucket)| bucket.filled);
            let oldest = oldest.map(|(who, _)| who.clone());
            oldest.and_then(|who| known.remove(&who));
        }
        let now = Instant::now();
        let new = Bucket { left: self.burst, filled: now, refused: 0 };
        let bucket = known.entry(who.clone()).or_insert(new);
        let refill = refill.max(Duration::from_millis(1));
        let earned = now.duration_since(bucket.filled).as_millis() / refill.as_millis();
        if bucket.left >= self.burst {
            bucket.filled = now;
        } else if let Some(earned) = u32::try_from(earned).ok().filter(|earned| *earned > 0) {
            bucket.left = bucket.left.saturating_add(earned).min(self.burst);
            bucket.filled += refill.saturating_mul(earned);
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn so_much_may_be_done_at_once_and_once_more_after_a_while_for_each() {
        let buckets = Buckets::new(3);
        for _ in 0..3 {
            assert_eq!(buckets.look(&"billing", SECOND), Ok(()));
            buckets.take(&"billing", SECOND);
        }

        tokio::time::advance(SECOND / 4).await;
        let wait = SECOND * 3 / 4;
        assert_eq!(buckets.look(&"billing", SECOND), Err(Empty { wait, is_first: true }));
        assert_eq!(buckets.look(&"billing", SECOND), Err(Empty { wait, is_first: false }));
        assert_eq!(buckets.look(&"ehr", SECOND), Ok(()));
        tokio::time::advance(wait).await;
        assert_eq!(buckets.look(&"billing", SECOND), Ok(()));
        assert_eq!(buckets.take(&"billing", SECOND), 2);
        let again = buckets.look(&"billing", SECOND);
        assert_eq!(again, Err(Empty { wait: SECOND, is_first: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_saved_up_than_may_be_done_at_once() {
        let buckets = Buckets::new(2);
        buckets.take(&"billing", SECOND);
        tokio::time::advance(SECOND * 1000).await;

        buckets.take(&"billing", SECOND);
        buckets.take(&"billing", SECOND);

        let refused = buckets.look(&"billing", SECOND);
        assert_eq!(refused, Err(Empty { wait: SECOND, is_first: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_are_remembered_are_bounded() {
        let buckets = Buckets::new(1);
        for who in 0..2 * KNOWN {
            tokio::time::advance(Duration::from_millis(1)).await;
            buckets.take(&who, SECOND);
        }

        assert_eq!(buckets.known().len(), KNOWN);
        let last = buckets.look(&(2 * KNOWN - 1), SECOND);
        assert!(last.is_err(), "the last is remembered");
    }
}
