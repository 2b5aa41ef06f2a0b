//! What another configuration would change: who would newly be denied, and who newly allowed.

use std::collections::BTreeMap;

use super::history::{Attempt, History, Tally};
use super::judge::{Denial, Judge, Unjudged, Verdict};

/// The same attempts, judged by another configuration.
#[derive(Debug, Default)]
pub struct Replay {
    /// Attempts that went through, and would be denied.
    pub denied: Vec<Change>,
    /// Attempts that were denied, and would go through.
    pub allowed: Vec<Change>,
    /// How many attempts end as they did.
    pub same: usize,
    /// How many cannot be judged, and in how many records, by what is missing.
    pub unjudged: BTreeMap<Unjudged, (usize, u64)>,
    /// Listeners on record that the configuration does not have.
    pub unknown_listeners: BTreeMap<String, u64>,
}

/// An attempt that ends otherwise.
#[derive(Debug, Clone)]
pub struct Change {
    /// At which listener.
    pub listener: String,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// How often, and when.
    pub tally: Tally,
    /// What the configuration says to it.
    pub verdict: Verdict,
}

impl Replay {
    /// Judges all of `history`.
    pub fn of(history: &History, judge: &Judge<'_>) -> Self {
        let mut replay = Self::default();
        for attempt in history.attempts() {
            replay.take(&attempt, judge.judge(&attempt));
        }
        for changes in [&mut replay.denied, &mut replay.allowed] {
            changes.sort_by(|a, b| {
                let often = b.tally.count().cmp(&a.tally.count());
                (&a.listener, &a.who).cmp(&(&b.listener, &b.who)).then(often)
            });
        }
        replay
    }

    fn take(&mut self, attempt: &Attempt<'_>, verdict: Verdict) {
        let tally = attempt.tally;
        match &verdict {
            Verdict::Allowed { .. } if tally.denied > 0 => {
                self.allowed.push(Change::of(attempt, verdict));
            }
            Verdict::Denied(_) if tally.allowed > 0 => {
                self.denied.push(Change::of(attempt, verdict));
            }
            Verdict::Allowed { .. } | Verdict::Denied(_) => self.same += 1,
            Verdict::Unjudged(why) => {
                let (attempts, records) = self.unjudged.entry(*why).or_default();
                *attempts += 1;
                *records += tally.count();
                if *why == Unjudged::Listener {
                    let name = attempt.listener.to_string();
                    *self.unknown_listeners.entry(name).or_default() += tally.count();
                }
            }
        }
    }
}

impl Change {
    fn of(attempt: &Attempt<'_>, verdict: Verdict) -> Self {
        Self {
            listener: attempt.listener.to_string(),
            who: attempt.who.to_string(),
            what: attempt.what.to_string(),
            tally: attempt.tally,
            verdict,
        }
    }

    /// Why it would be denied.
    pub fn denial(&self) -> Option<&Denial> {
        match &self.verdict {
            Verdict::Denied(denial) => Some(denial),
            Verdict::Allowed { .. } | Verdict::Unjudged(_) => None,
        }
    }
}
