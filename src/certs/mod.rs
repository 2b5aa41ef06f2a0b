//! Where key material comes from, and how it takes effect.
//!
//! A [`Source`] loads [`Material`]: from an [`embedded`] authority, or from [`files`]. Whatever the
//! source, [`check`] looks at it as a peer would before anybody uses it. [`rotate`] renews it.

mod anchors;
pub mod check;
pub mod embedded;
mod error;
pub mod files;
mod inspect;
#[cfg(test)]
mod openssl;
mod request;
pub mod rotate;
mod source;

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

pub use check::Needs;
pub use error::MaterialError;
pub use request::{Prepared, Trigger, Triggered, trigger};
pub use rotate::{Rotation, Rotator};
pub use source::{Loaded, Source};

use crate::identity::PeerCertificate;

/// One consistent set: what we present, and whom we trust. Checked before it is made.
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

impl Material {
    /// When our certificate expires.
    pub fn not_after(&self) -> OffsetDateTime {
        self.facts.not_after
    }

    /// When the first certificate of the trust bundle expires.
    pub fn trust_bundle_not_after(&self) -> Option<OffsetDateTime> {
        self.trust_bundle.iter().filter_map(|der| inspect::not_after(der)).min()
    }

    /// When the first revocation list is due for its next update.
    pub fn crl_next_update(&self) -> Option<OffsetDateTime> {
        self.crls.iter().filter_map(|der| inspect::next_update(der)).min()
    }

    /// Whether a peer could not tell the two apart: same certificates, same authorities, same lists.
    pub fn same_as(&self, other: &Self) -> bool {
        self.presented.cert == other.presented.cert
            && self.trust_bundle == other.trust_bundle
            && self.crls == other.crls
    }
}

/// Without the private key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("facts", &self.facts)
            .field("trust_bundle", &self.trust_bundle.len())
            .field("crls", &self.crls.len())
            .finish_non_exhaustive()
    }
}
