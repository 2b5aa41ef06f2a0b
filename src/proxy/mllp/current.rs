//! What a way is in the middle of.

use aws_lc_rs::digest::{SHA256, digest};

use super::exchanges::Open;
use crate::protocol::mllp::Header;

/// The frame that a way is in.
pub(super) enum Current<T> {
    /// None, or one that has no message.
    Nothing,
    /// A message, by its number among those that wait.
    Message(u64),
    /// The acknowledgement of a message of the other way.
    Answer(Open<T>),
    /// A message that does not pass; this is the answer to it.
    Discarded(Vec<u8>),
}

/// The type and the sender of a message.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<u8>);

impl Said {
    /// Whether this header says the same; from now on this is what was said.
    pub(super) fn is(&mut self, header: &Header<'_>) -> bool {
        let Header { code, trigger, sending_application, sending_facility, .. } = header;
        let now = [code, trigger, sending_application, sending_facility];
        // Fields cannot hold the end of a segment.
        let is_same = now.into_iter().copied().eq(self.0.split(|byte| *byte == b'\r'));
        if !is_same {
            self.0.clear();
            for (number, field) in now.into_iter().enumerate() {
                self.0.extend_from_slice(if number > 0 { b"\r" } else { b"" });
                self.0.extend_from_slice(field);
            }
        }
        is_same
    }
}

/// SHA-256 of an identifier, its first 16 bytes: by that messages and acknowledgements find each other, and
/// that is what goes on record, for some senders put a patient's number into it.
pub(super) fn control_id(text: &[u8]) -> Option<[u8; 16]> {
    let hash = digest(&SHA256, text);
    hash.as_ref().first_chunk().copied().filter(|_| !text.is_empty())
}
