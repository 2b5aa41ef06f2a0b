//! Why a handshake came to nothing: for the record in full, for the peer an alert and no more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use crate::identity::{self, PeerCertificate};
use crate::outcome::Refusal;

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("TLS handshake refused ({}): {message}", refusal.label())]
pub struct HandshakeFailed {
    /// The reason.
    pub refusal: Refusal,
    /// What the check that failed has to say, for the operator.
    pub message: String,
    /// What the peer presented, unverified.
    pub presented: Option<Arc<PeerCertificate>>,
}

impl HandshakeFailed {
    pub(super) fn too_slow(limit: Duration) -> Self {
        let message = format!("not finished within {limit:?}");
        Self { refusal: Refusal::TooSlow, message, presented: None }
    }

    pub(super) fn without_certificate(presented: Option<Arc<PeerCertificate>>) -> Self {
        let message = "the handshake ended without a verified certificate".to_owned();
        Self { refusal: Refusal::NoCertificate, message, presented }
    }

    /// tokio-rustls hides the TLS error inside an `io::Error`. It is taken out here and nowhere else.
    pub(super) fn from_io(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let (refusal, message) = match tls {
            Some(tls) => (refusal_of_tls(tls), tls.to_string()),
            None => (Refusal::Lost, format!("connection lost: {error}")),
        };
        Self { refusal, message, presented: None }
    }
}

/// If `error`, met while bytes moved, is the peer's alert: in TLS 1.3 a server refuses a client after the
/// client's handshake has succeeded, so the refusal arrives with the first read.
pub fn alert_of(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}

fn refusal_of_tls(error: &rustls::Error) -> Refusal {
    use rustls::Error;
    match error {
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        Error::InvalidCertificate(_) => Refusal::BadCertificate,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Refusal::NotTls,
        Error::AlertReceived(AlertDescription::ProtocolVersion) => Refusal::NoSharedVersion,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Error::NoApplicationProtocol => Refusal::NoSharedProtocol,
        Error::AlertReceived(AlertDescription::HandshakeFailure) => Refusal::NoSharedCipher,
        Error::AlertReceived(_) => Refusal::RefusedByPeer,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            // Only clients older than TLS 1.2 do without it, and rustls looks for it before the version.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => Refusal::NoSharedVersion,
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => Refusal::NoSharedCipher,
        _ => Refusal::Protocol,
    }
}

/// What the verifier has against a certificate: for the record, and as an alert for the peer.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) refusal: Refusal,
    pub(super) message: String,
    pub(super) alert: CertificateError,
}

impl Why {
    pub(super) fn facts(error: &identity::CertificateError) -> Self {
        let refusal = error.refusal();
        let message = crate::report::Report(error).to_string();
        Self { refusal, message, alert: CertificateError::BadEncoding }
    }

    pub(super) fn nothing() -> Self {
        let message = "there is no certificate".to_owned();
        Self { refusal: Refusal::NoCertificate, message, alert: CertificateError::BadEncoding }
    }

    pub(super) fn unfit(message: &str) -> Self {
        let message = format!("the certificate is unfit for this profile: {message}");
        Self { refusal: Refusal::UnfitLeaf, message, alert: CertificateError::InvalidPurpose }
    }

    pub(super) fn unexpected(message: String) -> Self {
        let alert = CertificateError::ApplicationVerificationFailure;
        Self { refusal: Refusal::UnexpectedServer, message, alert }
    }

    pub(super) fn pinned_dates(refusal: Refusal, facts: &PeerCertificate) -> Self {
        let message = format!(
            "the pinned certificate is valid from {} to {}",
            facts.not_before, facts.not_after
        );
        let alert = match refusal {
            Refusal::NotYetValid => CertificateError::NotValidYet,
            _ => CertificateError::Expired,
        };
        Self { refusal, message, alert }
    }
}

/// What webpki's finding is to the record, and to the peer.
pub(super) fn refusal_of(error: webpki::Error) -> Why {
    use webpki::Error;
    let (refusal, alert) = match &error {
        Error::CertExpired { time, not_after } => (
            Refusal::Expired,
            CertificateError::ExpiredContext { time: *time, not_after: *not_after },
        ),
        Error::InvalidCertValidity => (Refusal::Expired, CertificateError::Expired),
        Error::CertNotValidYet { time, not_before } => (
            Refusal::NotYetValid,
            CertificateError::NotValidYetContext { time: *time, not_before: *not_before },
        ),
        Error::CertRevoked => (Refusal::Revoked, CertificateError::Revoked),
        Error::UnknownRevocationStatus => {
            (Refusal::RevocationUnknown, CertificateError::UnknownRevocationStatus)
        }
        Error::CrlExpired { .. } => (Refusal::CrlExpired, CertificateError::ExpiredRevocationList),
        // A re-keyed authority under its old name fails by signature, not by name: both are strangers.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            (Refusal::UnknownIssuer, CertificateError::UnknownIssuer)
        }
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            (Refusal::WrongPurpose, CertificateError::InvalidPurpose)
        }
        Error::CaUsedAsEndEntity => (Refusal::UnfitLeaf, CertificateError::InvalidPurpose),
        _ => (Refusal::BadCertificate, CertificateError::BadEncoding),
    };
    let message = match refusal {
        Refusal::UnknownIssuer => {
            "no chain from the certificate to the trust bundle; is its authority in the bundle, and \
             did the peer send its intermediates?"
                .to_owned()
        }
        _ => alert_text(&error, &alert),
    };
    Why { refusal, message, alert }
}

/// rustls' words where it has a context to speak of, webpki's name for the rest.
fn alert_text(error: &webpki::Error, alert: &CertificateError) -> String {
    match alert {
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus => alert.to_string(),
        _ => format!("{error:?}"),
    }
}
