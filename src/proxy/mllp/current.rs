//! What a way is in the middle of.

use aws_lc_rs::digest::{SHA256, digest};

use super::exchanges::Open;

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

/// SHA-256 of an identifier, its first 16 bytes: by that messages and acknowledgements find each other, and
/// that is what goes on record, for some senders put a patient's number into it.
pub(super) fn control_id(text: &[u8]) -> Option<[u8; 16]> {
    let hash = digest(&SHA256, text);
    hash.as_ref().first_chunk().copied().filter(|_| !text.is_empty())
}
