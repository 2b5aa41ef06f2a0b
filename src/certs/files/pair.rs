//! A certificate with its intermediates and its key, in whichever files they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use x509_parser::asn1_rs::oid;
use zeroize::Zeroizing;

use super::contents::Contents;
use super::der::Der;
use super::locked::{self, Locked, Passphrase, Work};
use super::problem::{FileError, FileProblem, Wanted};
use super::section::{Section, sections, store};
use super::{SMALL, certificates, pkcs12};
use crate::certs::inspect;
use crate::config::{PairFiles, PairForm};

/// The smallest RSA key that anybody should take (SP 800-131A).
const RSA_BITS: usize = 2048;

/// What was read of one pair.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<dyn SigningKey>,
    pub(super) warnings: Vec<String>,
}

/// A key, and whether a passphrase was needed for it.
struct Key {
    signing: Arc<dyn SigningKey>,
    encrypted: bool,
}

/// Reads a pair, and looks at each of its files before it gives up.
pub(super) fn read(files: &PairFiles, contents: &mut Contents) -> Result<Pair, Vec<FileError>> {
    let passphrase = files.passphrase_file.as_deref();
    let passphrase = passphrase.map(|path| Secret::read(path, contents)).transpose();
    let (chain, key) = match &files.form {
        PairForm::Pem { cert, key } => {
            let chain = certificates(cert, Wanted::Certificate, SMALL, contents);
            // Without the passphrase there is one problem, not two.
            let passphrase = passphrase.as_ref().map(Option::as_ref);
            (chain, passphrase.ok().map(|with| private_key(key, with, contents)))
        }
        PairForm::Pkcs12(path) => match &passphrase {
            Ok(with) => match from_store(path, with.as_ref(), contents) {
                Ok((chain, key)) => (Ok(chain), Some(Ok(key))),
                Err(error) => (Err(error), None),
            },
            Err(_) => (Ok(Vec::new()), None),
        },
    };
    match (passphrase, chain, key) {
        (Ok(with), Ok(chain), Some(Ok(key))) => {
            let warnings = warnings(files, with.as_ref(), key.encrypted);
            Ok(Pair { chain, key: key.signing, warnings })
        }
        (passphrase, chain, key) => {
            let problems = [passphrase.err(), chain.err(), key.and_then(Result::err)];
            Err(problems.into_iter().flatten().collect())
        }
    }
}

/// A passphrase, and the file in which it is.
struct Secret<'a> {
    path: &'a Path,
    bytes: Zeroizing<Vec<u8>>,
}

impl<'a> Secret<'a> {
    /// The first line, without its end.
    fn read(path: &'a Path, contents: &mut Contents) -> Result<Self, FileError> {
        let at = |problem| FileError::new(path, Wanted::Passphrase, problem);
        let bytes = contents.bytes(path, SMALL).map_err(at)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(at(FileProblem::Empty));
        }
        Ok(Self { path, bytes: Zeroizing::new(line.to_vec()) })
    }
}

fn private_key(
    path: &Path,
    secret: Option<&Secret<'_>>,
    contents: &mut Contents,
) -> Result<Key, FileError> {
    let at = |problem| FileError::new(path, Wanted::Key, problem);
    let bytes = contents.bytes(path, SMALL).map_err(at)?;
    let (mut keys, mut work) = (Vec::new(), Work::default());
    for section in sections(&bytes, Wanted::Key).map_err(at)? {
        match section {
            Section::Key(key) => keys.push((key, false)),
            Section::Encrypted(der) => {
                let secret = secret.ok_or_else(|| at(FileProblem::NoPassphrase))?;
                let key = locked::key(&der, &Passphrase::new(&secret.bytes), &mut work);
                keys.push((pkcs8(&key.map_err(|why| at(locked_by(why, Some(secret))))?), true));
            }
            Section::Certificate(_) | Section::RevocationList(_) => {}
        }
    }
    match keys.as_slice() {
        [(key, encrypted)] => Ok(Key { signing: usable(key).map_err(at)?, encrypted: *encrypted }),
        several => Err(at(FileProblem::SeveralKeys(several.len()))),
    }
}

/// The certificate that the key fits, its intermediates in their order, and the key.
fn from_store(
    path: &Path,
    secret: Option<&Secret<'_>>,
    contents: &mut Contents,
) -> Result<(Vec<CertificateDer<'static>>, Key), FileError> {
    let at = |problem| FileError::new(path, Wanted::Store, problem);
    let bytes = contents.bytes(path, SMALL).map_err(at)?;
    let der = store(&bytes).map_err(at)?;
    let passphrase = secret.map(|secret| &**secret.bytes);
    let store = pkcs12::open(der, passphrase).map_err(|why| at(locked_by(why, secret)))?;
    let [key] = store.keys.as_slice() else {
        return Err(at(FileProblem::SeveralKeys(store.keys.len())));
    };
    let signing = usable(&pkcs8(key)).map_err(at)?;
    for (index, der) in store.certificates.iter().enumerate() {
        if inspect::certificate(der).is_none() {
            return Err(at(FileProblem::BadCertificate { number: index + 1 }));
        }
    }
    let chain = in_order(store.certificates, &*signing);
    if chain.is_empty() {
        return Err(at(FileProblem::NoCertificate));
    }
    Ok((chain, Key { signing, encrypted: true }))
}

