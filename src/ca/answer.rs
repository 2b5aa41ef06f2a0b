//! What the enrolment server says.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::certs::est::pkcs7;

/// An answer with its whole body.
pub(super) type Answer = Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// RFC 7030, 4.1.3 and 4.2.3.
const CERTIFICATES: HeaderValue =
    HeaderValue::from_static("application/pkcs7-mime; smime-type=certs-only");
/// RFC 2585, 4.2.
const LIST: HeaderValue = HeaderValue::from_static("application/pkix-crl");
const LISTS: HeaderValue = HeaderValue::from_static("application/x-pem-file");
/// RFC 7030, 4.1.3 asks for it; to RFC 8951 it does not matter.
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// Text for whoever reads the other side's log.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with(status, TEXT, text.into())
}

/// Certificates as EST carries them.
pub(super) fn certificates(certificates: &[CertificateDer<'_>]) -> Answer {
    let mut answer = with(StatusCode::OK, CERTIFICATES, pkcs7::encode(certificates).into());
    answer.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    answer
}

/// A revocation list.
pub(super) fn list(list: &CertificateRevocationListDer<'_>) -> Answer {
    with(StatusCode::OK, LIST, Bytes::copy_from_slice(list))
}

/// All revocation lists, in PEM (RFC 7468, 7).
pub(super) fn lists(pem: String) -> Answer {
    with(StatusCode::OK, LISTS, pem.into())
}

/// Nothing to say (RFC 7030, 4.5.2: no attributes are asked for).
pub(super) fn nothing() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Who are you? (RFC 7617)
pub(super) fn unauthorized(why: &'static str) -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, why);
    let realm = HeaderValue::from_static("Basic realm=\"est\", charset=\"UTF-8\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, realm);
    answer
}

/// Another method than `allowed`.
pub(super) fn method(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{allowed} only\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Later, after so many seconds.
pub(super) fn later(status: StatusCode, seconds: u16, why: &'static str) -> Answer {
    let mut answer = text(status, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn with(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
