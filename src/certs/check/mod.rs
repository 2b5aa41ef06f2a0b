//! The pre-flight: looks at key material as a peer would, before anybody uses it.
//!
//! Otherwise a bad rotation shows up as everybody else's handshake failure.

mod chain;
mod pair;
mod unfit;

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::{CertifiedKey, SigningKey};
use time::{Duration, OffsetDateTime};

pub(super) use chain::refused;
pub(super) use pair::key_fits;
pub use unfit::Unfit;

use super::inspect::{self, Signed};
use super::{Material, MaterialError, Trusted};
use crate::clock::rfc3339;
use crate::config::{Config, Profile};
use crate::identity::{PeerCertificate, SpiffeId};
use pair::Pair;

/// Less than this before the end of an authority, it is told.
const AUTHORITY_SOON: Duration = Duration::days(30);

/// What our own certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// There are inbound listeners: it is a server's.
    pub server: bool,
    /// There are outbound listeners: it is a client's.
    pub client: bool,
    /// What peers of the same profile ask of a leaf.
    pub profile: Profile,
}

impl Needs {
    /// What the listeners of `config` need.
    pub fn of(config: &Config) -> Self {
        Self {
            server: !config.inbound.is_empty(),
            client: !config.outbound.is_empty(),
            profile: config.tls.profile,
        }
    }
}

/// Key material that nobody has looked at yet.
pub struct Offered {
    /// The certificate and its intermediates, leaf first. Not empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key that should fit the leaf.
    pub key: Arc<dyn SigningKey>,
    /// Other chains with their keys, for peers that cannot verify the first.
    pub others: Vec<Arc<CertifiedKey>>,
    /// When the chain was issued, if that is known; otherwise it is what the leaf is valid from.
    pub issued: Option<OffsetDateTime>,
    /// What peers are to be verified with.
    pub trusted: Trusted,
    /// Whether we replace it ourselves before it ends.
    pub renewed: bool,
    /// Where each of them came from.
    pub origin: Origin,
    /// What was remarkable when it was read.
    pub warnings: Vec<String>,
}

impl Offered {
    /// Keeps our own certificates as they are in use: only what peers are verified with is new.
    pub fn keep(&mut self, in_use: &Material) {
        self.chain.clone_from(&in_use.presented.cert);
        self.key = Arc::clone(&in_use.presented.key);
        self.others.clone_from(&in_use.others);
        self.issued = Some(in_use.issued);
    }

