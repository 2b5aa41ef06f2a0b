//! One limit, for one peer: a rate and a number at once, without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Quota, Rate};

/// How much of a [`Quota`] is in use.
#[derive(Debug)]
pub(super) struct Meter {
    quota: Quota,
    begun: Instant,
    /// GCRA's theoretical arrival time: nanoseconds from `begun` to when all is paid for that has begun.
    paid: AtomicU64,
    running: AtomicU32,
}

/// Which part of a quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// The rate; the next may begin after this.
    Rate(Duration),
    /// The number at once.
    Concurrency,
}

impl Meter {
    pub(super) fn new(quota: Quota) -> Self {
        let (paid, running) = (AtomicU64::new(0), AtomicU32::new(0));
        Self { quota, begun: Instant::now(), paid, running }
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes one of those at once, until [`Self::leave`].
    pub(super) fn enter(&self) -> Result<(), Spent> {
        let Some(most) = self.quota.concurrency else { return Ok(()) };
        let one_more = |running: u32| (running < most).then(|| running + 1);
        match self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_before) => Ok(()),
            Err(_all) => Err(Spent::Concurrency),
        }
    }

    /// Gives back what [`Self::enter`] took.
    pub(super) fn leave(&self) {
        if self.quota.concurrency.is_some() {
            self.running.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether one more may begin at `now`. Takes nothing.
    pub(super) fn would_begin(&self, now: Instant) -> Result<(), Spent> {
        let Some(rate) = self.quota.rate else { return Ok(()) };
        let now = nanos(now.duration_since(self.begun));
        paid_with_one_more(rate, self.paid.load(Ordering::Acquire), now).map(|_paid| ())
    }

    /// Takes one of the rate.
    pub(super) fn begin(&self, now: Instant) -> Result<(), Spent> {
        let Some(rate) = self.quota.rate else { return Ok(()) };
        let now = nanos(now.duration_since(self.begun));
        let one_more = |paid| paid_with_one_more(rate, paid, now).ok();
        match self.paid.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_before) => Ok(()),
            Err(paid) => paid_with_one_more(rate, paid, now).map(|_raced| ()),
        }
    }

    /// Whether anything is to be given back at the end.
    pub(super) fn is_held(&self) -> bool {
        self.quota.concurrency.is_some()
    }
}

/// GCRA: when all is paid for once one more has begun at `now`.
fn paid_with_one_more(rate: Rate, paid: u64, now: u64) -> Result<u64, Spent> {
    let interval = nanos(rate.interval);
    let tolerance = interval.saturating_mul(u64::from(rate.burst.saturating_sub(1)));
    let early = paid.saturating_sub(now).saturating_sub(tolerance);
    if early > 0 {
        return Err(Spent::Rate(Duration::from_nanos(early)));
    }
    Ok(paid.max(now).saturating_add(interval))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(interval: Duration, burst: u32) -> Meter {
        Meter::new(Quota { rate: Some(Rate { interval, burst }), concurrency: None })
    }

    /// How many of `asked` at `now` may begin.
    fn begun(meter: &Meter, asked: usize, now: Instant) -> usize {
        (0..asked).filter(|_| meter.begin(now).is_ok()).count()
    }

    #[test]
    fn a_burst_may_begin_at_once_and_then_one_in_each_interval() {
        let meter = rate(Duration::from_millis(100), 5);
        let start = meter.begun;

        assert_eq!(begun(&meter, 20, start), 5);
        assert_eq!(begun(&meter, 20, start + Duration::from_millis(99)), 0);
        assert_eq!(begun(&meter, 20, start + Duration::from_millis(100)), 1);
        assert_eq!(begun(&meter, 20, start + Duration::from_millis(350)), 2);
        assert_eq!(begun(&meter, 20, start + Duration::from_secs(3600)), 5);
    }

    #[test]
    fn whoever_is_too_early_is_told_when_it_is_time() {
        let meter = rate(Duration::from_secs(10), 1);
        let start = meter.begun;

        assert_eq!(meter.begin(start), Ok(()));
        let at = start + Duration::from_secs(3);
        assert_eq!(meter.would_begin(at), Err(Spent::Rate(Duration::from_secs(7))));
        assert_eq!(meter.begin(at), Err(Spent::Rate(Duration::from_secs(7))));
        assert_eq!(meter.begin(start + Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn no_more_than_are_allowed_run_at_once_whoever_asks() {
        let meter = Meter::new(Quota { rate: None, concurrency: Some(3) });

        let entered: usize = std::thread::scope(|scope| {
            let ask = || (0..100).filter(|_| meter.enter().is_ok()).count();
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });

        assert_eq!(entered, 3);
        meter.leave();
        assert_eq!(meter.enter(), Ok(()));
        assert_eq!(meter.enter(), Err(Spent::Concurrency));
    }

    #[test]
    fn threads_share_one_rate() {
        let meter = rate(Duration::from_secs(1), 50);
        let now = meter.begun;

        let begun: usize = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| begun(&meter, 100, now))).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });

        assert_eq!(begun, 50);
    }

    proptest! {
        /// In any stretch of time no more begin than the burst and what the rate gives meanwhile.
        #[test]
        fn no_stretch_of_time_has_more_than_its_share(
            waits in prop::collection::vec(0_u64..400, 1..80),
            interval in 1_u64..200,
            burst in 1_u32..10,
        ) {
            let meter = rate(Duration::from_millis(interval), burst);
            let mut now = meter.begun;
            let mut begun = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                if meter.begin(now).is_ok() {
                    begun.push(now);
                }
            }
            for (first, from) in begun.iter().enumerate() {
                for (last, to) in begun.iter().enumerate().skip(first) {
                    let millis = u64::try_from((*to - *from).as_millis()).unwrap();
                    let share = u64::from(burst) + millis / interval;
                    prop_assert!((last - first + 1) as u64 <= share);
                }
            }
        }

        #[test]
        fn the_largest_numbers_do_not_overflow(paid in any::<u64>(), now in any::<u64>()) {
            let rate = Rate { interval: Duration::from_secs(3600), burst: 1_000_000 };
            let _answered = paid_with_one_more(rate, paid, now);
        }
    }
}
