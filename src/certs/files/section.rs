//! Takes PEM apart, and finds out what a file holds when it is not what was wanted.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::problem::{FileProblem, Held, Wanted};
use crate::certs::inspect;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// One PEM section of those that we use.
pub(super) enum Section {
    Certificate(CertificateDer<'static>),
    Key(Zeroizing<PrivateKeyDer<'static>>),
    /// A key in PKCS #8 that needs a passphrase.
    Encrypted(Vec<u8>),
    RevocationList(CertificateRevocationListDer<'static>),
}

/// The sections of `bytes`, at least one of them of the wanted kind. Others are passed over: a file
/// may well hold a certificate and its key.
pub(super) fn sections(bytes: &[u8], wanted: Wanted) -> Result<Vec<Section>, FileProblem> {
    let text = without_mark(bytes);
    let labels = labels(text)?;
    if wanted == Wanted::Key && has_old_encryption(text) {
        return Err(FileProblem::OldEncryption);
    }
    let mut sections = encrypted(text)?;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        // The parser's own error may quote the line, and so a key.
        let (kind, der) = section.map_err(|_quoting| FileProblem::Damaged)?;
        sections.extend(used(kind, der));
    }
    if sections.iter().any(|section| section.is(wanted)) {
        return Ok(sections);
    }
    Err(labels.first().map_or_else(|| without_pem(text), |label| FileProblem::Holds(held(label))))
}

impl Section {
    fn is(&self, wanted: Wanted) -> bool {
        match self {
            Self::Certificate(_) => matches!(wanted, Wanted::Certificate | Wanted::TrustBundle),
            Self::Key(_) | Self::Encrypted(_) => wanted == Wanted::Key,
            Self::RevocationList(_) => wanted == Wanted::RevocationList,
        }
    }
}

fn used(kind: SectionKind, der: Vec<u8>) -> Option<Section> {
    let key = |key| Some(Section::Key(Zeroizing::new(key)));
    match kind {
        SectionKind::Certificate => Some(Section::Certificate(der.into())),
        SectionKind::Crl => Some(Section::RevocationList(der.into())),
        SectionKind::PrivateKey => key(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))),
        SectionKind::RsaPrivateKey => key(PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der))),
        SectionKind::EcPrivateKey => key(PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der))),
        _ => None,
    }
}

/// What stands between `-----BEGIN ` and `-----`, of each section.
fn labels(text: &[u8]) -> Result<Vec<&[u8]>, FileProblem> {
    let mut labels = Vec::new();
    for line in text.split(|byte| *byte == b'\n' || *byte == b'\r') {
        let Some(rest) = line.strip_prefix(BEGIN) else { continue };
        let end = rest.windows(DASHES.len()).position(|window| window == DASHES);
        let Some((label, after)) = end.and_then(|end| rest.split_at_checked(end)) else {
            return Err(FileProblem::Damaged);
        };
        if !after.trim_ascii_end().strip_prefix(DASHES).is_some_and(<[u8]>::is_empty) {
            return Err(FileProblem::OneLine);
        }
        labels.push(label);
    }
    Ok(labels)
}

/// Some editors begin a file with a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Whether it has a key as OpenSSL once encrypted them (RFC 1421, 4.6): its passphrase is hashed once.
fn has_old_encryption(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"Proc-Type: 4,ENCRYPTED"))
}

/// The encrypted keys in PKCS #8 (RFC 7468, 11), which the parser of all other sections does not know.
fn encrypted(text: &[u8]) -> Result<Vec<Section>, FileProblem> {
    const BEGINS: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const ENDS: &[u8] = b"-----END ENCRYPTED PRIVATE KEY-----";
    let mut lines = text.split(|byte| *byte == b'\n' || *byte == b'\r').map(<[u8]>::trim_ascii_end);
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == BEGINS) {
        let mut body = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line == ENDS => break,
                Some(line) => body.extend_from_slice(line.trim_ascii()),
                None => return Err(FileProblem::Damaged),
            }
        }
        let der = BASE64_STANDARD.decode(body).map_err(|_quoting| FileProblem::Damaged)?;
        found.push(Section::Encrypted(der));
    }
    Ok(found)
}

/// The bytes of a file that should be a PKCS #12 store, if they may be one.
pub(super) fn store(bytes: &[u8]) -> Result<&[u8], FileProblem> {
    match labels(without_mark(bytes))?.first() {
        Some(label) => Err(FileProblem::Holds(held(label))),
        None => match without_pem(bytes) {
            FileProblem::Der(Held::Pkcs12) => Ok(bytes),
            FileProblem::NoPem if bytes.first() == Some(&0x30) => Err(FileProblem::BadContainer),
            other => Err(other),
        },
    }
}

fn held(label: &[u8]) -> Held {
    match label {
        b"CERTIFICATE" | b"X509 CERTIFICATE" => Held::Certificate,
        b"TRUSTED CERTIFICATE" => Held::TrustedCertificate,
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Held::Request,
        b"PRIVATE KEY"
        | b"RSA PRIVATE KEY"
        | b"EC PRIVATE KEY"
        | b"ENCRYPTED PRIVATE KEY"
        | b"DSA PRIVATE KEY" => Held::Key,
        b"OPENSSH PRIVATE KEY" => Held::OpenSshKey,
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Held::PublicKey,
        b"X509 CRL" => Held::RevocationList,
        b"EC PARAMETERS" | b"DH PARAMETERS" => Held::Parameters,
        b"PKCS7" | b"CMS" => Held::Pkcs7,
        _ => Held::Unknown,
    }
}

/// What a file without any PEM section is.
fn without_pem(bytes: &[u8]) -> FileProblem {
    const PKCS12_VERSION: &[u8] = &[0x02, 0x01, 0x03];
    const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    if bytes.trim_ascii().is_empty() {
        return FileProblem::Empty;
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return FileProblem::Utf16;
    }
    if inspect::certificate(bytes).is_some() {
        return FileProblem::Der(Held::Certificate);
    }
    if inspect::revocation_list(bytes).is_some() {
        return FileProblem::Der(Held::RevocationList);
    }
    if X509CertificationRequest::from_der(bytes).is_ok() {
        return FileProblem::Der(Held::Request);
    }
    let is_sequence = bytes.first() == Some(&0x30);
    let head = bytes.get(..8).unwrap_or(bytes);
    if is_sequence && head.windows(3).any(|window| window == PKCS12_VERSION) {
        return FileProblem::Der(Held::Pkcs12);
    }
    let head = bytes.get(..20).unwrap_or(bytes);
    if is_sequence && head.windows(SIGNED_DATA.len()).any(|window| window == SIGNED_DATA) {
        return FileProblem::Der(Held::Pkcs7);
    }
    if PrivateKeyDer::try_from(bytes).is_ok() {
        return FileProblem::Der(Held::Key);
    }
    FileProblem::NoPem
}
