//! What the metrics stand at, for the plots of the dashboard: read from what a scrape would be told, so that
//! nothing is counted twice and nothing is added to the way of traffic.

use std::collections::BTreeMap;

use super::metrics::{
    ASSOCIATIONS, BUCKETS, BYTES, CONNECTIONS_DENIED, CONNECTIONS_OPEN, CONNECTIONS_OPENED,
    HANDSHAKE_DURATION, HANDSHAKES, MESSAGE_DURATION, MESSAGES, Metrics, REQUEST_DURATION,
    REQUESTS,
};

/// What the metrics of one listener stand at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Connections accepted.
    pub opened: u64,
    /// Connections open now.
    pub open: u64,
    /// Handshakes that came to nothing.
    pub refused: u64,
    /// Denials of connections, requests, messages and associations.
    pub denied: u64,
    /// Requests, messages or associations, by what the listener carries.
    pub requests: u64,
    /// Plaintext bytes from downstream to upstream.
    pub up: u64,
    /// Plaintext bytes from upstream to downstream.
    pub down: u64,
    /// How long handshakes took.
    pub handshakes: Durations,
    /// How long requests or messages took.
    pub exchanges: Durations,
}

/// Durations, counted by their buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many took no longer than the bucket's end, those of smaller buckets included.
    within: [u64; BUCKETS.len()],
    all: u64,
}

/// Name and direction of a listener.
pub type ListenerKey = (String, String);

impl Metrics {
    /// What the metrics of each listener stand at.
    pub fn readings(&self) -> BTreeMap<ListenerKey, Reading> {
        let text = self.exposition();
        let mut readings: BTreeMap<ListenerKey, Reading> = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("myelin_")) {
            let Some((name, labels, value)) = series(line) else { continue };
            let (Some(listener), Some(direction)) =
                (label(labels, "listener"), label(labels, "direction"))
            else {
                continue;
            };
            let key = (listener.to_owned(), direction.to_owned());
            readings.entry(key).or_default().take(name, labels, value);
        }
        readings
    }
}

impl Reading {
    fn take(&mut self, name: &str, labels: &str, value: u64) {
        match name {
            CONNECTIONS_OPENED => self.opened = value,
            CONNECTIONS_OPEN => self.open = value,
            CONNECTIONS_DENIED => self.denied += value,
            HANDSHAKES if label(labels, "result") != Some("ok") => self.refused += value,
            REQUESTS | MESSAGES | ASSOCIATIONS => self.requests += value,
            BYTES if label(labels, "flow") == Some("up") => self.up = value,
            BYTES => self.down = value,
            _ => {
                let Some(name) = name.strip_suffix("_bucket") else { return };
                let end = label(labels, "le").unwrap_or_default();
                match name {
                    HANDSHAKE_DURATION => self.handshakes.take(end, value),
                    REQUEST_DURATION | MESSAGE_DURATION => self.exchanges.take(end, value),
                    _ => {}
                }
            }
        }
    }
}

impl Durations {
    fn take(&mut self, end: &str, value: u64) {
        let Ok(end) = end.parse::<f64>() else { return };
        if end.is_infinite() {
            self.all += value;
        }
        let place = BUCKETS.iter().position(|bucket| (bucket - end).abs() < 1e-9);
        if let Some(within) = place.and_then(|place| self.within.get_mut(place)) {
            *within += value;
        }
    }

    /// Those that came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.all = since.all.saturating_sub(earlier.all);
        for (within, before) in since.within.iter_mut().zip(earlier.within) {
            *within = within.saturating_sub(before);
        }
        since
    }

    /// The duration, in seconds, that the part `q` of them does not exceed: within its bucket as if they were
    /// spread evenly there, as Prometheus does. `None` of none.
    #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.all == 0 {
            return None;
        }
        let rank = q * self.all as f64;
        let (mut start, mut below) = (0.0, 0);
        for (end, within) in BUCKETS.iter().zip(self.within) {
            if within as f64 >= rank && within > below {
                let part = (rank - below as f64) / (within - below) as f64;
                return Some(start + (end - start) * part.clamp(0.0, 1.0));
            }
            (start, below) = (*end, within);
        }
        Some(start) // longer than the last bucket tells
    }
}

/// Name, labels and value of a time series.
fn series(line: &str) -> Option<(&str, &str, u64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{')?;
    Some((name, labels.strip_suffix('}')?, whole(value.parse().ok()?)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The value of a label. Those that are asked for hold no quote and no comma.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| {
        let value = label.strip_prefix(key)?.strip_prefix("=\"")?;
        value.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::identity::ListenerName;
    use crate::outcome::{DenyReason, Direction, Refusal};
    use crate::telemetry::metrics::ListenerMetrics;

    fn listener() -> (Metrics, Arc<ListenerMetrics>) {
        let metrics = Metrics::new().unwrap();
        let listener = metrics.listener(&ListenerName::new("fhir"), Direction::Inbound);
        (metrics, listener)
    }

    fn read(metrics: &Metrics) -> Reading {
        metrics.readings()[&("fhir".to_owned(), "inbound".to_owned())].clone()
    }

    #[test]
    fn what_was_counted_is_read() {
        let (metrics, listener) = listener();
        let _open = listener.opened();
        listener.handshaken(Duration::from_millis(3));
        listener.refused(Refusal::Expired);
        listener.refused(Refusal::NotTls);
        listener.denied(DenyReason::NoRoute);
        listener.request("GET", 200, true, Duration::from_millis(7));
        listener.request("PUT", 403, false, Duration::from_millis(7));
        listener.bytes_up.increment(5);
        listener.bytes_down.increment(6);

        let reading = read(&metrics);

        let Reading { opened, open, refused, denied, requests, up, down, .. } = reading;
        assert_eq!((opened, open, refused, denied, requests), (1, 1, 2, 1, 2));
        assert_eq!((up, down), (5, 6));
        assert_eq!((reading.handshakes.all, reading.exchanges.all), (1, 2));
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_what_came_since() {
        let (metrics, listener) = listener();
        (0..1000).for_each(|_| listener.handshaken(Duration::from_secs(3)));
        let before = read(&metrics).handshakes;
        (0..99).for_each(|_| listener.handshaken(Duration::from_millis(3)));
        listener.handshaken(Duration::from_millis(300));

        let since = read(&metrics).handshakes.since(&before);

        let (half, most) = (since.quantile(0.5).unwrap(), since.quantile(0.995).unwrap());
        assert!((0.002_5..0.005).contains(&half), "{half}");
        assert!((0.25..0.5).contains(&most), "{most}");
        assert_eq!(before.since(&before).quantile(0.5), None);
    }

    #[test]
    fn what_took_longer_than_any_bucket_took_at_least_as_long_as_the_last() {
        let (metrics, listener) = listener();
        listener.handshaken(Duration::from_secs(100));

        assert_eq!(read(&metrics).handshakes.quantile(0.99), BUCKETS.last().copied());
    }
}
