//! Whether somebody keeps the wall clock right, and that it was set.

use super::records;
use crate::audit::{Clock, Record};
use crate::clock::{Steps, Synchronised};

/// What was seen of the wall clock at the last look.
#[derive(Debug, Default)]
pub(super) struct Timekeeping {
    synchronised: Option<Synchronised>,
    steps: Steps,
}

impl Timekeeping {
    /// What is to go on record since the last look. How the clock was kept at the first, the trail's beginning says.
    pub(super) fn look(&mut self) -> Vec<Record> {
        let mut news = Vec::new();
        if let Some(step) = self.steps.look() {
            news.push(records::clock_stepped(Clock::stepped(step)));
        }
        let clock = Clock::now();
        let before = self.synchronised.replace(clock.kept.synchronised);
        if before.is_some_and(|before| before != clock.kept.synchronised) {
            news.push(records::clock_changed(clock));
        }
        news
    }
}
