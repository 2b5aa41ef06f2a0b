//! The authority's directory: who may see it, and how it is written.
//!
//! A file is there whole or not at all. A pair whose halves do not fit, because a machine died between
//! the two, counts as not there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::error::AuthorityError;
use crate::certs::inspect;
use crate::identity::Fingerprint;

/// So often another process's lock is looked at …
const LOCK_LOOKS: u32 = 200;
/// … with this between: 10 s in all. Nobody holds it for longer than it takes to write four files.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// An issuing authority that was replaced is kept under this, with its id.
const RETIRED: &str = "retired-";

/// Files that are not whole yet, and become others. Only who has the lock makes them.
const UNFINISHED: &str = ".myelin-unfinished-";

/// A certificate in both of its forms.
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
}

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    pub(super) key: Zeroizing<KeyPair>,
}

/// What was found where a pair should be.
pub(super) enum Found {
    Whole(Pair),
    /// What it lacks, for operators.
    Lacking(String),
}

impl Found {
    fn lacking(error: AuthorityError) -> Result<Self, AuthorityError> {
        match error {
            AuthorityError::Incomplete { path } => {
                Ok(Self::Lacking(format!("{}: no such file", path.display())))
            }
            AuthorityError::Damaged { path } => {
                Ok(Self::Lacking(format!("{}: is damaged", path.display())))
            }
            error => Err(error),
        }
    }
}

impl Pair {
    /// What the ledger calls this authority: the beginning of its certificate's SHA-256.
    pub(super) fn id(&self) -> String {
        let Fingerprint([a, b, c, d, e, f, g, h, ..]) = Fingerprint::of(&self.certificate.der);
        hex::encode([a, b, c, d, e, f, g, h])
    }
}

impl From<rcgen::Certificate> for Certificate {
    fn from(made: rcgen::Certificate) -> Self {
        Self { der: made.der().clone(), pem: made.pem() }
    }
}

/// The directory, locked for as long as this lives.
pub(super) struct Store {
    dir: PathBuf,
    /// Otherwise we are only to look.
    may_write: bool,
    _lock: Option<File>,
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Self, AuthorityError> {
        not_missing(dir)?;
        Self::locked(dir, true)
    }

    /// Makes nothing, not even the lock: root may look at what a service's user has to write.
    pub(super) fn look(dir: &Path) -> Result<Self, AuthorityError> {
        not_missing(dir)?;
        Self::locked(dir, false)
    }

