//! `myelin.flood`: for how many denials a record stands, why and from when to when.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::line::text::Timestamp;
use crate::audit::record::Flood;

/// Denials that share a record.
#[derive(Serialize)]
pub(super) struct FloodFields<'a> {
    count: u64,
    reasons: &'a BTreeMap<&'static str, u64>,
    first: Timestamp,
    last: Timestamp,
}

impl<'a> FloodFields<'a> {
    pub(super) fn of(flood: &'a Flood) -> Self {
        let (first, last) = (Timestamp(flood.first), Timestamp(flood.last));
        Self { count: flood.count, reasons: &flood.reasons, first, last }
    }
}
