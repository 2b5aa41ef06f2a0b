//! audit
mod record;
pub use record::*;
