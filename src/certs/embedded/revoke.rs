//! What was issued and how it stands; revocation.

use rustls::pki_types::CertificateRevocationListDer;

use super::ledger::{Book, Entry, Ledger, Reason, Record, Revocation, Serial, Standing, Token};
use super::store::Store;
use super::{Authority, AuthorityError, lists, params};
use crate::certs::inspect;
use crate::clock;
use crate::identity::{PeerCertificate, SpiffeId};

/// A certificate on record, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What is on record about it.
    pub record: Record,
    /// How it stands now.
    pub standing: Standing,
}

impl Authority {
    /// Every certificate on record, the oldest first. What expired a day ago may be gone.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn issued(&self) -> Result<Vec<Listed>, AuthorityError> {
        let book = self.book()?;
        let now = clock::now();
        let listed = |record: &Record| Listed {
            record: record.clone(),
            standing: book.standing(record, now),
        };
        Ok(book.issued().iter().map(listed).collect())
    }

    /// What is on record about one certificate.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn find(&self, serial: &Serial) -> Result<Option<Listed>, AuthorityError> {
        let book = self.book()?;
        Ok(book.find(serial).map(|record| Listed {
            record: record.clone(),
            standing: book.standing(record, clock::now()),
        }))
    }

    /// The join tokens on record, the oldest first, each with when it was used.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn tokens(&self) -> Result<Vec<(Token, Option<time::OffsetDateTime>)>, AuthorityError> {
        let book = self.book()?;
        let used = |token: &Token| book.redemption(&token.id).map(|redemption| redemption.at);
        Ok(book.tokens().iter().map(|token| (token.clone(), used(token))).collect())
    }

    /// Revokes one certificate. When this returns, it is on the list.
    ///
    /// # Errors
    ///
    /// It is not on record, it is revoked already, or the record or list cannot be written.
    pub fn revoke(&mut self, serial: &Serial, reason: Reason) -> Result<Record, AuthorityError> {
        let mut revoked = self.revoke_those(reason, |book| match book.find(serial) {
            Some(record) if book.revocation(serial).is_none() => Ok(vec![record.clone()]),
            Some(_) => Err(AuthorityError::AlreadyRevoked { what: serial.to_string() }),
            None => Err(AuthorityError::NotIssued { what: format!("with serial number {serial}") }),
        })?;
        revoked.pop().ok_or_else(|| AuthorityError::NotIssued { what: serial.to_string() })
    }

    /// Revokes all certificates of `spiffe` that could still be used.
    ///
    /// # Errors
    ///
    /// There is none, or the record or list cannot be written.
    pub fn revoke_all_of(
        &mut self,
        spiffe: &SpiffeId,
        reason: Reason,
    ) -> Result<Vec<Record>, AuthorityError> {
        self.revoke_those(reason, |book| {
            let valid: Vec<_> = book.valid_of(spiffe, clock::now()).into_iter().cloned().collect();
            match valid.is_empty() {
                true => {
                    Err(AuthorityError::NotIssued { what: format!("of {spiffe} that is valid") })
                }
                false => Ok(valid),
            }
        })
    }

    /// Revokes one certificate, and along with it whatever may be used and was had by renewing it, then
    /// or later: who has a key that is not his renews before it is noticed. One step for whoever else uses
    /// the directory. What was revoked, the named one first, unless it was before.
    ///
    /// # Errors
    ///
    /// It is not on record, nothing is left to revoke, or the record or list cannot be written.
    pub fn revoke_with_renewals(
        &mut self,
        serial: &Serial,
        reason: Reason,
    ) -> Result<Vec<Serial>, AuthorityError> {
        let not_issued =
            || AuthorityError::NotIssued { what: format!("with serial number {serial}") };
        let revoked = self.revoke_those(reason, |book| {
            let own = book.find(serial).filter(|_| book.revocation(serial).is_none());
            let renewals = book.valid_renewals_of(serial, clock::now());
            let all: Vec<_> = own.into_iter().chain(renewals).cloned().collect();
            match (all.is_empty(), book.revocation(serial)) {
                (false, _) => Ok(all),
                (true, Some(_)) => Err(AuthorityError::AlreadyRevoked { what: serial.to_string() }),
                (true, None) => Err(not_issued()),
            }
        })?;
        Ok(revoked.into_iter().map(|record| record.serial).collect())
    }

    /// Revokes the certificate `der`, which need not be on record: it may be older than the record.
    ///
    /// # Errors
    ///
    /// It was not signed by an issuing authority of ours, it is revoked already, or the record or list
    /// cannot be written.
    pub fn revoke_certificate(
        &mut self,
        der: &[u8],
        reason: Reason,
    ) -> Result<Serial, AuthorityError> {
        let store = Store::open(&self.dir)?;
        let revocation = self.revocation_of(&store, der, reason)?;
        let serial = revocation.serial.clone();
        if Ledger::of(&store).read()?.revocation(&serial).is_some() {
            return Err(AuthorityError::AlreadyRevoked { what: serial.to_string() });
        }
        self.put_on_list(&store, vec![revocation])?;
        Ok(serial)
    }

    /// The same, and along with it what [`Self::revoke_with_renewals`] revokes.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke_certificate`]; it is no error that it is revoked already while a renewal is not.
    pub fn revoke_certificate_with_renewals(
        &mut self,
        der: &[u8],
        reason: Reason,
    ) -> Result<Vec<Serial>, AuthorityError> {
        let store = Store::open(&self.dir)?;
        let own = self.revocation_of(&store, der, reason)?;
        let serial = own.serial.clone();
        let book = Ledger::of(&store).read()?;
        let now = own.at;
        let mut all: Vec<_> =
            Some(own).filter(|_| book.revocation(&serial).is_none()).into_iter().collect();
        let renewals = book.valid_renewals_of(&serial, now);
        all.extend(renewals.into_iter().map(|record| revocation(record, reason, now)));
        if all.is_empty() {
            return Err(AuthorityError::AlreadyRevoked { what: serial.to_string() });
        }
        let serials = all.iter().map(|revocation| revocation.serial.clone()).collect();
        self.put_on_list(&store, all)?;
        Ok(serials)
    }

    /// What is to be put on record to revoke `der`, if it is a certificate of ours.
    fn revocation_of(
        &self,
        store: &Store,
        der: &[u8],
        reason: Reason,
    ) -> Result<Revocation, AuthorityError> {
        let facts = PeerCertificate::parse(der).map_err(AuthorityError::Unfit)?;
        let serial = Serial::parse(&facts.serial)?;
        let at = params::whole(clock::now());
        let retired = store.retired(at)?;
        let issuer = std::iter::once(&self.issuing)
            .chain(&retired)
            .find(|pair| inspect::is_signed_by(der, &pair.certificate.der))
            .ok_or_else(|| AuthorityError::NotIssued {
                what: format!("with serial number {serial}, issued by {}", facts.issuer),
            })?
            .id();
        let (not_after, user) = (facts.not_after, params::user());
        Ok(Revocation { at, serial, not_after, issuer, reason, user })
    }

    /// The revocation lists in PEM, one after the other; the issuing authority's own is the first.
    pub fn crl_pem(&self) -> &str {
        &self.lists.pem
    }

    /// The revocation list of the authority that issues now, in DER.
    pub fn crl_der(&self) -> Option<&CertificateRevocationListDer<'static>> {
        let id = self.issuing.id();
        self.lists.all.iter().find(|list| list.issuer == id).map(|list| &list.der)
    }

    /// How many revocation lists there are: one for each issuing authority whose leaves may be alive.
    pub fn crl_count(&self) -> usize {
        self.lists.all.len()
    }

    /// When the lists are made anew; [`Authority::open`] does it.
    pub fn crl_due(&self) -> time::OffsetDateTime {
        self.lists.due
    }

    fn revoke_those(
        &mut self,
        reason: Reason,
        choose: impl FnOnce(&Book) -> Result<Vec<Record>, AuthorityError>,
    ) -> Result<Vec<Record>, AuthorityError> {
        let store = Store::open(&self.dir)?;
        let chosen = choose(&Ledger::of(&store).read()?)?;
        let now = params::whole(clock::now());
        let revocations = chosen.iter().map(|record| revocation(record, reason, now)).collect();
        self.put_on_list(&store, revocations)?;
        Ok(chosen)
    }

    fn put_on_list(
        &mut self,
        store: &Store,
        revocations: Vec<Revocation>,
    ) -> Result<(), AuthorityError> {
        let now = clock::now();
        lists::will_change(store)?;
        let entries: Vec<_> = revocations.into_iter().map(Entry::Revoked).collect();
        Ledger::of(store).append_all(&entries, now)?;
        self.lists = lists::current(store, &self.issuing, now)?;
        Ok(())
    }

    fn book(&self) -> Result<Book, AuthorityError> {
        let store = if self.keeps { Store::open(&self.dir)? } else { Store::look(&self.dir)? };
        Ledger::of(&store).read()
    }
}

/// The end of a certificate on record.
fn revocation(record: &Record, reason: Reason, at: time::OffsetDateTime) -> Revocation {
    Revocation {
        at,
        serial: record.serial.clone(),
        not_after: record.not_after,
        issuer: record.issuer.clone(),
        reason,
        user: params::user(),
    }
}
