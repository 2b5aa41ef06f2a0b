//! How EST carries DER: in base64 (RFC 7030, 4; RFC 8951, 3), and in what else the world sends.

use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};

/// ASN.1's tag of a SEQUENCE, with which requests and lists of certificates begin.
const SEQUENCE: u8 = 0x30;

/// As lenient as the world is: with or without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The DER or BER that `body` holds: in base64 with any line breaks, in PEM armour or without, or bare.
///
/// # Errors
///
/// It is neither bare nor base64.
pub(crate) fn der(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    // In base64 this first byte would be a zero, which no SEQUENCE begins with.
    if body.first() == Some(&SEQUENCE) {
        return Ok(body.to_vec());
    }
    let armoured = |line: &&[u8]| line.trim_ascii().starts_with(b"-----");
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !armoured(line));
    let text: Vec<u8> = lines.flatten().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    BASE64.decode(text)
}
