//! Single files, for sources that are asked over the network.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::contents::Contents;
use super::problem::Wanted;
use super::{BUNDLE, FileError, certificates, pair};
use crate::certs::MaterialError;
use crate::config::{PairFiles, PairForm};

/// The authorities by which a server is known.
pub(in crate::certs) fn authorities(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    certificates(path, Wanted::TrustBundle, BUNDLE, &mut Contents::default())
}

/// What a server knows us by: a certificate with its intermediates, leaf first, and its key.
pub(in crate::certs) fn pair(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, MaterialError> {
    let form = PairForm::Pem { cert: cert.to_owned(), key: key.to_owned() };
    let files = PairFiles { form, passphrase_file: None };
    match pair::read(&files, &mut Contents::default()) {
        Ok(pair) => Ok(Arc::new(CertifiedKey::new(pair.chain, pair.key))),
        Err(errors) => {
            MaterialError::unless_none(errors.into_iter().map(Into::into).collect())?;
            Err(MaterialError::BrokenOff)
        }
    }
}
