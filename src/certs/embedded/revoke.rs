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

    /// Whether the certificate was issued here and may still be used, as for a re-enrolment.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn is_issued_and_valid(&self, serial: &Serial) -> Result<bool, AuthorityError> {
        Ok(self.find(serial)?.is_some_and(|listed| listed.standing == Standing::Valid))
    }

    /// Whether the certificate was revoked.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn revoked(&self, serial: &Serial) -> Result<bool, AuthorityError> {
        Ok(self.book()?.revocation(serial).is_some())
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
        let facts = PeerCertificate::parse(der).map_err(AuthorityError::Unfit)?;
        let serial = Serial::parse(&facts.serial)?;
        let store = Store::open(&self.dir)?;
        let now = params::whole(clock::now());
        let retired = store.retired(now)?;
        let issuer = std::iter::once(&self.issuing)
            .chain(&retired)
            .find(|pair| inspect::is_signed_by(der, &pair.certificate.der))
            .ok_or_else(|| AuthorityError::NotIssued {
                what: format!("with serial number {serial}, issued by {}", facts.issuer),
            })?
            .id();
        if Ledger::of(&store).read()?.revocation(&serial).is_some() {
            return Err(AuthorityError::AlreadyRevoked { what: serial.to_string() });
        }
        let user = params::user();
        let not_after = facts.not_after;
        let revocation =
            Revocation { at: now, serial: serial.clone(), not_after, issuer, reason, user };
        self.put_on_list(&store, vec![revocation])?;
        Ok(serial)
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
        let revocation = |record: &Record| Revocation {
            at: now,
            serial: record.serial.clone(),
            not_after: record.not_after,
            issuer: record.issuer.clone(),
            reason,
            user: params::user(),
        };
        self.put_on_list(&store, chosen.iter().map(revocation).collect())?;
        Ok(chosen)
    }

    fn put_on_list(
        &mut self,
        store: &Store,
        revocations: Vec<Revocation>,
    ) -> Result<(), AuthorityError> {
        let now = clock::now();
        lists::will_change(store)?;
        let ledger = Ledger::of(store);
        for revocation in revocations {
            ledger.append(&Entry::Revoked(revocation), now)?;
        }
        self.lists = lists::current(store, &self.issuing, now)?;
        Ok(())
    }

    fn book(&self) -> Result<Book, AuthorityError> {
        let store = if self.keeps { Store::open(&self.dir)? } else { Store::look(&self.dir)? };
        Ledger::of(&store).read()
    }
}
