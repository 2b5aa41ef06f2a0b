//! Listeners that are not strict yet: that is said every day, and when it is over. At the start and at a
//! reload the configuration's own warnings say it.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use crate::clock::rfc3339;
use crate::config::{Config, Inbound};
use crate::identity::ListenerName;
use crate::telemetry::metrics::{Lenient, Metrics};

/// From one warning to the next.
const AGAIN: Duration = Duration::DAY;

/// What is known of the listeners that are not strict yet, or were not.
#[derive(Debug, Default)]
pub(super) struct Leniency {
    known: BTreeMap<(ListenerName, Lenient), Known>,
}

#[derive(Debug)]
struct Known {
    until: OffsetDateTime,
    told: OffsetDateTime,
    is_over: bool,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A listener is not strict from now on.
    Lenient(Lenient, String),
    /// A listener is not strict yet.
    Warning(String),
    /// A listener is strict from now on.
    Strict(Lenient, String),
}

impl Leniency {
    /// A configuration has taken effect. What it makes lenient, and what it makes strict.
    pub(super) fn loaded(
        &mut self,
        config: &Config,
        metrics: &Metrics,
        now: OffsetDateTime,
    ) -> Vec<Said> {
        let mut said = Vec::new();
        let old = std::mem::take(&mut self.known);
        for (listener, which, until) in dates(config) {
            metrics.lenient_until(&listener.name, which, Some(until.unix_timestamp()));
            let key = (listener.name.clone(), which);
            // A reload that sets a date of the past ends what was lenient until then: that is news.
            let was_lenient = old.get(&key).is_some_and(|known| !known.is_over);
            let known = Known { until, told: now, is_over: until <= now && !was_lenient };
            if until > now && !was_lenient {
                said.push(Said::Lenient(which, warning(listener, which, until, now)));
            }
            self.known.insert(key, known);
        }
        for ((name, which), known) in old {
            if self.known.contains_key(&(name.clone(), which)) {
                continue;
            }
            metrics.lenient_until(&name, which, None);
            if !known.is_over {
                let text =
                    format!("listener `{name}` is strict from now on: the configuration says so");
                said.push(Said::Strict(which, text));
            }
        }
        said
    }

    /// What there is to say at this moment.
    pub(super) fn look(&mut self, config: &Config, now: OffsetDateTime) -> Vec<Said> {
        let mut said = Vec::new();
        for (listener, which, until) in dates(config) {
            let Some(known) = self.known.get_mut(&(listener.name.clone(), which)) else { continue };
            if known.is_over {
                continue;
            }
            if until <= now {
                known.is_over = true;
                said.push(Said::Strict(which, strict(listener, which, until)));
            } else if known.told + AGAIN <= now {
                known.told = now;
                said.push(Said::Warning(warning(listener, which, until, now)));
            }
        }
        said
    }

    /// When the next date passes.
    pub(super) fn due(&self) -> Option<OffsetDateTime> {
        self.known.values().filter(|known| !known.is_over).map(|known| known.until).min()
    }
}

fn dates(config: &Config) -> impl Iterator<Item = (&Inbound, Lenient, OffsetDateTime)> {
    config.inbound.iter().flat_map(|listener| {
        let permissive = listener.permissive_until.map(|until| (Lenient::Permissive, until));
        let observe = listener.observe_until.map(|until| (Lenient::Observe, until));
        let dates = permissive.into_iter().chain(observe);
        dates.map(move |(which, until)| (listener, which, until))
    })
}

fn warning(
    listener: &Inbound,
    which: Lenient,
    until: OffsetDateTime,
    now: OffsetDateTime,
) -> String {
    let what = match which {
        Lenient::Permissive => "takes plaintext from anybody, too (mode: permissive)",
        Lenient::Observe => {
            "lets in whoever has a valid certificate, and whatever they ask for (enforce: false)"
        }
    };
    let (name, until_text) = (&listener.name, rfc3339(until));
    match (until - now).whole_days() {
        0 => format!("listener `{name}` {what} until {until_text}, for less than a day"),
        1 => format!("listener `{name}` {what} until {until_text}, for 1 more day"),
        days => format!("listener `{name}` {what} until {until_text}, for {days} more days"),
    }
}

