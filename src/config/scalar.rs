//! Texts to durations, sizes, numbers, dates, names and choices.
//!
//! A [`Fault`] says what follows after the text itself: "is not a duration". It never repeats the
//! text, which may be a secret that was put in.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, time};
use time::{Date, OffsetDateTime};

use super::nearest::nearest;
use super::problem::Fault;
use crate::identity::Fingerprint;

/// Longest name of a listener, peer or route.
const MAX_NAME: usize = 63;
/// Longest remark in a peer's entry, in bytes.
const MAX_REMARK: usize = 1024;

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, Fault> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            let fault = Fault::new("is neither true nor false");
            Err(match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "1" | "true" => fault.quoting("write `true`"),
                "no" | "n" | "off" | "0" | "false" => fault.quoting("write `false`"),
                _ => fault.hint("write `true` or `false`"),
            })
        }
    }
}

/// A text that is not what it is to be, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

impl TextError {
    pub(super) fn of(fault: Fault) -> Self {
        match fault.hint {
            Some(hint) => Self(format!("it {}: {hint}", fault.text)),
            None => Self(format!("it {}", fault.text)),
        }
    }
}

/// Checks a name as the configuration has them for listeners and peers.
///
/// # Errors
///
/// Says what is wrong with it, and what a name has.
pub fn check_name(text: &str) -> Result<(), TextError> {
    name(text).map(|_name| ()).map_err(TextError::of)
}

/// A name of the operator's: `[a-z0-9][a-z0-9_.-]*`, at most 63 bytes.
pub(super) fn name(text: &str) -> Result<String, Fault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let begins = text.bytes().next().is_some_and(plain);
    if !begins || !text.bytes().all(|b| plain(b) || b"_.-".contains(&b)) {
        return Err(Fault::new("is not a name")
            .hint("a name has a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit"));
    }
    if text.len() > MAX_NAME {
        return Err(Fault::new(format!("is longer than {MAX_NAME} characters")));
    }
    Ok(text.to_owned())
}

/// Any text for people, up to 1 KiB.
pub(super) fn remark(text: &str) -> Result<String, Fault> {
    match text.len() {
        0 => Err(Fault::new("is empty").hint("write something, or remove the key")),
        1..=MAX_REMARK => Ok(text.to_owned()),
        _ => Err(Fault::new(format!("is longer than {MAX_REMARK} bytes"))),
    }
}

/// One of `values`. Those in `later` are refused by name.
pub(super) fn choice<T: Copy>(
    values: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> impl Fn(&str) -> Result<T, Fault> {
    move |text| {
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
        if later.contains(&text) {
            let are = if names.len() == 1 { "is" } else { "are" };
            let fault =
                Fault::new(format!("is not in this release; only {} {are}", names.join(" and ")));
            return Err(match names.as_slice() {
                [only] => fault.hint(only_one(only)),
                _ => fault,
            });
        }
        let fault = match names.as_slice() {
            [only] => return Err(Fault::new(format!("is not {only}")).hint(only_one(only))),
            _ => Fault::new(format!("is not one of {}", names.join(", "))),
        };
        Err(match nearest(text, names.into_iter()) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault,
        })
    }
}

/// How to mend a key that has one value in this release, which is its default.
fn only_one(only: &str) -> String {
    format!("write `{only}`, or remove the key: it is the only one in this release")
}

/// A whole number in `range`.
pub(super) fn count(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, Fault> {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err(Fault::new("is not a whole number").hint("digits only, like 10000"));
        }
        // What does not fit is out of every range.
        within(text.parse().unwrap_or(u64::MAX), &range, |number| *number)
    }
}

/// A size in bytes in `range`: `65536`, `64KiB`, `1MB`.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, Fault> {
    move |text| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).unwrap_or(("", text));
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "KB" => 1_000,
            "MB" => 1_000_000,
            _ => 0,
        };
        if number.is_empty() || factor == 0 {
            return Err(Fault::new("is not a size")
                .hint("a number of bytes, or one with B, KiB, MiB, GiB, KB or MB, like 64KiB"));
        }
        within(number.parse().unwrap_or(u64::MAX).saturating_mul(factor), &range, |bytes| {
            format!("{bytes} bytes")
        })
    }
}

/// A duration in `range`: `500ms`, `10s`, `1h 30m`, `6y`.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, Fault> {
    move |text| {
        let parsed = humantime::parse_duration(text).map_err(|_error| {
            Fault::new("is not a duration")
                .hint("a number with its unit, like 500ms, 10s, 5m, 24h, 90d or 6y")
        })?;
        within(parsed, &range, |limit| humantime::format_duration(*limit))
    }
}

