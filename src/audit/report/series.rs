//! Accesses to PHI over time.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::seen::Seen;
use super::table::{Column, Kind, Table, column, moment};
use crate::audit::forms::Value;
use crate::audit::read::Window;

/// Most hours that are told apart: eleven years.
const HOURS: usize = 100_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

const COLUMNS: &[Column] = &[
    column("from", "From", Kind::Moment),
    column("allowed", "Allowed", Kind::Number),
    column("denied", "Denied", Kind::Number),
];

/// Accesses of each hour.
#[derive(Debug, Default)]
pub(super) struct Series {
    hours: BTreeMap<i64, Tally>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    allowed: u64,
    denied: u64,
}

/// Accesses of stretches of the same length, one after the other.
#[derive(Debug)]
pub(super) struct Bars {
    /// `hour`, `day`, …
    pub(super) each: &'static str,
    pub(super) bars: Vec<Bar>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) from: OffsetDateTime,
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

impl Series {
    pub(super) fn take(&mut self, seen: &Seen<'_>) {
        let (allowed, denied) = (seen.allowed(), seen.denied());
        if !seen.record.myelin.phi || allowed + denied == 0 {
            return;
        }
        let hour = seen.record.at.unix_timestamp().div_euclid(HOUR);
        if self.hours.len() >= HOURS && !self.hours.contains_key(&hour) {
            return;
        }
        let tally = self.hours.entry(hour).or_default();
        tally.allowed = tally.allowed.saturating_add(allowed);
        tally.denied = tally.denied.saturating_add(denied);
    }

    /// The stretches of `period`, as far as it is over; not more than a page has room for.
    pub(super) fn bars(&self, period: Window, now: OffsetDateTime) -> Bars {
        let hour = |at: OffsetDateTime| at.unix_timestamp().div_euclid(HOUR);
        let known = |hour: Option<&i64>| hour.copied().unwrap_or_default();
        let first = period.from.map_or_else(|| known(self.hours.keys().next()), hour) * HOUR;
        let end = period.to.map_or(now, |to| to.min(now)) - Duration::nanoseconds(1);
        let last = hour(end).max(known(self.hours.keys().next_back())) * HOUR;
        let (each, step) = match last.saturating_sub(first) {
            ..=259_200 => ("hour", HOUR),
            259_201..=8_640_000 => ("day", DAY),
            8_640_001..=94_608_000 => ("week", 7 * DAY),
            _ => ("four weeks", 28 * DAY),
        };
        let first = first.div_euclid(step) * step;
        let mut bars: Vec<_> = (0..=(last.saturating_sub(first) / step).min(400))
            .filter_map(|n| OffsetDateTime::from_unix_timestamp(first + n * step).ok())
            .map(|from| Bar { from, allowed: 0, denied: 0 })
            .collect();
        for (hour, tally) in &self.hours {
            let place = usize::try_from((hour * HOUR - first).div_euclid(step)).ok();
            let last = bars.len().saturating_sub(1);
            if let Some(bar) = place.and_then(|place| bars.get_mut(place.min(last))) {
                bar.allowed = bar.allowed.saturating_add(tally.allowed);
                bar.denied = bar.denied.saturating_add(tally.denied);
            }
        }
        Bars { each, bars }
    }
}

impl Bars {
    /// Those in which there was something.
    pub(super) fn table(&self) -> Table {
        let busy = self.bars.iter().filter(|bar| bar.allowed + bar.denied > 0);
        let row = |bar: &Bar| {
            vec![moment(Some(bar.from)), Value::Number(bar.allowed), Value::Number(bar.denied)]
        };
        Table {
            name: "over_time",
            title: "Over time",
            columns: COLUMNS,
            rows: busy.map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_longer_a_period_the_longer_its_stretches_and_nothing_is_left_out() {
        let to = datetime!(2026-11-22 12:00 UTC);
        for (days, each, at_most) in [
            (1, "hour", 25),
            (3, "hour", 73),
            (30, "day", 31),
            (365, "week", 54),
            (2200, "four weeks", 81),
        ] {
            let from = to - Duration::days(days);
            let mut series = Series::default();
            for hour in 0..days * 24 {
                series
                    .hours
                    .insert((from.unix_timestamp() / HOUR) + hour, Tally { allowed: 2, denied: 1 });
            }

            let bars = series.bars(Window { from: Some(from), to: Some(to) }, to);

            let sum: u64 = bars.bars.iter().map(|bar| bar.allowed).sum();
            assert_eq!((bars.each, sum), (each, u64::try_from(days).unwrap() * 48));
            assert!(bars.bars.len() <= at_most, "{} of {days} days", bars.bars.len());
        }
    }
}
