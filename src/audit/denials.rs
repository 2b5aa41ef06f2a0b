//! The last refusals and denials, for `/denials`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// How many are kept.
const KEPT: usize = 200;

/// The last refusals and denials, as their lines.
#[derive(Debug, Default)]
pub(super) struct Denials {
    lines: Mutex<VecDeque<Box<[u8]>>>,
}

impl Denials {
    /// Keeps `line`, and forgets the oldest when there are too many.
    pub(super) fn keep(&self, line: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_back();
        }
        lines.push_front(line.into());
    }

    /// All that are kept, newest first.
    pub(super) fn newest_first(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_the_oldest_are_forgotten() {
        let denials = Denials::default();
        (0..250).for_each(|n: u32| denials.keep(n.to_string().as_bytes()));

        let kept = denials.newest_first();

        assert_eq!((kept.len(), &kept[0], &kept[199]), (200, &249.into(), &50.into()));
    }
}
