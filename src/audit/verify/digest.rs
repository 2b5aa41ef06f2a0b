//! What of a line can be found out without knowing the line before it.

use crate::audit::line::encode::{Hash, hash};
use crate::audit::read::placed::Line;
use crate::audit::seal::leaf;

/// How long a time is: `2026-11-22T06:12:01.123Z`.
const TIME: usize = 24;

/// A line's hashes, and what an ordinary line says of itself.
#[derive(Debug)]
pub(super) struct Digest {
    /// SHA-256 of the line, which the next one names.
    pub(super) hash: Hash,
    /// The line as a leaf of the tree.
    pub(super) leaf: Hash,
    /// `None` when the line is no record, or one that says something of the trail: it has to be read again.
    pub(super) place: Option<Place>,
}

/// Where an ordinary record says that it stands.
#[derive(Debug)]
pub(super) struct Place {
    /// Its number.
    pub(super) sequence: u64,
    prev: [u8; 64],
    timestamp: [u8; TIME],
}

impl Digest {
    pub(super) fn of(line: &[u8]) -> Self {
        Self { hash: hash(line), leaf: leaf(line), place: Place::of(line) }
    }
}

impl Place {
    fn of(line: &[u8]) -> Option<Self> {
        let Line { timestamp, event, myelin } = Line::parse(line).ok()?;
        let is_ordinary = event.action != "checkpoint"
            && myelin.checkpoint.is_none()
            && myelin.segment.is_none()
            && myelin.removed.is_empty();
        if !is_ordinary {
            return None;
        }
        Some(Self {
            sequence: event.sequence,
            prev: myelin.prev.as_bytes().try_into().ok()?,
            timestamp: timestamp.as_bytes().try_into().ok()?,
        })
    }

    /// The hash of the line before, as it stands there.
    pub(super) fn prev(&self) -> &str {
        text(&self.prev)
    }

    /// Its time, as it stands there.
    pub(super) fn timestamp(&self) -> &str {
        text(&self.timestamp)
    }
}

/// What was copied from a text whole is one.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
