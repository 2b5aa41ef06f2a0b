//! What a certificate is made of: version, key, signature.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Version;

use super::seen::Certificate;
use crate::identity::{CertificateError, PeerCertificate};

/// Least size of an RSA key that TLS libraries accept today, in bits.
const RSA_LEAST: usize = 2048;

/// What of a certificate nobody accepts any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outdated {
    /// Its version is not 3 (RFC 5280, 4.1.2.1): it can have no alternative names.
    Version(u32),
    /// Its key is too short.
    Key(String),
    /// Its signature uses MD5 or SHA-1.
    Signature(String),
}

/// What `der` says, and what of it is outdated. `None`: it cannot be read.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<(Certificate, Vec<Outdated>)> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    // A name that is wrong is told by the check of names; all else can be shown.
    let facts =
        PeerCertificate::parse(der).map_or_else(CertificateError::into_certificate, Some)?;
    let version = version(&x509);
    let (key, key_bits) = key(&x509);
    let signature = algorithm(&x509.signature_algorithm.algorithm);
    let self_issued = x509.subject().as_raw() == x509.issuer().as_raw();
    let mut outdated = Vec::new();
    if version != 3 {
        outdated.push(Outdated::Version(version));
    }
    if key_bits.is_some_and(|bits| bits < RSA_LEAST) {
        outdated.push(Outdated::Key(key.clone()));
    }
    // Nobody verifies the signature that an authority has put under itself.
    let is_weak = ["MD5", "SHA-1"].iter().any(|hash| signature.contains(hash));
    if is_weak && !self_issued {
        outdated.push(Outdated::Signature(signature.clone()));
    }
    let certificate = Certificate {
        subject: facts.subject.text,
        names: facts.alternative_names,
        issuer: facts.issuer,
        serial: facts.serial,
        not_before: facts.not_before,
        not_after: facts.not_after,
        version,
        key,
        signature,
        sha256: facts.sha256.to_string(),
        self_issued,
    };
    Some((certificate, outdated))
}

fn version(x509: &X509Certificate<'_>) -> u32 {
    match x509.version() {
        X509Version::V1 => 1,
        X509Version::V2 => 2,
        X509Version::V3 => 3,
        X509Version(number) => number.saturating_add(1),
    }
}

/// The key's kind and size for people, and its size if it is an RSA key.
fn key(x509: &X509Certificate<'_>) -> (String, Option<usize>) {
    let info = x509.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            (format!("RSA {bits}"), Some(bits))
        }
        Ok(PublicKey::EC(point)) => (format!("EC {}", curve(point.key_size())), None),
        Ok(PublicKey::DSA(_)) => ("DSA".to_owned(), None),
        _ => (algorithm(&info.algorithm.algorithm), None),
    }
}

fn curve(bits: usize) -> String {
    match bits {
        256 | 384 => format!("P-{bits}"),
        // Its coordinates are padded to whole bytes.
        521..=528 => "P-521".to_owned(),
        bits => format!("{bits} bits"),
    }
}

/// An algorithm's name for people, or its OID.
fn algorithm(oid: &Oid<'_>) -> String {
    let oid = oid.to_id_string();
    let name = match oid.as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "RSA with SHA-1",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.2.840.10040.4.3" => "DSA with SHA-1",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return format!("OID {oid}"),
    };
    name.to_owned()
}
