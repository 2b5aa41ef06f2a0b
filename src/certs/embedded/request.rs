//! Requests of strangers for a certificate (PKCS#10, RFC 2986): what is taken from them is the key.

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::Grant;
use crate::certs::inspect;
use crate::identity::{DnsName, SpiffeId};

/// No request is longer: one for an RSA key of 4096 bits with a hundred names has 10 KiB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Shortest and longest RSA key that is certified, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Why a request gets no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is too long to be looked at.
    #[error("the request has {bytes} bytes; no more than {MAX_REQUEST_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is none.
    #[error("it is no certificate request (PKCS#10, RFC 2986): {what}")]
    Unreadable {
        /// Where it fails.
        what: &'static str,
    },
    /// Its RSA key is too short or too long.
    #[error("its RSA key has {bits} bits; 2048 to 4096 are taken")]
    RsaBits {
        /// The length of its modulus.
        bits: usize,
    },
    /// Its key is of another kind.
    #[error("its key is of a kind that is not taken: ECDSA on P-256 or P-384, Ed25519 and RSA are")]
    UnsupportedKey,
    /// Whoever sent it does not hold the key.
    #[error("its signature was not made with its key")]
    BadSignature,
    /// It wants to be an authority.
    #[error("it asks for an authority's certificate ({what}); only leaves are issued")]
    Authority {
        /// By which extension.
        what: &'static str,
    },
    /// It wants to be somebody else.
    #[error("it asks for the name {name}, which is not granted; granted are {granted}")]
    ForeignName {
        /// The name.
        name: String,
        /// What is granted.
        granted: String,
    },
}

/// The public key (SubjectPublicKeyInfo, DER) that the request `der` is for, and whose holder made it.
///
/// # Errors
///
/// It is no request, its signature was not made with its key, or the key is not taken.
pub fn requested_key(der: &[u8]) -> Result<Vec<u8>, RequestError> {
    Ok(read(der)?.certification_request_info.subject_pki.raw.to_vec())
}

/// The key to be certified, if the sender of the request `der` holds it and asks for nothing beyond
/// `grant`. The names of the certificate are the grant's; the subject and purposes that it asks for do
/// not matter.
pub(super) fn judge(der: &[u8], grant: &Grant) -> Result<SubjectPublicKeyInfo, RequestError> {
    let request = read(der)?;
    let info = &request.certification_request_info;
    for attribute in info.iter_attributes() {
        // Others, a challenge password perhaps, do not matter.
        if let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() {
            for extension in &asked.extensions {
                judge_extension(extension.parsed_extension(), grant)?;
            }
        }
    }
    SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_unknown| RequestError::UnsupportedKey)
}

fn read(der: &[u8]) -> Result<X509CertificationRequest<'_>, RequestError> {
    let unreadable = |what| RequestError::Unreadable { what };
    if der.len() > MAX_REQUEST_BYTES {
        return Err(RequestError::TooLong { bytes: der.len() });
    }
    let (rest, request) = X509CertificationRequest::from_der(der)
        .map_err(|_where| unreadable("it does not parse, or is cut off"))?;
    if !rest.is_empty() {
        return Err(unreadable("something follows it"));
    }
    let key = &request.certification_request_info.subject_pki;
    key_type(key)?;
    let signature = request.signature_value.as_ref();
    if !inspect::holds(der, key.raw, key.subject_public_key.as_ref(), signature) {
        return Err(RequestError::BadSignature);
    }
    Ok(request)
}

/// The kind of a public key, if it is one that we certify.
pub(super) fn key_type(
    key: &x509_parser::x509::SubjectPublicKeyInfo<'_>,
) -> Result<String, RequestError> {
    let curve = |oid: &str| {
        let parameters = key.algorithm.parameters.as_ref();
        parameters.and_then(|any| any.as_oid().ok()).is_some_and(|it| it.to_id_string() == oid)
    };
    match key.parsed() {
        Ok(PublicKey::EC(_)) if curve("1.2.840.10045.3.1.7") => Ok("ECDSA P-256".to_owned()),
        Ok(PublicKey::EC(_)) if curve("1.3.132.0.34") => Ok("ECDSA P-384".to_owned()),
        Ok(PublicKey::RSA(rsa)) => match rsa.key_size() {
            bits if RSA_BITS.contains(&bits) => Ok(format!("RSA {bits}")),
            bits => Err(RequestError::RsaBits { bits }),
        },
        // RFC 8410.
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => Ok("Ed25519".to_owned()),
        _ => Err(RequestError::UnsupportedKey),
    }
}

fn judge_extension(asked: &ParsedExtension<'_>, grant: &Grant) -> Result<(), RequestError> {
    match asked {
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
            Err(RequestError::Authority { what: "basic constraints CA:TRUE" })
        }
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(RequestError::Authority { what: "key usage keyCertSign or cRLSign" })
        }
        ParsedExtension::SubjectAlternativeName(names) => {
            names.general_names.iter().try_for_each(|name| judge_name(name, grant))
        }
        ParsedExtension::ParseError { .. } => {
            Err(RequestError::Unreadable { what: "an extension that it asks for does not parse" })
        }
        // What else it asks for is not copied into the certificate.
        _ => Ok(()),
    }
}

fn judge_name(name: &GeneralName<'_>, grant: &Grant) -> Result<(), RequestError> {
    let granted = match name {
        GeneralName::URI(uri) => SpiffeId::parse(uri).is_ok_and(|id| id == grant.spiffe),
        GeneralName::DNSName(dns) => DnsName::parse(dns).is_ok_and(|dns| grant.dns.contains(&dns)),
        _ => false,
    };
    if granted {
        return Ok(());
    }
    let name = name.to_string().escape_debug().to_string();
    Err(RequestError::ForeignName { name, granted: grant.to_string() })
}