fn strict(listener: &Inbound, which: Lenient, until: OffsetDateTime) -> String {
    let (name, until) = (&listener.name, rfc3339(until));
    match which {
        Lenient::Permissive => {
            format!(
                "listener `{name}` takes no plaintext any more: mode: permissive was until {until}"
            )
        }
        Lenient::Observe => {
            format!(
                "listener `{name}` enforces its policy from now on: enforce: false was until {until}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use time::macros::datetime;

    use super::*;
    use crate::config;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn config(until: Option<OffsetDateTime>) -> Config {
        let text = "version: 1\nservice: ehr\ntrust_domain: hospital.example\n\
                    identity: { embedded: { dir: authority } }\npeers: {}\n\
                    inbound:\n  - { name: adt, listen: '0.0.0.0:2575', forward: '127.0.0.1:2576', \
                    protocol: tcp, allow: [] }\n";
        let config = config::parse(Path::new("myelin.yaml"), text, &|_| None);
        let mut config = config.unwrap_or_else(|problems| panic!("{problems}"));
        config.inbound[0].permissive_until = until;
        config
    }

    #[test]
    fn a_date_is_warned_of_once_a_day() {
        let (mut leniency, metrics) = (Leniency::default(), Metrics::new().unwrap());
        let config = config(Some(NOON + Duration::days(3)));

        leniency.loaded(&config, &metrics, NOON);

        let days = |count| {
            Said::Warning(format!(
                "listener `adt` takes plaintext from anybody, too (mode: permissive) until \
                 2026-11-25T12:00:00Z, for {count}"
            ))
        };
        assert_eq!(leniency.look(&config, NOON + Duration::hours(23)), []);
        assert_eq!(leniency.look(&config, NOON + Duration::DAY), [days("2 more days")]);
        assert_eq!(leniency.look(&config, NOON + Duration::hours(25)), []);
        assert_eq!(leniency.look(&config, NOON + Duration::days(2)), [days("1 more day")]);
        assert_eq!(leniency.look(&config, NOON + Duration::hours(71)), []);
        assert_eq!(leniency.due(), Some(NOON + Duration::days(3)));
    }

    #[test]
    fn the_end_is_said_once() {
        let (mut leniency, metrics) = (Leniency::default(), Metrics::new().unwrap());
        let config = config(Some(NOON));
        leniency.loaded(&config, &metrics, NOON - Duration::SECOND);

        let said = leniency.look(&config, NOON);

        let text = "listener `adt` takes no plaintext any more: mode: permissive was until \
                    2026-11-22T12:00:00Z";
        assert_eq!(said, [Said::Strict(Lenient::Permissive, text.to_owned())]);
        assert_eq!(leniency.look(&config, NOON + Duration::days(9)), []);
        assert_eq!(leniency.due(), None);
    }

    #[test]
    fn a_date_that_had_passed_before_is_no_news() {
        let (mut leniency, metrics) = (Leniency::default(), Metrics::new().unwrap());
        let config = config(Some(NOON));

        leniency.loaded(&config, &metrics, NOON);

        assert_eq!(leniency.look(&config, NOON + Duration::SECOND), []);
    }

    #[test]
    fn a_date_of_the_past_in_a_new_configuration_ends_what_the_old_one_allowed() {
        let (mut leniency, metrics) = (Leniency::default(), Metrics::new().unwrap());
        leniency.loaded(&config(Some(NOON + Duration::DAY)), &metrics, NOON);
        let ended = config(Some(NOON - Duration::DAY));

        leniency.loaded(&ended, &metrics, NOON);

        assert!(matches!(leniency.look(&ended, NOON)[..], [Said::Strict(Lenient::Permissive, _)]));
        leniency.loaded(&ended, &metrics, NOON);
        assert_eq!(leniency.look(&ended, NOON), []);
    }

    #[test]
    fn a_metric_tells_the_date_until_the_listener_is_strict_by_its_configuration() {
        let (mut leniency, metrics) = (Leniency::default(), Metrics::new().unwrap());
        let gauge = |value: &str| {
            let line =
                format!("myelin_permissive_until_timestamp_seconds{{listener=\"adt\"}} {value}");
            metrics.render().contains(&line)
        };

        leniency.loaded(&config(Some(NOON)), &metrics, NOON - Duration::SECOND);
        assert!(gauge("1795348800"));

        leniency.loaded(&config(None), &metrics, NOON);
        assert!(gauge("NaN"));
    }
}
