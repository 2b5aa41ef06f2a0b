//! What SREs see: metrics and logs.

mod handles;
pub mod log;
mod messages;
pub mod metrics;
