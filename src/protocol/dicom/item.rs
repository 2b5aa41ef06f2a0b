//! Items: a type, a reserved byte, a length and a value (PS3.8, 9.3.2).

use super::Malformed;
use super::names::{check_title, has_form_of_uid, is_printable};

/// What is left of a PDU or of an item.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    /// Takes the next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The same, as many as the type has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// The items that are left, each with its type.
impl<'a> Iterator for Rest<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.array().and_then(|[kind, _reserved, high, low]| {
            Ok((kind, self.take(u16::from_be_bytes([high, low]).into())?))
        });
        if item.is_err() {
            self.0 = &[]; // nothing after it can be told apart
        }
        Some(item)
    }
}

/// An AE title: ISO 646 G0 without a backslash, padded with spaces (PS3.5, 6.2; PS3.8, table 9-11). Some
/// senders pad with NUL.
pub(super) fn ae_title(bytes: &[u8]) -> Result<String, Malformed> {
    let begin = bytes.iter().position(|byte| *byte != b' ').ok_or(Malformed::AeTitle)?;
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0));
    let title = bytes.get(begin..=end.ok_or(Malformed::AeTitle)?).unwrap_or_default();
    text(title).filter(|title| check_title(title).is_ok()).ok_or(Malformed::AeTitle)
}

/// A UID (PS3.5, 9.1). Old senders pad it to an even length, as in data sets.
pub(super) fn uid(bytes: &[u8]) -> Result<String, Malformed> {
    let end = bytes.iter().rposition(|byte| *byte != 0).ok_or(Malformed::Uid)?;
    let uid = bytes.get(..=end).unwrap_or_default();
    if has_form_of_uid(uid) { text(uid).ok_or(Malformed::Uid) } else { Err(Malformed::Uid) }
}

/// Printable ASCII.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let fits = bytes.iter().all(|byte| is_printable(*byte));
    fits.then(|| bytes.iter().map(|byte| char::from(*byte)).collect())
}
