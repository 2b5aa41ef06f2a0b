//! Which authorities may vouch for a certificate: those of the trust domain that it names.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;

use super::Trusted;
use crate::identity::{SpiffeId, TrustDomain};

/// A SPIFFE ID of a trust domain whose authorities we do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its trust domain, {named}, is not federated with ours, {own}: whoever manages {own} must federate \
     it with {named}"
)]
pub struct NotFederated {
    own: TrustDomain,
    named: String,
}

/// What belongs to each trust domain: its authorities, in whatever form they are needed.
#[derive(Debug)]
pub struct Domains<'a, A> {
    /// Of our own trust domain; or, when that is not known, of all that have none of their own.
    pub bundle: &'a A,
    /// Our own trust domain.
    pub domain: Option<&'a TrustDomain>,
    /// Of the others.
    pub federated: &'a BTreeMap<TrustDomain, A>,
}

impl<'a, A> Domains<'a, A> {
    /// What may vouch for a certificate with this SPIFFE ID, or with none (SPIFFE Trust Domain and
    /// Bundle, section 4).
    ///
    /// An authority vouches for IDs of its own trust domain alone. Otherwise each federated one could make
    /// itself our own services, or those of a third.
    ///
    /// # Errors
    ///
    /// The ID is of a trust domain of which we know nothing.
    pub fn vouching_for(&self, id: Option<&SpiffeId>) -> Result<&'a A, NotFederated> {
        let Some(named) = id.map(SpiffeId::trust_domain) else { return Ok(self.bundle) };
        match self.domain {
            Some(own) if own.as_str() == named => Ok(self.bundle),
            own => match (self.federated.get(named), own) {
                (Some(federated), _) => Ok(federated),
                (None, None) => Ok(self.bundle),
                (None, Some(own)) => {
                    Err(NotFederated { own: own.clone(), named: named.to_owned() })
                }
            },
        }
    }
}

impl Trusted {
    /// The authorities that may vouch for a certificate with this SPIFFE ID, or with none.
    ///
    /// # Errors
    ///
    /// The ID is of a trust domain of which we know nothing.
    pub fn vouching_for(
        &self,
        id: Option<&SpiffeId>,
    ) -> Result<&[CertificateDer<'static>], NotFederated> {
        let Self { bundle, domain, federated, .. } = self;
        let domains = Domains { bundle, domain: domain.as_ref(), federated };
        domains.vouching_for(id).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
