//! When the next attempt may be made.

use std::time::Duration;

use tokio::time::Instant;

use crate::certs::MaterialError;

/// From a failure to the next attempt; doubled by every further one.
const FIRST: Duration = Duration::from_secs(1);
/// Retries are never further apart.
const LAST: Duration = Duration::from_secs(300);
/// Renewals are never closer together, whatever the certificates say.
const BREATH: Duration = Duration::from_secs(1);

pub(super) struct Retry {
    /// There may be something new that was not loaded yet.
    pub(super) owed: bool,
    /// Not before this.
    pub(super) not_before: Instant,
    pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { owed: false, not_before: Instant::now(), pause: FIRST }
    }
}

impl Retry {
    pub(super) fn may(&self) -> bool {
        Instant::now() >= self.not_before
    }

    /// There is something new, which need not wait as long as what was bad before it.
    pub(super) fn news(&mut self) {
        (self.owed, self.pause) = (true, FIRST);
        self.not_before = self.not_before.min(Instant::now() + BREATH);
    }

    pub(super) fn after<T>(&mut self, result: &Result<T, MaterialError>) {
        let pause = match result {
            Ok(_) => {
                (self.owed, self.pause) = (false, FIRST);
                BREATH
            }
            Err(_) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(LAST);
                pause
            }
        };
        self.not_before = Instant::now() + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_loaded_within_a_breath_however_often_the_material_before_them_has_failed() {
        let mut retry = Retry::default();
        for _ in 0..10 {
            retry.after::<()>(&Err(MaterialError::BrokenOff));
        }
        assert!(retry.not_before > Instant::now() + LAST / 2);

        retry.news();

        assert!(retry.owed);
        assert!(retry.not_before <= Instant::now() + BREATH);
        retry.after::<()>(&Err(MaterialError::BrokenOff));
        assert!(retry.not_before <= Instant::now() + FIRST, "pauses grow from the beginning");
    }

    #[test]
    fn news_do_not_wait_when_nothing_was_tried_of_late() {
        let mut retry = Retry::default();

        retry.news();

        assert!(retry.may());
    }
}
