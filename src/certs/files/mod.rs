//! Key material from PEM files that someone else puts there.
//!
//! Most of this is about what else people put into such files: an operator with a request in place of
//! a certificate should be told so, and not that "parsing failed".

pub(super) mod parts;
mod problem;
mod section;
mod source;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

pub use problem::FileError;
pub(super) use source::Files;

use super::check::{Offered, Origin};
use super::inspect;
use super::{MaterialError, Trusted};
use problem::{FileProblem, Wanted};
use section::{Section, sections};

/// More than any certificate or key needs.
const SMALL: u64 = 1 << 20;
/// A trust bundle may hold every public authority there is, many times over.
const BUNDLE: u64 = 16 << 20;
/// Lists of large authorities reach tens of megabytes.
const LIST: u64 = 128 << 20;

/// Which files hold what.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// The certificate and its intermediates, leaf first.
    pub cert: &'a Path,
    /// Its private key.
    pub key: &'a Path,
    /// The certificates of the authorities that peers may come from.
    pub trust_bundle: &'a Path,
    /// Revocation lists.
    pub crls: &'a [std::path::PathBuf],
}

/// Reads all of `paths`, and looks at every file before it gives up.
///
/// # Errors
///
/// Names each file that cannot be used, and what it holds instead.
pub fn read(paths: Paths<'_>) -> Result<Offered, MaterialError> {
    let mut problems = Vec::new();
    let chain = keep(&mut problems, certificates(paths.cert, Wanted::Certificate, SMALL));
    let key = keep(&mut problems, private_key(paths.key));
    let trust_bundle =
        keep(&mut problems, certificates(paths.trust_bundle, Wanted::TrustBundle, BUNDLE));
    let mut crls = Vec::new();
    let mut lists = Vec::new();
    for path in paths.crls {
        let held = keep(&mut problems, revocation_lists(path)).unwrap_or_default();
        lists.extend(held.iter().map(|_| path.display().to_string()));
        crls.extend(held);
    }
    MaterialError::unless_none(problems)?;
    let (Some(chain), Some(key), Some(trust_bundle)) = (chain, key, trust_bundle) else {
        return Err(MaterialError::BrokenOff);
    };
    Ok(Offered {
        chain,
        key,
        others: Vec::new(),
        issued: None,
        trusted: Trusted { bundle: trust_bundle, crls, ..Trusted::default() },
        renewed: false,
        origin: Origin {
            certificate: paths.cert.display().to_string(),
            key: paths.key.display().to_string(),
            trust_bundle: paths.trust_bundle.display().to_string(),
            crls: lists,
        },
        warnings: exposed(paths.key).into_iter().collect(),
    })
}

fn keep<T>(problems: &mut Vec<MaterialError>, read: Result<T, FileError>) -> Option<T> {
    read.map_err(|error| problems.push(error.into())).ok()
}

fn certificates(
    path: &Path,
    wanted: Wanted,
    limit: u64,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let at = |problem| FileError::new(path, wanted, problem);
    let bytes = bytes(path, limit).map_err(at)?;
    let mut certificates = Vec::new();
    for section in sections(&bytes, wanted).map_err(at)? {
        let Section::Certificate(der) = section else { continue };
        let number = certificates.len() + 1;
        if inspect::certificate(&der).is_none() {
            return Err(at(FileProblem::BadCertificate { number }));
        }
        certificates.push(der);
    }
    Ok(certificates)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let at = |problem| FileError::new(path, Wanted::RevocationList, problem);
    let bytes = bytes(path, LIST).map_err(at)?;
    let sections = sections(&bytes, Wanted::RevocationList).map_err(at)?;
    let lists = sections.into_iter().filter_map(|section| match section {
        Section::RevocationList(der) => Some(der),
        Section::Certificate(_) | Section::Key(_) => None,
    });
    Ok(lists.collect())
}

fn private_key(path: &Path) -> Result<Arc<dyn SigningKey>, FileError> {
    let at = |problem| FileError::new(path, Wanted::Key, problem);
    let bytes = bytes(path, SMALL).map_err(at)?;
    let mut keys: Vec<Zeroizing<PrivateKeyDer<'static>>> = Vec::new();
    for section in sections(&bytes, Wanted::Key).map_err(at)? {
        if let Section::Key(key) = section {
            keys.push(key);
        }
    }
    match keys.as_slice() {
        [key] => any_supported_type(key).map_err(|_vague| at(FileProblem::UnsupportedKey)),
        several => Err(at(FileProblem::SeveralKeys(several.len()))),
    }
}

/// The file's bytes; wiped afterwards, since any of these files may hold a key.
fn bytes(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileProblem::Missing,
        _ => FileProblem::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(FileProblem::Directory);
    }
    if !metadata.is_file() {
        return Err(FileProblem::NotRegular); // reading a pipe might wait for ever
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len().min(limit) + 1).unwrap_or_default(),
    ));
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(FileProblem::Unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(FileProblem::TooLarge { limit });
    }
    Ok(bytes)
}

/// The warning about a key that others may read or replace.
fn exposed(key: &Path) -> Option<String> {
    let mode = fs::metadata(key).ok()?.permissions().mode() & 0o777;
    let others = match mode {
        mode if mode & 0o022 != 0 => "written",
        mode if mode & 0o004 != 0 => "read",
        _ => return None,
    };
    Some(format!(
        "{}: the private key can be {others} by other users (mode {mode:04o}): chmod 600 it",
        key.display()
    ))
}

#[cfg(test)]
mod tests;
