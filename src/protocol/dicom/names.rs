//! AE titles and UIDs: one form on the wire, in rules, in questions and on record.

/// Longest AE title (PS3.5, 6.2: AE).
const LONGEST_TITLE: usize = 16;
/// Longest UID (PS3.5, 9).
const LONGEST_UID: usize = 64;

/// Why a text is no AE title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATitle {
    /// Too long, or nothing.
    #[error("it has 1 to {LONGEST_TITLE} characters")]
    Length,
    /// Padding, which is no part of it.
    #[error("leave out the spaces around it, they do not count")]
    Padded,
    /// Something else than ISO 646 G0, or a backslash.
    #[error("it has characters of ASCII, no backslash and no control character")]
    Character,
}

/// Checks an AE title that is without its padding.
///
/// # Errors
///
/// No association that rules see has it.
pub fn check_title(text: &str) -> Result<(), NotATitle> {
    if !(1..=LONGEST_TITLE).contains(&text.len()) {
        return Err(NotATitle::Length);
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(NotATitle::Padded);
    }
    let fits = text.bytes().all(|byte| is_printable(byte) && byte != b'\\');
    if fits { Ok(()) } else { Err(NotATitle::Character) }
}

/// Whether a text is a UID by the book: numbers without leading zeros, joined by dots.
pub fn is_uid(text: &str) -> bool {
    let number = |part: &str| part == "0" || (!part.is_empty() && !part.starts_with('0'));
    has_form_of_uid(text.as_bytes()) && text.contains('.') && text.split('.').all(number)
}

/// Whether bytes may pass as a UID on the wire, where some senders' have leading zeros.
pub(super) fn has_form_of_uid(bytes: &[u8]) -> bool {
    bytes.len() <= LONGEST_UID && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Whether a byte is a character of ISO 646 G0.
pub(super) fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ae_title_is_short_and_plain() {
        for good in ["CT2", "a", "MY PACS", "ABCDEFGHIJKLMNOP"] {
            assert_eq!(check_title(good), Ok(()), "{good}");
        }
        for (wrong, why) in [
            ("", NotATitle::Length),
            ("ABCDEFGHIJKLMNOPQ", NotATitle::Length),
            (" CT2", NotATitle::Padded),
            ("CT2 ", NotATitle::Padded),
            ("A\\B", NotATitle::Character),
            ("A\tB", NotATitle::Character),
            ("PÄCS", NotATitle::Character),
        ] {
            assert_eq!(check_title(wrong), Err(why), "{wrong}");
        }
    }

    #[test]
    fn a_uid_has_numbers_and_dots() {
        for good in ["1.2.840.10008.1.1", "2.25.0"] {
            assert!(is_uid(good), "{good}");
        }
        let long = format!("1.{}", "2".repeat(63));
        for wrong in ["", "1", "1..2", "1.02", ".1.2", "1.2.", "1.2a", &long] {
            assert!(!is_uid(wrong), "{wrong}");
        }
        assert!(has_form_of_uid(b"1.02") && !has_form_of_uid(long.as_bytes()));
    }
}