    /// Every trust bundle, each with where it came from.
    fn bundles(&self) -> impl Iterator<Item = (String, &[CertificateDer<'static>])> {
        let at = &self.origin.trust_bundle;
        let own = std::iter::once((at.clone(), self.trusted.bundle.as_slice()));
        let federated = self.trusted.federated.iter();
        own.chain(
            federated.map(move |(domain, bundle)| {
                (format!("{at}, federated {domain}"), bundle.as_slice())
            }),
        )
    }
}

/// Where key material came from, as texts for operators.
pub struct Origin {
    /// Of the chain.
    pub certificate: String,
    /// Of the key.
    pub key: String,
    /// Of the trust bundle.
    pub trust_bundle: String,
    /// Of each revocation list.
    pub crls: Vec<String>,
    /// Of each of the other chains, and of its key. May be shorter than they are: then they are told by
    /// their number.
    pub others: Vec<(String, String)>,
}

/// Makes `offered` into material, if a peer would accept it at the moment `now`.
///
/// A certificate that is `in_use` and has been revoked since, or has expired, is no reason to refuse what
/// is new of whom to trust: that is how the revocations of others take effect.
///
/// # Errors
///
/// Every reason for which a peer would refuse it.
pub fn check(
    offered: Offered,
    needs: Needs,
    expected: &SpiffeId,
    in_use: Option<&Material>,
    now: OffsetDateTime,
) -> Result<(Material, Vec<String>), MaterialError> {
    let pairs = offered.pairs();
    let facts = pairs.iter().map(Pair::facts).collect::<Result<Vec<_>, _>>()?;
    let ([first, ..], [first_facts, ..]) = (pairs.as_slice(), facts.as_slice()) else {
        return Err(MaterialError::BrokenOff); // there is always a first
    };
    let mut warnings = offered.warnings.clone();
    // Without these there is no use in looking at the chains: they would only repeat them.
    let mut before_chain: Vec<Unfit> = chain::unusable_anchor(&offered).into_iter().collect();
    for (crl, at) in offered.trusted.crls.iter().zip(&offered.origin.crls) {
        match list(crl, at, &offered, now) {
            Ok(remarks) => warnings.extend(remarks),
            Err(problem) => before_chain.push(problem),
        }
    }
    let sound = before_chain.is_empty();
    let mut problems = Vec::new();
    for (pair, facts) in pairs.iter().zip(&facts) {
        for problem in pair.problems(facts, &offered, (needs, now), sound) {
            if problem.is_of_its_end() && in_use.is_some_and(|it| pair.is_of(it)) {
                warnings.push(format!("{problem}: it stays in use until there is another one"));
            } else {
                problems.push(problem);
            }
        }
        problems.extend(pair.names_missing(facts, first_facts, &first.at));
    }
    problems.append(&mut before_chain);
    MaterialError::unless_none(problems.into_iter().map(Into::into).collect())?;
    warnings.extend(named_otherwise(first_facts, expected, &offered.origin));
    for (index, (pair, facts)) in pairs.iter().zip(&facts).enumerate() {
        warnings.extend(pairs.get(..index).and_then(|before| pair.never_used(before)));
        if !offered.renewed {
            warnings.extend(pair.ends_soon(facts, now));
        }
    }
    warnings.extend(authorities(&offered, now));
    let facts = first_facts.clone();
    let material = Material {
        presented: Arc::new(CertifiedKey::new(offered.chain, offered.key)),
        others: offered.others,
        issued: offered.issued.unwrap_or(facts.not_before),
        facts: Arc::new(facts),
        trusted: Arc::new(offered.trusted),
    };
    Ok((material, warnings))
}

/// Looks at one revocation list; the answer is what deserves a look.
fn list(
    crl: &CertificateRevocationListDer<'static>,
    at: &str,
    offered: &Offered,
    now: OffsetDateTime,
) -> Result<Vec<String>, Unfit> {
    let Some(parsed) = inspect::revocation_list(crl) else {
        return Err(Unfit::List { at: at.to_owned(), what: "cannot be parsed".to_owned() });
    };
    if let Err(error) = webpki::OwnedCertRevocationList::from_der(crl) {
        let what = format!("cannot be used: {}", chain::reason(&error));
        return Err(Unfit::List { at: at.to_owned(), what });
    }
    let issuer = crate::identity::Subject::of(parsed.issuer()).text;
    let others = offered.others.iter().flat_map(|other| &other.cert);
    let anchors = offered.bundles().flat_map(|(_, bundle)| bundle);
    let known: Vec<_> = anchors.chain(&offered.chain).chain(others).collect();
    let mut remarks = Vec::new();
    match inspect::signed_by(crl, &known) {
        Signed::Yes => {}
        Signed::No => {
            let what = format!("was not signed by the key of {issuer}, whose it claims to be");
            return Err(Unfit::List { at: at.to_owned(), what });
        }
        Signed::Unknown => remarks.push(format!(
            "{at}: revocation list of {issuer}, who is neither in {} nor in our own chain: its \
             signature is checked only when a peer comes with that authority's certificate",
            offered.origin.trust_bundle
        )),
    }
    if let Some(due) = parsed.next_update().map(|due| due.to_datetime()).filter(|due| *due < now) {
        remarks.push(format!(
            "{at}: revocation list of {issuer} was due for its next update at {}: unless \
             tls.crl_expired is warn, that authority's peers are refused until there is a new one",
            rfc3339(due)
        ));
    }
    Ok(remarks)
}

fn named_otherwise(
    facts: &PeerCertificate,
    expected: &SpiffeId,
    origin: &Origin,
) -> Option<String> {
    if facts.spiffe.as_ref() == Some(expected) {
        return None;
    }
    let named = match (&facts.spiffe, facts.dns.first()) {
        (Some(id), _) => id.to_string(),
        (None, Some(dns)) => format!("the DNS name {dns}"),
        (None, None) => format!("the subject {:?}", facts.subject.text),
    };
    Some(format!("{}: names {named}, not {expected}: peers know us by it", origin.certificate))
}

fn authorities(offered: &Offered, now: OffsetDateTime) -> Vec<String> {
    let mut remarks = Vec::new();
    for (at, bundle) in offered.bundles() {
        for (index, der) in bundle.iter().enumerate() {
            let name = inspect::subject(der).unwrap_or_default();
            let which = format!("{at}: certificate {}, {name}", index + 1);
            remarks.extend(authority(der, now).into_iter().map(|what| format!("{which}, {what}")));
        }
    }
    remarks
}

/// What deserves a look about an authority's certificate.
fn authority(der: &CertificateDer<'_>, now: OffsetDateTime) -> Vec<String> {
    let Some(x509) = inspect::certificate(der) else { return Vec::new() };
    let mut remarks = Vec::new();
    let ends = x509.validity().not_after.to_datetime();
    if ends < now {
        remarks.push(format!("expired at {}", rfc3339(ends)));
    } else if ends - now < AUTHORITY_SOON {
        remarks.push(format!("expires soon, at {}", rfc3339(ends)));
    }
    if !x509.is_ca() {
        remarks.push("is no authority's, and yet may sign for peers".to_owned());
    }
    remarks
}

#[cfg(test)]
mod tests;
