//! What authorities' certificates and revocation lists say, as far as anybody here asks.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::alg_id::AlgorithmIdentifier;
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::identity::Subject;

/// The certificate, when the bytes are one and nothing else.
pub(super) fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, x509)| x509)
}

/// The revocation list, when the bytes are one and nothing else.
pub(super) fn revocation_list(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    let parsed = CertificateRevocationList::from_der(der).ok();
    parsed.filter(|(rest, _)| rest.is_empty()).map(|(_, crl)| crl)
}

/// When a certificate expires.
pub(crate) fn not_after(der: &[u8]) -> Option<OffsetDateTime> {
    certificate(der).map(|x509| x509.validity().not_after.to_datetime())
}

/// When a revocation list is due for its next update.
pub(crate) fn next_update(der: &[u8]) -> Option<OffsetDateTime> {
    revocation_list(der)?.next_update().map(|at| at.to_datetime())
}

/// A certificate's subject as text.
pub(super) fn subject(der: &[u8]) -> Option<String> {
    certificate(der).map(|x509| Subject::of(x509.subject()).text)
}

/// How a revocation list stands to the certificates that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signed {
    /// One of them signed it.
    Yes,
    /// One of them bears the name of its issuer, and did not sign it.
    No,
    /// None of them bears the name of its issuer.
    Unknown,
}

/// Whether one of `authorities` signed the revocation list `der`.
pub(super) fn signed_by(der: &[u8], authorities: &[&CertificateDer<'static>]) -> Signed {
    let Some(crl) = revocation_list(der) else { return Signed::Unknown };
    let mut named = authorities
        .iter()
        .filter_map(|authority| certificate(authority))
        .filter(|authority| authority.subject().as_raw() == crl.issuer().as_raw())
        .peekable();
    if named.peek().is_none() {
        return Signed::Unknown;
    }
    let signed = named.any(|authority| {
        let key = authority.public_key();
        holds(der, key.raw, key.subject_public_key.as_ref(), crl.signature_value.as_ref())
    });
    if signed { Signed::Yes } else { Signed::No }
}

/// Whether `authority` issued the certificate `der`: it bears the issuer's name, and its key signed.
pub(super) fn is_signed_by(der: &[u8], authority: &[u8]) -> bool {
    let (Some(issued), Some(authority)) = (certificate(der), certificate(authority)) else {
        return false;
    };
    let key = authority.public_key();
    issued.issuer().as_raw() == authority.subject().as_raw()
        && holds(der, key.raw, key.subject_public_key.as_ref(), issued.signature_value.as_ref())
}

/// Whether the signature over the signed structure `der` was made with the given public key.
pub(super) fn holds(der: &[u8], key_info: &[u8], key: &[u8], signature: &[u8]) -> bool {
    let Some((message, algorithm)) = signed_part(der) else { return false };
    let Some(key_algorithm) = first_within(key_info) else { return false };
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    algorithms
        .iter()
        .filter(|known| is(known.signature_alg_id(), algorithm))
        .filter(|known| is(known.public_key_alg_id(), key_algorithm))
        .any(|known| known.verify_signature(key, message, signature).is_ok())
}

fn is(known: AlgorithmIdentifier, content: &[u8]) -> bool {
    known.as_ref() == content
}

/// What is signed, in DER, and the content of the algorithm identifier that follows it.
fn signed_part(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, outer) = Any::from_der(der).ok()?;
    let (after, _) = Any::from_der(outer.data).ok()?;
    let message = outer.data.get(..outer.data.len().checked_sub(after.len())?)?;
    let (_, algorithm) = Any::from_der(after).ok()?;
    Some((message, algorithm.data))
}

/// The content of the first element of a sequence.
fn first_within(der: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(der).ok()?;
    let (_, first) = Any::from_der(outer.data).ok()?;
    Some(first.data)
}
