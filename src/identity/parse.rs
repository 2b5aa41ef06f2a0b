//! Reads what a certificate says. Its bytes come from strangers.
//!
//! What is not understood is refused, never skipped: a name that we pass over might be the one that
//! somebody else goes by.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::nom;
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::FromDer;

use super::subject::{bounded, escaped};
use super::{
    DnsName, DnsNameError, Fingerprint, LeafUse, PeerCertificate, SpiffeId, SpiffeIdError, Subject,
};
use crate::outcome::Refusal;

/// Most alternative names that a record holds; of more, the number is told.
const MAX_RECORDED_NAMES: usize = 100;

/// A certificate that cannot be taken for anybody's. Keeps what was understood, for the record.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("not an X.509 certificate")]
    NotX509(#[source] X509Error),
    /// There is more after the certificate.
    #[error("not an X.509 certificate alone: {0} bytes follow it")]
    TrailingBytes(usize),
    /// One of the extensions that we rely on is malformed or there twice.
    #[error("the certificate has an extension that is malformed or there twice")]
    Extension(#[source] X509Error),
    /// More than one SPIFFE ID, or one beside other URIs.
    #[error("the certificate names a SPIFFE ID beside other URIs; it may name only one URI")]
    SeveralSpiffeIds {
        /// What else it says. Holds no name but as text.
        certificate: Box<PeerCertificate>,
    },
    /// A name breaks its own standard.
    #[error("the certificate has an alternative name that breaks its standard, {name}")]
    MalformedName {
        /// The name, escaped.
        name: String,
        /// What else it says. Holds no name but as text.
        certificate: Box<PeerCertificate>,
        /// The rule that is broken.
        source: NameError,
    },
}

/// How an alternative name breaks its own standard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It begins like a SPIFFE ID and is none.
    #[error(transparent)]
    Spiffe(#[from] SpiffeIdError),
    /// It stands as a DNS name and is none.
    #[error(transparent)]
    Dns(#[from] DnsNameError),
    /// It is not encoded as its kind asks.
    #[error("not encoded as RFC 5280 asks")]
    Encoding,
}

impl CertificateError {
    /// What was understood of the certificate, for the record of its refusal.
    pub fn into_certificate(self) -> Option<PeerCertificate> {
        match self {
            Self::NotX509(_) | Self::TrailingBytes(_) | Self::Extension(_) => None,
            Self::SeveralSpiffeIds { certificate } | Self::MalformedName { certificate, .. } => {
                Some(*certificate)
            }
        }
    }

    /// The label under which it is counted and recorded.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NotX509(_) | Self::TrailingBytes(_) | Self::Extension(_) => {
                Refusal::BadCertificate
            }
            Self::SeveralSpiffeIds { .. } => Refusal::SeveralSpiffeIds,
            Self::MalformedName { .. } => Refusal::MalformedName,
        }
    }
}

impl PeerCertificate {
    /// Reads a certificate in DER form. Proves nothing: no signature, no date is looked at.
    ///
    /// # Errors
    ///
    /// It is no certificate, or one of its names is not what it claims to be.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(not_x509)?;
        if !rest.is_empty() {
            return Err(CertificateError::TrailingBytes(rest.len()));
        }
        let names = alternative_names(&x509).map_err(CertificateError::Extension)?;
        let mut certificate = Self {
            spiffe: None,
            dns: Vec::new(),
            alternative_names: recorded(names),
            subject: Subject::of(x509.subject()),
            issuer: Subject::of(x509.issuer()).text,
            serial: serial(x509.raw_serial()),
            sha256: Fingerprint::of(der),
            key_sha256: Fingerprint::of(x509.public_key().raw),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            usage: usage(&x509).map_err(CertificateError::Extension)?,
        };
        match identities(names) {
            Ok((spiffe, dns)) => {
                certificate.spiffe = spiffe;
                certificate.dns = dns;
                Ok(certificate)
            }
            Err(WrongName::Several) => {
                Err(CertificateError::SeveralSpiffeIds { certificate: Box::new(certificate) })
            }
            Err(WrongName::Malformed { name, source }) => Err(CertificateError::MalformedName {
                name,
                certificate: Box::new(certificate),
                source,
            }),
        }
    }
}

fn not_x509(error: nom::Err<X509Error>) -> CertificateError {
    CertificateError::NotX509(match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error,
        nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
    })
}

