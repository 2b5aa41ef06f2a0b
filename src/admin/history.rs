//! `/history`: what every listener did in the last quarter of an hour, sampled from the metrics, so that the
//! dashboard has something to plot from the moment it is opened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

use super::View;
use crate::clock;
use crate::live::Live;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::{Durations, ListenerKey, Metrics, Reading};

/// From one sample to the next.
const EVERY: Duration = Duration::from_secs(2);
/// Samples that are kept: a quarter of an hour.
const KEPT: usize = 450;

/// What every listener did, sample by sample.
#[derive(Default)]
pub struct History(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    /// The number that the next sample gets.
    next: u64,
    samples: VecDeque<Sample>,
    /// What the metrics stood at when the last sample was taken.
    before: BTreeMap<ListenerKey, Reading>,
}

struct Sample {
    at: OffsetDateTime,
    listeners: BTreeMap<ListenerKey, Moment>,
}

/// What a listener did since the sample before, and how many connections it has.
#[derive(Debug, Clone, Copy)]
struct Moment {
    open: u64,
    opened: u64,
    refused: u64,
    denied: u64,
    requests: u64,
    up: u64,
    down: u64,
    handshake: Quantiles,
    request: Quantiles,
}

/// Seconds that half, and 99 of 100, did not exceed; `None` when there was none.
type Quantiles = [Option<f32>; 2];

