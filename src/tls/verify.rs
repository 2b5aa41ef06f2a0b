//! The verifier, the same for both directions: a chain to the trust bundle, or a pin.
//!
//! It calls webpki itself rather than through rustls' verifiers, because it must know the anchor that a
//! chain ended in (rustls does not look at an anchor's expiry), and because what a refused peer presented
//! has to reach the record. rustls calls a verifier synchronously within the poll of a handshake, so
//! findings are left in a thread-local that [`super::handshake`] empties after every poll.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, OwnedCertRevocationList};

use super::anchors::AllAnchors;
use super::config::{ConfigError, Expected, Pins};
use super::error::{HandshakeFailed, Why, refusal_of};
use super::provider::provider;
use crate::certs::Trusted;
use crate::config::{CrlExpired, Profile, TlsSettings};
use crate::identity::{PeerCertificate, PeerIdentity, Proof};
use crate::outcome::Refusal;

/// What a verifier found, on its way to the handshake that asked.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What the peer presented, verified or not.
    pub(super) presented: Option<Arc<PeerCertificate>>,
    /// Who the peer proved to be.
    pub(super) identity: Option<PeerIdentity>,
    /// Why it was refused.
    pub(super) refused: Option<(Refusal, String)>,
}

thread_local! {
    static FINDINGS: RefCell<Option<Findings>> = const { RefCell::new(None) };
}

/// Takes what a verifier on this thread has found since the last call.
pub(super) fn take_findings() -> Option<Findings> {
    FINDINGS.take()
}

/// Judges a client's chain, leaf first, as an inbound listener would.
///
/// # Errors
///
/// The material cannot be worked with. The inner error is the refusal.
pub fn examine(
    trusted: &Trusted,
    settings: &TlsSettings,
    pins: &Pins,
    chain: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Result<Result<PeerIdentity, HandshakeFailed>, ConfigError> {
    let algorithms = provider(settings).signature_verification_algorithms;
    let side = PeerSide::Client;
    let verifier = Verifier::new(side, settings, trusted, pins.clone(), None, algorithms)?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let mut findings = Findings::default();
    let judged = match chain.split_first() {
        Some((leaf, intermediates)) => {
            verifier.judge_facts(leaf, intermediates, now, &mut findings)
        }
        None => Err(Why::nothing()),
    };
    Ok(match (judged, findings.identity) {
        (Ok(()), Some(identity)) => Ok(identity),
        (Ok(()), None) => Err(HandshakeFailed::without_certificate(findings.presented)),
        (Err(why), _) => Err(HandshakeFailed {
            refusal: why.refusal,
            message: why.message,
            presented: findings.presented,
        }),
    })
}

/// Which side of TLS the peer is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerSide {
    Client,
    Server,
}

/// Verifies peers against one generation of trust bundle, revocation lists and pins.
pub(super) struct Verifier {
    side: PeerSide,
    profile: Profile,
    crl_expired: CrlExpired,
    anchors: AllAnchors,
    hints: Vec<DistinguishedName>,
    crls: Vec<webpki::CertRevocationList<'static>>,
    pins: Pins,
    expected: Option<Expected>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Verifier {
    pub(super) fn new(
        side: PeerSide,
        settings: &TlsSettings,
        trusted: &Trusted,
        pins: Pins,
        expected: Option<Expected>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, ConfigError> {
        let anchors = AllAnchors::of(trusted)?;
        let crls = trusted
            .crls
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(Into::into))
            .collect::<Result<_, _>>()
            .map_err(ConfigError::Crl)?;
        // A peer that is known by a pin may have no certificate from our authorities: hint at none then.
        let hints = if pins.is_empty() { anchors.hints() } else { Vec::new() };
        let (profile, crl_expired) = (settings.profile, settings.crl_expired);
        Ok(Self { side, profile, crl_expired, anchors, hints, crls, pins, expected, algorithms })
    }

    /// Everything there is to say about what a peer presented; findings are left for the handshake.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let mut findings = Findings::default();
        let verdict = self.judge_facts(leaf, intermediates, now, &mut findings);
        let verdict = verdict.map_err(|why| {
            findings.refused = Some((why.refusal, why.message));
            why.alert.into()
        });
        FINDINGS.set(Some(findings));
        verdict
    }

