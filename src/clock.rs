//! The wall clock, read in one place.
//!
//! Certificate validity and audit timestamps are wall-clock matters; timeouts are not, they use
//! [`tokio::time`].

use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The current time, UTC.
pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = SystemTime::now();
    OffsetDateTime::from(now)
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
    fn a_moment_is_told_in_utc_to_the_second() {
        let at = datetime!(2027-06-30 18:00:00.123 +02:00);

        assert_eq!(rfc3339(at), "2027-06-30T16:00:00Z");
    }
}
