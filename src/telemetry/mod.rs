//! What SREs see: metrics and logs. Spans are in `traces`.

#[cfg(test)]
mod documented;
mod exports;
mod handles;
pub mod log;
mod messages;
pub mod metrics;
mod reading;
