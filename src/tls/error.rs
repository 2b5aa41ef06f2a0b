//! Why a handshake came to nothing: for the record in full, for the peer an alert and no more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use time::OffsetDateTime;

use crate::certs::NotFederated;
use crate::clock::rfc3339;
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
        let limit = humantime::format_duration(limit);
        let message = format!("the handshake was not finished within {limit}");
        Self { refusal: Refusal::TooSlow, message, presented: None }
    }

    pub(super) fn silent(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let message = format!("the peer said nothing within {limit}");
        Self { refusal: Refusal::TooSlow, message, presented: None }
    }

    pub(super) fn without_certificate(presented: Option<Arc<PeerCertificate>>) -> Self {
        let message = "the handshake ended without a verified certificate".to_owned();
        Self { refusal: Refusal::NoCertificate, message, presented }
    }

    /// tokio-rustls hides the TLS error inside an `io::Error`. It is taken out here and nowhere else.
    pub(super) fn from_io(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let (refusal, raw) = match tls {
            Some(tls) => (refusal_of_tls(tls), tls.to_string()),
            None => (Refusal::Lost, error.to_string()),
        };
        Self { refusal, message: told(refusal, &raw), presented: None }
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

    /// Nobody whom we know may vouch for the SPIFFE ID.
    pub(super) fn stranger(error: &NotFederated) -> Self {
        let refusal = Refusal::UnknownIssuer;
        let message = format!("nobody vouches for the certificate's SPIFFE ID: {error}");
        Self { refusal, message, alert: CertificateError::UnknownIssuer }
    }

    pub(super) fn too_long(count: usize) -> Self {
        let refusal = Refusal::BadCertificate;
        let message = format!(
            "{count} certificates stand behind the leaf; so many are not looked at: send the leaf and \
             its intermediates only"
        );
        Self { refusal, message, alert: CertificateError::BadEncoding }
    }

    pub(super) fn unfit(message: &str) -> Self {
        let message = format!("the certificate is unfit for this profile: {message}");
        Self { refusal: Refusal::UnfitLeaf, message, alert: CertificateError::InvalidPurpose }
    }

    pub(super) fn unexpected(nearest: &str) -> Self {
        let refusal = Refusal::UnexpectedServer;
        let alert = CertificateError::ApplicationVerificationFailure;
        Self { refusal, message: told(refusal, nearest), alert }
    }

    /// The same without what the certificate says of its holder.
    ///
    /// One thing stays: the trust domain of which nobody is known ([`Self::stranger`]), beside the issuer that records
    /// have of every certificate. It names an organization, and is what an operator needs who is to federate with it.
    pub(super) fn untold(self) -> Self {
        let message = match self.refusal {
            Refusal::MalformedName => sentence(self.refusal),
            _ => &self.message,
        };
        let message = format!(
            "{message}; nobody in the trust bundle vouches for the certificate, so its names are not told"
        );
        Self { message, ..self }
    }

    pub(super) fn pinned_dates(refusal: Refusal, facts: &PeerCertificate) -> Self {
        let message = format!(
            "the pinned certificate is valid from {} to {}",
            rfc3339(facts.not_before),
            rfc3339(facts.not_after)
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
    Why { refusal, message: message_of(refusal, &error), alert }
}

/// webpki's finding in our words: its dates where it has some, else its name in parentheses.
fn message_of(refusal: Refusal, error: &webpki::Error) -> String {
    use webpki::Error;
    match error {
        Error::CertExpired { time, not_after } => format!(
            "the certificate, one of its chain or its authority expired at {}; it is {} now",
            moment(*not_after),
            moment(*time)
        ),
        Error::CertNotValidYet { time, not_before } => format!(
            "the certificate or one of its chain is not valid before {}; it is {} now",
            moment(*not_before),
            moment(*time)
        ),
        Error::CrlExpired { time, next_update } => format!(
            "the revocation list that covers the issuer was due for its next update at {}; it is {} now",
            moment(*next_update),
            moment(*time)
        ),
        Error::CaUsedAsEndEntity => {
            format!("a certificate authority's certificate stands as a leaf ({error:?})")
        }
        _ => told(refusal, &format!("{error:?}")),
    }
}

fn moment(at: UnixTime) -> String {
    let at = i64::try_from(at.as_secs()).ok().map(OffsetDateTime::from_unix_timestamp);
    match at {
        Some(Ok(at)) => rfc3339(at),
        Some(Err(_)) | None => "a time beyond the year 9999".to_owned(),
    }
}

/// A refusal in a sentence for the operator, and behind it what was said underneath.
fn told(refusal: Refusal, raw: &str) -> String {
    format!("{} ({raw})", sentence(refusal))
}

fn sentence(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoCertificate => "the peer presented no certificate",
        Refusal::UnknownIssuer => {
            "no chain from the certificate to the trust bundle; is its authority in the bundle, and \
             did the peer send its intermediates?"
        }
        Refusal::Expired => "the certificate, one of its chain or its authority has expired",
        Refusal::NotYetValid => "the certificate or one of its chain is not valid yet",
        Refusal::Revoked => "the certificate or one of its chain is on a revocation list",
        Refusal::RevocationUnknown => "no revocation list covers the certificate's issuer",
        Refusal::CrlExpired => "the revocation list that covers the issuer is past its next update",
        Refusal::WrongPurpose => {
            "the certificate's extended key usage does not name this side of TLS"
        }
        Refusal::UnfitLeaf => "the certificate is unfit for tls.profile",
        Refusal::SeveralSpiffeIds => "the certificate names a SPIFFE ID beside other URIs",
        Refusal::MalformedName => "the certificate has a name that breaks its standard",
        Refusal::BadCertificate => {
            "the certificate, one of its chain or a revocation list cannot be used"
        }
        Refusal::UnexpectedServer => "the server is none of those that `expect` names",
        Refusal::NotTls => "the peer spoke no TLS",
        Refusal::NoSharedVersion => "no TLS version in common",
        Refusal::NoSharedCipher => "no cipher suite or key exchange group in common",
        Refusal::NoSharedProtocol => "no application protocol (ALPN) in common",
        Refusal::RefusedByPeer => "the peer refused us with an alert",
        Refusal::TooSlow => "the handshake was not finished in time",
        Refusal::TooMany => "the source has too many unfinished handshakes",
        Refusal::Lost => "the connection was lost during the handshake",
        Refusal::Protocol => "the peer broke the rules of TLS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn from_io(error: rustls::Error) -> String {
        HandshakeFailed::from_io(&io::Error::other(error)).message
    }

    #[test]
    fn a_failed_handshake_is_told_in_a_sentence_with_the_words_from_below_behind_it() {
        assert_eq!(
            from_io(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
            "the peer spoke no TLS (received corrupt message of type InvalidContentType)"
        );
        assert_eq!(
            from_io(rustls::Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon)),
            "no cipher suite or key exchange group in common (peer is incompatible: \
             NoKxGroupsInCommon)"
        );
        assert_eq!(
            HandshakeFailed::from_io(&io::Error::other("reset")).message,
            "the connection was lost during the handshake (reset)"
        );
        assert_eq!(
            HandshakeFailed::too_slow(Duration::from_millis(1500)).message,
            "the handshake was not finished within 1s 500ms"
        );
    }

    #[test]
    fn dates_are_told_as_operators_write_them() {
        let expired =
            webpki::Error::CertExpired { time: at(1_000_086_400), not_after: at(1_000_000_000) };
        let early = webpki::Error::CertNotValidYet { time: at(0), not_before: at(86_400) };
        let list = webpki::Error::CrlExpired { time: at(86_400), next_update: at(0) };

        assert_eq!(
            refusal_of(expired).message,
            "the certificate, one of its chain or its authority expired at 2001-09-09T01:46:40Z; it \
             is 2001-09-10T01:46:40Z now"
        );
        assert!(
            refusal_of(early).message.contains("before 1970-01-02T00:00:00Z; it is 1970-01-01T")
        );
        assert!(refusal_of(list).message.contains("update at 1970-01-01T00:00:00Z; it is"));
    }

    #[test]
    fn a_finding_without_dates_has_its_name_behind_it() {
        assert_eq!(
            refusal_of(webpki::Error::CaUsedAsEndEntity).message,
            "a certificate authority's certificate stands as a leaf (CaUsedAsEndEntity)"
        );
        assert_eq!(
            refusal_of(webpki::Error::CertRevoked).message,
            "the certificate or one of its chain is on a revocation list (CertRevoked)"
        );
        assert!(refusal_of(webpki::Error::UnknownIssuer).message.ends_with("(UnknownIssuer)"));
    }

    #[test]
    fn every_refusal_has_a_sentence_of_its_own() {
        let sentences: std::collections::BTreeSet<_> =
            Refusal::ALL.into_iter().map(sentence).collect();

        assert_eq!(sentences.len(), Refusal::ALL.len());
    }
}
