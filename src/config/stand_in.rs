//! Somebody made up, for questions about rules that nobody has to connect for.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Peer, PeerMatcher};
use crate::identity::{PeerCertificate, PeerIdentity, Proof};

impl Peer {
    /// Somebody who connects at `at`, and whom nothing but this entry recognizes.
    pub fn stand_in(&self, at: OffsetDateTime) -> PeerIdentity {
        let mut certificate = PeerCertificate::nameless(at);
        let mut proof = Proof::Chain;
        match &self.matcher {
            PeerMatcher::Spiffe(id) => certificate.spiffe = Some(id.clone()),
            PeerMatcher::Dns(name) => certificate.dns = vec![name.clone()],
            PeerMatcher::Subject { common_name, organization, organizational_unit } => {
                let subject = &mut certificate.subject;
                subject.common_names = common_name.iter().cloned().collect();
                subject.organizations = organization.iter().cloned().collect();
                subject.organizational_units = organizational_unit.iter().cloned().collect();
            }
            PeerMatcher::CertificatePin(pin) => (certificate.sha256, proof) = (*pin, Proof::Pin),
            PeerMatcher::KeyPin(pin) => (certificate.key_sha256, proof) = (*pin, Proof::Pin),
        }
        PeerIdentity { certificate: Arc::new(certificate), proof }
    }
}
