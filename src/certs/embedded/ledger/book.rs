//! All lines of the ledger, put together.

use std::collections::{HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::{Authorized, Entry, Record, Redemption, Revocation, Serial, Token};
use crate::identity::SpiffeId;

/// What has expired is kept so much longer, for whoever looks into what happened.
const KEPT: Duration = Duration::days(1);
/// A revocation is kept so long after its certificate's end. Longer than any list needs it: a clock that
/// ran ahead for a while must not make us forget one.
const REVOKED_KEPT: Duration = Duration::days(400);
/// A revoked certificate is on the lists for so long after its end: on one more list than while it was
/// valid (RFC 5280, 3.3).
const LISTED: Duration = Duration::days(7);

/// How a certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may be used.
    Valid,
    /// Its time is over.
    Expired,
    /// It was revoked; its time may be over, too.
    Revoked(Revocation),
}

impl Standing {
    /// A word for it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked(_) => "revoked",
        }
    }
}

/// What the ledger says.
#[derive(Debug, Default)]
pub(in crate::certs::embedded) struct Book {
    issued: Vec<Record>,
    by_serial: HashMap<Serial, usize>,
    revoked: HashMap<Serial, Revocation>,
    tokens: Vec<Token>,
    redeemed: HashMap<String, Redemption>,
}

impl Book {
    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Begun { .. } => {}
            Entry::Issued(record) => {
                self.by_serial.insert(record.serial.clone(), self.issued.len());
                self.issued.push(record);
            }
            // The first word counts: a certificate cannot be revoked twice.
            Entry::Revoked(revocation) => {
                self.revoked.entry(revocation.serial.clone()).or_insert(revocation);
            }
            Entry::Token(token) => self.tokens.push(token),
            Entry::Redeemed(redemption) => {
                self.redeemed.entry(redemption.id.clone()).or_insert(redemption);
            }
        }
    }

    /// Every certificate that is still on record, the oldest first.
    pub(in crate::certs::embedded) fn issued(&self) -> &[Record] {
        &self.issued
    }

    pub(in crate::certs::embedded) fn find(&self, serial: &Serial) -> Option<&Record> {
        self.issued.get(*self.by_serial.get(serial)?)
    }

    pub(in crate::certs::embedded) fn revocation(&self, serial: &Serial) -> Option<&Revocation> {
        self.revoked.get(serial)
    }

    pub(in crate::certs::embedded) fn standing(
        &self,
        record: &Record,
        now: OffsetDateTime,
    ) -> Standing {
        match self.revoked.get(&record.serial) {
            Some(revocation) => Standing::Revoked(revocation.clone()),
            None if record.not_after < now => Standing::Expired,
            None => Standing::Valid,
        }
    }

    /// The certificates of `spiffe` that may be used.
    pub(in crate::certs::embedded) fn valid_of(
        &self,
        spiffe: &SpiffeId,
        now: OffsetDateTime,
    ) -> Vec<&Record> {
        let valid = |record: &&Record| self.standing(record, now) == Standing::Valid;
        self.issued.iter().filter(|record| record.spiffe == *spiffe).filter(valid).collect()
    }

    /// The certificates that may be used and were had by renewing `serial`, or by renewing one of those,
    /// whatever became of the ones between.
    pub(in crate::certs::embedded) fn valid_renewals_of(
        &self,
        serial: &Serial,
        now: OffsetDateTime,
    ) -> Vec<&Record> {
        let mut family = HashSet::from([serial]);
        let mut valid = Vec::new();
        for record in &self.issued {
            // What was renewed is on record before what it was renewed by.
            if let Authorized::Reenrolment { serial } = &record.authorized
                && family.contains(serial)
                && family.insert(&record.serial)
                && self.standing(record, now) == Standing::Valid
            {
                valid.push(record);
            }
        }
        valid
    }

    /// Whether what a certificate is to be issued on was revoked: the certificate that is renewed, or one
    /// that was issued for the same join token. The answer is what was revoked.
    pub(in crate::certs::embedded) fn withdrawn(&self, authorized: &Authorized) -> Option<&Serial> {
        let revoked = |serial: &Serial| self.revoked.get(serial).map(|it| &it.serial);
        match authorized {
            Authorized::Local => None,
            Authorized::Reenrolment { serial } => revoked(serial),
            Authorized::Token { .. } => {
                let mut its = self.issued.iter().filter(|record| record.authorized == *authorized);
                its.find_map(|record| revoked(&record.serial))
            }
        }
    }

    /// What belongs on the list of `issuer`, in the order of revocation.
    pub(in crate::certs::embedded) fn listed(
        &self,
        issuer: &str,
        now: OffsetDateTime,
    ) -> Vec<&Revocation> {
        let is_listed =
            |it: &&Revocation| it.issuer == issuer && it.not_after.saturating_add(LISTED) > now;
        let mut listed: Vec<_> = self.revoked.values().filter(is_listed).collect();
        listed.sort_by_key(|revocation| (revocation.at, &revocation.serial));
        listed
    }

    pub(in crate::certs::embedded) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(in crate::certs::embedded) fn redemption(&self, id: &str) -> Option<&Redemption> {
        self.redeemed.get(id)
    }

    /// What is still of use, as lines for a new ledger.
    pub(super) fn worth_keeping(self, now: OffsetDateTime) -> Vec<Entry> {
        let past = |end: OffsetDateTime, kept| end.saturating_add(kept) < now;
        let Self { mut issued, mut revoked, mut tokens, mut redeemed, .. } = self;
        revoked.retain(|_, it| !past(it.not_after, REVOKED_KEPT));
        issued.retain(|it| revoked.contains_key(&it.serial) || !past(it.not_after, KEPT));
        tokens.retain(|it| !past(it.expires, KEPT));
        let mut entries: Vec<_> = issued.into_iter().map(Entry::Issued).collect();
        let mut revoked: Vec<_> = revoked.into_values().collect();
        revoked.sort_by_key(|it| it.at);
        entries.extend(revoked.into_iter().map(Entry::Revoked));
        for token in tokens {
            let redemption = redeemed.remove(&token.id);
            entries.push(Entry::Token(token));
            entries.extend(redemption.map(Entry::Redeemed));
        }
        entries
    }
}
