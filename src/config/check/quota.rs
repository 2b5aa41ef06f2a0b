//! What one peer may have.

use std::time::Duration;

use super::limits::number;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, located, one};
use crate::config::yaml::Node;
use crate::config::{Quota, Rate, keys};

/// Most of anything.
const MOST: u64 = 1_000_000;

const UNITS: &[(&str, Duration)] = &[
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
];

/// `limits` of a peer or of a rule.
pub(super) fn quota(reader: &Reader<'_>, node: &Node) -> Option<Quota> {
    let mut fields = Fields::open(reader, node, &keys::QUOTA)?;
    let interval = fields.optional("rate", one(interval));
    let burst = fields.optional("burst", located(number::<u32>(1..=MOST)));
    let concurrency = fields.optional("concurrency", one(number::<u32>(1..=MOST)));
    let at = fields.at();
    let unknown = fields.finish();
    let (interval, burst, concurrency) = (interval?, burst?, concurrency?);
    if let (None, Some(burst)) = (interval, &burst) {
        let fault = Fault::new("`burst` without `rate`: there is nothing to rest from");
        reader.error(burst.at(), fault.hint("add `rate: \"100/s\"`, or remove `burst`"));
        return None;
    }
    if interval.is_none() && concurrency.is_none() {
        if unknown == 0 {
            let fault = Fault::new("these limits limit nothing");
            reader
                .error(at, fault.hint("add `rate: \"100/s\"` or `concurrency: 20`, or remove it"));
        }
        return None;
    }
    let rate = interval.map(|interval| Rate {
        interval,
        burst: burst.map_or_else(|| per_second(interval), |burst| burst.value),
    });
    Some(Quota { rate, concurrency })
}

/// How many begin in a second, at least 1.
fn per_second(interval: Duration) -> u32 {
    let nanos = interval.as_nanos().max(1);
    u32::try_from(1_000_000_000 / nanos).unwrap_or(u32::MAX).max(1)
}

/// The time between two at a rate like `100/s`.
fn interval(text: &str) -> Result<Duration, Fault> {
    let wrong = || Fault::new("is not a rate").hint("a number per s, m or h, like \"100/s\"");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let (number, unit) = (number.trim(), unit.trim());
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match number.parse::<u32>() {
        Ok(0) => Err(Fault::new("lets nothing through").hint("take the peer off `allow` for that")),
        Ok(number) if u64::from(number) <= MOST => Ok(*unit / number),
        _ => Err(Fault::new(format!("is more than {MOST}, the most"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_per_time() {
        assert_eq!(interval("100/s"), Ok(Duration::from_millis(10)));
        assert_eq!(interval("6 / m"), Ok(Duration::from_secs(10)));
        assert_eq!(interval("1/h"), Ok(Duration::from_secs(3600)));
        assert_eq!(interval("1000000/s"), Ok(Duration::from_micros(1)));
        for wrong in ["", "100", "/s", "1/d", "1.5/s", "-1/s", "0/s", "1000001/s", "9999999999/s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_burst_is_what_comes_in_a_second_unless_it_is_said() {
        assert_eq!(per_second(Duration::from_millis(10)), 100);
        assert_eq!(per_second(Duration::from_secs(3600)), 1);
    }
}
