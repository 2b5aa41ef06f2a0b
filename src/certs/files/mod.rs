//! Key material from files that someone else puts there.
//!
//! Most of this is about what else people put into such files: an operator with a request in place of
//! a certificate should be told so, and not that "parsing failed".

mod contents;
mod der;
mod locked;
mod pair;
pub(super) mod parts;
mod pkcs12;
mod problem;
mod section;
mod source;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;

pub(super) use contents::Contents;
pub use problem::FileError;
pub(super) use source::Files;

use super::check::{Offered, Origin};
use super::inspect;
use super::{MaterialError, Trusted};
use crate::config::{self, PairFiles, PairForm};
use problem::{FileProblem, Wanted};
use section::{Section, sections};

/// More than any certificate or key needs.
const SMALL: u64 = 1 << 20;
/// A trust bundle may hold every public authority there is, many times over.
const BUNDLE: u64 = 16 << 20;
/// Lists of large authorities reach tens of megabytes.
const LIST: u64 = 128 << 20;

/// Reads all files of `config`, and looks at every one before it gives up. `contents` keeps what they
/// held.
///
/// # Errors
///
/// Names each file that cannot be used, and what it holds instead.
pub(super) fn read(
    config: &config::Files,
    contents: &mut Contents,
) -> Result<Offered, MaterialError> {
    let mut problems = Vec::new();
    let mut pairs = Vec::new();
    let mut origins = Vec::new();
    for files in std::iter::once(&config.pair).chain(&config.others) {
        origins.push(origin(files));
        match pair::read(files, contents) {
            Ok(pair) => pairs.push(pair),
            Err(errors) => problems.extend(errors.into_iter().map(MaterialError::from)),
        }
    }
    let bundle = certificates(&config.trust_bundle, Wanted::TrustBundle, BUNDLE, contents);
    let trust_bundle = keep(&mut problems, bundle).unwrap_or_default();
    let mut crls = Vec::new();
    let mut lists = Vec::new();
    for path in &config.crls {
        let held = keep(&mut problems, revocation_lists(path, contents)).unwrap_or_default();
        lists.extend(held.iter().map(|_| path.display().to_string()));
        crls.extend(held);
    }
    MaterialError::unless_none(problems)?;
    let warnings = pairs.iter().flat_map(|pair| pair.warnings.clone()).collect();
    let mut pairs = pairs.into_iter();
    let Some(first) = pairs.next() else { return Err(MaterialError::BrokenOff) };
    let (certificate, key) = origins.remove(0);
    Ok(Offered {
        chain: first.chain,
        key: first.key,
        others: pairs.map(|pair| Arc::new(CertifiedKey::new(pair.chain, pair.key))).collect(),
        issued: None,
        trusted: Trusted { bundle: trust_bundle, crls, ..Trusted::default() },
        renewed: false,
        origin: Origin {
            certificate,
            key,
            trust_bundle: config.trust_bundle.display().to_string(),
            crls: lists,
            others: origins,
        },
        warnings,
    })
}

/// The certificates in a trust bundle, read anew.
///
/// # Errors
///
/// The file cannot be used; never quotes it.
pub fn trust_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    certificates(path, Wanted::TrustBundle, BUNDLE, &mut Contents::default())
}

/// All files of `config`, each with the most that is read of it.
fn paths(config: &config::Files) -> Vec<(PathBuf, u64)> {
    let mut paths = vec![(config.trust_bundle.clone(), BUNDLE)];
    paths.extend(config.crls.iter().map(|path| (path.clone(), LIST)));
    for pair in std::iter::once(&config.pair).chain(&config.others) {
        match &pair.form {
            PairForm::Pem { cert, key } => {
                paths.extend([(cert.clone(), SMALL), (key.clone(), SMALL)])
            }
            PairForm::Pkcs12(path) => paths.push((path.clone(), SMALL)),
        }
        paths.extend(pair.passphrase_file.iter().map(|path| (path.clone(), SMALL)));
    }
    paths
}

/// Where a pair's certificate and its key come from.
fn origin(files: &PairFiles) -> (String, String) {
    let (cert, key) = match &files.form {
        PairForm::Pem { cert, key } => (cert, key),
        PairForm::Pkcs12(path) => (path, path),
    };
    (cert.display().to_string(), key.display().to_string())
}

fn keep<T>(problems: &mut Vec<MaterialError>, read: Result<T, FileError>) -> Option<T> {
    read.map_err(|error| problems.push(error.into())).ok()
}

fn certificates(
    path: &Path,
    wanted: Wanted,
    limit: u64,
    contents: &mut Contents,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let at = |problem| FileError::new(path, wanted, problem);
    let bytes = contents.bytes(path, limit).map_err(at)?;
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

fn revocation_lists(
    path: &Path,
    contents: &mut Contents,
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let at = |problem| FileError::new(path, Wanted::RevocationList, problem);
    let bytes = contents.bytes(path, LIST).map_err(at)?;
    let sections = sections(&bytes, Wanted::RevocationList).map_err(at)?;
    let lists = sections.into_iter().filter_map(|section| match section {
        Section::RevocationList(der) => Some(der),
        Section::Certificate(_) | Section::Key(_) | Section::Encrypted(_) => None,
    });
    Ok(lists.collect())
}

#[cfg(test)]
mod tests;
