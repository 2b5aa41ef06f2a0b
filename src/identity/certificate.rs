//! What a certificate says, and how it was proven.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use time::{Duration, OffsetDateTime};

use super::{DnsName, SpiffeId};

/// A SHA-256 digest: of a whole certificate, or of its public key (SubjectPublicKeyInfo).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(sum)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// A distinguished name, in the parts that rules may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The whole name as text, for records.
    pub text: String,
    /// Common names, as many as there are.
    pub common_names: Vec<String>,
    /// Organizations.
    pub organizations: Vec<String>,
    /// Organizational units.
    pub organizational_units: Vec<String>,
}

/// What a certificate may be used for, by its own account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeafUse {
    /// Its extended key usage names clients of TLS.
    pub client_auth: bool,
    /// Its extended key usage names servers of TLS.
    pub server_auth: bool,
    /// Its extended key usage is "any".
    pub any_purpose: bool,
    /// It has an extended key usage at all. Without one, RFC 5280 allows it for everything.
    pub names_purpose: bool,
    /// Its key usage allows it to sign certificates.
    pub may_sign_certificates: bool,
    /// Its basic constraints make it an authority.
    pub is_ca: bool,
}

/// What a peer's certificate says. Says nothing about whether any of it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its one SPIFFE ID, if it has a `spiffe://` URI among its names.
    pub spiffe: Option<SpiffeId>,
    /// Its DNS names.
    pub dns: Vec<DnsName>,
    /// Every alternative name as text, `URI:`, `DNS:`, `IP:` … before each, for records.
    pub alternative_names: Vec<String>,
    /// Its subject.
    pub subject: Subject,
    /// Its issuer's name as text.
    pub issuer: String,
    /// Its serial number, upper-case hexadecimal.
    pub serial: String,
    /// SHA-256 of its DER form.
    pub sha256: Fingerprint,
    /// SHA-256 of its public key (SubjectPublicKeyInfo, DER).
    pub key_sha256: Fingerprint,
    /// Valid from.
    pub not_before: OffsetDateTime,
    /// Valid until.
    pub not_after: OffsetDateTime,
    /// What it may be used for, by its own account.
    pub usage: LeafUse,
}

impl PeerCertificate {
    /// One that says nothing, for an hour from `at`.
    pub fn nameless(at: OffsetDateTime) -> Self {
        Self {
            spiffe: None,
            dns: Vec::new(),
            alternative_names: Vec::new(),
            subject: Subject::default(),
            issuer: String::new(),
            serial: String::new(),
            sha256: Fingerprint([0; 32]),
            key_sha256: Fingerprint([0; 32]),
            usage: LeafUse::default(),
            not_before: at,
            not_after: at + Duration::hours(1),
        }
    }

    /// The same without what its holder goes by: what a record may have of a certificate that nobody vouches for,
    /// since anything may be written into it, and in a citizen's stand name and number. Whoever issued it is told
    /// of unless that is the holder.
    #[must_use]
    pub fn unnamed(self) -> Self {
        let is_own = self.issuer == self.subject.text;
        Self {
            spiffe: None,
            dns: Vec::new(),
            alternative_names: Vec::new(),
            subject: Subject::default(),
            issuer: if is_own { String::new() } else { self.issuer },
            ..self
        }
    }

    /// Whether `name` is one of its DNS names.
    pub fn bears(&self, name: &str) -> bool {
        DnsName::parse(name).is_ok_and(|name| self.dns.contains(&name))
    }

    /// Whether it is a certificate of `host`, a DNS name or an IP address (RFC 9525, 6.3 and 6.5).
    pub fn is_of(&self, host: &str) -> bool {
        if let Ok(wanted) = host.parse::<IpAddr>() {
            let mut addresses =
                self.alternative_names.iter().filter_map(|name| name.strip_prefix("IP:"));
            return addresses.any(|address| address.parse() == Ok(wanted));
        }
        let host = host.to_ascii_lowercase();
        let above = host.split_once('.').map(|(_, above)| above);
        self.dns.iter().any(|name| match name.as_str().strip_prefix("*.") {
            Some(domain) => above == Some(domain),
            None => name.as_str() == host,
        })
    }

    /// The names by which peers may know who has `other`, and which this certificate does not bear.
    pub fn names_lacking(&self, other: &Self) -> Option<String> {
        let spiffe = other.spiffe.iter().filter(|id| self.spiffe.as_ref() != Some(*id));
        let dns = other.dns.iter().filter(|name| !self.dns.contains(name));
        let lacking: Vec<String> =
            spiffe.map(ToString::to_string).chain(dns.map(ToString::to_string)).collect();
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }
}

/// How a certificate was proven to be its holder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A chain to the trust bundle: all that the certificate says may be believed.
    Chain,
    /// A pin in the configuration and nothing else: only the pin may be believed, since whoever made
    /// the certificate could write any name into it.
    Pin,
}

/// An authenticated peer: a certificate whose key it holds, and how that certificate was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// What it presented.
    pub certificate: Arc<PeerCertificate>,
    /// By what it was proven.
    pub proof: Proof,
}

impl fmt::Display for PeerIdentity {
    /// The name by which records know this peer: SPIFFE ID, else DNS names, else the pinned digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = &self.certificate;
        match (self.proof, &certificate.spiffe, certificate.dns.as_slice()) {
            (Proof::Chain, Some(id), _) => write!(f, "{id}"),
            (Proof::Chain, None, [first, rest @ ..]) => {
                write!(f, "dns:{first}")?;
                rest.iter().try_for_each(|name| write!(f, ",{name}"))
            }
            (Proof::Chain, None, []) if !certificate.subject.text.is_empty() => {
                write!(f, "subject:{}", certificate.subject.text)
            }
            (Proof::Chain | Proof::Pin, _, _) => write!(f, "sha256:{}", certificate.sha256),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn certificate(names: &[&str]) -> PeerCertificate {
        let nameless = PeerCertificate::nameless(datetime!(2026-11-22 12:00 UTC));
        let dns = names.iter().filter_map(|name| DnsName::parse(name.strip_prefix("DNS:")?).ok());
        let alternative_names = names.iter().map(|name| (*name).to_owned()).collect();
        PeerCertificate { dns: dns.collect(), alternative_names, ..nameless }
    }

    #[test]
    fn a_host_is_known_by_the_name_or_address_that_is_configured() {
        let names = ["DNS:arr.hospital.example", "DNS:*.lab.example", "IP:10.0.0.7", "IP:fd00::7"];
        let certificate = certificate(&names);

        for good in [
            "arr.hospital.example",
            "ARR.hospital.example",
            "lis.lab.example",
            "10.0.0.7",
            "fd00:0:0:0::7",
        ] {
            assert!(certificate.is_of(good), "{good}");
        }
        for wrong in ["hospital.example", "a.b.lab.example", "lab.example", "10.0.0.8", "arr"] {
            assert!(!certificate.is_of(wrong), "{wrong}");
        }
    }
}
