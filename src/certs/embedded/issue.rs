//! Issues certificates: for our own sidecars, for other programs, and for those who ask with a request.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{Issuer, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::ledger::{Authorized, Entry, Ledger, Record, Serial};
use super::params;
use super::request;
use super::store::{Certificate, Store};
use super::{Authority, AuthorityError, Grant};
use crate::certs::check::{Needs, Offered, Origin, check};
use crate::certs::inspect;
use crate::certs::keys::Key;
use crate::certs::{Material, MaterialError};
use crate::clock;
use crate::config::{KeyType, Profile};
use crate::identity::{DnsName, PeerCertificate, SpiffeId};

/// A certificate for somebody who has the key.
#[derive(Debug)]
pub struct Issued {
    /// The leaf, then the issuing authority.
    pub chain: [CertificateDer<'static>; 2],
    /// The same in PEM.
    pub pem: String,
    /// What is on record about it.
    pub record: Record,
}

/// A leaf for others, in PEM.
pub struct IssuedPem {
    /// The leaf and the issuing authority.
    pub chain: String,
    /// The leaf's key.
    pub key: Zeroizing<String>,
    /// What is on record about it.
    pub record: Record,
}

impl Authority {
    /// Issues a leaf, and checks it as a peer would. Its key is made here and kept in memory.
    ///
    /// # Errors
    ///
    /// The SPIFFE ID is of another trust domain, the record cannot be written, or the result would not
    /// be accepted.
    pub fn issue(
        &self,
        spiffe: &SpiffeId,
        dns: &[DnsName],
        ttl: Duration,
    ) -> Result<Material, MaterialError> {
        let grant = Grant { spiffe: spiffe.clone(), dns: dns.to_vec(), ttl };
        let now = clock::now();
        let offered = self.offer(&grant, &[KeyType::default()], now)?;
        let needs = Needs { server: true, client: true, profile: Profile::Nist };
        check(offered, needs, spiffe, None, now).map(|(material, _)| material)
    }

    /// Issues a leaf for another program, which keeps it in files.
    ///
    /// # Errors
    ///
    /// The SPIFFE ID is of another trust domain, or the record cannot be written.
    pub fn issue_pem(
        &self,
        spiffe: &SpiffeId,
        dns: &[DnsName],
        ttl: Duration,
    ) -> Result<IssuedPem, MaterialError> {
        let grant = Grant { spiffe: spiffe.clone(), dns: dns.to_vec(), ttl };
        Ok(self.issue_pem_with(&grant, KeyType::default())?)
    }

    /// The same with a key of another kind.
    ///
    /// # Errors
    ///
    /// As [`Self::issue_pem`].
    pub fn issue_pem_with(
        &self,
        grant: &Grant,
        kind: KeyType,
    ) -> Result<IssuedPem, AuthorityError> {
        let key = Key::make(kind)?;
        let issued = self.sign(grant, key.pair(), &Authorized::Local, clock::now())?;
        Ok(IssuedPem { chain: issued.pem, key: key.pem(), record: issued.record })
    }

    /// Answers the request `der` (PKCS#10) of somebody who was granted `grant`, `authorized` by what.
    ///
    /// The certificate says what the grant says. Its holder proves by the request's signature that the
    /// key is his; a request for names beyond the grant, or for an authority's certificate, is refused;
    /// whatever else it asks for is ignored.
    ///
    /// # Errors
    ///
    /// The request is refused, the SPIFFE ID is of another trust domain, what it is authorized by was
    /// revoked ([`AuthorityError::AlreadyRevoked`]), or the record cannot be written.
    pub fn sign_request(
        &self,
        der: &[u8],
        grant: &Grant,
        authorized: &Authorized,
    ) -> Result<Issued, AuthorityError> {
        let key = request::judge(der, grant)?;
        self.sign(grant, &key, authorized, clock::now())
    }

    /// A leaf for each kind of key, the preferred first.
    pub(super) fn offer(
        &self,
        grant: &Grant,
        kinds: &[KeyType],
        now: OffsetDateTime,
    ) -> Result<Offered, AuthorityError> {
        let mut pairs = Vec::new();
        for kind in kinds {
            let key = Key::make(*kind)?;
            let issued = self.sign(grant, key.pair(), &Authorized::Local, now)?;
            pairs.push(Arc::new(CertifiedKey::new(issued.chain.to_vec(), key.signing())));
        }
        let mut pairs = pairs.into_iter();
        let first = pairs.next().ok_or(AuthorityError::NoKind)?;
        Ok(self.offered(&first, pairs.collect(), now))
    }

