//! Headers on their way through: what belongs to one connection ends with it, what tells the workload
//! who is asking is set by us alone, and each HTTP version gets its own form of the rest.
//!
//! Inbound, headers that make a workload answer another request than the one that was judged are always
//! removed (`x-http-method-override`, `x-original-url` and their like), and so are the identity headers
//! of other proxies (`forwarded`, `x-real-ip`, `ssl-client-*` ...): the lists are in `names`. No header
//! helps against a workload that takes its method from a query parameter or a form field.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, Entry, HOST, HeaderName, MAX_FORWARDS, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request, response};

use super::host::{Facing, Spoken};
use super::names;

/// Who the peer is, in Envoy's format.
pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Headers that end with their connection (RFC 9110, 7.6.1), beside those that `connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    CONNECTION,
];

/// How a request's body is delimited, as far as its head does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// There is none.
    None,
    /// There is one, of a length that the head gives or that nobody knows.
    Open,
}

/// Makes the head of a request ready for its upstream. `upgrade`: the upgrade it asks for goes on.
pub(super) fn to_upstream(
    parts: &mut request::Parts,
    upstream: Spoken,
    facing: &Facing,
    length: Length,
    upgrade: bool,
) {
    let wants_trailers = has_token(&parts.headers, &TE, "trailers");
    let protocol = parts.headers.remove(UPGRADE).filter(|_| upgrade);
    strip_hop_by_hop(&mut parts.headers);
    set_forwarded(&mut parts.headers, facing);
    match upstream {
        Spoken::Http1 => {
            let connection = match (&protocol, wants_trailers) {
                (Some(_), true) => Some("upgrade, te"),
                (Some(_), false) => Some("upgrade"),
                (None, true) => Some("te"),
                (None, false) => None,
            };
            if let Some(tokens) = connection {
                parts.headers.insert(CONNECTION, HeaderValue::from_static(tokens));
            }
            if let Some(protocol) = protocol {
                parts.headers.insert(UPGRADE, protocol);
            }
            to_http1(parts, length);
        }
        Spoken::Http2 => to_http2(parts, facing),
    }
    if wants_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn to_http1(parts: &mut request::Parts, length: Length) {
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    // Without a host (HTTP/1.0) it cannot be a request of HTTP/1.1.
    let has_host = parts.headers.contains_key(HOST);
    parts.version = if has_host { Version::HTTP_11 } else { Version::HTTP_10 };
    let path = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    join_cookies(&mut parts.headers);
    if parts.headers.contains_key(CONTENT_LENGTH) {
        return;
    }
    let takes_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        // Said aloud, or hyper drops the body of a GET.
        Length::Open if has_host => {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Length::None if takes_body => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Length::None | Length::Open => {}
    }
}

fn to_http2(parts: &mut request::Parts, facing: &Facing) {
    let scheme = match facing {
        Facing::Inbound { .. } => Scheme::HTTP,
        Facing::Outbound | Facing::ForwardProxy => Scheme::HTTPS,
    };
    let host = parts.headers.remove(HOST);
    let authority = parts
        .uri
        .authority()
        .cloned()
        .or_else(|| Authority::try_from(host?.as_bytes()).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"));
    let path = parts.uri.path_and_query().cloned();
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
    parts.headers.remove(EXPECT);
    parts.version = Version::HTTP_2;
}

/// HTTP/2 may send cookies in crumbs; HTTP/1 has one line of them (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

fn set_forwarded(headers: &mut HeaderMap, facing: &Facing) {
    headers.remove(CLIENT_CERT);
    let Facing::Inbound { client_cert, client_ip, proto, speaks: _ } = facing else { return };
    names::remove_what_is_ours(headers);
    if let Some(certificate) = client_cert {
        headers.insert(CLIENT_CERT, certificate.clone());
    }
    headers.insert(FORWARDED_PROTO, proto.clone());
    let Some(ip) = client_ip else { return };
    let mut chain = Vec::new();
    for earlier in headers.get_all(&FORWARDED_FOR) {
        chain.extend_from_slice(earlier.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let value = if chain.is_empty() {
        ip.clone()
    } else {
        chain.extend_from_slice(ip.as_bytes());
        HeaderValue::from_bytes(&chain).unwrap_or_else(|_| ip.clone())
    };
    headers.insert(FORWARDED_FOR, value);
}

/// Makes the head of a response ready for the downstream. `upgraded`: it is the 101 of an upgrade.
pub(super) fn to_downstream(parts: &mut response::Parts, upgraded: bool) {
    let protocol = parts.headers.remove(UPGRADE).filter(|_| upgraded);
    // What is chunked has no other length; hyper would believe the header (RFC 9112, 6.3).
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(&mut parts.headers);
    if let Some(protocol) = protocol {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    say_length_once(&mut parts.headers);
    parts.version = Version::HTTP_11;
}

/// hyper has checked that repeated lengths agree; the downstream gets one of them.
fn say_length_once(headers: &mut HeaderMap) {
    let Entry::Occupied(mut entry) = headers.entry(CONTENT_LENGTH) else { return };
    let repeated = entry.iter().nth(1).is_some() || entry.get().as_bytes().contains(&b',');
    if !repeated {
        return;
    }
    let first = entry.get().to_str().ok().and_then(|text| text.split(',').next()).map(str::trim);
    match first.and_then(|length| HeaderValue::from_str(length).ok()) {
        Some(length) => drop(entry.insert(length)),
        None => drop(entry.remove()),
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Takes out of a trailer section what only a head may say (RFC 9110, 6.5.1).
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    const HEAD_ONLY: [HeaderName; 11] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TRAILER,
    ];
    strip_hop_by_hop(trailers);
    for name in HEAD_ONLY.iter().chain(&[FORWARDED_FOR, FORWARDED_PROTO]) {
        trailers.remove(name);
    }
    names::remove_what_is_ours(trailers);
    names::remove_imitations(trailers);
}

/// Whether `connection` may name this header: not one that policy, identity or framing rest on, nor
/// one that the workload needs to understand the request.
pub(super) fn may_be_named(token: &str) -> bool {
    const END_TO_END: [&str; 12] = [
        "host",
        "authorization",
        "cookie",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "expect",
        "soapaction",
        "forwarded",
        "traceparent",
        "tracestate",
    ];
    let token = token.to_ascii_lowercase();
    !END_TO_END.contains(&token.as_str()) && !token.starts_with("x-forwarded-")
}

/// Whether the list header `name` has `token`, without regard to case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of the list header `name`, without their parameters.
pub(super) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|member| member.split(';').next().unwrap_or(member).trim())
        .filter(|token| !token.is_empty())
}