impl History {
    /// Takes a sample every two seconds, until `end` is cut.
    pub(super) async fn keep(&self, view: &Live<View>, metrics: &Metrics, end: &Shutdown) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.until_cut(ticks.tick()).await.is_some() {
            let view = view.snapshot();
            let listeners = view.value.listeners.iter();
            let keys = listeners.map(|l| (l.name.clone(), l.direction.to_owned())).collect();
            self.take(clock::now(), keys, metrics.readings());
        }
    }

    /// One sample, of the listeners that there are.
    fn take(
        &self,
        at: OffsetDateTime,
        listeners: Vec<ListenerKey>,
        mut readings: BTreeMap<ListenerKey, Reading>,
    ) {
        let mut ring = self.ring();
        let moments = listeners.into_iter().filter_map(|key| {
            let reading = readings.get(&key)?;
            let moment = Moment::between(ring.before.get(&key), reading);
            Some((key, moment))
        });
        let sample = Sample { at, listeners: moments.collect() };
        readings.retain(|key, _| sample.listeners.contains_key(key));
        ring.before = readings;
        if ring.samples.len() == KEPT {
            ring.samples.pop_front();
        }
        ring.samples.push_back(sample);
        ring.next += 1;
    }

    /// The samples from number `since` on, or all that there are: a column for each listener and figure.
    /// `since` is what the last answer called `next`.
    pub(super) fn json(&self, started: OffsetDateTime, since: Option<u64>) -> Value {
        let ring = self.ring();
        let first = ring.next - ring.samples.len() as u64;
        let from = since.filter(|since| (first..=ring.next).contains(since)).unwrap_or(first);
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        let samples = || ring.samples.iter().skip(skipped);
        let keys: BTreeMap<&ListenerKey, ()> =
            samples().flat_map(|sample| sample.listeners.keys()).map(|key| (key, ())).collect();
        let listeners = keys.into_keys().map(|key| {
            let mut shown = Map::new();
            shown.insert("name".to_owned(), key.0.as_str().into());
            shown.insert("direction".to_owned(), key.1.as_str().into());
            for (column, figure) in COLUMNS {
                let figures =
                    samples().map(|sample| sample.listeners.get(key).map_or(Value::Null, figure));
                shown.insert((*column).to_owned(), figures.collect());
            }
            Value::Object(shown)
        });
        json!({
            "started": started.unix_timestamp(),
            "every": EVERY.as_secs(),
            "from": from,
            "next": ring.next,
            "times": samples().map(|sample| sample.at.unix_timestamp()).collect::<Vec<_>>(),
            "listeners": listeners.collect::<Vec<_>>(),
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moment {
    /// What came since `before`. Of a listener that was not there before, nothing has.
    fn between(before: Option<&Reading>, now: &Reading) -> Self {
        let before = before.unwrap_or(now);
        let handshakes = now.handshakes.since(&before.handshakes);
        let exchanges = now.exchanges.since(&before.exchanges);
        Self {
            open: now.open,
            opened: now.opened.saturating_sub(before.opened),
            refused: now.refused.saturating_sub(before.refused),
            denied: now.denied.saturating_sub(before.denied),
            requests: now.requests.saturating_sub(before.requests),
            up: now.up.saturating_sub(before.up),
            down: now.down.saturating_sub(before.down),
            handshake: quantiles(&handshakes),
            request: quantiles(&exchanges),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate, of few digits")]
fn quantiles(durations: &Durations) -> Quantiles {
    [0.5, 0.99].map(|q| durations.quantile(q).map(|seconds| seconds as f32))
}

/// One figure of a sample.
type Figure = fn(&Moment) -> Value;

/// What is told of a listener, sample by sample.
const COLUMNS: &[(&str, Figure)] = &[
    ("open", |moment| moment.open.into()),
    ("opened", |moment| moment.opened.into()),
    ("refused", |moment| moment.refused.into()),
    ("denied", |moment| moment.denied.into()),
    ("requests", |moment| moment.requests.into()),
    ("up", |moment| moment.up.into()),
    ("down", |moment| moment.down.into()),
    ("handshake_p50_us", |moment| microseconds(moment.handshake[0])),
    ("handshake_p99_us", |moment| microseconds(moment.handshake[1])),
    ("request_p50_us", |moment| microseconds(moment.request[0])),
    ("request_p99_us", |moment| microseconds(moment.request[1])),
];

/// Whole microseconds: short to write.
fn microseconds(seconds: Option<f32>) -> Value {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    seconds.map(|seconds| (seconds * 1e6).round() as u64).into()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn key(name: &str) -> ListenerKey {
        (name.to_owned(), "inbound".to_owned())
    }

    fn take(history: &History, second: i64, opened: &[(&str, u64)]) {
        let keys = opened.iter().map(|(name, _)| key(name)).collect();
        let readings = opened
            .iter()
            .map(|(name, opened)| (key(name), Reading { opened: *opened, ..Reading::default() }));
        history.take(NOON + time::Duration::seconds(second), keys, readings.collect());
    }

    #[test]
    fn a_sample_is_what_came_since_the_one_before() {
        let history = History::default();
        take(&history, 0, &[("adt", 7)]);
        take(&history, 2, &[("adt", 9), ("new", 5)]);
        take(&history, 4, &[("adt", 9), ("new", 6)]);

        let shown = history.json(NOON, None);

        assert_eq!((&shown["from"], &shown["next"]), (&json!(0), &json!(3)));
        assert_eq!(shown["listeners"][0]["opened"], json!([0, 2, 0]));
        assert_eq!(shown["listeners"][1]["opened"], json!([null, 0, 1]));
        assert_eq!(shown["listeners"][0]["handshake_p99_us"], json!([null, null, null]));
    }

    #[test]
    fn who_asks_again_is_told_what_is_new_and_all_when_that_is_not_known() {
        let history = History::default();
        (0..3).for_each(|second| take(&history, second, &[("adt", 1)]));

        let told = |since| history.json(NOON, Some(since))["times"].as_array().unwrap().len();

        assert_eq!((told(2), told(3), told(99)), (1, 0, 3));
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_listeners_that_are_gone_go() {
        let history = History::default();
        take(&history, 0, &[("adt", 1), ("gone", 1)]);
        (1..=450).for_each(|second| take(&history, second, &[("adt", 1)]));

        let shown = history.json(NOON, None);

        assert_eq!((&shown["from"], shown["times"].as_array().unwrap().len()), (&json!(1), 450));
        assert_eq!(shown["listeners"].as_array().unwrap().len(), 1);
        assert_eq!(history.ring().before.len(), 1);
    }
}
