//! Octets that are written as two hexadecimal digits.

/// The octet that `text` begins with, and what comes behind it.
pub(super) fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let octet = digit(*high)? * 16 + digit(*low)?;
    Some((u8::try_from(octet).ok()?, rest))
}
