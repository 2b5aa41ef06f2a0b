//! What only the trail can say about itself.

use serde::Serialize;

/// What only the trail can say about itself.
#[derive(Debug, Default)]
pub(in crate::audit) struct Own {
    /// On the first record of a segment.
    pub(in crate::audit) segment: Option<SegmentStart>,
    /// On `trail-truncated`.
    pub(in crate::audit) truncated: Option<Truncated>,
    /// How many records before this one were never written.
    pub(in crate::audit) lost: Option<u64>,
    /// On `segments-removed`: segments that are past their retention and removed once this is on disk.
    pub(in crate::audit) removed: Vec<Removed>,
    /// On `checkpoint`.
    pub(in crate::audit) sealed: Option<Sealed>,
}

/// `myelin.checkpoint`: the tree over all records before this one, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// How many records it covers.
    pub size: u64,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
    /// The verifier key that signs from the next checkpoint on; it has signed this one, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introduces: Option<String>,
}

/// `myelin.segment`: a segment begins.
#[derive(Debug, Serialize)]
pub(in crate::audit) struct SegmentStart {
    /// Its file.
    pub(in crate::audit) file: String,
    /// The file before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) previous: Option<String>,
    /// How many records that one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) previous_records: Option<u64>,
    /// The verifier key that signs checkpoints; its name is the trail's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::audit) key: Option<String>,
    /// The peaks of the tree over all records before the segment (RFC 6962), hexadecimal, the greatest first:
    /// the segment can be verified without those before it.
    pub(in crate::audit) peaks: Vec<String>,
}

/// `myelin.truncated`: a torn end was cut off.
#[derive(Debug, Serialize)]
pub(in crate::audit) struct Truncated {
    /// The segment it was cut from.
    pub(in crate::audit) file: String,
    /// How much was cut.
    pub(in crate::audit) bytes: u64,
    /// The file that keeps it.
    pub(in crate::audit) kept: String,
}

/// `myelin.removed[]`: a segment whose retention is over.
#[derive(Debug, Clone, Serialize)]
pub(in crate::audit) struct Removed {
    /// Its file.
    pub(in crate::audit) file: String,
    /// Its first record.
    pub(in crate::audit) first_sequence: u64,
    /// Its last record.
    pub(in crate::audit) last_sequence: u64,
    /// The hash of its last line, which the next segment continues.
    pub(in crate::audit) last_hash: String,
    /// The peaks of the tree over all records up to its last (RFC 6962), hexadecimal, the greatest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::audit) peaks: Vec<String>,
}
