//! What anybody may ask for, as it was when the server looked last: strangers do not open the directory.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::certs::embedded::Authority;

/// The authority's certificates and revocation lists.
pub(super) struct Published {
    /// The issuing one, then all roots: sidecars trust what is here, and one root may take the place of
    /// another.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// The list of the one that issues now.
    pub(super) list: Option<CertificateRevocationListDer<'static>>,
    /// Those of issuing authorities that were replaced, too, in PEM: their certificates are alive for a while.
    pub(super) lists: String,
}

impl Published {
    pub(super) fn of(authority: &Authority) -> Self {
        let [issuing, _root] = authority.authorities();
        let mut authorities = vec![issuing.clone()];
        authorities.extend(authority.trusted().bundle);
        let list = authority.crl_der().cloned();
        Self { authorities, list, lists: authority.crl_pem().to_owned() }
    }
}
