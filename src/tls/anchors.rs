//! Trust anchors, each with its end, in the form in which chains are verified.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::VerifiedPath;

use super::config::ConfigError;
use super::verify::unix;
use crate::certs::{Domains, NotFederated, Trusted};
use crate::identity::{Fingerprint, PeerCertificate, SpiffeId, TrustDomain};

/// The authorities of one trust domain, or of all that have none of their own.
pub(super) struct Anchors {
    all: Vec<TrustAnchor<'static>>,
    /// By subject and key: rustls and webpki take an anchor's word for ever.
    facts: HashMap<(Vec<u8>, Vec<u8>), AnchorFacts>,
}

/// What webpki does not keep of an anchor.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnchorFacts {
    pub(super) not_after: OffsetDateTime,
    pub(super) sha256: Fingerprint,
}

impl Anchors {
    fn of(bundle: &[CertificateDer<'static>]) -> Result<Self, ConfigError> {
        let mut all = Vec::new();
        let mut known = HashMap::new();
        for der in bundle {
            let anchor = webpki::anchor_from_trusted_cert(der).map_err(ConfigError::Anchor)?;
            let anchor = anchor.to_owned();
            let facts = PeerCertificate::parse(der).map_err(ConfigError::AnchorFacts)?;
            let facts = AnchorFacts { not_after: facts.not_after, sha256: facts.sha256 };
            // The same key may stand in several certificates of one authority: the last to end counts.
            let last = known.entry(key(&anchor)).or_insert(facts);
            if last.not_after < facts.not_after {
                *last = facts;
            }
            all.push(anchor);
        }
        Ok(Self { all, facts: known })
    }

    pub(super) fn all(&self) -> &[TrustAnchor<'static>] {
        &self.all
    }

    /// The anchor that `path` ends in.
    pub(super) fn facts(&self, path: &VerifiedPath<'_>) -> Option<AnchorFacts> {
        self.facts.get(&key(path.anchor())).copied()
    }

    /// Whether the anchor that `path` ends in has not ended itself.
    pub(super) fn judge(
        &self,
        path: &VerifiedPath<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let facts = self.facts(path);
        let not_after =
            facts.map_or(UnixTime::since_unix_epoch(Duration::ZERO), |facts| unix(facts.not_after));
        if not_after < now {
            return Err(webpki::Error::CertExpired { time: now, not_after });
        }
        Ok(())
    }
}

fn key(anchor: &TrustAnchor<'_>) -> (Vec<u8>, Vec<u8>) {
    (anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec())
}

/// The authorities of every trust domain that we know.
pub(super) struct AllAnchors {
    bundle: Anchors,
    domain: Option<TrustDomain>,
    federated: BTreeMap<TrustDomain, Anchors>,
}

impl AllAnchors {
    pub(super) fn of(trusted: &Trusted) -> Result<Self, ConfigError> {
        let federated = trusted.federated.iter();
        Ok(Self {
            bundle: Anchors::of(&trusted.bundle)?,
            domain: trusted.domain.clone(),
            federated: federated
                .map(|(domain, bundle)| Ok((domain.clone(), Anchors::of(bundle)?)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Those that may vouch for a certificate with this SPIFFE ID, or with none.
    pub(super) fn vouching_for(&self, id: Option<&SpiffeId>) -> Result<&Anchors, NotFederated> {
        let Self { bundle, domain, federated } = self;
        Domains { bundle, domain: domain.as_ref(), federated }.vouching_for(id)
    }

    /// What a server tells clients of whom it trusts.
    pub(super) fn hints(&self) -> Vec<DistinguishedName> {
        let all = std::iter::once(&self.bundle).chain(self.federated.values());
        all.flat_map(|anchors| &anchors.all)
            .map(|anchor| DistinguishedName::in_sequence(anchor.subject.as_ref()))
            .collect()
    }
}
