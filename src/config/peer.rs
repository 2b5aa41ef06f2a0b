//! Those whom the sidecar knows.

use time::OffsetDateTime;

use super::Quota;
use crate::identity::{DnsName, Fingerprint, PeerName, SpiffeId};

/// An entry in `peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, by which rules, records and metrics know it.
    pub name: PeerName,
    /// By what it is recognized.
    pub matcher: PeerMatcher,
    /// Its line in the configuration file.
    pub line: u32,
    /// After this moment the entry lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// By then somebody should have looked whether it is still needed. Lets in all the same.
    pub review_by: Option<OffsetDateTime>,
    /// What it may have on each inbound listener.
    pub limits: Option<Quota>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The ticket that asked for it.
    pub ticket: Option<String>,
    /// What it needs the access for.
    pub purpose: Option<String>,
    /// Anything else that a reader should know.
    pub note: Option<String>,
}

/// By what a peer is recognized. All but the pins need a chain to the trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerMatcher {
    /// This SPIFFE ID, exactly.
    Spiffe(SpiffeId),
    /// One of the certificate's DNS names.
    Dns(DnsName),
    /// Every given part of the subject, exactly.
    Subject {
        /// Common name.
        common_name: Option<String>,
        /// Organization.
        organization: Option<String>,
        /// Organizational unit.
        organizational_unit: Option<String>,
    },
    /// This certificate and no other, whoever signed it.
    CertificatePin(Fingerprint),
    /// Any certificate over this public key (SHA-256 of the SubjectPublicKeyInfo).
    KeyPin(Fingerprint),
}
