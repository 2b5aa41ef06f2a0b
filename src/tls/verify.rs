//! What peers are verified with, the same for both directions: a chain to the trust bundle, or a pin.
//!
//! It calls webpki itself rather than through rustls' verifiers, because it must know the anchor that a
//! chain ended in (rustls does not look at an anchor's expiry), and because a chain is judged again while
//! its connection is open. [`super::asking`] asks it on behalf of rustls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, OwnedCertRevocationList, VerifiedPath};

use super::anchors::{AllAnchors, AnchorFacts};
use super::config::{ConfigError, Pins};
use super::error::{Why, refusal_of};
use super::known::{Known, Remembering};
use super::leaf::{judge_dates, judge_use};
use super::provider::provider;
use crate::certs::{self, Trusted};
use crate::config::{CrlExpired, TlsSettings};
use crate::identity::{Fingerprint, PeerCertificate, PeerIdentity, Proof};
use crate::outcome::Refusal;

/// More certificates behind a leaf are not looked at: a stranger decides how many there are, and finding a
/// path among many look-alikes takes long.
const MOST_INTERMEDIATES: usize = 16;

/// Which side of TLS the peer is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerSide {
    Client,
    Server,
}

/// What an identity rests on, beside the key that the peer has shown to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grounds {
    /// SHA-256 of the trust bundle's certificate that the chain ended in. `None`: a pin alone.
    pub anchor: Option<Fingerprint>,
    /// The verdict is good until then, and has to be asked for again: a certificate of the path or its
    /// anchor expires, or a revocation list is due for its next update.
    pub until: OffsetDateTime,
}

/// What peers of one side are verified with: trust bundle, revocation lists and pins.
///
/// The same one serves every generation of a listener in which these stay the same, so that a new policy
/// alone lets no chain be verified again.
pub struct Trust {
    side: PeerSide,
    /// What it was made from.
    settings: TlsSettings,
    trusted: Arc<Trusted>,
    pins: Pins,
    anchors: AllAnchors,
    hints: Vec<DistinguishedName>,
    crls: Vec<webpki::CertRevocationList<'static>>,
    /// When a verdict may change because a list is due. Empty if that changes none.
    crls_due: Vec<OffsetDateTime>,
    algorithms: WebPkiSupportedAlgorithms,
    /// The same for certificates and lists, which remember what they found good.
    remembering: Vec<Remembering>,
    known: Arc<Known>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Trust {
    /// What clients are verified with.
    ///
    /// # Errors
    ///
    /// Says what of the trust bundle or the lists cannot be worked with.
    pub fn of_clients(
        settings: &TlsSettings,
        trusted: &Arc<Trusted>,
        pins: Pins,
    ) -> Result<Arc<Self>, ConfigError> {
        Self::new(PeerSide::Client, settings, trusted, pins, Arc::default()).map(Arc::new)
    }

    /// What servers are verified with.
    ///
    /// # Errors
    ///
    /// Says what of the trust bundle or the lists cannot be worked with.
    pub fn of_servers(
        settings: &TlsSettings,
        trusted: &Arc<Trusted>,
        pins: Pins,
    ) -> Result<Arc<Self>, ConfigError> {
        Self::new(PeerSide::Server, settings, trusted, pins, Arc::default()).map(Arc::new)
    }

    fn new(
        side: PeerSide,
        settings: &TlsSettings,
        trusted: &Arc<Trusted>,
        pins: Pins,
        known: Arc<Known>,
    ) -> Result<Self, ConfigError> {
        let algorithms = provider(settings).signature_verification_algorithms;
        let anchors = AllAnchors::of(trusted)?;
        let crls = trusted
            .crls
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(Into::into))
            .collect::<Result<_, _>>()
            .map_err(ConfigError::Crl)?;
        let crls_due = match settings.crl_expired {
            CrlExpired::Refuse => {
                trusted.crls.iter().filter_map(|der| certs::next_update(der)).collect()
            }
            CrlExpired::Warn => Vec::new(),
        };
        // A peer that is known by a pin may have no certificate from our authorities: hint at none then.
        let hints = if pins.is_empty() { anchors.hints() } else { Vec::new() };
        Ok(Self {
            side,
            settings: settings.clone(),
            trusted: Arc::clone(trusted),
            pins,
            anchors,
            hints,
            crls,
            crls_due,
            remembering: Remembering::all(algorithms.all, &known),
            algorithms,
            known,
        })
    }

