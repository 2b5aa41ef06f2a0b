//! Listeners that are not strict yet, until a date.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::mesh::Setup;
use super::outside::Outside;

/// A date that does not pass while a test runs.
pub(crate) const FAR: Duration = Duration::from_secs(36 * 3600);
/// A date that passes when a test has done what has to be done before.
pub(crate) const SOON: Duration = Duration::from_secs(6);

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
