//! What the chain needs to know of a line that is already in the trail.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A line, as far as the chain is concerned. Borrows from it; all else is skipped unread.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Line<'a> {
    /// When.
    #[serde(rename = "@timestamp")]
    pub(in crate::audit) timestamp: &'a str,
    /// What, and its number.
    #[serde(borrow)]
    pub(in crate::audit) event: Event<'a>,
    /// Its place.
    #[serde(borrow)]
    pub(in crate::audit) myelin: Myelin<'a>,
}

/// `event`, in part.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Event<'a> {
    /// Counts records from 1.
    pub(in crate::audit) sequence: u64,
    /// `event.action`.
    pub(in crate::audit) action: &'a str,
}

/// `myelin`, in part.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Myelin<'a> {
    /// The hash of the line before, in hexadecimal.
    pub(in crate::audit) prev: &'a str,
    /// On the first record of a segment.
    pub(in crate::audit) segment: Option<IgnoredAny>,
    /// Segments that were removed because their retention was over.
    #[serde(borrow, default)]
    pub(in crate::audit) removed: Vec<Removed<'a>>,
}

/// An entry of `myelin.removed`, in part.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Removed<'a> {
    /// The hash of its last line, in hexadecimal.
    pub(in crate::audit) last_hash: &'a str,
}

impl<'a> Line<'a> {
    /// Reads `line`, which has no newline.
    pub(in crate::audit) fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Whether a segment begins with it.
    pub(in crate::audit) fn begins_segment(&self) -> bool {
        self.event.action == "recording-started" && self.myelin.segment.is_some()
    }
}