    /// What the same peers are verified with from now on: the same one if nothing of it changes, so that
    /// its verdicts stay. Otherwise a new one, which knows the signatures that this one has found good.
    ///
    /// # Errors
    ///
    /// Says what of the trust bundle or the lists cannot be worked with.
    pub fn renewed(
        self: &Arc<Self>,
        settings: &TlsSettings,
        trusted: &Arc<Trusted>,
        pins: Pins,
    ) -> Result<Arc<Self>, ConfigError> {
        if self.settings == *settings && *self.trusted == **trusted && self.pins == pins {
            return Ok(Arc::clone(self));
        }
        Self::new(self.side, settings, trusted, pins, Arc::clone(&self.known)).map(Arc::new)
    }

    /// Judges a chain that a peer has presented, leaf first, as in a handshake at `now`. `certificate` is
    /// what the leaf says.
    ///
    /// What ends at `now` has ended.
    ///
    /// # Errors
    ///
    /// Says why that handshake would come to nothing.
    pub fn judge_again(
        &self,
        chain: &[CertificateDer<'_>],
        certificate: &Arc<PeerCertificate>,
        now: OffsetDateTime,
    ) -> Result<(PeerIdentity, Grounds), (Refusal, String)> {
        // webpki counts whole seconds, and the last of them as good.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(unix(now).as_secs() + 1));
        let judged = match chain.split_first() {
            Some((leaf, intermediates)) => self.judge_known(leaf, intermediates, now, certificate),
            None => Err(Why::nothing()),
        };
        judged.map_err(|why| (why.refusal, why.message))
    }

    /// Everything there is to say about what a peer presented, which is left in `presented`.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        presented: &mut Option<Arc<PeerCertificate>>,
    ) -> Result<(PeerIdentity, Grounds), Why> {
        let certificate = match PeerCertificate::parse(leaf) {
            Ok(certificate) => Arc::new(certificate),
            Err(error) => {
                let why = Why::facts(&error);
                *presented = error.into_certificate().map(Arc::new);
                return Err(why);
            }
        };
        *presented = Some(Arc::clone(&certificate));
        self.judge_known(leaf, intermediates, now, &certificate)
    }

    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    fn judge_known(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        certificate: &Arc<PeerCertificate>,
    ) -> Result<(PeerIdentity, Grounds), Why> {
        let (proof, grounds) = match self.judge_chain(leaf, intermediates, now, certificate) {
            Ok(grounds) => (Proof::Chain, grounds),
            Err(why) if why.refusal != Refusal::Revoked && self.pins.hold(certificate) => {
                judge_dates(certificate, now)?;
                self.judge_listed(leaf)?;
                (Proof::Pin, Grounds { anchor: None, until: certificate.not_after })
            }
            Err(why) => return Err(why),
        };
        Ok((PeerIdentity { certificate: Arc::clone(certificate), proof }, grounds))
    }

