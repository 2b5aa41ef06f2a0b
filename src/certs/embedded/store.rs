//! The authority's directory: who may see it, and how it is written.
//!
//! A file is there whole or not at all. A pair whose halves do not fit, because a machine died between
//! the two, counts as not there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::certs::inspect;
use crate::identity::{SpiffeId, TrustDomain};

/// So often another process's lock is looked at …
const LOCK_LOOKS: u32 = 200;
/// … with this between: 10 s in all. Nobody holds it for longer than it takes to write four files.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the embedded authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no authority in the directory.
    #[error("{}: no authority here; `myelin init` makes one", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// A file of it is missing while others are there.
    #[error("{}: no such file, but other files of the authority are there: restore it, or move the rest away to begin anew", path.display())]
    Incomplete {
        /// The missing file.
        path: PathBuf,
    },
    /// Others may see or change it.
    #[error("{}: other users may use it (mode {mode:04o}), and it holds an authority's keys: chmod {wanted} it", path.display())]
    Exposed {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: &'static str,
    },
    /// It is no directory.
    #[error("{}: is no directory", dir.display())]
    NoDirectory {
        /// What stands there.
        dir: PathBuf,
    },
    /// The system does not let us.
    #[error("{}: cannot be {what}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process does not let go of it.
    #[error("{}: locked by another process for more than 10 s", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file of it is not what it was when we wrote it.
    #[error("{}: is damaged: restore it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is another trust domain's.
    #[error("{}: holds the authority of another trust domain ({held}), not of {trust_domain}: set identity.embedded.dir to a directory of its own", dir.display())]
    OtherTrustDomain {
        /// The directory.
        dir: PathBuf,
        /// The root's subject.
        held: String,
        /// The trust domain that was asked for.
        trust_domain: TrustDomain,
    },
    /// Its root is over.
    #[error("{}: expired at {at}: move the authority away to begin anew, and give its new root to all peers", path.display())]
    RootExpired {
        /// The root's certificate.
        path: PathBuf,
        /// The end of its validity.
        at: String,
    },
    /// A leaf was asked for that it does not stand for.
    #[error("{name} is not of the authority's trust domain {trust_domain}")]
    Foreign {
        /// What was asked for.
        name: SpiffeId,
        /// The authority's own.
        trust_domain: TrustDomain,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A key that was just made cannot be used.
    #[error("cannot use a new key")]
    Key(#[source] rustls::Error),
    /// The system has no random numbers.
    #[error("no random numbers from the system")]
    Random,
}

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

impl From<rcgen::Certificate> for Certificate {
    fn from(made: rcgen::Certificate) -> Self {
        Self { der: made.der().clone(), pem: made.pem() }
    }
}

/// The directory, locked for as long as this lives.
pub(super) struct Store {
    dir: PathBuf,
    _lock: Option<File>,
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Self, AuthorityError> {
        not_missing(dir)?;
        Self::locked(dir, OpenOptions::new().create(true).truncate(false).write(true).mode(0o600))
    }

    /// Makes nothing, not even the lock: root may look at what a service's user has to write.
    pub(super) fn look(dir: &Path) -> Result<Self, AuthorityError> {
        not_missing(dir)?;
        Self::locked(dir, OpenOptions::new().read(true))
    }

    pub(super) fn open_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        if !dir.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|source| failed(dir, "made", source))?;
        }
        Self::locked(dir, OpenOptions::new().create(true).truncate(false).write(true).mode(0o600))
    }

    fn locked(dir: &Path, open: &OpenOptions) -> Result<Self, AuthorityError> {
        let metadata = fs::metadata(dir).map_err(|source| failed(dir, "read", source))?;
        if !metadata.is_dir() {
            return Err(AuthorityError::NoDirectory { dir: dir.to_owned() });
        }
        private(dir, "700")?;
        let path = dir.join("lock");
        let lock = match open.open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self { dir: dir.to_owned(), _lock: None }); // only to look
            }
            Err(source) => return Err(failed(&path, "opened", source)),
        };
        for _ in 0..LOCK_LOOKS {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { dir: dir.to_owned(), _lock: Some(lock) }),
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(failed(&path, "locked", source)),
            }
        }
        Err(AuthorityError::Locked { path })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether an authority is still to be made: there is none, or the making of one broke off after
    /// its first file.
    pub(super) fn is_new(&self) -> Result<bool, AuthorityError> {
        let is_there = |name: &str| self.dir.join(name).exists();
        if is_there("root.crt") {
            return Ok(false);
        }
        if is_there("issuing.crt") || is_there("issuing.key") {
            return Err(AuthorityError::Incomplete { path: self.dir.join("root.crt") });
        }
        Ok(true)
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

    pub(super) fn key(&self, name: &str) -> Result<Zeroizing<KeyPair>, AuthorityError> {
        let path = self.dir.join(format!("{name}.key"));
        let pem = self.read(&path)?;
        private(&path, "600")?;
        let key = std::str::from_utf8(&pem).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        key.map(Zeroizing::new).ok_or(AuthorityError::Damaged { path })
    }

    /// The pair, or `None` when it is not there whole.
    pub(super) fn pair(&self, name: &str) -> Result<Option<Pair>, AuthorityError> {
        let not_there = |error| match error {
            AuthorityError::Incomplete { .. } | AuthorityError::Damaged { .. } => Ok(None),
            error => Err(error),
        };
        let certificate = match self.certificate(name) {
            Ok(certificate) => certificate,
            Err(error) => return not_there(error),
        };
        let key = match self.key(name) {
            Ok(key) => key,
            Err(error) => return not_there(error),
        };
        let fits = inspect::certificate(&certificate.der)
            .is_some_and(|x509| x509.public_key().raw == key.subject_public_key_info());
        Ok(fits.then_some(Pair { certificate, key }))
    }

    /// Writes the key first: a certificate without a key would look like an authority.
    pub(super) fn write(&self, name: &str, pair: &Pair) -> Result<(), AuthorityError> {
        let key = Zeroizing::new(pair.key.serialize_pem());
        self.put(&format!("{name}.key"), key.as_bytes(), 0o600)?;
        self.put(&format!("{name}.crt"), pair.certificate.pem.as_bytes(), 0o644)
    }

    fn put(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
        let path = self.dir.join(name);
        let write = || {
            let mut file = tempfile::Builder::new()
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| failed(&path, "written", source))
    }

    fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
        fs::read(path).map(Zeroizing::new).map_err(|source| match source.kind() {
            ErrorKind::NotFound => AuthorityError::Incomplete { path: path.to_owned() },
            _ => failed(path, "read", source),
        })
    }
}

fn not_missing(dir: &Path) -> Result<(), AuthorityError> {
    if dir.join("root.crt").exists() || dir.join("root.key").exists() {
        return Ok(());
    }
    Err(AuthorityError::Missing { dir: dir.to_owned() })
}

fn private(path: &Path, wanted: &'static str) -> Result<(), AuthorityError> {
    let metadata = fs::metadata(path).map_err(|source| failed(path, "read", source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

fn failed(path: &Path, what: &'static str, source: io::Error) -> AuthorityError {
    AuthorityError::Io { path: path.to_owned(), what, source }
}
