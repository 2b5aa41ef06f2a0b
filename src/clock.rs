//! The wall clock, read in one place.
//!
//! Certificate validity and audit timestamps are wall-clock matters; timeouts are not, they use
//! [`tokio::time`].

use std::time::SystemTime;

use time::OffsetDateTime;

/// The current time, UTC.
pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = SystemTime::now();
    OffsetDateTime::from(now)
}
