//! A word in the log about what may happen any number of times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two words.
const QUIET: Duration = Duration::from_secs(1);

/// When there last was one.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time for the next, which counts as said then.
    pub(super) fn is_due(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said.is_none_or(|said| said.elapsed() >= QUIET);
        if is_due {
            *said = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_one_word_a_second() {
        let seldom = Seldom::default();

        assert!(seldom.is_due() && !seldom.is_due());
        advance(QUIET / 2).await;
        assert!(!seldom.is_due());
        advance(QUIET / 2).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
