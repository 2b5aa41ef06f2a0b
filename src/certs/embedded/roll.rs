//! Puts another root in the place of the old one, in three steps with time between them.
//!
//! First the new root is trusted beside the old one, until every peer has the new trust bundle. Then it
//! signs, until no certificate under the old one is alive. Then the old one goes. Each step can be
//! repeated when it broke off.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::ledger::{Ledger, Record, Standing};
use super::store::{Found, Pair, Store};
use super::{Authority, AuthorityError, params};
use crate::certs::inspect;
use crate::clock;
use crate::identity::Fingerprint;

/// The root to be, until it signs.
const NEXT: &str = "next";

/// How far the exchange of the root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// There is one root.
    Settled,
    /// A new root is trusted and does not sign yet.
    Begun,
    /// The new root signs; the old one is still trusted.
    Switched,
}

impl Authority {
    /// How far the exchange of the root is.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn roll(&self) -> Result<Roll, AuthorityError> {
        let store = Store::open(self.dir())?;
        self.roll_in(&store)
    }

    fn roll_in(&self, store: &Store) -> Result<Roll, AuthorityError> {
        let is_next = store.has(&format!("{NEXT}.crt"))?;
        Ok(match (is_next, store.certificates("root")?.len()) {
            (true, _) => Roll::Begun,
            (false, 0 | 1) => Roll::Settled,
            (false, _) => Roll::Switched,
        })
    }

    /// Makes a new root, and trusts it beside the old one. The answer is its fingerprint.
    ///
    /// # Errors
    ///
    /// An exchange is under way and past this, or something cannot be written.
    pub fn begin_roll(&self, name: Option<&str>) -> Result<Fingerprint, AuthorityError> {
        let store = Store::open(self.dir())?;
        let next = match (self.roll_in(&store)?, next(&store)?) {
            (Roll::Switched, _) => return Err(AuthorityError::NotNow { what: "switched" }),
            // A switch broke off: to begin again would leave the old root nowhere.
            (Roll::Begun, Some(next)) if next.certificate.der == self.root.der => {
                return Err(AuthorityError::HalfSwitched);
            }
            (Roll::Begun, Some(next)) => next, // it broke off, perhaps before the bundle was written
            (Roll::Begun | Roll::Settled, _) => {
                let next = params::root(self.trust_domain(), name, clock::now())?;
                store.write(NEXT, &next)?;
                next
            }
        };
        let bundle = params::pem(&self.root.der) + &next.certificate.pem;
        store.put("root.crt", bundle.as_bytes(), 0o644)?;
        Ok(Fingerprint::of(&next.certificate.der))
    }

    /// Lets the new root sign: makes an issuing authority under it. The old root's key is gone then.
    ///
    /// # Errors
    ///
    /// No exchange has begun, or something cannot be written.
    pub fn switch_roll(&self) -> Result<(), AuthorityError> {
        let store = Store::open(self.dir())?;
        let Some(next) = next(&store)? else {
            return Err(AuthorityError::NotNow { what: "not begun" });
        };
        let made =
            params::issuing(self.trust_domain(), &next.certificate.der, &next.key, clock::now())?;
        // Only as long as it is the old one: this may be the second attempt.
        if let Found::Whole(issuing) = store.pair("issuing")?
            && !inspect::is_signed_by(&issuing.certificate.der, &next.certificate.der)
        {
            store.retire(&issuing)?;
        }
        let old = self.roots.iter().filter(|root| **root != next.certificate.der);
        let old: String = old.map(params::pem).collect();
        // With the old certificate and the new key nothing is signed: an attempt that broke off here is
        // repeated.
        let key = Zeroizing::new(next.key.serialize_pem());
        store.put("root.key", key.as_bytes(), 0o600)?;
        store.put("root.crt", (next.certificate.pem.clone() + &old).as_bytes(), 0o644)?;
        store.write("issuing", &made)?;
        store.forget(NEXT)
    }

    /// The certificates under an old root that are still valid.
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn under_old_roots(&self) -> Result<Vec<Record>, AuthorityError> {
        let store = Store::open(self.dir())?;
        self.living_under_old(&store, clock::now())
    }

    /// Trusts the new root alone.
    ///
    /// # Errors
    ///
    /// The new root does not sign yet, certificates under the old one are alive and `anyway` is not set,
    /// or something cannot be written.
    pub fn finish_roll(&self, anyway: bool) -> Result<(), AuthorityError> {
        let store = Store::open(self.dir())?;
        let now = clock::now();
        match self.roll_in(&store)? {
            Roll::Switched => {}
            Roll::Begun => return Err(AuthorityError::NotNow { what: "not switched" }),
            Roll::Settled => return Err(AuthorityError::NotNow { what: "not begun" }),
        }
        let alive = self.living_under_old(&store, now)?.len();
        if alive > 0 && !anyway {
            return Err(AuthorityError::StillAlive { number: alive });
        }
        for retired in store.retired(now)? {
            if !inspect::is_signed_by(&retired.certificate.der, &self.root.der) {
                store.forget_retired(&retired)?;
            }
        }
        // The last step: until then what broke off is repeated.
        store.put("root.crt", params::pem(&self.root.der).as_bytes(), 0o644)
    }

    fn living_under_old(
        &self,
        store: &Store,
        now: OffsetDateTime,
    ) -> Result<Vec<Record>, AuthorityError> {
        let under_new = |pair: &Pair| inspect::is_signed_by(&pair.certificate.der, &self.root.der);
        let mut new: Vec<_> =
            store.retired(now)?.iter().filter(|pair| under_new(pair)).map(Pair::id).collect();
        new.push(self.issuing.id());
        let book = Ledger::of(store).read()?;
        let is_old = |record: &&Record| {
            !new.contains(&record.issuer) && book.standing(record, now) == Standing::Valid
        };
        Ok(book.issued().iter().filter(is_old).cloned().collect())
    }
}

fn next(store: &Store) -> Result<Option<Pair>, AuthorityError> {
    match store.pair(NEXT)? {
        Found::Whole(pair) => Ok(Some(pair)),
        Found::Lacking(_) => Ok(None),
    }
}
