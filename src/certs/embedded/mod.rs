//! An authority of our own, in a directory: for the sidecars of one machine, for other programs, and
//! behind an enrolment server.
//!
//! A root that is trusted, and an issuing authority under it that signs leaves and is replaced by
//! itself. Several processes may share the directory; a lock keeps them apart. What is issued is on
//! record before it is handed out ([`ledger`]), and can be revoked ([`lists`]).

mod error;
mod grant;
mod issue;
mod ledger;
mod lists;
mod params;
mod request;
mod revoke;
mod roll;
mod source;
mod store;
mod token;

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

pub use error::AuthorityError;
pub use grant::Grant;
pub use issue::{Issued, IssuedPem};
pub use ledger::{
    Authorized, Reason, Record, Redemption, Revocation, Serial, SerialError, Standing, Token,
};
pub use request::{MAX_REQUEST_BYTES, RequestError, requested_key};
pub use revoke::Listed;
pub use roll::Roll;
pub(super) use source::Embedded;
pub use token::{NewToken, TokenError};

use super::Trusted;
use super::inspect;
use crate::clock::{self, rfc3339};
use crate::identity::{Fingerprint, Subject, TrustDomain};
use lists::Lists;
use store::{Certificate, Found, Pair, Store};

/// An authority that can issue. As it was when it was opened: open it again after an hour.
pub struct Authority {
    dir: PathBuf,
    trust_domain: TrustDomain,
    /// The one that signs issuing authorities, and all in PEM.
    root: Certificate,
    /// All that are trusted, that one first.
    roots: Vec<CertificateDer<'static>>,
    issuing: Pair,
    lists: Lists,
    remarks: Vec<String>,
    /// Whether what it issues is put on record. Otherwise nothing of it may leave the process.
    keeps: bool,
}

impl Authority {
    /// Opens the authority in `dir`. Replaces the issuing authority when less than a third of its life
    /// is left, and the revocation lists when a third of theirs is over.
    ///
    /// # Errors
    ///
    /// There is none, it is another trust domain's, or others may read its directory.
    pub fn open(dir: &Path, trust_domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let store = Store::open(dir)?;
        Self::from_store(&store, trust_domain, clock::now())
    }

    /// Opens the authority in `dir`, of whichever trust domain it is.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_any(dir: &Path) -> Result<Self, AuthorityError> {
        let store = Store::open(dir)?;
        let root = store.certificate("root")?;
        let trust_domain = trust_domain_of(&store, &root.der)?;
        Self::from_store(&store, &trust_domain, clock::now())
    }

    /// Opens the authority in `dir` and leaves the directory as it is, whoever asks: no file is made.
    /// Where [`Self::open`] would replace the issuing authority or the lists, the new ones are not kept.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn look(dir: &Path, trust_domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let store = Store::look(dir)?;
        Self::from_store(&store, trust_domain, clock::now())
    }

    /// Opens the authority in `dir`, or makes directory and authority when there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], or it cannot be written.
    pub fn open_or_create(dir: &Path, trust_domain: &TrustDomain) -> Result<Self, AuthorityError> {
        Self::open_or_create_at(dir, trust_domain, clock::now())
    }

    fn open_or_create_at(
        dir: &Path,
        trust_domain: &TrustDomain,
        now: OffsetDateTime,
    ) -> Result<Self, AuthorityError> {
        let store = Store::open_or_create(dir)?;
        if store.is_new()? {
            begin(&store, trust_domain, None, now)?;
        }
        Self::from_store(&store, trust_domain, now)
    }

    /// Makes directory and authority. `name` begins the root's common name instead of `Myelin root`; it
    /// has at most 50 bytes.
    ///
    /// # Errors
    ///
    /// There is an authority already, or it cannot be written.
    pub fn create(
        dir: &Path,
        trust_domain: &TrustDomain,
        name: Option<&str>,
    ) -> Result<Self, AuthorityError> {
        let store = Store::open_or_create(dir)?;
        if !store.is_new()? {
            return Err(AuthorityError::Exists { dir: dir.to_owned() });
        }
        let now = clock::now();
        begin(&store, trust_domain, name, now)?;
        Self::from_store(&store, trust_domain, now)
    }

    fn from_store(
        store: &Store,
        trust_domain: &TrustDomain,
        now: OffsetDateTime,
    ) -> Result<Self, AuthorityError> {
        let root = store.certificate("root")?;
        check_root(store, &root.der, trust_domain, now)?;
        let roots = store.certificates("root")?;
        let Chosen { issuing, remarks } = issuing(store, &root, trust_domain, now)?;
        let lists = lists::current(store, &issuing, now)?;
        Ok(Self {
            dir: store.dir().to_owned(),
            trust_domain: trust_domain.clone(),
            root,
            roots,
            issuing,
            lists,
            remarks,
            keeps: store.may_write(),
        })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The trust domain that it stands for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root's certificate in PEM, and those of other roots that are trusted while one takes the place
    /// of another: what peers need as their trust bundle.
    pub fn trust_bundle_pem(&self) -> &str {
        &self.root.pem
    }

    /// What peers are verified with: the roots, and a revocation list for each issuing authority.
    pub fn trusted(&self) -> Trusted {
        Trusted {
            bundle: self.roots.clone(),
            crls: self.lists.all.iter().map(|list| list.der.clone()).collect(),
            ..Trusted::default()
        }
    }

    /// The certificates of the authorities: the issuing one, then the root.
    pub fn authorities(&self) -> [&CertificateDer<'static>; 2] {
        [&self.issuing.certificate.der, &self.root.der]
    }

    /// The certificates of all issuing authorities whose leaves may be alive, the one that issues now first.
    pub fn issuers(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.lists.all.iter().map(|list| &list.by)
    }

    /// SHA-256 of the root's certificate: how people compare it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root.der)
    }

    /// When the root's certificate expires.
    pub fn root_not_after(&self) -> OffsetDateTime {
        inspect::not_after(&self.root.der).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// What deserves a look: an issuing authority that ends and cannot be replaced.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    pub(super) fn root(&self) -> &CertificateDer<'static> {
        &self.root.der
    }

    pub(super) fn roots(&self) -> Vec<&CertificateDer<'static>> {
        self.roots.iter().collect()
    }
}

