//! What SREs see: metrics and logs.

mod handles;
pub mod log;
pub mod metrics;
