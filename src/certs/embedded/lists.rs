//! The authority's revocation lists: `ca.crl`, one for each issuing authority whose leaves may be alive.
//!
//! They are there from the beginning, empty as they may be: whoever verifies by them learns of a first
//! revocation as of any other, and notices when news stay away.

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::{Duration, OffsetDateTime};

use super::error::AuthorityError;
use super::ledger::{Ledger, Reason, Revocation};
use super::params;
use super::store::{Pair, Store};
use crate::certs::inspect;

const NAME: &str = "ca.crl";
/// There while the lists do not say all that the ledger says: somebody died between the two.
const STALE: &str = "ca.crl.stale";
/// From a list to its next update. Verifiers refuse what it covers after that.
const LIFE: Duration = Duration::days(7);
/// Lists older than this are made anew.
const FRESH: Duration = Duration::hours(56); // a third of their life

/// One issuing authority's list.
pub(super) struct List {
    pub(super) der: CertificateRevocationListDer<'static>,
    /// Whose it is, as in [`super::ledger::Record::issuer`].
    pub(super) issuer: String,
    /// The same one's certificate.
    pub(super) by: CertificateDer<'static>,
}

impl List {
    fn of(der: CertificateRevocationListDer<'static>, issuer: &Pair) -> Self {
        Self { der, issuer: issuer.id(), by: issuer.certificate.der.clone() }
    }
}

/// The lists of all issuing authorities, the one that issues now first.
pub(super) struct Lists {
    pub(super) all: Vec<List>,
    /// All of them, one after the other.
    pub(super) pem: String,
    /// When they should be made anew.
    pub(super) due: OffsetDateTime,
}

/// The lists as they should be now; made anew if they must be, and kept if the directory is ours to
/// write.
pub(super) fn current(
    store: &Store,
    issuing: &Pair,
    now: OffsetDateTime,
) -> Result<Lists, AuthorityError> {
    let retired = store.retired(now)?;
    let issuers: Vec<_> = std::iter::once(issuing).chain(&retired).collect();
    let text = store.read_if_there(NAME)?.unwrap_or_default();
    let held = held(&text);
    if !store.has(STALE)?
        && let Some((all, due)) = fitting(&held, &issuers, now)
    {
        let pem = String::from_utf8_lossy(&text).into_owned();
        return Ok(Lists { all, pem, due });
    }
    let book = Ledger::of(store).read()?;
    let mut pem = String::new();
    let mut all = Vec::new();
    for issuer in issuers {
        let number = number(&held, issuer, now);
        let made = sign(issuer, &book.listed(&issuer.id(), now), number, now)?;
        pem.push_str(&made.pem()?);
        all.push(List::of(made.into(), issuer));
    }
    if store.may_write() {
        store.put(NAME, pem.as_bytes(), 0o644)?;
        store.remove(STALE)?;
    }
    Ok(Lists { all, pem, due: now + FRESH })
}

/// Says that the lists no longer say all, before the ledger says more.
pub(super) fn will_change(store: &Store) -> Result<(), AuthorityError> {
    store.put(STALE, b"", 0o600)
}

/// What the file holds; nothing if it cannot be read as lists: they are made anew then.
fn held(text: &[u8]) -> Vec<CertificateRevocationListDer<'static>> {
    let lists: Result<_, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    lists.unwrap_or_default()
}

/// The lists that are held, if there is exactly one for each issuer and each is young.
fn fitting(
    held: &[CertificateRevocationListDer<'static>],
    issuers: &[&Pair],
    now: OffsetDateTime,
) -> Option<(Vec<List>, OffsetDateTime)> {
    if held.len() != issuers.len() {
        return None;
    }
    let (mut all, mut due) = (Vec::new(), now + FRESH);
    for issuer in issuers {
        let certificate = [&issuer.certificate.der];
        let is_its = |der: &&CertificateRevocationListDer<'static>| {
            inspect::signed_by(der, &certificate) == inspect::Signed::Yes
        };
        let der = held.iter().find(is_its)?;
        let made = inspect::revocation_list(der)?.last_update().to_datetime();
        // A clock that ran ahead has made a list of the future: others would not take it.
        if made > now || made + FRESH <= now {
            return None;
        }
        due = due.min(made + FRESH);
        all.push(List::of(der.clone(), issuer));
    }
    Some((all, due))
}

/// Greater than the last one's, and than any that was made earlier if that one is lost.
fn number(
    held: &[CertificateRevocationListDer<'static>],
    issuer: &Pair,
    now: OffsetDateTime,
) -> u64 {
    let certificate = inspect::certificate(&issuer.certificate.der);
    let is_its = |raw: &[u8]| certificate.as_ref().is_some_and(|it| it.subject().as_raw() == raw);
    let last = held
        .iter()
        .filter_map(|der| inspect::revocation_list(der))
        .filter(|list| is_its(list.issuer().as_raw()))
        .filter_map(|list| u64::try_from(list.crl_number()?).ok())
        .max();
    let now = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    last.map_or(now, |last| now.max(last.saturating_add(1)))
}

fn sign(
    issuer: &Pair,
    revoked: &[&Revocation],
    number: u64,
    now: OffsetDateTime,
) -> Result<rcgen::CertificateRevocationList, AuthorityError> {
    let now = params::whole(now);
    let certificate = &issuer.certificate.der;
    let params = CertificateRevocationListParams {
        this_update: now - params::BACKDATED,
        next_update: now + LIFE,
        crl_number: number.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(|revocation| entry(revocation)).collect(),
        // As in the certificates that we make: the list names its signer by it.
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let issuer = Issuer::from_ca_cert_der(certificate, &*issuer.key)?;
    Ok(params.signed_by(&issuer)?)
}

fn entry(revocation: &Revocation) -> RevokedCertParams {
    let reason_code = match revocation.reason {
        // RFC 5280, 5.3.1: rather no reason than this one.
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
    };
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(&revocation.serial.bytes()),
        revocation_time: revocation.at,
        reason_code,
        invalidity_date: None,
    }
}