fn begin(
    store: &Store,
    trust_domain: &TrustDomain,
    name: Option<&str>,
    now: OffsetDateTime,
) -> Result<(), AuthorityError> {
    store.write("root", &params::root(trust_domain, name, now)?)?;
    tracing::info!(dir = %store.dir().display(), %trust_domain, "made a new authority");
    Ok(())
}

/// The issuing authority to be used, and what deserves a look about it.
struct Chosen {
    issuing: Pair,
    remarks: Vec<String>,
}

/// The issuing authority; another one if there is need for it.
fn issuing(
    store: &Store,
    root: &Certificate,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
) -> Result<Chosen, AuthorityError> {
    let (held, why) = match store.pair("issuing")? {
        Found::Whole(issuing) if params::is_fresh(&issuing.certificate.der, now) => {
            return Ok(Chosen { issuing, remarks: Vec::new() });
        }
        Found::Whole(pair) => {
            let at = inspect::not_after(&pair.certificate.der).unwrap_or(now);
            let why = format!("{}: ends at {}", store.path("issuing.crt").display(), rfc3339(at));
            (Some(pair).filter(|_| at > now), why)
        }
        Found::Lacking(what) => (None, what),
    };
    // The root's key is read only when it is needed: it may be kept elsewhere until then.
    let root_key = match (store.pair("root")?, held) {
        (Found::Whole(pair), held) => (pair.key, held),
        (Found::Lacking(root), Some(issuing)) => {
            let remark = format!(
                "{why}, and a new issuing authority cannot be made before that: {root}: restore it \
                 for a start"
            );
            return Ok(Chosen { issuing, remarks: vec![remark] });
        }
        (Found::Lacking(root), None) => return Err(AuthorityError::NoIssuing { why, root }),
    };
    let (key, held) = root_key;
    let made = params::issuing(trust_domain, &root.der, &key, now)?;
    if !store.may_write() {
        let remark = format!("{why}: a new issuing authority will be made");
        return Ok(Chosen { issuing: made, remarks: vec![remark] });
    }
    if let Some(held) = held {
        store.retire(&held)?;
    }
    store.write("issuing", &made)?;
    tracing::info!(dir = %store.dir().display(), why, "made a new issuing authority");
    Ok(Chosen { issuing: made, remarks: Vec::new() })
}

fn trust_domain_of(
    store: &Store,
    root: &CertificateDer<'static>,
) -> Result<TrustDomain, AuthorityError> {
    let subject = inspect::certificate(root).map(|x509| Subject::of(x509.subject()));
    let organization = subject.as_ref().and_then(|subject| subject.organizations.first());
    organization
        .and_then(|name| TrustDomain::parse(name).ok())
        .ok_or_else(|| AuthorityError::Damaged { path: store.path("root.crt") })
}

fn check_root(
    store: &Store,
    root: &CertificateDer<'static>,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
) -> Result<(), AuthorityError> {
    let path = || store.path("root.crt");
    let Some(x509) = inspect::certificate(root) else {
        return Err(AuthorityError::Damaged { path: path() });
    };
    let subject = Subject::of(x509.subject());
    if !subject.organizations.iter().any(|held| held == trust_domain.as_str()) {
        return Err(AuthorityError::OtherTrustDomain {
            dir: store.dir().to_owned(),
            held: subject.text,
            trust_domain: trust_domain.clone(),
        });
    }
    let not_after = x509.validity().not_after.to_datetime();
    if not_after < now {
        return Err(AuthorityError::RootExpired { path: path(), at: rfc3339(not_after) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
