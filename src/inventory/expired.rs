//! What has expired and is still asked for: told again and again, and not with every attempt.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

/// From one telling to the next.
const AGAIN: Duration = Duration::HOUR;
/// Rules and peers that are remembered as told of.
const REMEMBERED: usize = 1024;

/// What was told of, and when.
#[derive(Debug, Default)]
pub(super) struct Expired {
    told: Mutex<HashMap<String, OffsetDateTime>>,
}

impl Expired {
    /// `what` has expired and was asked for at `now`. Whether that is to be told.
    pub(super) fn asked(&self, what: &str, now: OffsetDateTime) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(what).is_some_and(|before| now < *before + AGAIN) {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.retain(|_, before| now < *before + AGAIN);
        }
        if told.len() >= REMEMBERED {
            return false;
        }
        told.insert(what.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn each_is_told_once_an_hour() {
        let expired = Expired::default();

        assert!(expired.asked("a", NOON));
        assert!(!expired.asked("a", NOON + Duration::minutes(59)));
        assert!(expired.asked("b", NOON + Duration::minutes(59)));
        assert!(expired.asked("a", NOON + Duration::HOUR));
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let expired = Expired::default();
        let told = (0..5000).filter(|n| expired.asked(&n.to_string(), NOON)).count();

        assert_eq!(told, REMEMBERED);
        assert!(expired.asked("later", NOON + Duration::HOUR));
    }
}
