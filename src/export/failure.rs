//! What keeps records from their receiver, in words.

use std::io;
use std::time::Duration;

use crate::outcome::{Refusal, Undelivered};
use crate::tls::{self, HandshakeFailed};

/// Records did not get to their receiver. They stay in the trail, and are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Undelivered,
    /// For the operator: what happened, and the mend.
    pub(super) what: String,
    /// The receiver asks not to be tried again before.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    pub(super) fn new(reason: Undelivered, what: impl Into<String>) -> Self {
        Self { reason, what: what.into(), wait: None }
    }

    /// Something took longer than it may.
    pub(super) fn too_slow(what: &str, limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        Self::new(Undelivered::TooSlow, format!("{what} within {limit}"))
    }

    /// The handshake came to nothing.
    pub(super) fn handshake(failed: &HandshakeFailed) -> Self {
        let reason = match failed.refusal {
            Refusal::TooSlow => Undelivered::TooSlow,
            Refusal::Lost => Undelivered::Lost,
            Refusal::RefusedByPeer => Undelivered::Refused,
            Refusal::NotTls | Refusal::Protocol => Undelivered::BadAnswer,
            _ => Undelivered::Untrusted,
        };
        Self::new(reason, format!("the TLS handshake came to nothing: {}", failed.message))
    }

    /// The connection broke off.
    pub(super) fn broken(error: &io::Error) -> Self {
        // In TLS 1.3 the server judges our certificate after our side of the handshake is done.
        if let Some(alert) = tls::alert_of(error) {
            let what = format!("the receiver broke the connection off with the TLS alert {alert}");
            let what = match alert.as_str() {
                "CertificateRequired"
                | "BadCertificate"
                | "UnsupportedCertificate"
                | "CertificateRevoked"
                | "CertificateExpired"
                | "CertificateUnknown"
                | "UnknownCA"
                | "AccessDenied" => {
                    format!("{what}: it has to trust the authority of this sidecar's certificate")
                }
                _ => what,
            };
            return Self::new(Undelivered::Refused, what);
        }
        Self::new(Undelivered::Lost, format!("the connection broke off: {error}"))
    }

    /// Work of ours on another thread did not come to its end: a defect, unless the process ends.
    pub(super) fn defect() -> Self {
        let what = "this sidecar broke off its own work on it, which is a defect: what its log says before this is worth a report";
        Self::new(Undelivered::Unprepared, what)
    }

    /// The receiver ended the connection by itself.
    pub(super) fn ended() -> Self {
        Self::new(Undelivered::Lost, "the receiver ended the connection")
    }
}
