//! HL7 v2 over MLLP: frames, the header of a message (MSH), and what an acknowledgement says (MSA).
//!
//! [`Scanner`] says of bytes as they come which of them may pass and where somebody has to be asked first.
//! Beyond MSH and MSA nothing is read: there the patient begins.

mod ack;
mod claims;
mod clear;
mod header;
mod lead;
mod nack;
mod scan;
mod segments;
#[cfg(test)]
mod tests;

pub use ack::{Ack, AckCode};
pub use claims::{MessageKind, NotAKind, NotAName, NotASender, Sender, check_name, is_code};
pub use clear::is_clear_code;
pub use header::Header;
pub use lead::{LEAD_MAX, Lead};
pub use nack::nack;
pub use scan::{Malformed, Reading, Scanner, Step};

/// Begins a frame (VT).
const START: u8 = 0x0b;
/// Ends its content (FS); a carriage return belongs to it, and is missing in some senders' frames.
const END: u8 = 0x1c;

/// Whether a byte ends a segment for some receiver: carriage return by the standard, line and form feeds by
/// habit, and whatever else is no text. Tabulators are.
fn breaks(byte: u8) -> bool {
    byte < b' ' && byte != b'\t'
}

/// Where the segment ends that `text` begins with.
fn segment_end(text: &[u8]) -> Option<usize> {
    memchr::memchr3(b'\r', b'\n', 0x0c, text)
}

/// Whether receivers overlook the byte at the beginning of a segment.
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
