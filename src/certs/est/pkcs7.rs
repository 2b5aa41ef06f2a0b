//! Certificates as EST carries them: PKCS#7 without signers (CMS, RFC 5652, 5; RFC 7030, 4.1.3), in base64.
//!
//! Pure, and made for hostile input: nothing is copied before it is known to be a certificate, nothing is
//! nested deeper than the form asks for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;

use super::armour;
use crate::certs::inspect;

/// More certificates are not taken: a bundle of every public authority is a tenth of it.
const MOST: usize = 2000;
/// How deep values of indefinite length may be nested: the form has six levels, certificates some more.
const DEPTH: u32 = 24;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;
/// 1.2.840.113549.1.7.2, id-signedData, as an element.
const SIGNED_DATA: &[u8] = &[OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 1.2.840.113549.1.7.1, id-data, as an element.
const DATA: &[u8] = &[OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

/// Why bytes are not a list of certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs7Error {
    /// Neither base64 nor DER.
    #[error("is not in base64")]
    Base64,
    /// It is something else, or cut off.
    #[error("is not PKCS#7 with certificates (SignedData)")]
    Form,
    /// One of its elements is no certificate.
    #[error("its certificate {number} cannot be parsed")]
    Certificate {
        /// Counted from one.
        number: usize,
    },
    /// It holds none.
    #[error("holds no certificate")]
    Empty,
    /// It holds too many.
    #[error("holds more than {MOST} certificates")]
    TooMany,
}

/// The certificates that a body holds, in its order.
///
/// Takes base64 with any line breaks, in PEM armour or without, and bare DER; and BER with indefinite
/// lengths, in which Java servers write it.
///
/// # Errors
///
/// It is something else, or an element of it is no certificate.
pub fn decode(body: &[u8]) -> Result<Vec<CertificateDer<'static>>, Pkcs7Error> {
    let der = armour::der(body).map_err(|_invalid| Pkcs7Error::Base64)?;
    certificates(&der)
}

/// A body with `certificates`, the leaf first: base64 in lines of 64.
pub fn encode(certificates: &[CertificateDer<'_>]) -> String {
    let all: Vec<u8> = certificates.iter().flat_map(|der| der.iter().copied()).collect();
    let signed = [
        element(INTEGER, &[&[1]]),
        element(SET, &[]),
        element(SEQUENCE, &[DATA]),
        element(CONTEXT_0, &[&all]),
        element(SET, &[]),
    ]
    .concat();
    let signed = element(SEQUENCE, &[&signed]);
    let whole = element(SEQUENCE, &[SIGNED_DATA, &element(CONTEXT_0, &[&signed])]);
    let mut lines = String::new();
    for (index, character) in STANDARD.encode(whole).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    lines
}

fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let content = contents.concat();
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match (length.as_slice(), u8::try_from(length.len())) {
        ([], _) => bytes.push(0),
        ([short], _) if *short < 0x80 => bytes.push(*short),
        (long, count) => {
            bytes.push(0x80 | count.unwrap_or(8)); // a usize has eight bytes at most
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend(content);
    bytes
}

fn certificates(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, Pkcs7Error> {
    let set = certificate_set(der).ok_or(Pkcs7Error::Form)?;
    let mut found = Vec::new();
    let mut rest = set;
    while !rest.is_empty() {
        let (next, after) = Element::first(rest, DEPTH).ok_or(Pkcs7Error::Form)?;
        rest = after;
        // Other choices are attribute certificates and forms of long ago.
        if next.tag != SEQUENCE {
            continue;
        }
        let number = found.len() + 1;
        if number > MOST {
            return Err(Pkcs7Error::TooMany);
        }
        if inspect::certificate(next.whole).is_none() {
            return Err(Pkcs7Error::Certificate { number });
        }
        found.push(CertificateDer::from(next.whole.to_vec()));
    }
    if found.is_empty() { Err(Pkcs7Error::Empty) } else { Ok(found) }
}

/// The content of `certificates`, empty when it is left out.
fn certificate_set(der: &[u8]) -> Option<&[u8]> {
    let (outer, _after) = Element::expect(der, SEQUENCE)?;
    let content = outer.content.strip_prefix(SIGNED_DATA)?;
    let (explicit, _) = Element::expect(content, CONTEXT_0)?;
    let (signed, _) = Element::expect(explicit.content, SEQUENCE)?;
    let (_version, rest) = Element::expect(signed.content, INTEGER)?;
    let (_digests, rest) = Element::expect(rest, SET)?;
    let (_content, rest) = Element::expect(rest, SEQUENCE)?;
    let (next, _) = Element::first(rest, DEPTH)?;
    Some(if next.tag == CONTEXT_0 { next.content } else { &[] })
}

/// One element of BER (X.690, 8.1).
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With its head.
    whole: &'a [u8],
}

impl<'a> Element<'a> {
    fn expect(bytes: &'a [u8], tag: u8) -> Option<(Self, &'a [u8])> {
        Self::first(bytes, DEPTH).filter(|(element, _)| element.tag == tag)
    }

    /// The first element of `bytes`, and what comes after it.
    fn first(bytes: &'a [u8], depth: u32) -> Option<(Self, &'a [u8])> {
        let (&tag, after) = bytes.split_first()?;
        if tag & 0x1f == 0x1f {
            return None; // tags of several bytes have no place here
        }
        let (&length, after) = after.split_first()?;
        let (content, rest) = match length {
            0x80 => indefinite(after, tag, depth)?,
            short if short < 0x80 => after.split_at_checked(short.into())?,
            long => {
                let (count, after) = after.split_at_checked((long & 0x7f).into())?;
                let fits = count.len() <= size_of::<u32>();
                let length = count.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                after.split_at_checked(length).filter(|_| fits)?
            }
        };
        let whole = bytes.get(..bytes.len().checked_sub(rest.len())?)?;
        Some((Self { tag, content, whole }, rest))
    }
}

/// What is before the end-of-contents that belongs to it, and what comes after.
fn indefinite(bytes: &[u8], tag: u8, depth: u32) -> Option<(&[u8], &[u8])> {
    let is_constructed = tag & 0x20 != 0;
    let depth = depth.checked_sub(1).filter(|_| is_constructed)?;
    let mut rest = bytes;
    loop {
        if let Some(after) = rest.strip_prefix(&[0, 0]) {
            return Some((bytes.get(..bytes.len().checked_sub(rest.len())?)?, after));
        }
        (_, rest) = Element::first(rest, depth)?;
    }
}

#[cfg(test)]
mod tests;
