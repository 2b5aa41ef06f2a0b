//! When something was last used, and how often.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use time::OffsetDateTime;

/// Since the start of the process.
#[derive(Debug, Default)]
pub struct Usage {
    hits: AtomicU64,
    /// Unix seconds; 0: never.
    last: AtomicI64,
}

impl Usage {
    /// One more at `now`.
    pub fn hit(&self, now: OffsetDateTime) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        let now = now.unix_timestamp();
        // Most of the time another has just said so: reading is cheaper than writing.
        if self.last.load(Ordering::Relaxed) < now {
            self.last.store(now, Ordering::Relaxed);
        }
    }

    /// How often.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// When last, in whole seconds.
    pub fn last(&self) -> Option<OffsetDateTime> {
        let last = self.last.load(Ordering::Relaxed);
        (last != 0).then(|| OffsetDateTime::from_unix_timestamp(last).ok()).flatten()
    }
}
