//! Listeners that are not strict yet, until a date.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::eventually;
use super::mesh::{Running, Setup};
use super::outside::Outside;
use super::trail::Record;

/// A date that does not pass while a test runs.
pub(crate) const FAR: Duration = Duration::from_secs(36 * 3600);
/// A date that has passed by the time that a new configuration with it is in place, or passes then: it makes no
/// difference.
pub(crate) const SOON: Duration = Duration::from_millis(200);

impl Setup {
    /// Takes plaintext, too, for so long.
    pub(crate) fn permissive(self, left: Duration) -> Self {
        self.with("mode: permissive").until(left)
    }

    /// Only observes its policy, for so long.
    pub(crate) fn observing(self, left: Duration) -> Self {
        self.with("enforce: false").until(left)
    }

    fn until(self, left: Duration) -> Self {
        let until = (OffsetDateTime::now_utc() + left).format(&Rfc3339).unwrap();
        self.with(&format!("until: {until:?}"))
    }
}

impl Running {
    /// Puts a configuration in place in which the date of the listener is near, and waits until it has passed.
    pub(crate) async fn turns_strict(&self, soon: &Setup) -> Record {
        self.reload(soon).await.unwrap();
        let is_end = |record: &Record| record.reason().ends_with("_ended");
        eventually("the date to pass", || async {
            self.trail().all("break-glass-ended").into_iter().find(is_end)
        })
        .await
    }
}

impl Outside {
    /// What `/status` says of the first listener.
    pub(crate) async fn strictness(&self) -> Value {
        let status: Value = serde_json::from_str(&self.page("/status").await.body).unwrap();
        let mut listener = status["listeners"][0].clone();
        listener["fails_open"] = status["fails_open"].clone();
        listener
    }

    /// The records that a page of the administrative listener shows, newest first.
    pub(crate) async fn shown(&self, page: &str) -> Vec<Value> {
        serde_json::from_str(&self.page(page).await.body).unwrap()
    }
}
