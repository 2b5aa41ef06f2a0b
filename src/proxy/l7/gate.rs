//! The strict gate before policy: one reading of a request, or none.
//!
//! hyper has parsed the head, and for HTTP/1 the watcher has approved its framing. What is left are
//! requests that are well-formed and yet mean different things to different servers.

use std::borrow::Cow;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::host::Facing;
use super::malformed::Malformed;
use super::{framing, headers, names};
use crate::protocol::http::{decode, is_carried, is_host};

/// What the gate has found out about a request that it let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// The decoded path, where it differs from the one that came in.
    decoded: Option<Box<str>>,
}

impl Checked {
    /// The path as policy sees it. `uri`: the one that was checked.
    pub(super) fn path<'a>(&'a self, uri: &'a Uri) -> &'a str {
        self.decoded.as_deref().unwrap_or_else(|| uri.path())
    }
}

/// Lets a request through that every server reads in the same way.
///
/// # Errors
///
/// Names the ambiguity.
pub(super) fn check(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<Checked, Malformed> {
    if !is_carried(method) {
        return Err(Malformed::Method);
    }
    check_host(uri, version, headers)?;
    check_headers(headers)?;
    if uri.path() == "*" {
        let is_for_server = *method == Method::OPTIONS;
        return is_for_server.then_some(Checked { decoded: None }).ok_or(Malformed::Target);
    }
    let decoded = match decode(uri.path())? {
        Cow::Borrowed(_) => None,
        Cow::Owned(decoded) => Some(decoded.into()),
    };
    Ok(Checked { decoded })
}

/// A proxy is asked for an absolute URI (RFC 9112, 3.2.2), and only for one in plaintext: TLS it makes itself. Any other request
/// comes from somebody who does not know that this is one.
///
/// # Errors
///
/// The form is another.
pub(super) fn check_form(facing: &Facing, uri: &Uri) -> Result<(), Malformed> {
    match facing {
        Facing::ForwardProxy if uri.scheme().is_none() => Err(Malformed::NotForProxy),
        Facing::ForwardProxy if uri.scheme_str() != Some("http") => Err(Malformed::Target),
        Facing::ForwardProxy | Facing::Inbound { .. } | Facing::Outbound => Ok(()),
    }
}

/// Host and port as a request names them.
pub(super) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

fn check_host(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::HostRepeated);
    }
    let header = match header {
        Some(value) => Some(value.to_str().map_err(|_not_ascii| Malformed::HostInvalid)?),
        None => None,
    };
    if header.is_some_and(|host| !is_host(host)) {
        return Err(Malformed::HostInvalid);
    }
    let Some(authority) = uri.authority().map(http::uri::Authority::as_str) else {
        let is_needed = version != Version::HTTP_10;
        return if header.is_none() && is_needed { Err(Malformed::HostMissing) } else { Ok(()) };
    };
    let has_web_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    if !has_web_scheme {
        return Err(Malformed::Target);
    }
    if !is_host(authority) {
        return Err(Malformed::HostInvalid);
    }
    match header {
        Some(host) if !host.eq_ignore_ascii_case(authority) => Err(Malformed::HostMismatch),
        // HTTP/1.1 has `host` in any case; HTTP/2 has one of the two (RFC 9113, 8.3.1).
        None if version == Version::HTTP_11 => Err(Malformed::HostMissing),
        Some(_) | None => Ok(()),
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Malformed> {
    check_length(headers)?;
    let is_ascii = |value: &HeaderValue| value.to_str().is_ok();
    if !headers.get_all(CONNECTION).iter().all(is_ascii)
        || !headers.get_all(UPGRADE).iter().all(is_ascii)
        || !headers::tokens(headers, &CONNECTION).all(headers::may_be_named)
    {
        return Err(Malformed::ConnectionHeader);
    }
    if headers.keys().any(names::is_imitation) {
        return Err(Malformed::ConfusableHeader);
    }
    Ok(())
}

/// One length at most, in the one form that all servers read alike. HTTP/2 lets more pass.
fn check_length(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if framing::content_length(one.as_bytes()).is_some() => Ok(()),
        (Some(_), _) => Err(Malformed::ContentLength),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request};

    use super::*;

    fn check_parts(parts: &request::Parts) -> Result<Checked, Malformed> {
        check(&parts.method, &parts.uri, parts.version, &parts.headers)
    }

    fn checked(version: Version, uri: &str, headers: &[(&str, &str)]) -> Result<String, Malformed> {
        let mut request = Request::get(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check_parts(&parts).map(|checked| checked.path(&parts.uri).to_owned())
    }

    #[test]
    fn a_request_names_its_host_once_and_without_contradiction() {
        let http11 = |uri, headers| checked(Version::HTTP_11, uri, headers);

        assert_eq!(http11("/a", &[("host", "h")]), Ok("/a".into()));
        assert_eq!(http11("http://h/a", &[("host", "H")]), Ok("/a".into()));
        assert_eq!(http11("/a", &[]), Err(Malformed::HostMissing));
        assert_eq!(http11("http://h/a", &[]), Err(Malformed::HostMissing));
        assert_eq!(http11("/a", &[("host", "h"), ("host", "h")]), Err(Malformed::HostRepeated));
        assert_eq!(http11("http://h/a", &[("host", "i")]), Err(Malformed::HostMismatch));
        assert_eq!(http11("http://u@h/a", &[("host", "u@h")]), Err(Malformed::HostInvalid));
        assert_eq!(http11("ftp://h/a", &[("host", "h")]), Err(Malformed::Target));
        assert_eq!(http11("h:80", &[("host", "h:80")]), Err(Malformed::Target));
        assert_eq!(checked(Version::HTTP_10, "/a", &[]), Ok("/a".into()));
        assert_eq!(checked(Version::HTTP_2, "https://h/a", &[]), Ok("/a".into()));
        let mismatch = checked(Version::HTTP_2, "https://h/a", &[("host", "i")]);
        assert_eq!(mismatch, Err(Malformed::HostMismatch));
    }

    #[test]
    fn a_forward_proxy_is_asked_for_a_whole_uri_in_plaintext() {
        let form = |uri: &'static str| check_form(&Facing::ForwardProxy, &Uri::from_static(uri));

        assert_eq!(form("http://lis.lab.example:8080/x"), Ok(()));
        assert_eq!(form("/x"), Err(Malformed::NotForProxy));
        assert_eq!(form("*"), Err(Malformed::NotForProxy));
        assert_eq!(form("https://lis.lab.example/x"), Err(Malformed::Target));
        assert_eq!(check_form(&Facing::Outbound, &Uri::from_static("/x")), Ok(()));
    }

    #[test]
    fn connection_may_not_strip_what_policy_rests_on() {
        let named = |value| checked(Version::HTTP_11, "/", &[("host", "h"), ("connection", value)]);

        assert!(named("keep-alive, Upgrade, x-trace").is_ok());
        for value in ["Authorization", "close, host", "X-Forwarded-For", "content-length"] {
            assert_eq!(named(value), Err(Malformed::ConnectionHeader), "{value}");
        }
    }

    #[test]
    fn a_name_may_not_imitate_a_header_that_matters() {
        let with = |name| checked(Version::HTTP_11, "/", &[("host", "h"), (name, "1")]);

        assert!(with("x_patient").is_ok());
        for name in ["content_length", "x.forwarded.client.cert", "X-Forwarded_Client-Cert"] {
            assert_eq!(with(name), Err(Malformed::ConfusableHeader), "{name}");
        }
    }

    #[test]
    fn a_length_is_one_decimal_number_in_its_only_form() {
        let with = |lengths: &[&str]| {
            let mut headers = vec![("host", "h")];
            headers.extend(lengths.iter().map(|length| ("content-length", *length)));
            checked(Version::HTTP_2, "https://h/", &headers)
        };

        for length in ["0", "5", "10", "18446744073709551615"] {
            assert!(with(&[length]).is_ok(), "{length}");
        }
        for length in ["", "00", "005", "+5", "-5", "5 ", "5,5", "0x5", "a", "18446744073709551616"]
        {
            assert_eq!(with(&[length]), Err(Malformed::ContentLength), "{length:?}");
        }
        assert_eq!(with(&["5", "005"]), Err(Malformed::ContentLength));
        assert_eq!(with(&["5", "5"]), Err(Malformed::ContentLength));
        assert_eq!(with(&["5", ""]), Err(Malformed::ContentLength));
    }

    #[test]
    fn connection_and_upgrade_are_ascii() {
        for name in ["connection", "upgrade"] {
            let request = Request::get("/").header("host", "h");
            let value = HeaderValue::from_bytes(b"close, \xe9").unwrap();
            let (parts, ()) = request.header(name, value).body(()).unwrap().into_parts();
            assert_eq!(check_parts(&parts), Err(Malformed::ConnectionHeader), "{name}");
        }
    }

    #[test]
    fn methods_that_open_or_echo_are_not_carried() {
        for method in [Method::CONNECT, Method::TRACE] {
            let request = Request::builder().method(method).uri("h:80").header("host", "h:80");
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(check_parts(&parts), Err(Malformed::Method));
        }
    }

    #[test]
    fn the_server_as_a_whole_is_for_options_only() {
        let request = |method: Method| {
            let request = Request::builder().method(method).uri("*").header("host", "h");
            check_parts(&request.body(()).unwrap().into_parts().0)
        };

        assert!(request(Method::OPTIONS).is_ok());
        assert_eq!(request(Method::GET), Err(Malformed::Target));
    }
}