/// The leaf first, then each one's issuer, then what else is there. Roots are left out: whoever does not
/// have them does not believe ours.
fn in_order(
    mut certificates: Vec<CertificateDer<'static>>,
    key: &dyn SigningKey,
) -> Vec<CertificateDer<'static>> {
    let key = key.public_key();
    let fits = |der: &CertificateDer<'_>| {
        let x509 = inspect::certificate(der);
        x509.zip(key.as_ref()).is_some_and(|(x509, key)| x509.public_key().raw == key.as_ref())
    };
    let Some(leaf) = certificates.iter().position(fits) else { return certificates };
    let mut chain = vec![certificates.remove(leaf)];
    let names = |der: &CertificateDer<'_>| {
        let x509 = inspect::certificate(der)?;
        Some((x509.subject().as_raw().to_vec(), x509.issuer().as_raw().to_vec()))
    };
    certificates.retain(|der| names(der).is_some_and(|(subject, issuer)| subject != issuer));
    while let Some((_, issuer)) = chain.last().and_then(names) {
        let next =
            |der: &CertificateDer<'_>| names(der).is_some_and(|(subject, _)| subject == issuer);
        let Some(next) = certificates.iter().position(next) else { break };
        chain.push(certificates.remove(next));
    }
    chain.append(&mut certificates);
    chain
}

fn pkcs8(der: &[u8]) -> Zeroizing<PrivateKeyDer<'static>> {
    Zeroizing::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.to_vec())))
}

pub(super) fn usable(key: &PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, FileProblem> {
    match rsa_bits(key) {
        Some(bits) if bits < RSA_BITS => Err(FileProblem::SmallRsa { bits }),
        _ => any_supported_type(key).map_err(|_vague| FileProblem::UnsupportedKey),
    }
}

/// The length of an RSA key's modulus; `None` if it is no RSA key.
fn rsa_bits(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let pkcs1 = match key {
        PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
        PrivateKeyDer::Pkcs8(key) => {
            let mut info = Der::new(key.secret_pkcs8_der()).sequence().ok()?;
            info.number().ok()?;
            let is_rsa = info.sequence().ok()?.oid().ok()? == oid!(1.2.840.113549.1.1.1);
            is_rsa.then(|| info.octets().ok()).flatten()?
        }
        _ => return None,
    };
    let mut key = Der::new(pkcs1).sequence().ok()?;
    key.number().ok()?;
    let modulus = key.integer().ok()?;
    let digits = modulus.iter().skip_while(|byte| **byte == 0).count();
    Some(digits * 8)
}

fn locked_by(why: Locked, secret: Option<&Secret<'_>>) -> FileProblem {
    match (why, secret) {
        (Locked::Unparsable, _) => FileProblem::BadContainer,
        (Locked::Wrong, Some(secret)) => {
            let passphrase = secret.path.to_owned();
            let is_text = std::str::from_utf8(&secret.bytes).is_ok();
            FileProblem::WrongPassphrase { passphrase, is_text }
        }
        (Locked::Wrong, None) => FileProblem::NoPassphrase,
        (Locked::Unsupported(what), _) => FileProblem::UnsupportedEncryption(what),
        (Locked::TooCostly, _) => FileProblem::TooCostly,
    }
}

/// What deserves a look about files that could be read.
fn warnings(files: &PairFiles, secret: Option<&Secret<'_>>, encrypted: bool) -> Vec<String> {
    let (PairForm::Pem { key, .. } | PairForm::Pkcs12(key)) = &files.form;
    let mut warnings = Vec::new();
    if let Some(secret) = secret {
        warnings.extend(exposed(secret.path, "passphrase", false));
        if !encrypted {
            warnings.push(format!(
                "{}: is not needed: the key in {} is not encrypted",
                secret.path.display(),
                key.display()
            ));
        }
    }
    warnings.extend(exposed(key, "private key", encrypted && secret.is_some()));
    warnings
}

/// The warning about a secret that others may read, unless it is encrypted, or replace.
pub(super) fn exposed(path: &Path, what: &str, encrypted: bool) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let others = match mode {
        mode if mode & 0o022 != 0 => "written",
        mode if mode & 0o004 != 0 && !encrypted => "read",
        _ => return None,
    };
    Some(format!(
        "{}: the {what} can be {others} by other users (mode {mode:04o}): chmod 600 it",
        path.display()
    ))
}
