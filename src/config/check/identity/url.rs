//! URLs of servers that issue certificates and revocation lists.

use std::net::IpAddr;

use http::Uri;

use crate::config::address::endpoint;
use crate::config::problem::Fault;
use crate::network::is_local;

/// The port that stands in for one that is not given, where only the host matters.
const ANY_PORT: u16 = 443;

/// An `http` or `https` URL: a host, no user name, no fragment.
/// Such a one may look `like` this.
pub(in crate::config::check) fn url(text: &str, like: &str) -> Result<Uri, Fault> {
    let wrong = || Fault::new("is not an http or https URL").hint(format!("write it like {like}"));
    let uri: Uri = text.parse().map_err(|_vague| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    if authority.as_str().contains('@') {
        return Err(Fault::new("has a user name in it, which others may read here")
            .hint("remove what stands before the `@`; secrets come from files"));
    }
    // `Uri` would drop it in silence.
    if text.contains('#') {
        return Err(Fault::new("has a fragment, which no server ever sees")
            .hint("remove the `#` and what follows it"));
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let whole = match port {
        "" => format!("{}:{ANY_PORT}", authority.host()),
        port => format!("{}{port}", authority.host()),
    };
    endpoint(&whole).map_err(|_as_endpoint| wrong())?;
    Ok(uri)
}

/// A URL below which a server answers: nothing follows its path.
pub(in crate::config::check) fn base(text: &str, like: &str) -> Result<Uri, Fault> {
    let uri = url(text.trim_end_matches('/'), like)?;
    if uri.query().is_some() {
        return Err(Fault::new("has a query, and requests go below its path")
            .hint("remove the `?` and what follows it"));
    }
    Ok(uri)
}

/// Whether it is `https`.
pub(in crate::config::check) fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Whether its path is empty.
pub(in crate::config::check) fn is_bare(uri: &Uri) -> bool {
    matches!(uri.path(), "" | "/")
}

/// Whether the host is a loopback address. A name is none: a resolver says where it leads.
pub(in crate::config::check) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_no_secret() {
        for good in [
            "https://ca.example",
            "http://127.0.0.1:8080/crl?name=1",
            "https://[2001:db8::7]:8443/x",
            "HTTPS://CA.example/",
        ] {
            assert!(url(good, "").is_ok(), "{good}");
        }
        for wrong in [
            "",
            "ca.example",
            "/crl",
            "ca.example:8443/crl",
            "https:///crl",
            "ldap://ca.example/crl",
            "https://user:pass@ca.example/",
            "https://ca.example:0/",
            "https://ca.example:70000/",
            "https://ca.example:/",
            "https://ca.300.1.1.1/",
            "https://ca.example/#part",
            "https://ca .example/",
        ] {
            assert!(url(wrong, "").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_base_loses_its_last_slash_and_has_no_query() {
        let base = |text| base(text, "").map(|uri| uri.to_string());

        assert_eq!(base("https://ca.example/est/").unwrap(), "https://ca.example/est");
        assert_eq!(base("https://ca.example/").unwrap(), "https://ca.example/");
        assert!(base("https://ca.example/est?label=1").is_err());
    }
}
