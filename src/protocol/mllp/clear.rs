//! Whether a part of a header says the same to every receiver: some undo escape sequences, take repetitions and
//! subcomponents apart or strip blanks, and others do not.

use super::{Header, is_code};

/// What separates and escapes if MSH-2 says nothing else, and for receivers that do not ask it.
const STANDARD: &[u8] = b"^~\\&";

impl Header<'_> {
    /// Whether fields and components are separated as receivers expect that never ask: by `|` and `^`.
    pub fn has_usual_separators(&self) -> bool {
        self.separator == b'|' && self.encoding.starts_with(b"^")
    }

    /// Whether a component of MSH-3 or MSH-4 names one application or facility, whoever reads it.
    pub fn is_clear_name(&self, name: &[u8]) -> bool {
        let own = self.encoding.get(1..).unwrap_or_default();
        let divides =
            |byte: &u8| byte.is_ascii_control() || STANDARD.contains(byte) || own.contains(byte);
        !name.iter().any(divides) && !has_blank_end(name)
    }
}

/// Whether a component of MSH-9 is a code of the standard's form, or empty.
pub fn is_clear_code(code: &[u8]) -> bool {
    code.is_empty() || is_code(code)
}

/// Whether a name begins or ends with what is a blank in some character set. ASCII's own are gone by now.
fn has_blank_end(name: &[u8]) -> bool {
    let is_blank = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    match std::str::from_utf8(name) {
        Ok(name) => name.starts_with(is_blank) || name.ends_with(is_blank),
        // U+0085 and U+00A0 of the character sets that have a byte for each letter.
        Err(_) => [name.first(), name.last()].iter().any(|end| matches!(end, Some(0x85 | 0xa0))),
    }
}
