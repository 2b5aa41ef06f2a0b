//! What a way is in the middle of.

use aws_lc_rs::digest::{SHA256, digest};

use super::open::{Id, Open};
use crate::protocol::mllp::Header;

/// The frame that a way is in.
pub(super) enum Current<T> {
    /// None, or one that has no message.
    Nothing,
    /// A message, by its number among those that wait.
    Message(u64),
    /// The acknowledgement of messages of the other way; what is answered at its end.
    Answer(Vec<Open<T>>),
    /// A message that does not pass; this is the answer to it.
    Discarded(Vec<u8>),
}

/// Types and senders that are told apart in one frame.
pub(super) const KINDS: usize = 64;

/// The types and the senders of the messages in a frame.
#[derive(Debug, Default)]
pub(super) struct Kinds(Vec<Vec<u8>>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first message of it.
    New,
    /// It has this number.
    Known(usize),
}

impl Kinds {
    /// Another frame has begun.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a message like this one came before. Beyond [`KINDS`] every one is new.
    pub(super) fn of(&mut self, header: &Header<'_>) -> Kind {
        let Header { code, trigger, sending_application, sending_facility, .. } = header;
        let said = [code, trigger, sending_application, sending_facility];
        // Fields cannot hold the end of a segment.
        let is_same =
            |known: &Vec<u8>| said.into_iter().copied().eq(known.split(|byte| *byte == b'\r'));
        if let Some(number) = self.0.iter().position(is_same) {
            return Kind::Known(number);
        }
        if self.0.len() < KINDS {
            self.0.push(said.map(|part| *part).join(&b'\r'));
        }
        Kind::New
    }
}

/// SHA-256 of an identifier, its first 16 bytes: by that messages and acknowledgements find each other, and
/// that is what goes on record, for some senders put a patient's number into it.
pub(super) fn control_id(text: &[u8]) -> Option<Id> {
    let hash = digest(&SHA256, text);
    hash.as_ref().first_chunk().copied().filter(|_| !text.is_empty())
}
