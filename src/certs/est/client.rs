//! What is said to an EST server, and what its answers mean (RFC 7030, 4; RFC 8951).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::pkcs7;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::web::{Answer, Call, Web, WebTrust};
use crate::clock;

/// Without a word about it, a request that waits for a decision is made again after this.
const USUAL_WAIT: Duration = Duration::from_secs(60);
/// No server makes us wait longer before we ask again.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// With what we prove that a certificate may be ours.
#[derive(Clone)]
pub(super) enum Proof {
    /// A token: HTTP Basic (RFC 7617).
    Token(Arc<Token>),
    /// The certificate that is to be replaced.
    Certificate(Arc<CertifiedKey>),
}

/// User name and token. No `Debug`.
pub(super) struct Token {
    pub(super) username: String,
    pub(super) secret: Zeroizing<String>,
}

/// What came of a request for a certificate.
pub(super) enum Reply {
    /// The certificate and what the server sent along.
    Issued(Vec<CertificateDer<'static>>),
    /// Somebody has to decide; the same request is to be made again after this.
    Later(Duration),
}

/// An EST server.
pub(super) struct Client {
    url: Uri,
    trust: WebTrust,
}

impl Client {
    pub(super) fn new(url: &Uri, trust: WebTrust) -> Self {
        Self { url: url.clone(), trust }
    }

    /// `/cacerts`: the certificates of the authorities (RFC 7030, 4.1).
    pub(super) async fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
        let path = "/cacerts";
        let web = Web::new(self.url.clone(), self.trust.clone(), None)?;
        let answer = web.send(Call::get(path)).await?;
        if answer.status == StatusCode::OK {
            return certificates(&web, path, &answer);
        }
        Err(refused(&web, path, answer.status, None))
    }

    /// `/simpleenroll` with a token, `/simplereenroll` with a certificate (RFC 7030, 4.2).
    pub(super) async fn enrol(&self, proof: &Proof, request: &[u8]) -> Result<Reply, EnrolError> {
        let (path, client) = match proof {
            Proof::Token(_) => ("/simpleenroll", None),
            Proof::Certificate(pair) => ("/simplereenroll", Some(Arc::clone(pair))),
        };
        let web = Web::new(self.url.clone(), self.trust.clone(), client)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pkcs10"));
        // Means nothing in HTTP (RFC 8951, 3), and servers of before that ask for it.
        let encoding = HeaderName::from_static("content-transfer-encoding");
        headers.insert(encoding, HeaderValue::from_static("base64"));
        if let Proof::Token(token) = proof {
            headers.insert(AUTHORIZATION, token.header(&web, path)?);
        }
        let body = Bytes::from(STANDARD.encode(request));
        let answer = web.send(Call { method: Method::POST, path, headers, body }).await?;
        match answer.status {
            StatusCode::OK => certificates(&web, path, &answer).map(Reply::Issued),
            StatusCode::ACCEPTED => Ok(Reply::Later(wait(&answer.headers))),
            status => Err(refused(&web, path, status, Some(proof))),
        }
    }
}

impl Token {
    fn header(&self, web: &Web, path: &str) -> Result<HeaderValue, EnrolError> {
        let pair = Zeroizing::new(format!("{}:{}", self.username, self.secret.as_str()));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|_invalid| {
            web.error(path, EnrolFailure::Unprepared, "the token cannot stand in a header")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn certificates(
    web: &Web,
    path: &str,
    answer: &Answer,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    pkcs7::decode(&answer.body).map_err(|error| {
        let what = format!("its answer {error}: is this the URL of an EST server?");
        web.error(path, EnrolFailure::BadAnswer, what)
    })
}

/// What a status means that is no success (RFC 7030, 4.2.3).
fn refused(web: &Web, path: &str, status: StatusCode, proof: Option<&Proof>) -> EnrolError {
    let error = |kind, what: &str| web.error(path, kind, format!("answers {status}: {what}"));
    match (status.as_u16(), proof) {
        (401 | 403, Some(Proof::Token(_))) => error(
            EnrolFailure::Refused,
            "the token or user name is refused; a token may be wrong, used up, expired or another \
             service's: have a new one made (`myelin ca token`, or by whoever runs the authority) and put it \
             into token_file",
        ),
        (401 | 403, Some(Proof::Certificate(_))) => error(
            EnrolFailure::Refused,
            "our current certificate may not be renewed; it may be expired, revoked or unknown there: put a \
             new token (`myelin ca token`, or from whoever runs the authority) into token_file",
        ),
        (401 | 403, None) => error(
            EnrolFailure::Refused,
            "it does not even show its authorities' certificates to us",
        ),
        (400 | 422, _) => error(
            EnrolFailure::Refused,
            "the request is not to its liking: its policy may forbid our names or this kind of key \
             (key_types); its log knows",
        ),
        (404 | 405 | 410 | 501, _) => error(
            EnrolFailure::BadAnswer,
            "there is no such EST operation: url has to be https://HOST/.well-known/est, with the label \
             after it if the server has several authorities",
        ),
        (408 | 425 | 429 | 500..=599, _) => {
            error(EnrolFailure::Unreachable, "it is in trouble and will be asked again")
        }
        _ => error(EnrolFailure::BadAnswer, "which means nothing in EST"),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn wait(headers: &HeaderMap) -> Duration {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let date = |text: &str| {
        let left = time::OffsetDateTime::from(httpdate::parse_http_date(text).ok()?) - clock::now();
        Some(Duration::try_from(left).unwrap_or_default())
    };
    let wait = text.and_then(|text| seconds(text).or_else(|| date(text)));
    wait.unwrap_or(USUAL_WAIT).clamp(Duration::from_secs(1), LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str) -> Duration {
        wait(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]))
    }

    #[test]
    fn a_wait_is_taken_in_seconds_or_to_a_date_and_never_too_long_or_none() {
        let date = clock::now() + Duration::from_secs(120);
        let date = after(&httpdate::fmt_http_date(date.into()));

        assert_eq!(after("30"), Duration::from_secs(30));
        assert!((110..=120).contains(&date.as_secs()), "{date:?}");
        assert_eq!(after("0"), Duration::from_secs(1));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Duration::from_secs(1));
        assert_eq!(after("999999999999"), LONGEST_WAIT);
        for nonsense in ["soon", "-5", "99999999999999999999999999"] {
            assert_eq!(after(nonsense), USUAL_WAIT);
        }
        assert_eq!(wait(&HeaderMap::new()), USUAL_WAIT);
    }
}
