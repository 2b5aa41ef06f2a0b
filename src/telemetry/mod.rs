//! What SREs see: metrics and logs.

mod exports;
mod handles;
pub mod log;
mod messages;
pub mod metrics;
