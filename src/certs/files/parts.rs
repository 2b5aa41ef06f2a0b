//! Single files, for sources that are asked over the network.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::contents::Contents;
use super::problem::Wanted;
use super::{BUNDLE, FileError, certificates};

/// The authorities by which a server is known.
pub(in crate::certs) fn authorities(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    certificates(path, Wanted::TrustBundle, BUNDLE, &mut Contents::default())
}
