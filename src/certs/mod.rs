//! Where key material comes from, and how it takes effect.
//!
//! A [`Source`] offers key material: an [`embedded`] authority, [`files`], an [`est`] server, Vault, the
//! SPIFFE Workload API. Whatever the source, a [`Supply`] makes [`Material`] of it only after [`check`] has looked at it as a peer would. [`rotate`]
//! renews it.

mod anchors;
mod blocking;
pub mod check;
pub mod embedded;
mod enrol;
mod error;
pub mod est;
pub mod files;
mod inspect;
mod kept;
pub mod keys;
#[cfg(test)]
mod openssl;
mod preflight;
mod request;
pub mod rotate;
mod secret_file;
mod source;
mod spiffe;
mod supply;
mod vault;
mod vouching;
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

pub use anchors::Anchor;
pub use check::Needs;
pub use enrol::{EnrolError, EnrolFailure};
pub use error::MaterialError;
pub(crate) use inspect::{next_update, not_after};
pub use preflight::Preflight;
pub use request::{Prepared, Trigger, Triggered, trigger};
pub use rotate::{Rejected, Rotation, Rotator, Standing};
pub use source::{Looked, Occasion, Source};
pub use supply::{Loaded, Seen, Supply};
pub use vouching::{Domains, NotFederated};

use crate::identity::{PeerCertificate, TrustDomain};

/// One consistent set: what we present, and whom we trust. Checked before it is made.
#[derive(Clone)]
pub struct Material {
    /// Our certificate with its intermediates, and its key.
    pub presented: Arc<CertifiedKey>,
    /// What peers get that cannot verify the first, in this order. Nearly always empty.
    pub others: Vec<Arc<CertifiedKey>>,
    /// What our own certificate says.
    pub facts: Arc<PeerCertificate>,
    /// When our certificate was issued, which may be later than it is valid from.
    pub issued: OffsetDateTime,
    /// What peers are verified with.
    pub trusted: Arc<Trusted>,
}

/// What peers are verified with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// The authorities that peers may come from. Never empty.
    pub bundle: Vec<CertificateDer<'static>>,
    /// The trust domain that `bundle` speaks for: it proves no SPIFFE ID of another. `None`: it may prove
    /// any name.
    pub domain: Option<TrustDomain>,
    /// The authorities of other trust domains; each proves SPIFFE IDs of its own and nothing else.
    pub federated: BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>,
    /// Revocation lists. Empty: revocation is not checked.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Counts only: a bundle may be long.
impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted")
            .field("bundle", &self.bundle.len())
            .field("domain", &self.domain)
            .field("federated", &self.federated.keys())
            .field("crls", &self.crls.len())
            .finish()
    }
}

impl Trusted {
    /// When the first certificate of a trust bundle expires.
    pub fn not_after(&self) -> Option<OffsetDateTime> {
        let all = self.bundle.iter().chain(self.federated.values().flatten());
        all.filter_map(|der| not_after(der)).min()
    }

    /// When the first revocation list is due for its next update.
    pub fn crl_next_update(&self) -> Option<OffsetDateTime> {
        self.crls.iter().filter_map(|der| next_update(der)).min()
    }
}

impl Material {
    /// When the first of our certificates expires.
    pub fn not_after(&self) -> OffsetDateTime {
        let others = self.others.iter().filter_map(|other| other.cert.first());
        others.filter_map(|der| not_after(der)).fold(self.facts.not_after, Ord::min)
    }

    /// Whether a peer could not tell the two apart: same certificates, same authorities, same lists.
    pub fn same_as(&self, other: &Self) -> bool {
        self.presents() == other.presents() && self.trusted == other.trusted
    }

    /// The chains that peers may get to see, leaf first.
    pub(crate) fn presents(&self) -> Vec<&[CertificateDer<'static>]> {
        let all = std::iter::once(&self.presented).chain(&self.others);
        all.map(|pair| pair.cert.as_slice()).collect()
    }
}

/// Without the private key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("facts", &self.facts)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}
