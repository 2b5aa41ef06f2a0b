//! What an enrolling source keeps on disk, so that a restart succeeds while the authority is away.
//!
//! Certificates, keys, trust bundle and revocation lists are one file, replaced as a whole: after a crash
//! the old one is there or the new one, never half of each.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::enrol::{EnrolError, EnrolFailure};
use super::inspect;

/// The file.
const FILE: &str = "identity.json";
/// So begins the name of a file that is not whole yet.
const UNFINISHED: &str = ".identity-";
/// What it looks like; another number is not read.
const FORM: u32 = 1;
/// A larger file is not ours: revocation lists are left out before it gets so large.
const LARGEST: u64 = 256 << 20;
/// So much of revocation lists is kept, in bytes.
const LISTS: usize = 128 << 20;
/// So often another process's lock is looked at …
const LOCK_LOOKS: u32 = 100;
/// … with this between: 5 s in all. Nobody holds it for longer than one file takes to write.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What is kept. No `Debug`.
#[derive(Clone)]
pub(super) struct Kept {
    /// Our certificates, the preferred first. Not empty.
    pub(super) pairs: Vec<KeptPair>,
    /// When they were issued.
    pub(super) issued: OffsetDateTime,
    /// The authorities that peers may come from.
    pub(super) bundle: Vec<CertificateDer<'static>>,
    /// Revocation lists.
    pub(super) lists: Vec<KeptList>,
}

/// A certificate with its intermediates, leaf first, and its key. No `Debug`.
#[derive(Clone)]
pub(super) struct KeptPair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// PKCS#8 (RFC 5958), DER.
    pub(super) key: Arc<Zeroizing<Vec<u8>>>,
}

/// A revocation list, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct KeptList {
    pub(super) url: String,
    pub(super) der: CertificateRevocationListDer<'static>,
}

impl KeptPair {
    /// What is presented to peers; `None` when the key cannot be used or is not the leaf's.
    pub(super) fn certified(&self) -> Option<CertifiedKey> {
        let pkcs8 = PrivatePkcs8KeyDer::from(self.key.as_slice());
        let key = any_supported_type(&pkcs8.into()).ok()?;
        let public = key.public_key()?;
        let leaf = inspect::certificate(self.chain.first()?)?;
        (leaf.public_key().raw == public.as_ref())
            .then(|| CertifiedKey::new(self.chain.clone(), key))
    }
}

/// The directory in which one source keeps its things.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    dir: PathBuf,
    /// Whose they are: who issues, and whom it names.
    owner: String,
}

impl Keeper {
    /// Keeps in `dir` what belongs to `owner`, a text; what belongs to another is not read. Touches
    /// nothing yet.
    pub(super) fn new(dir: PathBuf, owner: String) -> Self {
        Self { dir, owner }
    }

    /// The file, for operators.
    pub(super) fn at(&self) -> String {
        self.dir.join(FILE).display().to_string()
    }

    /// Makes the directory, mode 0700, and sees whether it can be written to: before a token is used up.
    ///
    /// # Errors
    ///
    /// It cannot be made or written to, or other users may read it.
    pub(super) fn prepare(&self) -> Result<(), EnrolError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|error| failed(&self.dir, "made", &error))?;
        exposed(&self.dir, "700").map_or(Ok(()), Err)?;
        let probe = tempfile::tempfile_in(&self.dir);
        probe.map(drop).map_err(|error| failed(&self.dir, "written to", &error))
    }

    /// What was stored last, by [`Self::store`] or [`Self::store_untried`]. `None` when nothing was.
    ///
    /// # Errors
    ///
    /// What is there cannot be used: it is unreadable, torn, somebody else's, or open to others.
    pub(super) fn load(&self) -> Result<Option<Kept>, EnrolError> {
        self.load_standing().map(|found| found.map(|(kept, _tried)| kept))
    }

    /// The same, and whether it was in use when it was stored.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub(super) fn load_standing(&self) -> Result<Option<(Kept, bool)>, EnrolError> {
        let path = self.dir.join(FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, "read", &error)),
        };
        for (path, mode) in [(&self.dir, "700"), (&path, "600")] {
            exposed(path, mode).map_or(Ok(()), Err)?;
        }
        let length = file.metadata().map_err(|error| failed(&path, "read", &error))?.len();
        if length > LARGEST {
            return Err(error(&path, format!("is larger than {LARGEST} bytes: remove it")));
        }
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        let read = Read::by_ref(&mut file).take(LARGEST).read_to_end(&mut bytes);
        read.map_err(|error| failed(&path, "read", &error))?;
        let page: Page<'_> = serde_json::from_slice(&bytes)
            .map_err(|_torn| error(&path, "is damaged: it is not what myelin wrote"))?;
        if page.form != FORM {
            return Err(error(&path, "was written by another release of myelin"));
        }
        if page.owner != self.owner {
            let what = format!("is kept for {}, not for {}", page.owner, self.owner);
            return Err(error(&path, what));
        }
        let kept = page.kept().filter(|kept| {
            !kept.pairs.is_empty() && kept.pairs.iter().all(|pair| pair.certified().is_some())
        });
        let kept = kept.map(|kept| Some((kept, page.tried)));
        kept.ok_or_else(|| error(&path, "is damaged: keys and certificates do not fit"))
    }

    /// Replaces what was stored with what is in use.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to; what was stored before is still there.
    pub(super) fn store(&self, kept: &Kept) -> Result<(), EnrolError> {
        self.put(kept, true)
    }

    /// Replaces what was stored with what was issued and nobody has tried yet.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub(super) fn store_untried(&self, kept: &Kept) -> Result<(), EnrolError> {
        self.put(kept, false)
    }

    fn put(&self, kept: &Kept, tried: bool) -> Result<(), EnrolError> {
        self.prepare()?;
        let _alone = self.lock()?;
        let bytes = Page::bytes(&self.owner, kept, tried)
            .map_err(|io| failed(&self.dir, "written to", &io.into()))?;
        let write = || {
            self.sweep()?;
            let mut file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(&self.dir)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(self.dir.join(FILE))?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| failed(&self.dir, "written to", &error))
    }

    /// Removes what was left by processes that were killed while they wrote: it holds keys.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Two processes may share the directory for a while, as when one hands over to the next.
    fn lock(&self) -> Result<File, EnrolError> {
        let path = self.dir.join("lock");
        let open =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = open.map_err(|error| failed(&path, "opened", &error))?;
        for _ in 0..LOCK_LOOKS {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(failed(&path, "locked", &error)),
            }
        }
        Err(error(
            &path,
            "is held by another process: is another myelin running with this directory?",
        ))
    }
}