    /// The same leaves as are in use; whom to trust is new.
    pub(super) fn offer_again(&self, in_use: &Material) -> Offered {
        self.offered(&in_use.presented, in_use.others.clone(), in_use.issued)
    }

    fn offered(
        &self,
        first: &CertifiedKey,
        others: Vec<Arc<CertifiedKey>>,
        issued: OffsetDateTime,
    ) -> Offered {
        let origin = format!("authority in {}", self.dir.display());
        let trusted = self.trusted();
        Offered {
            chain: first.cert.clone(),
            key: Arc::clone(&first.key),
            others,
            issued: Some(issued),
            renewed: true,
            origin: Origin {
                certificate: format!("certificate of the {origin}"),
                key: format!("key of the {origin}"),
                trust_bundle: format!("root of the {origin}"),
                // The others are of authorities that were replaced, whom the pre-flight does not know.
                crls: vec![format!("revocation list of the {origin}")],
                others: Vec::new(),
            },
            trusted,
            warnings: self.remarks.clone(),
        }
    }

    /// Whether a list of ours covers the leaf `der`, and it is not on it. Otherwise peers refuse it.
    pub(super) fn stands_by(&self, der: &CertificateDer<'static>) -> bool {
        let Some(leaf) = inspect::certificate(der) else { return false };
        let lists = self.lists.all.iter().filter_map(|list| inspect::revocation_list(&list.der));
        let mut its = lists.filter(|list| list.issuer().as_raw() == leaf.issuer().as_raw());
        its.next().is_some_and(|list| {
            !list
                .iter_revoked_certificates()
                .any(|revoked| revoked.raw_serial() == leaf.raw_serial())
        })
    }

    /// # Errors
    ///
    /// The grant is not this authority's to give.
    pub(super) fn may_grant(&self, grant: &Grant) -> Result<(), AuthorityError> {
        if grant.spiffe.trust_domain() != self.trust_domain.as_str() {
            return Err(AuthorityError::Foreign {
                name: grant.spiffe.clone(),
                trust_domain: self.trust_domain.clone(),
            });
        }
        if grant.dns.len() > Grant::MOST_NAMES {
            return Err(AuthorityError::TooManyNames { number: grant.dns.len() });
        }
        Ok(())
    }

    /// Signs a leaf over `key`, and puts it on record before anybody gets it.
    fn sign(
        &self,
        grant: &Grant,
        key: &impl PublicKeyData,
        authorized: &Authorized,
        now: OffsetDateTime,
    ) -> Result<Issued, AuthorityError> {
        self.may_grant(grant)?;
        let issuing = &self.issuing.certificate;
        let last = inspect::not_after(&issuing.der).unwrap_or(now);
        let params = params::leaf(grant, &self.trust_domain, now, last)?;
        let issuer = Issuer::from_ca_cert_der(&issuing.der, &*self.issuing.key)?;
        let leaf: Certificate = params.signed_by(key, &issuer)?.into();
        let record = self.record(&leaf.der, grant, authorized, now)?;
        if self.keeps {
            let store = Store::open(&self.dir)?;
            let ledger = Ledger::of(&store);
            // Under the same lock as the line: a revocation that came between would miss this one.
            if !matches!(authorized, Authorized::Local)
                && let Some(revoked) = ledger.read()?.withdrawn(authorized)
            {
                return Err(AuthorityError::AlreadyRevoked { what: revoked.to_string() });
            }
            ledger.append(&Entry::Issued(record.clone()), now)?;
        }
        let pem = leaf.pem + &issuing.pem;
        Ok(Issued { chain: [leaf.der, issuing.der.clone()], pem, record })
    }

    fn record(
        &self,
        leaf: &CertificateDer<'static>,
        grant: &Grant,
        authorized: &Authorized,
        now: OffsetDateTime,
    ) -> Result<Record, AuthorityError> {
        let facts = PeerCertificate::parse(leaf).map_err(AuthorityError::Unfit)?;
        let x509 = inspect::certificate(leaf);
        let key_type = x509.map(|x509| request::key_type(x509.public_key())).transpose()?;
        Ok(Record {
            at: params::whole(now),
            serial: Serial::parse(&facts.serial)?,
            subject: facts.subject.text,
            spiffe: grant.spiffe.clone(),
            dns: grant.dns.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            ttl_seconds: grant.ttl.as_secs(),
            sha256: facts.sha256.to_string(),
            key_type: key_type.unwrap_or_default(),
            issuer: self.issuing.id(),
            authorized: authorized.clone(),
            user: params::user(),
        })
    }
}