fn alternative_names<'x, 'a>(
    x509: &'x X509Certificate<'a>,
) -> Result<&'x [GeneralName<'a>], X509Error> {
    let names = x509.subject_alternative_name()?;
    Ok(names.map_or(&[], |extension| extension.value.general_names.as_slice()))
}

fn usage(x509: &X509Certificate<'_>) -> Result<LeafUse, X509Error> {
    let relied_on = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    let broken = x509.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })
            && relied_on.contains(&extension.oid)
    });
    if broken {
        return Err(X509Error::InvalidExtensions);
    }
    let purposes = x509.extended_key_usage()?.map(|extension| extension.value);
    Ok(LeafUse {
        client_auth: purposes.is_some_and(|purposes| purposes.client_auth),
        server_auth: purposes.is_some_and(|purposes| purposes.server_auth),
        any_purpose: purposes.is_some_and(|purposes| purposes.any),
        names_purpose: purposes.is_some(),
        may_sign_certificates: x509
            .key_usage()?
            .is_some_and(|extension| extension.value.key_cert_sign()),
        is_ca: x509.basic_constraints()?.is_some_and(|extension| extension.value.ca),
    })
}

enum WrongName {
    Several,
    Malformed { name: String, source: NameError },
}

fn identities(names: &[GeneralName<'_>]) -> Result<(Option<SpiffeId>, Vec<DnsName>), WrongName> {
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    let is_spiffe = |uri: &&str| {
        uri.get(.."spiffe:".len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
    };
    let spiffe = uris.iter().copied().find(is_spiffe);
    if spiffe.is_some() && uris.len() > 1 {
        return Err(WrongName::Several);
    }
    let malformed = |name: &GeneralName<'_>, source: NameError| WrongName::Malformed {
        name: described(name),
        source,
    };
    let mut dns = Vec::new();
    for name in names {
        match name {
            GeneralName::DNSName(text) => {
                dns.push(DnsName::parse(text).map_err(|error| malformed(name, error.into()))?);
            }
            GeneralName::Invalid(..) => return Err(malformed(name, NameError::Encoding)),
            _ => {}
        }
    }
    let spiffe = spiffe
        .map(|uri| {
            SpiffeId::parse(uri).map_err(|error| malformed(&GeneralName::URI(uri), error.into()))
        })
        .transpose()?;
    Ok((spiffe, dns))
}

fn recorded(names: &[GeneralName<'_>]) -> Vec<String> {
    let mut recorded: Vec<String> = names.iter().take(MAX_RECORDED_NAMES).map(described).collect();
    if let Some(more) = names.len().checked_sub(MAX_RECORDED_NAMES).filter(|more| *more > 0) {
        recorded.push(format!("and {more} more"));
    }
    recorded
}

fn described(name: &GeneralName<'_>) -> String {
    bounded(match name {
        GeneralName::URI(uri) => format!("URI:{}", escaped(uri, "")),
        GeneralName::DNSName(dns) => format!("DNS:{}", escaped(dns, "")),
        GeneralName::RFC822Name(address) => format!("email:{}", escaped(address, "")),
        GeneralName::IPAddress(bytes) => format!("IP:{}", address(bytes)),
        GeneralName::DirectoryName(name) => format!("DirName:{}", Subject::of(name).text),
        GeneralName::RegisteredID(oid) => format!("RID:{oid}"),
        GeneralName::OtherName(oid, _) => format!("otherName:{oid}"),
        GeneralName::X400Address(_) => "X400Address".to_owned(),
        GeneralName::EDIPartyName(_) => "EDIPartyName".to_owned(),
        GeneralName::Invalid(tag, bytes) => format!("invalid[{}]:{}", tag.0, hex::encode(bytes)),
    })
}

fn address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ipv4Addr::from(v4).to_string();
    }
    <[u8; 16]>::try_from(bytes)
        .map_or_else(|_| format!("#{}", hex::encode(bytes)), |v6| Ipv6Addr::from(v6).to_string())
}

/// Without the zero bytes that DER puts before a number whose first bit is set.
fn serial(bytes: &[u8]) -> String {
    let start = bytes.iter().position(|byte| *byte != 0);
    let digits = start.and_then(|start| bytes.get(start..)).unwrap_or(&[0]);
    hex::encode_upper(digits)
}

#[cfg(test)]
mod tests;
