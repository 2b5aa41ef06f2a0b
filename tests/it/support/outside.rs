//! What is visible of a sidecar from outside, wherever it runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::admin::{Answer, get, metric};
use super::eventually;
use super::trail::Trail;

/// A sidecar's addresses and its trail.
pub(crate) struct Outside {
    pub(crate) listeners: Vec<(String, String)>,
    pub(crate) admin: SocketAddr,
    pub(crate) trail: Trail,
    pub(crate) config: PathBuf,
}

impl Outside {
    /// Where the first listener listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0].1.parse().unwrap()
    }

    /// Where the listener `name` listens.
    pub(crate) fn address_of(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(listener, _)| listener == name);
        found.unwrap_or_else(|| panic!("no listener {name}")).1.parse().unwrap()
    }

    pub(crate) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Asks the administrative listener for a page.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        get(self.admin, path).await.unwrap()
    }

    /// What a metric says now; 0 when there is no such series.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.page("/metrics").await.body, name, labels).unwrap_or(0.0)
    }

    /// Waits until a metric says `value`.
    pub(crate) async fn metric_is(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name} {labels:?} to be {value}");
        eventually(&what, || async {
            (self.metric(name, labels).await - value).abs().lt(&1e-9).then_some(())
        })
        .await;
    }

    /// Waits until so many connections are open on the first listener.
    pub(crate) async fn open_connections(&self, count: usize) {
        let name = self.listeners[0].0.clone();
        let count = f64::from(u32::try_from(count).unwrap());
        self.metric_is("myelin_connections_open", &[("listener", &name)], count).await;
    }

    /// The first listener's connections that ended so.
    pub(crate) async fn ended(&self, ending: &str, count: f64) {
        let name = self.listeners[0].0.clone();
        let labels = [("listener", name.as_str()), ("ending", ending)];
        self.metric_is("myelin_connections_closed_total", &labels, count).await;
    }
}
