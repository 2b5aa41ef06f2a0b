//! Where key material comes from, and how it takes effect.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;

use crate::identity::PeerCertificate;

/// One consistent set: what we present, and whom we trust. Checked before it is made.
///
/// Has no useful `Debug`: it holds a private key.
#[derive(Clone)]
pub struct Material {
    /// Our certificate with its intermediates, and its key.
    pub presented: Arc<CertifiedKey>,
    /// What our own certificate says.
    pub facts: Arc<PeerCertificate>,
    /// The authorities that peers may come from. Never empty.
    pub trust_bundle: Vec<CertificateDer<'static>>,
    /// Revocation lists. Empty: revocation is not checked.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}