    pub(super) fn open_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        if !is_directory(dir)? {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|source| AuthorityError::io(dir, "made", source))?;
        }
        Self::locked(dir, true)
    }

    fn locked(dir: &Path, may_write: bool) -> Result<Self, AuthorityError> {
        private(dir, "700")?;
        let path = dir.join("lock");
        let mut open = OpenOptions::new();
        match may_write {
            true => open.create(true).truncate(false).write(true).mode(0o600),
            false => open.read(true),
        };
        let this = |lock| Self { dir: dir.to_owned(), may_write, _lock: lock };
        let lock = match open.open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(this(None)); // only to look
            }
            Err(source) => return Err(AuthorityError::io(&path, "opened", source)),
        };
        for _ in 0..LOCK_LOOKS {
            match lock.try_lock() {
                Ok(()) => {
                    let store = this(Some(lock));
                    store.sweep()?;
                    return Ok(store);
                }
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => {
                    return Err(AuthorityError::io(&path, "locked", source));
                }
            }
        }
        Err(AuthorityError::Locked { path })
    }

    /// Removes what somebody left who died while writing: it may hold a key.
    fn sweep(&self) -> Result<(), AuthorityError> {
        if !self.may_write {
            return Ok(());
        }
        let names = self.names(|name| name.starts_with(UNFINISHED).then_some(name))?;
        names.iter().try_for_each(|name| self.remove(name))
    }

    /// What `choose` makes of the names in the directory, in a fixed order.
    fn names(&self, choose: impl Fn(&str) -> Option<&str>) -> Result<Vec<String>, AuthorityError> {
        let read = |source| AuthorityError::io(&self.dir, "read", source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            names.extend(name.to_str().and_then(&choose).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the file `name` is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether it is ours to write, and not only to look at.
    pub(super) fn may_write(&self) -> bool {
        self.may_write
    }

    /// Whether an authority is still to be made.
    pub(super) fn is_new(&self) -> Result<bool, AuthorityError> {
        is_new(&self.dir)
    }

    pub(super) fn certificate(&self, name: &str) -> Result<Certificate, AuthorityError> {
        let path = self.dir.join(format!("{name}.crt"));
        let bytes = self.read(&path)?;
        let pem = std::str::from_utf8(&bytes).ok().map(str::to_owned);
        match (CertificateDer::from_pem_slice(&bytes), pem) {
            (Ok(der), Some(pem)) => Ok(Certificate { der, pem }),
            _ => Err(AuthorityError::Damaged { path }),
        }
    }

    /// Every certificate in a file; there is at least one.
    pub(super) fn certificates(
        &self,
        name: &str,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let path = self.dir.join(format!("{name}.crt"));
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.read(&path)?).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(all),
            Ok(_) | Err(_) => Err(AuthorityError::Damaged { path }),
        }
    }

    pub(super) fn key(&self, name: &str) -> Result<Zeroizing<KeyPair>, AuthorityError> {
        let path = self.dir.join(format!("{name}.key"));
        let pem = self.read(&path)?;
        private(&path, "600")?;
        let key = std::str::from_utf8(&pem).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        key.map(Zeroizing::new).ok_or(AuthorityError::Damaged { path })
    }

    pub(super) fn pair(&self, name: &str) -> Result<Found, AuthorityError> {
        let certificate = match self.certificate(name) {
            Ok(certificate) => certificate,
            Err(error) => return Found::lacking(error),
        };
        let key = match self.key(name) {
            Ok(key) => key,
            Err(error) => return Found::lacking(error),
        };
        let fits = inspect::certificate(&certificate.der)
            .is_some_and(|x509| x509.public_key().raw == key.subject_public_key_info());
        if fits {
            return Ok(Found::Whole(Pair { certificate, key }));
        }
        let path = self.dir.join(format!("{name}.crt"));
        Ok(Found::Lacking(format!("{}: does not fit {name}.key", path.display())))
    }

    /// Writes the key first: a certificate without a key would look like an authority.
    pub(super) fn write(&self, name: &str, pair: &Pair) -> Result<(), AuthorityError> {
        let key = Zeroizing::new(pair.key.serialize_pem());
        self.put(&format!("{name}.key"), key.as_bytes(), 0o600)?;
        self.put(&format!("{name}.crt"), pair.certificate.pem.as_bytes(), 0o644)
    }

    /// Keeps an issuing authority that is about to be replaced: its leaves live on, and it signs their list.
    pub(super) fn retire(&self, pair: &Pair) -> Result<(), AuthorityError> {
        self.write(&format!("{RETIRED}{}", pair.id()), pair)
    }

    /// The issuing authorities that were replaced and whose leaves may still live, in a fixed order. Those
    /// that have ended are removed.
    pub(super) fn retired(&self, now: OffsetDateTime) -> Result<Vec<Pair>, AuthorityError> {
        let is_retired = |name: &&str| name.starts_with(RETIRED);
        let mut retired = Vec::new();
        for name in self.names(|name| name.strip_suffix(".crt").filter(is_retired))? {
            match self.pair(&name)? {
                Found::Whole(pair) => match inspect::not_after(&pair.certificate.der) {
                    Some(end) if end >= now => retired.push(pair),
                    Some(_) | None => self.forget(&name)?,
                },
                Found::Lacking(what) => {
                    tracing::warn!("{what}: peers refuse the certificates of that authority");
                }
            }
        }
        Ok(retired)
    }

    /// Removes an issuing authority that was replaced.
    pub(super) fn forget_retired(&self, pair: &Pair) -> Result<(), AuthorityError> {
        self.forget(&format!("{RETIRED}{}", pair.id()))
    }

    /// Removes a pair; the certificate first: a key without one is nothing.
    pub(super) fn forget(&self, name: &str) -> Result<(), AuthorityError> {
        if !self.may_write {
            return Ok(());
        }
        self.remove(&format!("{name}.crt"))?;
        self.remove(&format!("{name}.key"))
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> Result<bool, AuthorityError> {
        is_there(&self.dir, name)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), AuthorityError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(AuthorityError::io(&path, "removed", source)),
        }
    }

    /// What a file holds, if it is there.
    pub(super) fn read_if_there(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, AuthorityError> {
        match self.read(&self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(AuthorityError::Incomplete { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file there, whole or not at all, in the place of one that was.
    pub(super) fn put(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
        let path = self.dir.join(name);
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| match source.kind() {
            // Files are replaced: it is the directory's permissions that count.
            ErrorKind::PermissionDenied => AuthorityError::io(&self.dir, "written to", source),
            _ => AuthorityError::io(&path, "written", source),
        })
    }

    fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
        fs::read(path).map(Zeroizing::new).map_err(|source| match source.kind() {
            ErrorKind::NotFound => AuthorityError::Incomplete { path: path.to_owned() },
            _ => AuthorityError::io(path, "read", source),
        })
    }
}

fn not_missing(dir: &Path) -> Result<(), AuthorityError> {
    if !is_directory(dir)? || is_new(dir)? {
        return Err(AuthorityError::Missing { dir: dir.to_owned() });
    }
    Ok(())
}

/// Whether the directory is there. What we may not see is not taken for missing.
fn is_directory(dir: &Path) -> Result<bool, AuthorityError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(AuthorityError::NoDirectory { dir: dir.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(AuthorityError::io(dir, "read", source)),
    }
}

/// Whether there is no authority in the directory, or the making of one broke off after its first
/// file, the root's key.
fn is_new(dir: &Path) -> Result<bool, AuthorityError> {
    if is_there(dir, "root.crt")? {
        return Ok(false);
    }
    if is_there(dir, "issuing.crt")? || is_there(dir, "issuing.key")? {
        return Err(AuthorityError::Incomplete { path: dir.join("root.crt") });
    }
    Ok(true)
}

fn is_there(dir: &Path, name: &str) -> Result<bool, AuthorityError> {
    let path = dir.join(name);
    path.try_exists().map_err(|source| AuthorityError::io(&path, "read", source))
}

fn private(path: &Path, wanted: &'static str) -> Result<(), AuthorityError> {
    let metadata = fs::metadata(path).map_err(|source| AuthorityError::io(path, "read", source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}