fn error(path: &Path, what: impl Into<String>) -> EnrolError {
    let kind = EnrolFailure::Unprepared;
    EnrolError { at: path.display().to_string(), kind, what: what.into() }
}

fn failed(path: &Path, what: &str, io: &io::Error) -> EnrolError {
    let mend = match io.kind() {
        ErrorKind::PermissionDenied => ": give it to the user that myelin runs as, mode 0700",
        ErrorKind::ReadOnlyFilesystem => ": mount it writable",
        _ => "",
    };
    error(path, format!("cannot be {what}: {io}{mend}"))
}

/// Others could take the key, or put theirs in its place.
fn exposed(path: &Path, wanted: &str) -> Option<EnrolError> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) => return Some(failed(path, "read", &error)),
    };
    (mode & 0o077 != 0).then(|| {
        let what = format!("other users may use it (mode {mode:04o}), and it holds a private key");
        error(path, format!("{what}: chmod {wanted} it"))
    })
}

/// The file's form. DER in base64; borrowed while reading, so that keys are nowhere but in its bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page<'a> {
    form: u32,
    #[serde(borrow)]
    owner: Cow<'a, str>,
    /// Whether it was in use.
    tried: bool,
    /// Seconds since 1970.
    issued: i64,
    #[serde(borrow)]
    pairs: Vec<PairPage<'a>>,
    trust_bundle: Vec<String>,
    crls: Vec<ListPage>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairPage<'a> {
    key: &'a str,
    chain: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListPage {
    url: String,
    crl: String,
}

impl Page<'_> {
    fn bytes(
        owner: &str,
        kept: &Kept,
        tried: bool,
    ) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let keys: Vec<Zeroizing<String>> =
            kept.pairs.iter().map(|pair| STANDARD.encode(pair.key.as_slice()).into()).collect();
        let all =
            |ders: &[CertificateDer<'_>]| ders.iter().map(|der| STANDARD.encode(der)).collect();
        let pairs = kept.pairs.iter().zip(&keys);
        let mut room = LISTS;
        let lists = kept.lists.iter().filter(|list| {
            let fits = list.der.len() <= room;
            room = room.saturating_sub(if fits { list.der.len() } else { 0 });
            fits
        });
        let page = Page {
            form: FORM,
            owner: owner.into(),
            tried,
            issued: kept.issued.unix_timestamp(),
            pairs: pairs.map(|(pair, key)| PairPage { key, chain: all(&pair.chain) }).collect(),
            trust_bundle: all(&kept.bundle),
            crls: lists
                .map(|list| ListPage { url: list.url.clone(), crl: STANDARD.encode(&list.der) })
                .collect(),
        };
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 8).sum::<usize>();
        let of_pairs: usize = page.pairs.iter().map(|p| p.key.len() + 64 + texts(&p.chain)).sum();
        let of_lists: usize = page.crls.iter().map(|p| p.crl.len() + 2 * p.url.len() + 64).sum();
        let length = 2 * owner.len() + 256 + of_pairs + of_lists + texts(&page.trust_bundle);
        // Never grows: a buffer that moves leaves keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        serde_json::to_writer(&mut *bytes, &page)?;
        Ok(bytes)
    }

    fn kept(&self) -> Option<Kept> {
        let der = |text: &str| STANDARD.decode(text).ok();
        let certificates = |texts: &[String]| {
            texts.iter().map(|text| der(text).map(CertificateDer::from)).collect::<Option<Vec<_>>>()
        };
        let pair = |page: &PairPage<'_>| {
            let key = Arc::new(Zeroizing::new(der(page.key)?));
            Some(KeptPair { chain: certificates(&page.chain)?, key })
        };
        let list = |page: &ListPage| {
            let der = CertificateRevocationListDer::from(der(&page.crl)?);
            Some(KeptList { url: page.url.clone(), der })
        };
        Some(Kept {
            pairs: self.pairs.iter().map(pair).collect::<Option<_>>()?,
            issued: OffsetDateTime::from_unix_timestamp(self.issued).ok()?,
            bundle: certificates(&self.trust_bundle)?,
            lists: self.crls.iter().map(list).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
