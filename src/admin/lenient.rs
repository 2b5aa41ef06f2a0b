//! What `/status` shows of a listener that need not be strict: until when, and what would stop working.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::clock::rfc3339;
use crate::inventory::{Lenience, Leniences, Tally};

/// Sources of plaintext that are shown.
const SHOWN: usize = 20;
const DAY: i64 = 24 * 60 * 60;

/// How strict an inbound listener is.
#[derive(Clone)]
pub struct LenientView {
    /// Until when it takes plaintext, too.
    pub permissive_until: Option<OffsetDateTime>,
    /// Until when it only observes its policy.
    pub observe_until: Option<OffsetDateTime>,
    /// What it let through only because of that.
    pub lenience: Arc<Lenience>,
}

impl LenientView {
    /// Whether it takes plaintext at `now`.
    pub(super) fn is_permissive(&self, now: OffsetDateTime) -> bool {
        self.permissive_until.is_some_and(|until| now < until)
    }

    /// Whether it only observes its policy at `now`.
    pub(super) fn observes(&self, now: OffsetDateTime) -> bool {
        self.observe_until.is_some_and(|until| now < until)
    }

    /// Fields of the listener.
    pub(super) fn json(&self, now: OffsetDateTime) -> Map<String, Value> {
        let Leniences { would_deny, plaintext, sources } = self.lenience.so_far();
        let mut came = tally("connections", plaintext, self.permissive_until, now);
        came.insert("sources".to_owned(), sources.len().into());
        came.insert("last_sources".to_owned(), sources.iter().take(SHOWN).map(source).collect());
        let mode = if self.is_permissive(now) { "permissive" } else { "strict" };
        let fields = [
            ("mode", Value::from(mode)),
            ("enforce", Value::from(!self.observes(now))),
            ("plaintext", Value::Object(came)),
            ("would_deny", Value::Object(tally("count", would_deny, self.observe_until, now))),
        ];
        fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Until when, how often, and since when no more. Null where there never was any, since the start.
fn tally(
    count: &str,
    tally: Tally,
    until: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Map<String, Value> {
    let days_left = until.filter(|until| now < *until).map(|until| days(until - now));
    let fields = [
        ("until", until.map(rfc3339).into()),
        ("days_left", days_left.into()),
        (count, tally.count.into()),
        ("last", tally.last.map(rfc3339).into()),
        ("days_since_last", tally.last.map(|last| days(now - last)).into()),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn source((ip, tally): &(IpAddr, Tally)) -> Value {
    json!({
        "ip": ip.to_string(),
        "connections": tally.count,
        "last": tally.last.map(rfc3339),
    })
}

/// Whole days.
fn days(time: time::Duration) -> i64 {
    time.whole_seconds().max(0) / DAY
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn view(until: Option<OffsetDateTime>) -> LenientView {
        LenientView { permissive_until: until, observe_until: until, lenience: Arc::default() }
    }

    #[test]
    fn days_since_the_last_would_deny_are_null_when_there_was_none() {
        let view = view(Some(NOON + Duration::hours(50)));

        let shown = view.json(NOON);

        assert_eq!((&shown["mode"], &shown["enforce"]), (&json!("permissive"), &json!(false)));
        assert_eq!(
            shown["would_deny"],
            json!({
                "until": "2026-11-24T14:00:00Z", "days_left": 2,
                "count": 0, "last": null, "days_since_last": null,
            })
        );
    }

    #[test]
    fn what_came_is_told_with_its_last_moment_and_its_sources() {
        let view = view(Some(NOON));
        let earlier = NOON - Duration::days(3);
        view.lenience.came_in_plaintext(IpAddr::from([10, 0, 0, 7]), earlier);
        view.lenience.would_deny(earlier);

        let shown = view.json(NOON);

        assert_eq!((&shown["mode"], &shown["enforce"]), (&json!("strict"), &json!(true)));
        assert_eq!(shown["would_deny"]["days_since_last"], 3);
        assert_eq!(shown["would_deny"]["days_left"], Value::Null);
        assert_eq!(
            shown["plaintext"]["last_sources"],
            json!([{ "ip": "10.0.0.7", "connections": 1, "last": "2026-11-19T12:00:00Z" }])
        );
        assert_eq!(
            (&shown["plaintext"]["connections"], &shown["plaintext"]["sources"]),
            (&1.into(), &1.into())
        );
    }
}
