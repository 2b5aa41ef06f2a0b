//! Single files, for sources that are asked over the network.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::problem::Wanted;
use super::{BUNDLE, FileError, SMALL, certificates, private_key};

/// The authorities by which a server is known.
pub(in crate::certs) fn authorities(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    certificates(path, Wanted::TrustBundle, BUNDLE)
}

/// What a server knows us by: a certificate with its intermediates, leaf first, and its key.
pub(in crate::certs) fn pair(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, FileError> {
    let chain = certificates(cert, Wanted::Certificate, SMALL)?;
    Ok(Arc::new(CertifiedKey::new(chain, private_key(key)?)))
}
