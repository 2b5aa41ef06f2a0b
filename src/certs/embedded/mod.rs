//! An authority of our own, in a directory: for one machine, demonstrations and tests.
//!
//! A root that is trusted, and an issuing authority under it that signs leaves and is replaced by
//! itself. Several sidecars of one machine may share the directory; a lock keeps them apart. Leaf keys
//! are made in memory and never written.

mod error;
mod params;
mod source;
mod store;

use std::path::Path;
use std::time::Duration;

use rcgen::{Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

pub use error::AuthorityError;
pub(super) use source::Embedded;

use super::check::{Needs, Offered, Origin, check};
use super::inspect::{self, moment};
use super::{Material, MaterialError, Trusted};
use crate::clock;
use crate::config::Profile;
use crate::identity::{DnsName, SpiffeId, Subject, TrustDomain};
use store::{Certificate, Found, Pair, Store};

/// An authority that can issue.
pub struct Authority {
    trust_domain: TrustDomain,
    origin: String,
    root: Certificate,
    issuing: Pair,
    remarks: Vec<String>,
}

/// What a leaf is to say.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// Its SPIFFE ID, in the authority's trust domain.
    pub spiffe: &'a SpiffeId,
    /// Its DNS names.
    pub dns: &'a [DnsName],
    /// Its lifetime; cut to the issuing authority's own.
    pub ttl: Duration,
}

/// A leaf for others, in PEM.
pub struct IssuedPem {
    /// The leaf and the issuing authority.
    pub chain: String,
    /// The leaf's key.
    pub key: Zeroizing<String>,
}

impl Authority {
    /// Opens the authority in `dir`. Replaces the issuing authority when less than a third of its life
    /// is left.
    ///
    /// # Errors
    ///
    /// There is none, it is another trust domain's, or others may read its directory.
    pub fn open(dir: &Path, trust_domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let store = Store::open(dir)?;
        Self::from_store(&store, trust_domain, clock::now())
    }

