//! The wall clock, read in one place.
//!
//! Certificate validity and audit timestamps are wall-clock matters; timeouts are not, they use
//! [`tokio::time`].
//!
//! Rights that end with a date go by [`onward`], which never runs back: a wall clock that is set back, by whoever
//! answers its questions or because a machine was resumed, opens nothing that a date has closed. That is so for
//! `until`, for the `expires` of peers and rules, and for the end of a peer's certificate, which is asked of
//! both clocks: of the wall clock in the handshake, of this one with the permit. Its beginning is asked of the
//! wall clock alone, or else one set ahead for a while would let in what is not valid yet. Our own
//! certificates are made and renewed by the wall clock, as peers look at theirs.
//!
//! The price: a clock that was ahead and is set right ends what would have ended by then, until a restart. It is told in
//! the log and as `myelin_clock_behind_seconds`. Nothing of it outlives the process: a floor kept on disk would turn one
//! wrong date at a boot into an outage that no restart mends.

mod kernel;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

pub use kernel::{Kept, Synchronised, kept};

/// Less than this is no step of the wall clock.
pub const STEP: time::Duration = time::Duration::SECOND;

/// The current time, UTC.
pub fn now() -> OffsetDateTime {
    both().0
}

/// The time that rights end by: the wall clock's, or the latest that it has shown, gone on with since.
pub fn onward() -> OffsetDateTime {
    both().1
}

/// How far the wall clock is behind the latest that it has shown: it was set back.
pub fn behind() -> Duration {
    let (wall, onward) = both();
    Duration::try_from(onward - wall).unwrap_or_default()
}

/// Notices that the wall clock was set, or that the machine has slept.
#[derive(Debug, Default)]
pub struct Steps {
    /// What the wall clock showed when the stopwatch began, in nanoseconds, as it was seen last.
    began: Option<i64>,
}

impl Steps {
    /// How far it was set since the last look: ahead, or back if that is less than nothing. What keeps a clock right by
    /// and by does less.
    pub fn look(&mut self) -> Option<time::Duration> {
        // Twice, for an interruption between the readings of the one clock and the other would look like a step back.
        let began =
            (0..2).map(|_| read()).map(|(_, shown, since)| shown.saturating_sub(since)).max();
        let before = std::mem::replace(&mut self.began, began)?;
        let step = time::Duration::nanoseconds(began?.saturating_sub(before));
        (step.abs() >= STEP).then_some(step)
    }
}

/// What the wall clock shows, and the time that rights end by. Whatever is read of the one counts for the other.
fn both() -> (OffsetDateTime, OffsetDateTime) {
    let (wall, shown, since) = read();
    let onward = LATEST.at(shown, since);
    (wall, OffsetDateTime::from_unix_timestamp_nanos(i128::from(onward)).unwrap_or(wall))
}

/// The wall clock, as it shows the time and in nanoseconds, and the stopwatch.
fn read() -> (OffsetDateTime, i64, i64) {
    // First: an interruption between the two readings makes it earlier, and never later.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let wall = OffsetDateTime::from(SystemTime::now());
    let since = i64::try_from(STARTED.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let shown = i64::try_from(wall.unix_timestamp_nanos()).unwrap_or(i64::MAX);
    (wall, shown, since)
}

/// Where the stopwatch began.
static STARTED: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch that no test pauses")]
    let started = Instant::now();
    started
});
static LATEST: Latest = Latest(AtomicI64::new(i64::MIN));

/// What the wall clock showed when the stopwatch began, by the latest that it has shown.
struct Latest(AtomicI64);

impl Latest {
    /// Now, in nanoseconds: the wall clock shows `shown`, the stopwatch `since`.
    fn at(&self, shown: i64, since: i64) -> i64 {
        let began = shown.saturating_sub(since);
        let known = self.0.load(Ordering::Relaxed);
        // A clock that nobody sets gives the same again and again: then nothing is written.
        let latest = if began > known {
            self.0.fetch_max(began, Ordering::Relaxed).max(began)
        } else {
            known
        };
        latest.saturating_add(since)
    }
}

/// Whether a date has passed at `now`; none never does.
pub fn has_passed(date: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
    date.is_some_and(|date| date <= now)
}

/// A moment as operators read it: RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: OffsetDateTime) -> String {
    let whole = at.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
    // Years beyond 9999 have no such form; a certificate may name one.
    whole.format(&Rfc3339).unwrap_or_else(|_out_of_range| whole.to_string())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn time_goes_on_from_the_latest_that_was_shown() {
        let latest = Latest(AtomicI64::new(i64::MIN));

        assert_eq!(latest.at(1000, 0), 1000);
        assert_eq!(latest.at(1010, 10), 1010);
        assert_eq!(latest.at(5000, 20), 5000, "set ahead, or slept");
        assert_eq!(latest.at(1030, 30), 5010, "set back");
        assert_eq!(latest.at(-7, 40), 5020);
        assert_eq!(latest.at(6000, 50), 6000, "it has caught up");
    }

    #[test]
    fn a_moment_is_told_in_utc_to_the_second() {
        let at = datetime!(2027-06-30 18:00:00.123 +02:00);

        assert_eq!(rfc3339(at), "2027-06-30T16:00:00Z");
    }
}
