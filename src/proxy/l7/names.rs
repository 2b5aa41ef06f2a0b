//! Header names that a workload could take for others, and names that only we may use.
//!
//! CGI, WSGI, PHP and their like turn every character of a name that is no letter and no digit into
//! `_`: to them `x.forwarded.for` is `x-forwarded-for`. So names are compared folded, with every such
//! character as `-`. A name of letters alone (`host`, `authorization`, `soapaction`) has no double.

use http::HeaderMap;
use http::header::HeaderName;

/// Names that policy, identity or framing rest on and that no other name may fold into.
const MATTER: [&str; 9] = [
    "content-encoding",
    "content-length",
    "content-type",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "x-forwarded-*",
];

/// What nobody outside may tell a workload, in any spelling.
///
/// The first make a workload answer another request than the one that policy has judged: another method,
/// another host or another path (gunicorn believes `SCRIPT_NAME` of whoever connects from loopback, and takes
/// it off the path). The others say who asks, in the words of other proxies that terminate TLS:
/// a workload that was behind one of them would believe what any peer writes there.
const OURS_TO_SAY: [&str; 34] = [
    "path-info",
    "script-name",
    "x-envoy-original-path",
    "x-forwarded-context",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
    "x-override-url",
    "x-proxy-url",
    "x-script-name",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "client-cert*", // RFC 9440
    "forwarded",
    "ssl-client-*",
    "x-amzn-mtls-*",
    "x-arr-clientcert*",
    "x-client-cert*",
    "x-client-dn",
    "x-client-verify",
    "x-forwarded-client-cert*",
    "x-forwarded-host",
    "x-forwarded-tls-*",
    "x-real-ip",
    "x-ssl-*",
    "x-tls-client-*",
];

/// Whether a workload could take this name for one that matters, which it is not.
pub(super) fn is_imitation(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.bytes().map(folded).ne(name.bytes())
        && MATTER.iter().any(|pattern| folds_into(name, pattern))
}

/// Takes out what only we may tell a workload.
pub(super) fn remove_what_is_ours(headers: &mut HeaderMap) {
    remove(headers, |name| OURS_TO_SAY.iter().any(|pattern| folds_into(name.as_str(), pattern)));
}

/// Takes out what could be taken for a header that matters.
pub(super) fn remove_imitations(headers: &mut HeaderMap) {
    remove(headers, is_imitation);
}

fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    let unwanted: Vec<_> = headers.keys().filter(|name| is_unwanted(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Whether `name`, folded, is `pattern`, or begins with it where it ends in `*`.
fn folds_into(name: &str, pattern: &str) -> bool {
    let (pattern, is_fit) = match pattern.strip_suffix('*') {
        Some(prefix) => (prefix, name.len() >= prefix.len()),
        None => (pattern, name.len() == pattern.len()),
    };
    is_fit && pattern.bytes().eq(name.bytes().map(folded).take(pattern.len()))
}

/// Names come in lower case.
fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_name_that_only_folds_into_one_that_matters_is_an_imitation() {
        let imitations = [
            "content_length",
            "content.length",
            "Transfer_Encoding",
            "transfer!encoding",
            "x_forwarded_client_cert",
            "x.forwarded.client.cert",
            "x-forwarded-client.cert",
            "x~forwarded`for",
            "x_forwarded_whatever",
            "proxy_authorization",
            "content|type",
        ];
        for imitation in imitations {
            assert!(is_imitation(&name(imitation)), "{imitation}");
        }
        let others = [
            "content-length",
            "x-forwarded-client-cert",
            "x-forwarded-for",
            "x_patient",
            "x.request.id",
            "content-length2",
            "x_content_length",
            "soapaction",
            "soap_action",
        ];
        for other in others {
            assert!(!is_imitation(&name(other)), "{other}");
        }
    }

    #[test]
    fn what_is_ours_to_say_goes_in_every_spelling_and_nothing_else_does() {
        let ours = [
            "x-http-method-override",
            "X_HTTP_Method_Override",
            "x.http.method",
            "x-method-override",
            "X-Original-URL",
            "x_rewrite_url",
            "Forwarded",
            "X-Forwarded-Host",
            "X-Real-IP",
            "Client-Cert",
            "client_cert_chain",
            "SSL_CLIENT_S_DN",
            "ssl-client-verify",
            "X-SSL-Client-CN",
            "x-client-certificate",
            "x-amzn-mtls-clientcert-subject",
            "x-forwarded-client-cert",
            "x-forwarded-tls-client-cert-info",
            "x-arr-clientcert",
        ];
        let others = [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-port",
            "authorization",
            "x-request-id",
            "x-original-urls",
            "x-real-ip-country",
            "x-http-methods",
            "client-version",
        ];
        let mut headers = HeaderMap::new();
        for text in ours.iter().chain(&others) {
            headers.append(name(text), HeaderValue::from_static("a"));
            headers.append(name(text), HeaderValue::from_static("b"));
        }

        remove_what_is_ours(&mut headers);

        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        let mut expected = others;
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
