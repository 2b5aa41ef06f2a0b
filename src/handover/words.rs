//! The messages. An old parent may start a new worker: what is added must be ignored by those who do not know it.

use serde::{Deserialize, Serialize};

/// What the parent wants of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Order {
    /// Read the configuration again.
    Reload,
    /// Drain, then cut after `drain_timeout`, and end.
    Stop,
    /// End what still drains at once.
    Cut,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What a worker tells its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Told {
    /// Everything listens: identity, policy and trail are there.
    Ready,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}
