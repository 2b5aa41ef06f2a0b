//! `myelin.sidecar`, `myelin.clock` and `myelin.configuration`, as they are read back.

use serde::Deserialize;

/// `myelin.sidecar`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSidecar {
    /// Who it proves to be.
    pub identity: String,
    /// Its number on its machine.
    pub process: u32,
}

/// `myelin.clock`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedClock {
    /// `yes`, `no` or `unknown`.
    pub synchronised: String,
    /// How far off it is at most, in milliseconds.
    pub max_error_ms: Option<f64>,
}

/// `myelin.configuration`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedConfiguration {
    /// What is different.
    #[serde(default)]
    pub changed: Vec<RecordedChange>,
    /// How many keys are different beside these.
    pub changed_more: Option<u64>,
    /// Why nothing of the trail may be removed.
    pub legal_hold: Option<String>,
}

/// An item of `myelin.configuration.changed`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedChange {
    /// Where it stands.
    pub key: String,
    /// What stood there, if it may be shown.
    pub old: Option<String>,
    /// What stands there now, if it may be shown.
    pub new: Option<String>,
}
