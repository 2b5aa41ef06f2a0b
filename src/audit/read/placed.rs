//! What the chain needs to know of a line that is already in the trail.

use std::borrow::Cow;

use serde::Deserialize;

use crate::audit::seal::Tree;

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
    #[serde(borrow)]
    pub(in crate::audit) segment: Option<SegmentStart<'a>>,
    /// On a checkpoint.
    #[serde(borrow)]
    pub(in crate::audit) checkpoint: Option<Sealed<'a>>,
    /// Segments that were removed because their retention was over.
    #[serde(borrow, default)]
    pub(in crate::audit) removed: Vec<Removed<'a>>,
}

/// `myelin.segment`, in part.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct SegmentStart<'a> {
    /// The verifier key that signs checkpoints.
    pub(in crate::audit) key: Option<&'a str>,
    /// The peaks of the tree over all before it.
    #[serde(borrow, default)]
    pub(in crate::audit) peaks: Vec<&'a str>,
}

/// `myelin.checkpoint`
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Sealed<'a> {
    /// How many records it covers.
    pub(in crate::audit) size: u64,
    /// The signed note.
    #[serde(borrow)]
    pub(in crate::audit) note: Cow<'a, str>,
    /// The key that signs from the next one on.
    pub(in crate::audit) introduces: Option<&'a str>,
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

    /// The tree over all records before it, where a segment begins with it.
    pub(in crate::audit) fn tree_before(&self) -> Option<Tree> {
        let peaks = &self.myelin.segment.as_ref()?.peaks;
        let decoded = |peak: &&str| hex::decode(peak).ok()?.try_into().ok();
        let peaks = peaks.iter().map(decoded).collect::<Option<_>>()?;
        Tree::resume(self.event.sequence.checked_sub(1)?, peaks)
    }
}