    fn judge_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        facts: &PeerCertificate,
    ) -> Result<Grounds, Why> {
        if intermediates.len() > MOST_INTERMEDIATES {
            return Err(Why::too_long(intermediates.len()));
        }
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal_of)?;
        let vouching = self.anchors.vouching_for(facts.spiffe.as_ref());
        let anchors = vouching.map_err(|error| Why::stranger(&error))?;
        let crls: Vec<_> = self.crls.iter().collect();
        let algorithms = self.signatures();
        let verify = |revocation| {
            certificate
                .verify_for_usage(
                    &algorithms,
                    anchors.all(),
                    intermediates,
                    now,
                    self.usage(),
                    revocation,
                    Some(&|path| anchors.judge(path, now)),
                )
                .map(|path| self.grounds(&path, anchors.facts(&path), facts, now))
                .map_err(refusal_of)
        };
        // The leaf's status must be known; an intermediate's wherever there is a list for it.
        let mut grounds = verify(self.revocation(&crls, webpki::RevocationCheckDepth::EndEntity))?;
        if self.lists_may_name(intermediates) {
            grounds = verify(self.revocation(&crls, webpki::RevocationCheckDepth::Chain))?;
        }
        judge_use(facts, self.settings.profile, self.named_use(facts))?;
        Ok(grounds)
    }

    /// Whether what a leaf that is refused says of its holder may be told: one of our authorities has issued it, for
    /// whatever side and time, or it is pinned.
    pub(super) fn vouches(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        facts: &PeerCertificate,
        now: UnixTime,
    ) -> bool {
        if self.pins.hold(facts) {
            return true; // whoever pinned it has read it
        }
        let (Ok(certificate), Ok(anchors)) =
            (EndEntityCert::try_from(leaf), self.anchors.vouching_for(facts.spiffe.as_ref()))
        else {
            return false;
        };
        let usage =
            if facts.usage.server_auth { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        let then = now.min(unix(facts.not_after)).max(unix(facts.not_before));
        let judge: &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error> =
            &|path| anchors.judge(path, then);
        let (algorithms, all) = (self.signatures(), anchors.all());
        intermediates.len() <= MOST_INTERMEDIATES
            && certificate
                .verify_for_usage(&algorithms, all, intermediates, then, usage, None, Some(judge))
                .is_ok()
    }

    fn signatures(&self) -> Vec<&dyn SignatureVerificationAlgorithm> {
        self.remembering.iter().map(|algorithm| algorithm as _).collect()
    }

    /// On whose word the leaf was believed, and what comes to its end first.
    fn grounds(
        &self,
        path: &VerifiedPath<'_>,
        anchor: Option<AnchorFacts>,
        leaf: &PeerCertificate,
        now: UnixTime,
    ) -> Grounds {
        let intermediates = path
            .intermediate_certificates()
            .filter_map(|certificate| certs::not_after(&certificate.der()));
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let lists = self.crls_due.iter().filter(|due| due.unix_timestamp() > seconds).copied();
        let ends = intermediates.chain(lists).chain(anchor.map(|anchor| anchor.not_after));
        Grounds {
            anchor: anchor.map(|anchor| anchor.sha256),
            until: ends.fold(leaf.not_after, OffsetDateTime::min),
        }
    }

    /// How to check revocation; not at all without lists.
    fn revocation<'a>(
        &self,
        crls: &'a [&'a webpki::CertRevocationList<'a>],
        depth: webpki::RevocationCheckDepth,
    ) -> Option<webpki::RevocationOptions<'a>> {
        let status = match depth {
            webpki::RevocationCheckDepth::EndEntity => webpki::UnknownStatusPolicy::Deny,
            webpki::RevocationCheckDepth::Chain => webpki::UnknownStatusPolicy::Allow,
        };
        let expiration = match self.settings.crl_expired {
            CrlExpired::Refuse => webpki::ExpirationPolicy::Enforce,
            CrlExpired::Warn => webpki::ExpirationPolicy::Ignore,
        };
        webpki::RevocationOptionsBuilder::new(crls).ok().map(|builder| {
            builder
                .with_depth(depth)
                .with_status_policy(status)
                .with_expiration_policy(expiration)
                .build()
        })
    }

    /// Whether there is a list of an authority that issued one of these. Without one a second look, which
    /// costs as much as the first, would find nothing.
    fn lists_may_name(&self, intermediates: &[CertificateDer<'_>]) -> bool {
        let is_listed = |der: &CertificateDer<'_>| match EndEntityCert::try_from(der) {
            Ok(certificate) => self.crls.iter().any(|list| list.issuer() == certificate.issuer()),
            Err(_unreadable) => true, // webpki has the word
        };
        !self.crls.is_empty() && intermediates.iter().any(is_listed)
    }

    /// A pin replaces the chain, and never hides a revocation: with a chain that fails for another reason
    /// webpki may not have come to look.
    fn judge_listed(&self, leaf: &CertificateDer<'_>) -> Result<(), Why> {
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal_of)?;
        let lists = self.crls.iter().filter(|list| list.issuer() == certificate.issuer());
        for list in lists {
            if !matches!(list.find_serial(certificate.serial()), Ok(None)) {
                return Err(refusal_of(webpki::Error::CertRevoked));
            }
        }
        Ok(())
    }

    /// Whether the leaf names what it is used for here (extended key usage).
    fn named_use(&self, facts: &PeerCertificate) -> bool {
        match self.side {
            PeerSide::Client => facts.usage.client_auth,
            PeerSide::Server => facts.usage.server_auth,
        }
    }

    fn usage(&self) -> KeyUsage {
        match self.side {
            PeerSide::Client => KeyUsage::client_auth(),
            PeerSide::Server => KeyUsage::server_auth(),
        }
    }
}

pub(super) fn unix(at: OffsetDateTime) -> UnixTime {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
