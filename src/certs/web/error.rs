//! What went wrong with a request, in words.

use std::error::Error;
use std::io;

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::{Limits, WebTrust};
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::report::Report;

/// Whom we ask.
pub(super) struct Server {
    pub(super) url: Uri,
    pub(super) limits: Limits,
}

impl Server {
    pub(super) fn new(url: &Uri) -> Self {
        Self { url: url.clone(), limits: Limits::ANSWER }
    }

    /// As a resolver takes it: an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        let host = self.url.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        self.url.port_u16().unwrap_or(usual)
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, EnrolError> {
        let name = ServerName::try_from(self.host().to_owned());
        name.map_err(|_invalid| self.unprepared("has no host that a certificate could name"))
    }

    /// The URL that `location` means here: whole, or an absolute path (RFC 9110, 10.2.2).
    pub(super) fn resolve(&self, location: &str) -> Option<Uri> {
        let next: Uri = location.parse().ok()?;
        if next.scheme().is_some() {
            return Some(next);
        }
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = next.path_and_query().cloned();
        Uri::from_parts(parts).ok().filter(|_| location.starts_with('/'))
    }

    fn error(&self, kind: EnrolFailure, what: impl Into<String>) -> EnrolError {
        EnrolError { at: self.url.to_string(), kind, what: what.into() }
    }

    pub(super) fn unprepared(&self, what: impl Into<String>) -> EnrolError {
        self.error(EnrolFailure::Unprepared, what)
    }

    pub(super) fn bad_answer(&self, what: String) -> EnrolError {
        self.error(EnrolFailure::BadAnswer, what)
    }

    pub(super) fn too_slow(&self, what: &str) -> EnrolError {
        let limit = humantime::format_duration(self.limits.time);
        self.error(EnrolFailure::Unreachable, format!("{what} within {limit}"))
    }

    pub(super) fn unreachable(&self, error: &io::Error) -> EnrolError {
        self.error(EnrolFailure::Unreachable, format!("cannot be connected to: {error}"))
    }

    /// Whatever broke the handshake off.
    pub(super) fn tls_failed(&self, error: &io::Error, trust: &WebTrust) -> EnrolError {
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                self.error(EnrolFailure::Untrusted, distrust(why, trust))
            }
            Some(tls) => self.tls(tls),
            None => {
                let what = format!("the connection broke off in the TLS handshake: {error}");
                self.error(EnrolFailure::Unreachable, what)
            }
        }
    }

    /// Whatever broke the connection off after the handshake.
    pub(super) fn broken(&self, error: &(dyn Error + 'static)) -> EnrolError {
        if let Some(tls) = tls_error(error) {
            return self.tls(tls);
        }
        let parse = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        if parse {
            let what = format!("does not answer in HTTP/1.1 ({error}): is the port right?");
            return self.bad_answer(what);
        }
        let what = format!("the connection broke off before the answer: {}", Report(error));
        self.error(EnrolFailure::Unreachable, what)
    }

    fn tls(&self, error: &rustls::Error) -> EnrolError {
        match error {
            rustls::Error::AlertReceived(alert) => self.alert(*alert),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                self.bad_answer("does not speak TLS: is the port right?".to_owned())
            }
            other => self.bad_answer(format!("the TLS handshake came to nothing: {other}")),
        }
    }

    /// In TLS 1.3 the server judges our certificate after our side of the handshake is done.
    fn alert(&self, alert: AlertDescription) -> EnrolError {
        match alert {
            AlertDescription::CertificateRequired => self.error(
                EnrolFailure::Refused,
                "lets in only clients with a certificate, and we have none that it takes",
            ),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => {
                self.error(EnrolFailure::Refused, format!("refuses our certificate ({alert:?})"))
            }
            other => self.error(
                EnrolFailure::Unreachable,
                format!("broke TLS off with the alert {other:?}"),
            ),
        }
    }
}

fn distrust(why: &CertificateError, trust: &WebTrust) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            format!("its certificate does not come from {}", trust.told())
        }
        // The type's own text wraps ours in Debug.
        CertificateError::Other(other) => other.0.to_string(),
        other => format!("its certificate cannot be trusted: {other}"),
    }
}

/// rustls's error, however deep it is wrapped. An `io::Error` hides what it holds from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}
