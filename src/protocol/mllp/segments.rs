//! Finds further headers in the content of a frame: what a receiver may take for another message, or for the
//! header of a batch, must not pass unjudged behind the first.

use super::{breaks, is_blank};

/// The names of segments that say who sends.
const HEADERS: [&[u8; 3]; 3] = [b"MSH", b"BHS", b"FHS"];
/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Where in a frame's content one stands.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Segments {
    /// Only what some receiver strips has come since a segment began.
    at_start: bool,
}

impl Segments {
    /// Where in `content` a header begins, or may begin: its end may be missing. Whether it can be read is
    /// not asked here, for receivers read what we cannot.
    pub(super) fn next(self, content: &[u8]) -> Option<usize> {
        let mut at = if self.at_start { 0 } else { behind_break(content, 0)? };
        loop {
            let rest = content.get(at..)?;
            at += rest.iter().position(|byte| !is_stripped(*byte))?;
            if names_header(content.get(at..)?) {
                return Some(at);
            }
            at = behind_break(content, at)?;
        }
    }

    /// These bytes have passed.
    pub(super) fn passed(&mut self, content: &[u8]) {
        self.at_start = content
            .iter()
            .rev()
            .find(|byte| !is_stripped(**byte))
            .map_or(self.at_start, |byte| breaks(*byte));
    }
}

/// Whether a segment has the name of a header, as far as it has come.
fn names_header(segment: &[u8]) -> bool {
    HEADERS.iter().any(|name| match segment.get(..name.len()) {
        Some(found) => found == *name,
        None => !segment.is_empty() && name.starts_with(segment),
    })
}

/// Behind the first byte from `from` on that ends a segment.
fn behind_break(content: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for block in content.get(from..)?.chunks(BLOCK) {
        // Without a branch for each byte: in large content hardly any ends a segment.
        if block.iter().fold(false, |any, byte| any | (*byte < b' '))
            && let Some(found) = block.iter().position(|byte| breaks(*byte))
        {
            return Some(at + found + 1);
        }
        at += block.len();
    }
    None
}

/// Whether some receiver strips the byte from the beginning of a segment. What counts as a blank depends on
/// the character set (U+0085, U+00A0, U+3000), so everything beyond ASCII may be one.
fn is_stripped(byte: u8) -> bool {
    is_blank(byte) || !byte.is_ascii()
}
