//! One endpoint's health: pure state, time is given.

use std::time::Duration;

use tokio::time::Instant;

/// The first time aside.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time aside.
const LONGEST: Duration = Duration::from_secs(60);

/// In use until it fails; then aside, twice as long each time it fails again, until it works.
#[derive(Debug, Default)]
pub(super) struct Health {
    aside: Option<(Duration, Instant)>,
}

impl Health {
    /// When it is to be tried again; `None` while it is in use.
    pub(super) fn due(&self) -> Option<Instant> {
        self.aside.map(|(_, due)| due)
    }

    /// It failed. Whether it was in use until now.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let period = match self.aside {
            // Others that were under way when it was set aside tell nothing new.
            Some((_, due)) if due > now => return false,
            Some((period, _)) => (period * 2).min(LONGEST),
            None => FIRST,
        };
        self.aside.replace((period, now + period)).is_none()
    }

    /// It worked. Whether it was aside until now.
    pub(super) fn worked(&mut self) -> bool {
        self.aside.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_aside_doubles_up_to_a_minute_and_success_forgets_it() {
        let mut health = Health::default();
        let mut now = Instant::now();

        assert!(health.failed(now));
        let mut periods = Vec::new();
        for _ in 0..8 {
            let due = health.due().unwrap();
            periods.push((due - now).as_secs());
            now = due;
            assert!(!health.failed(now));
        }
        assert_eq!(periods, [1, 2, 4, 8, 16, 32, 60, 60]);

        assert!(health.worked());
        assert_eq!(health.due(), None);
    }

    #[test]
    fn failures_while_aside_do_not_prolong_it() {
        let mut health = Health::default();
        let now = Instant::now();

        health.failed(now);
        health.failed(now);

        assert_eq!(health.due(), Some(now + Duration::from_secs(1)));
    }
}