    fn judge_facts(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        findings: &mut Findings,
    ) -> Result<(), Why> {
        let certificate = match PeerCertificate::parse(leaf) {
            Ok(certificate) => Arc::new(certificate),
            Err(error) => {
                let why = Why::facts(&error);
                findings.presented = error.into_certificate().map(Arc::new);
                return Err(why);
            }
        };
        findings.presented = Some(Arc::clone(&certificate));
        let proof = match self.judge_chain(leaf, intermediates, now, &certificate) {
            Ok(()) => Proof::Chain,
            Err(why) if why.refusal != Refusal::Revoked && self.pins.hold(&certificate) => {
                judge_dates(&certificate, now)?;
                self.judge_listed(leaf)?;
                Proof::Pin
            }
            Err(why) => return Err(why),
        };
        let identity = PeerIdentity { certificate, proof };
        if let Some(expected) = &self.expected {
            expected(&identity).map_err(|nearest| Why::unexpected(&nearest))?;
        }
        findings.identity = Some(identity);
        Ok(())
    }

    fn judge_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        facts: &PeerCertificate,
    ) -> Result<(), Why> {
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal_of)?;
        let vouching = self.anchors.vouching_for(facts.spiffe.as_ref());
        let anchors = vouching.map_err(|error| Why::stranger(&error))?;
        let crls: Vec<_> = self.crls.iter().collect();
        let verify = |revocation| {
            certificate
                .verify_for_usage(
                    self.algorithms.all,
                    anchors.all(),
                    intermediates,
                    now,
                    self.usage(),
                    revocation,
                    Some(&|path| anchors.judge(path, now)),
                )
                .map(|_path| ())
                .map_err(refusal_of)
        };
        // The leaf's status must be known; an intermediate's wherever there is a list for it.
        verify(self.revocation(&crls, webpki::RevocationCheckDepth::EndEntity))?;
        if !crls.is_empty() && !intermediates.is_empty() {
            verify(self.revocation(&crls, webpki::RevocationCheckDepth::Chain))?;
        }
        self.judge_leaf(facts)
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
        let expiration = match self.crl_expired {
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

    fn usage(&self) -> KeyUsage {
        match self.side {
            PeerSide::Client => KeyUsage::client_auth(),
            PeerSide::Server => KeyUsage::server_auth(),
        }
    }

    /// What webpki lets pass and the profiles do not: SP 800-52r2, 3.2.1 and 4.2.1.
    fn judge_leaf(&self, facts: &PeerCertificate) -> Result<(), Why> {
        let usage = &facts.usage;
        if self.profile == Profile::Compatible {
            return Ok(());
        }
        let named = match self.side {
            PeerSide::Client => usage.client_auth,
            PeerSide::Server => usage.server_auth,
        };
        if usage.any_purpose {
            return Err(Why::unfit("its extended key usage is anyExtendedKeyUsage"));
        }
        if !named {
            return Err(Why::unfit("it names no purpose (extended key usage)"));
        }
        if usage.may_sign_certificates {
            return Err(Why::unfit("it may sign certificates (key usage keyCertSign)"));
        }
        Ok(())
    }
}

/// A pin replaces the chain, never the dates.
fn judge_dates(facts: &PeerCertificate, now: UnixTime) -> Result<(), Why> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > facts.not_after.unix_timestamp() {
        return Err(Why::pinned_dates(Refusal::Expired, facts));
    }
    if now < facts.not_before.unix_timestamp() {
        return Err(Why::pinned_dates(Refusal::NotYetValid, facts));
    }
    Ok(())
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    /// The server's name is not asked for here: `expect` says who it must be.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
