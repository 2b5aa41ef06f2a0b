//! Which of our certificates a peer gets.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certs::Material;

/// Our certificates, the preferred first. A peer gets the first whose key makes a signature that it says it
/// verifies (RFC 8446, 4.4.2.2): RSA stands beside ECDSA for those that know nothing else.
#[derive(Debug)]
pub(super) struct Presented {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl Presented {
    pub(super) fn of(material: &Material) -> Self {
        Self { first: Arc::clone(&material.presented), others: material.others.clone() }
    }

    /// Nobody who verifies none of them is told so here: with the first, the handshake fails for its true
    /// reason.
    fn for_peer(&self, verifies: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(verifies).is_some();
        Arc::clone(all.find(fits).unwrap_or(&self.first))
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // For TLS 1.2, rustls leaves out schemes for which the client has no cipher suite.
        Some(self.for_peer(client.signature_schemes()))
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        verifies: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.for_peer(verifies))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
