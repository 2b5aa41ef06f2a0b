//! Our own answers: a status and a few words that tell nothing about our inside.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::Answer;
use super::host::{ConnectError, Host, Rejection};
use crate::outcome::Ending;

/// What is carried at all, for those who ask with something else.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// For who asks a forward proxy as if it were the server.
const NOT_FOR_PROXY: &str =
    "this is a forward proxy: set http_proxy to it, and ask for http://HOST/PATH\n";

/// Names a request of which the trail knows more.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Why an exchange that was admitted has no answer of its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection to an upstream.
    NotConnected(ConnectError),
    /// The upstream broke off, or broke HTTP, before the head of its answer was complete.
    Broken,
    /// No answer within `response_timeout`.
    Late,
    /// The request's body stood still for `idle_timeout`.
    Stalled,
    /// The request's body breaks HTTP.
    Malformed,
}

impl Failure {
    fn status(self) -> StatusCode {
        match self {
            Self::NotConnected(ConnectError::Unreachable | ConnectError::Refused)
            | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::NotConnected(
                ConnectError::NoneHealthy | ConnectError::Exhausted | ConnectError::NotAudited,
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotConnected(ConnectError::Timeout) | Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotConnected(ConnectError::Unreachable | ConnectError::Refused) => {
                "upstream cannot be reached\n"
            }
            Self::NotConnected(ConnectError::NoneHealthy | ConnectError::Exhausted) => {
                "upstream is not available\n"
            }
            Self::NotConnected(ConnectError::NotAudited) => "not available\n",
            Self::NotConnected(ConnectError::Timeout) | Self::Late => "upstream did not answer\n",
            Self::Broken => "upstream broke off\n",
            Self::Stalled => "request body stood still\n",
            Self::Malformed => "malformed request\n",
        }
    }

    /// How the record says it.
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::NotConnected(ConnectError::Timeout) => Ending::UpstreamTimeout,
            Self::NotConnected(ConnectError::NotAudited) => Ending::Denied,
            Self::NotConnected(
                ConnectError::Unreachable
                | ConnectError::Refused
                | ConnectError::NoneHealthy
                | ConnectError::Exhausted,
            ) => Ending::UpstreamUnreachable,
            Self::Broken => Ending::UpstreamLost,
            Self::Late => Ending::UpstreamTimeout,
            Self::Stalled => Ending::Idle,
            Self::Malformed => Ending::ProtocolError,
        }
    }
}

/// The answer to a request that was admitted and came to nothing.
pub(super) fn failed<H: Host>(failure: Failure) -> Response<Answer<H>> {
    plain(failure.status(), failure.text())
}

/// The answer to a request that was not let through. `may_close`: the downstream speaks HTTP/1, and
/// what follows a malformed request there is not to be trusted either.
pub(super) fn rejected<H: Host>(
    rejection: &Rejection<H::Denial>,
    may_close: bool,
) -> Response<Answer<H>> {
    match rejection {
        Rejection::Denied(_) => plain(StatusCode::FORBIDDEN, "not allowed\n"),
        Rejection::NotAudited => plain(StatusCode::SERVICE_UNAVAILABLE, "not available\n"),
        Rejection::Malformed(malformed) => {
            let status = malformed.status();
            let mut response = match status {
                StatusCode::METHOD_NOT_ALLOWED => plain(status, "method not allowed\n"),
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => plain(status, "head too large\n"),
                StatusCode::MISDIRECTED_REQUEST => plain(status, NOT_FOR_PROXY),
                _ => plain(status, "malformed request\n"),
            };
            if status == StatusCode::METHOD_NOT_ALLOWED {
                response.headers_mut().insert(ALLOW, METHODS);
            }
            if may_close {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// The answer to a request too many.
pub(super) fn limited<H: Host>(retry_after: Duration) -> Response<Answer<H>> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
    response
}

/// An answer of ours, so that whoever got it can ask for the reason by its name, and read it: a gRPC client
/// reads no status but gRPC's own, and no body.
pub(super) fn addressed<H: Host>(
    mut response: Response<Answer<H>>,
    id: Option<HeaderValue>,
    is_grpc: bool,
) -> Response<Answer<H>> {
    if is_grpc {
        let status = grpc_status(response.status());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        *response.status_mut() = StatusCode::OK;
        *response.body_mut() = Answer::Fixed(None);
    }
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether a request is one of gRPC (not gRPC-Web, which is HTTP as all other).
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The code that stands for a status of HTTP (gRPC, "HTTP to gRPC Status Code Mapping").
fn grpc_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "12",
        // The peer's limit, not ours: it is not to be tried again at once.
        StatusCode::TOO_MANY_REQUESTS => "8",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "14"
        }
        status if status.is_client_error() => "13",
        _ => "2",
    }
}

/// A status and nothing else.
pub(super) fn bare<H: Host>(status: StatusCode) -> Response<Answer<H>> {
    let mut response = Response::new(Answer::Fixed(None));
    *response.status_mut() = status;
    response
}

fn plain<H: Host>(status: StatusCode, text: &'static str) -> Response<Answer<H>> {
    let mut response = Response::new(Answer::Fixed(Some(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type_and_grpc_web_is_not_grpc() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
