//! What the counters say, and how fast they grow.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// The counters of one look.
pub(super) struct Counters {
    at: Instant,
    /// By the listener's name and the metric's, without `myelin_`; flows of bytes apart.
    values: BTreeMap<(String, String), f64>,
}

const COUNTED: &[&str] =
    &["connections_open", "connections_opened_total", "connections_denied_total", "bytes_total"];

impl Counters {
    /// Of a page in Prometheus's text format.
    pub(super) fn of(metrics: &str) -> Self {
        let mut values = BTreeMap::new();
        for line in metrics.lines() {
            let Some((series, value)) =
                line.strip_prefix("myelin_").and_then(|line| line.rsplit_once(' '))
            else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Some(listener) = label(labels, "listener").filter(|_| COUNTED.contains(&name))
            else {
                continue;
            };
            let name = label(labels, "flow")
                .map_or_else(|| name.to_owned(), |flow| format!("{name} {flow}"));
            *values.entry((listener.to_owned(), name)).or_default() += value;
        }
        Self { at: Instant::now(), values }
    }

    /// What a listener's counter says.
    pub(super) fn value(&self, listener: &str, name: &str) -> f64 {
        self.values.get(&(listener.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    /// By how much it has grown in a second since `before`. One that was begun anew has grown by nothing.
    pub(super) fn rate(&self, before: &Self, listener: &str, name: &str) -> f64 {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let grown = self.value(listener, name) - before.value(listener, name);
        if seconds > 0.0 { grown.max(0.0) / seconds } else { 0.0 }
    }
}

/// The value of a label. Names of listeners and flows need no escapes.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let mut found =
        labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    found.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_listener_are_added_up_and_flows_told_apart() {
        let counters = Counters::of(
            "# HELP myelin_bytes_total x\n\
             myelin_connections_open{listener=\"a\",direction=\"inbound\"} 3\n\
             myelin_connections_denied_total{listener=\"a\",reason=\"x\"} 1\n\
             myelin_connections_denied_total{listener=\"a\",reason=\"y\"} 2\n\
             myelin_bytes_total{listener=\"a\",flow=\"up\"} 1e3\n",
        );

        assert!((counters.value("a", "connections_open") - 3.0).abs() < 1e-9);
        assert!((counters.value("a", "connections_denied_total") - 3.0).abs() < 1e-9);
        assert!((counters.value("a", "bytes_total up") - 1000.0).abs() < 1e-9);
        assert!(counters.value("b", "connections_open").abs() < 1e-9);
    }
}
