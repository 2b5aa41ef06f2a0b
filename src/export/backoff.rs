//! How long to wait between two attempts.

use std::time::Duration;

/// From a failure to the next attempt; doubled by every further one.
const FIRST: Duration = Duration::from_secs(1);
/// Attempts are never further apart, by half of it for the dice.
const LAST: Duration = Duration::from_secs(60);

/// Waits that grow with each failure, and differ between sidecars whose receiver came back.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Backoff {
    /// How long to wait now: half of the pause, up to one and a half of it.
    pub(super) fn next(&mut self) -> Duration {
        let mut dice = [0; 1];
        // Without randomness it is half.
        let _unavailable = aws_lc_rs::rand::fill(&mut dice);
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST);
        pause / 2 + pause * u32::from(dice[0]) / 255
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.pause = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_anew_when_it_went_well() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();

        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST * 3 / 2);
        assert!(waits[10..].iter().all(|wait| *wait >= LAST / 2 && *wait <= LAST * 3 / 2));
        backoff.reset();
        assert!(backoff.next() <= FIRST * 3 / 2);
    }

    #[test]
    fn two_sidecars_do_not_come_back_at_the_same_moment() {
        let waits = |_| {
            (0..16).fold(Duration::ZERO, {
                let mut backoff = Backoff::default();
                move |sum, _| sum + backoff.next()
            })
        };
        let sums: Vec<_> = (0..8).map(waits).collect();

        assert!(sums.iter().any(|sum| *sum != sums[0]), "{sums:?}");
    }
}