fn within<T: PartialOrd, D: fmt::Display>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> D,
) -> Result<T, Fault> {
    if value < *range.start() {
        return Err(Fault::new(format!("is less than {}, the least", show(range.start()))));
    }
    if value > *range.end() {
        return Err(Fault::new(format!("is more than {}, the most", show(range.end()))));
    }
    Ok(value)
}

/// A moment: `2027-06-30` is the end of that day in UTC, anything finer is RFC 3339.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, Fault> {
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(date.with_time(time!(23:59:59.999_999_999)).assume_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_error| {
        Fault::new("is not a date")
            .hint("write 2027-06-30 for the end of that day in UTC, or 2027-06-30T18:00:00+02:00")
    })
}

/// Reads a moment as the configuration has them: a date is the end of that day in UTC.
///
/// # Errors
///
/// It is neither a date nor a moment of RFC 3339.
pub fn read_moment(text: &str) -> Result<OffsetDateTime, TextError> {
    moment(text).map_err(TextError::of)
}

/// `sha256:` and 64 hexadecimal digits, in pairs joined by colons or not. `how` tells where to get it.
pub(super) fn fingerprint(how: &'static str) -> impl Fn(&str) -> Result<Fingerprint, Fault> {
    move |text| {
        let wrong = || Fault::new("is not sha256: and 64 hexadecimal digits").hint(how);
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_error| wrong())?;
        Ok(Fingerprint(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        let size = size(0..=u64::MAX - 1);

        for (text, bytes) in
            [("7", 7), ("7B", 7), ("16KiB", 16384), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(size(text).unwrap(), bytes);
        }
        assert_eq!(size("3KB").unwrap(), 3000);
        assert_eq!(size("3MB").unwrap(), 3_000_000);
        for wrong in ["", "KiB", "1.5KiB", "-1", "1kb", "1TiB", "é", "99999999999999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_bounds() {
        let duration = duration(Duration::from_millis(100)..=Duration::from_secs(3600));

        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("99ms").unwrap_err().text, "is less than 100ms, the least");
        assert_eq!(duration("6y").unwrap_err().text, "is more than 1h, the most");
        assert_eq!(duration("10").unwrap_err().text, "is not a duration");
        assert_eq!(duration("99999999999999999999y").unwrap_err().text, "is not a duration");
    }

    #[test]
    fn a_date_lasts_to_the_end_of_its_day() {
        let day = moment("2027-06-30").unwrap();

        assert!(day > moment("2027-06-30T23:59:59Z").unwrap());
        assert!(day < moment("2027-07-01T00:00:00Z").unwrap());
        assert!(moment("30.06.2027").is_err());
        assert!(moment("2027-02-30").is_err());
    }

    #[test]
    fn a_fingerprint_may_have_colons() {
        let fingerprint = fingerprint("");
        let plain = format!("sha256:{}", "9f".repeat(32));
        let colons = format!("sha256:{}", ["9F"; 32].join(":"));

        assert_eq!(fingerprint(&plain).unwrap(), Fingerprint([0x9f; 32]));
        assert_eq!(fingerprint(&colons).unwrap(), Fingerprint([0x9f; 32]));
        assert!(fingerprint("sha256:9f").is_err());
        assert!(fingerprint(&"9f".repeat(32)).is_err());
    }

    #[test]
    fn a_flag_in_other_words_is_told_in_ours() {
        let hint = |text| flag(text).unwrap_err().hint.unwrap();

        assert_eq!((hint("yes"), hint("True")), ("write `true`".into(), "write `true`".into()));
        assert_eq!((hint("Off"), hint("0")), ("write `false`".into(), "write `false`".into()));
        assert_eq!(hint("maybe"), "write `true` or `false`");
    }

    #[test]
    fn names_are_plain_and_short() {
        for good in ["a", "0", "ct-2", "to.lab_1"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for wrong in ["", "-a", "A", "a b", "é", "a/b", &"a".repeat(64)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_choice_of_a_later_release_is_refused_by_name() {
        let mode = choice(&[("strict", ())], &["permissive"]);

        assert_eq!(mode("permissive").unwrap_err().text, "is not in this release; only strict is");
        assert_eq!(
            mode("stric").unwrap_err().hint.unwrap(),
            "write `strict`, or remove the key: it is the only one in this release"
        );
    }
}
