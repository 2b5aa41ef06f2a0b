//! What only the trail can say about itself.

use serde::Serialize;

/// What only the trail can say about itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// On the first record of a segment.
    pub(super) segment: Option<SegmentStart>,
    /// On `trail-truncated`.
    pub(super) truncated: Option<Truncated>,
    /// How many records before this one were never written.
    pub(super) lost: Option<u64>,
    /// Segments that are past their retention and removed once this is on disk.
    pub(super) removed: Vec<Removed>,
}

/// `myelin.segment`: a segment begins.
#[derive(Debug, Serialize)]
pub(super) struct SegmentStart {
    /// Its file.
    pub(super) file: String,
    /// The file before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
    /// How many records that one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_records: Option<u64>,
}

/// `myelin.truncated`: a torn end was cut off.
#[derive(Debug, Serialize)]
pub(super) struct Truncated {
    /// The segment it was cut from.
    pub(super) file: String,
    /// How much was cut.
    pub(super) bytes: u64,
    /// The file that keeps it.
    pub(super) kept: String,
}

/// `myelin.removed[]`: a segment whose retention is over.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Removed {
    /// Its file.
    pub(super) file: String,
    /// Its last record.
    pub(super) last_sequence: u64,
    /// The hash of its last line, which the next segment continues.
    pub(super) last_hash: String,
}
