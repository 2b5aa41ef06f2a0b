//! Dates by which something ends, or should be looked at.

use time::OffsetDateTime;

use crate::clock;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Located, located};
use crate::config::scalar::moment;

/// `expires`. `past`: what is to be said of one that has passed, and what else than a later date mends it.
pub(super) fn expires(
    fields: &mut Fields<'_, '_>,
    past: impl FnOnce() -> (String, &'static str),
) -> Option<Option<OffsetDateTime>> {
    date(fields, "expires", past)
}

/// The date under `key`, like [`expires`].
pub(super) fn date(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    past: impl FnOnce() -> (String, &'static str),
) -> Option<Option<OffsetDateTime>> {
    fields.optional(key, |reader, node| {
        let date = located(moment)(reader, node)?;
        if has_passed(&date) {
            let (text, otherwise) = past();
            let hint = format!("set a later date, or {otherwise}");
            reader.warn(date.at(), Fault::new(text).hint(hint));
        }
        Some(date.value)
    })
}

/// Whether `date` has passed.
pub(super) fn has_passed(date: &Located<OffsetDateTime>) -> bool {
    clock::has_passed(Some(date.value), clock::now())
}
