//! Moments on the command line: a date, a moment of RFC 3339, or so long ago.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::clock;

/// From when on: a date is its beginning, in UTC.
pub(super) fn since(text: &str) -> Result<OffsetDateTime, String> {
    match date(text) {
        Some(date) => Ok(date.midnight().assume_utc()),
        None => moment(text),
    }
}

/// Until when: a date is its end, in UTC.
pub(super) fn until(text: &str) -> Result<OffsetDateTime, String> {
    match date(text) {
        Some(date) => date
            .next_day()
            .map(|next| next.midnight().assume_utc())
            .ok_or_else(|| "there is no day after it".to_owned()),
        None => moment(text),
    }
}

/// A moment as records have it, in UTC.
pub(super) fn shown(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_unwritable| at.to_string())
}

fn date(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(moment);
    }
    let ago: Option<Duration> = humantime::parse_duration(text).ok();
    let ago = ago.and_then(|ago| time::Duration::try_from(ago).ok());
    ago.and_then(|ago| clock::now().checked_sub(ago)).ok_or_else(|| {
        "neither a duration like 7d, a date like 2026-11-01, nor a moment like 2026-11-01T18:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_is_from_its_beginning_until_its_end() {
        assert_eq!(since("2026-11-22"), Ok(datetime!(2026-11-22 00:00 UTC)));
        assert_eq!(until("2026-11-22"), Ok(datetime!(2026-11-23 00:00 UTC)));
        assert_eq!(until("2026-11-22T06:12:01+01:00"), Ok(datetime!(2026-11-22 06:12:01 +1)));
    }

    #[test]
    fn so_long_ago_is_a_moment_and_what_is_none_is_told_with_the_mend() {
        let ago = clock::now() - since("2h").unwrap();

        assert!((ago.whole_minutes() - 120).abs() <= 1, "{ago}");
        assert!(since("yesterday").unwrap_err().contains("2026-11-01T18:00:00Z"));
    }
}
