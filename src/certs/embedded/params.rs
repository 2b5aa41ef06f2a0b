//! What the embedded authority writes into its certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::Grant;
use super::error::AuthorityError;
use super::store::Pair;
use crate::certs::inspect;
use crate::identity::TrustDomain;

/// So long before its issue every certificate is valid, for peers whose clock is behind.
pub(super) const BACKDATED: Duration = Duration::minutes(5);
const ROOT_LIFE: Duration = Duration::days(3653);
const ISSUING_LIFE: Duration = Duration::days(365);
/// Longest common name (X.520, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// A new root.
pub(super) fn root(
    trust_domain: &TrustDomain,
    name: Option<&str>,
    now: OffsetDateTime,
) -> Result<Pair, AuthorityError> {
    let key = Zeroizing::new(KeyPair::generate()?);
    let name = name.unwrap_or("Myelin root");
    let mut params = authority(name, trust_domain, BasicConstraints::Constrained(1))?;
    (params.not_before, params.not_after) = validity(now, ROOT_LIFE, None);
    let certificate = params.self_signed(&*key)?.into();
    Ok(Pair { certificate, key })
}

/// A new issuing authority under `root`.
pub(super) fn issuing(
    trust_domain: &TrustDomain,
    root: &CertificateDer<'static>,
    root_key: &KeyPair,
    now: OffsetDateTime,
) -> Result<Pair, AuthorityError> {
    let key = Zeroizing::new(KeyPair::generate()?);
    let mut params = authority("Myelin issuing", trust_domain, BasicConstraints::Constrained(0))?;
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(now, ISSUING_LIFE, inspect::not_after(root));
    let issuer = Issuer::from_ca_cert_der(root, root_key)?;
    let certificate = params.signed_by(&*key, &issuer)?.into();
    Ok(Pair { certificate, key })
}

/// A certificate in PEM (RFC 7468).
pub(super) fn pem(certificate: &CertificateDer<'static>) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.flat_map(|line| [line, "\n".into()]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}

/// Whole seconds: certificates and records know no others.
pub(super) fn whole(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

/// The user whose process this is.
pub(super) fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Whether more than a third of an issuing authority's life is left.
pub(super) fn is_fresh(certificate: &CertificateDer<'static>, now: OffsetDateTime) -> bool {
    inspect::not_after(certificate).is_some_and(|end| end - now > ISSUING_LIFE / 3)
}

/// A leaf that does not outlive `last`.
pub(super) fn leaf(
    grant: &Grant,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
    last: OffsetDateTime,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial()?);
    let path = grant.spiffe.as_str().rsplit('/').next().unwrap_or_default();
    params.distinguished_name = name(trust_domain, path);
    params.subject_alt_names = vec![SanType::URI(grant.spiffe.as_str().try_into()?)];
    for dns in &grant.dns {
        params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let life = Duration::try_from(grant.ttl).unwrap_or(ISSUING_LIFE);
    (params.not_before, params.not_after) = validity(now, life, Some(last));
    Ok(params)
}

/// No two authorities bear the same name: peers would take one's key for the other's.
fn authority(
    what: &str,
    trust_domain: &TrustDomain,
    constraints: BasicConstraints,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial()?);
    params.distinguished_name =
        name(trust_domain, &format!("{what} {}", hex::encode(random::<4>()?)));
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn name(trust_domain: &TrustDomain, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, trust_domain.as_str());
    name.push(DnType::CommonName, common_name.get(..MAX_COMMON_NAME).unwrap_or(common_name));
    name
}

fn validity(
    now: OffsetDateTime,
    life: Duration,
    last: Option<OffsetDateTime>,
) -> (OffsetDateTime, OffsetDateTime) {
    let now = whole(now);
    let end = now.saturating_add(life);
    (now - BACKDATED, last.map_or(end, |last| end.min(last)))
}

/// 127 random bits; RFC 5280 asks for a positive number.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut serial = random::<16>()?;
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], AuthorityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| AuthorityError::Random)?;
    Ok(bytes)
}