    /// Opens the authority in `dir` and leaves the directory as it is, whoever asks: no file is made.
    /// Where [`Self::open`] would replace the issuing authority, the new one is not kept.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn look(dir: &Path, trust_domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let store = Store::look(dir)?;
        let now = clock::now();
        let root = store.certificate("root")?;
        check_root(&store, &root.der, trust_domain, now)?;
        let (issuing, new) = issuing(&store, &root, trust_domain, now)?;
        let remark = new.map(|why| format!("{why}: a new issuing authority will be made"));
        Ok(Self {
            remarks: remark.into_iter().collect(),
            ..Self::of(&store, trust_domain, root, issuing)
        })
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
            let root = params::root(trust_domain, now)?;
            store.write("root", &root)?;
            tracing::info!(dir = %dir.display(), %trust_domain, "made a new authority");
        }
        Self::from_store(&store, trust_domain, now)
    }

    fn from_store(
        store: &Store,
        trust_domain: &TrustDomain,
        now: OffsetDateTime,
    ) -> Result<Self, AuthorityError> {
        let root = store.certificate("root")?;
        check_root(store, &root.der, trust_domain, now)?;
        let (issuing, new) = issuing(store, &root, trust_domain, now)?;
        if let Some(why) = new {
            store.write("issuing", &issuing)?;
            tracing::info!(dir = %store.dir().display(), why, "made a new issuing authority");
        }
        Ok(Self::of(store, trust_domain, root, issuing))
    }

    fn of(store: &Store, trust_domain: &TrustDomain, root: Certificate, issuing: Pair) -> Self {
        let origin = format!("authority in {}", store.dir().display());
        Self { trust_domain: trust_domain.clone(), origin, root, issuing, remarks: Vec::new() }
    }

    /// The root's certificate in PEM: what peers need as their trust bundle.
    pub fn trust_bundle_pem(&self) -> &str {
        &self.root.pem
    }

    pub(super) fn root(&self) -> &CertificateDer<'static> {
        &self.root.der
    }

    /// Issues a leaf, and checks it as a peer would. Its key is made here and kept in memory.
    ///
    /// # Errors
    ///
    /// The SPIFFE ID is of another trust domain, or the result would not be accepted.
    pub fn issue(
        &self,
        spiffe: &SpiffeId,
        dns: &[DnsName],
        ttl: Duration,
    ) -> Result<Material, MaterialError> {
        let now = clock::now();
        let offered = self.offer(Leaf { spiffe, dns, ttl }, now)?;
        let needs = Needs { server: true, client: true, profile: Profile::Nist };
        check(offered, needs, spiffe, now).map(|(material, _)| material)
    }

    /// Issues a leaf for another program, which keeps it in files.
    ///
    /// # Errors
    ///
    /// The SPIFFE ID is of another trust domain.
    pub fn issue_pem(
        &self,
        spiffe: &SpiffeId,
        dns: &[DnsName],
        ttl: Duration,
    ) -> Result<IssuedPem, MaterialError> {
        let (leaf, key) = self.sign(Leaf { spiffe, dns, ttl }, clock::now())?;
        let chain = leaf.pem + &self.issuing.certificate.pem;
        Ok(IssuedPem { chain, key: Zeroizing::new(key.serialize_pem()) })
    }

    pub(super) fn offer(
        &self,
        leaf: Leaf<'_>,
        now: OffsetDateTime,
    ) -> Result<Offered, AuthorityError> {
        let (leaf, key) = self.sign(leaf, now)?;
        let der = Zeroizing::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            key.serialized_der().to_vec(),
        )));
        let key = any_supported_type(&der).map_err(AuthorityError::Key)?;
        Ok(Offered {
            chain: vec![leaf.der, self.issuing.certificate.der.clone()],
            key,
            others: Vec::new(),
            issued: Some(now),
            trusted: Trusted { bundle: vec![self.root.der.clone()], ..Trusted::default() },
            renewed: true,
            origin: Origin {
                certificate: format!("certificate of the {}", self.origin),
                key: format!("key of the {}", self.origin),
                trust_bundle: format!("root of the {}", self.origin),
                crls: Vec::new(),
                others: Vec::new(),
            },
            warnings: self.remarks.clone(),
        })
    }

    fn sign(
        &self,
        leaf: Leaf<'_>,
        now: OffsetDateTime,
    ) -> Result<(Certificate, Zeroizing<KeyPair>), AuthorityError> {
        if leaf.spiffe.trust_domain() != self.trust_domain.as_str() {
            return Err(AuthorityError::Foreign {
                name: leaf.spiffe.clone(),
                trust_domain: self.trust_domain.clone(),
            });
        }
        let key = Zeroizing::new(KeyPair::generate()?);
        let issuing = &self.issuing.certificate.der;
        let last = inspect::not_after(issuing).unwrap_or(now);
        let params = params::leaf(leaf, &self.trust_domain, now, last)?;
        let issuer = Issuer::from_ca_cert_der(issuing, &*self.issuing.key)?;
        Ok((params.signed_by(&*key, &issuer)?.into(), key))
    }
}

/// The issuing authority; or another, not written yet, and why it is needed.
fn issuing(
    store: &Store,
    root: &Certificate,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
) -> Result<(Pair, Option<String>), AuthorityError> {
    let why = match store.pair("issuing")? {
        Found::Whole(pair) if params::is_fresh(&pair.certificate.der, now) => {
            return Ok((pair, None));
        }
        Found::Whole(pair) => {
            let at = inspect::not_after(&pair.certificate.der).unwrap_or(now);
            format!("{}: ends at {}", store.dir().join("issuing.crt").display(), moment(at))
        }
        Found::Lacking(what) => what,
    };
    // The root's key is read only when it is needed: it may be kept elsewhere until then.
    match store.pair("root")? {
        Found::Whole(pair) => {
            let made = params::issuing(trust_domain, &root.der, &pair.key, now)?;
            Ok((made, Some(why)))
        }
        Found::Lacking(root) => Err(AuthorityError::NoIssuing { why, root }),
    }
}

fn check_root(
    store: &Store,
    root: &CertificateDer<'static>,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
) -> Result<(), AuthorityError> {
    let path = || store.dir().join("root.crt");
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
        return Err(AuthorityError::RootExpired { path: path(), at: moment(not_after) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
