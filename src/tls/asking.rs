//! Asks [`Trust`] on behalf of rustls, and keeps what was found.
//!
//! rustls calls a verifier synchronously within the poll of a handshake, and has no place for what it
//! finds: that is left in a thread-local which [`super::handshake`] empties after every poll.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::config::Expected;
use super::error::Why;
use super::verify::{Grounds, Trust};
use crate::identity::{PeerCertificate, PeerIdentity};
use crate::outcome::Refusal;

/// What a verifier found, on its way to the handshake that asked.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What the peer presented, verified or not.
    pub(super) presented: Option<Arc<PeerCertificate>>,
    /// Who the peer proved to be, and what that rests on.
    pub(super) proven: Option<(PeerIdentity, Grounds)>,
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

/// A verifier as rustls wants one.
pub(super) struct Asking {
    trust: Arc<Trust>,
    /// Asked of a server, before our own certificate is shown to it.
    expected: Option<Expected>,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Asking {
    pub(super) fn of_clients(trust: Arc<Trust>) -> Arc<Self> {
        Arc::new(Self { trust, expected: None })
    }

    pub(super) fn of_servers(trust: Arc<Trust>, expected: Expected) -> Arc<Self> {
        Arc::new(Self { trust, expected: Some(expected) })
    }

    /// Everything there is to say about what a peer presented; findings are left for the handshake.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let mut findings = Findings::default();
        let verdict = self.trust.judge(leaf, intermediates, now, &mut findings.presented);
        let verdict = verdict.and_then(|proven| match &self.expected {
            Some(expected) => match expected(&proven.0) {
                Ok(()) => Ok(proven),
                Err(nearest) => Err(Why::unexpected(&nearest)),
            },
            None => Ok(proven),
        });
        let verdict = match verdict {
            Ok(proven) => {
                findings.proven = Some(proven);
                Ok(())
            }
            Err(why) => {
                let why = self.told((leaf, intermediates), now, why, &mut findings.presented);
                findings.refused = Some((why.refusal, why.message));
                Err(why.alert.into())
            }
        };
        FINDINGS.set(Some(findings));
        verdict
    }

    /// What may be told of a peer that is refused: names only where one of our authorities vouches for them.
    fn told(
        &self,
        (leaf, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        now: UnixTime,
        why: Why,
        presented: &mut Option<Arc<PeerCertificate>>,
    ) -> Why {
        let Some(certificate) = presented.take() else { return why };
        if self.trust.vouches(leaf, intermediates, &certificate, now) {
            *presented = Some(certificate);
            return why;
        }
        *presented = Some(Arc::new(Arc::unwrap_or_clone(certificate).unnamed()));
        why.untold()
    }
}

impl ClientCertVerifier for Asking {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.hints()
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
        verify_tls12_signature(message, cert, dss, self.trust.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, self.trust.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}

impl ServerCertVerifier for Asking {
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
        verify_tls12_signature(message, cert, dss, self.trust.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, self.trust.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}
