//! The host that a request names.

use std::borrow::Cow;

/// Why a text is no host as rules see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAHost {
    /// No request may name it.
    #[error("write a name or an address, like fhir.hospital.example, 10.0.0.7 or [2001:db8::7]")]
    Form,
    /// With a port, which rules do not look at.
    #[error("rules look at it without a port: write {0}")]
    Port(String),
}

/// The host of a request that names `text`, as rules see it.
///
/// # Errors
///
/// No request may name it, or it has a port.
pub fn asked_host(text: &str) -> Result<Cow<'_, str>, NotAHost> {
    if !is_host(text) {
        return Err(NotAHost::Form);
    }
    let without = without_port(text);
    if without.len() < text.len() {
        return Err(NotAHost::Port(without.to_owned()));
    }
    Ok(host_name(text))
}

/// A host as rules name it: in lower case, without its port, without the dot of the root.
pub fn host_name(authority: &str) -> Cow<'_, str> {
    let name = without_port(authority);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand before its bracket.
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => authority,
    }
}

/// A DNS name or address, with an optional port; no user information, no percent-encoding.
pub fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("", rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let is_bracketed = text.starts_with('[');
    let name_fits = is_bracketed
        || (!name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    let port_fits = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    name_fits && port.is_none_or(port_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for host in ["a", "a.b-c_d.example", "a:80", "10.0.0.1:8080", "[::1]", "[::1]:443"] {
            assert!(is_host(host), "{host}");
        }
        let wrong = [
            "", ":80", "a:", "a:x", "a:0", "a:65536", "a:+80", "a b", "u@a", "a/b", "a%41", "[::1",
            "[::1]x", "[::1]:", "[x]", "::1", "a,b", "é",
        ];
        for host in wrong {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn a_host_is_its_name_in_lower_case_and_nothing_else() {
        for (authority, name) in [
            ("fhir.example", "fhir.example"),
            ("FHIR.Example:8443", "fhir.example"),
            ("fhir.example.", "fhir.example"),
            ("fhir.example.:8443", "fhir.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:443", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("a..", "a."),
        ] {
            assert_eq!(host_name(authority), name, "{authority}");
        }
    }

    #[test]
    fn a_host_that_is_asked_for_is_one_that_a_request_may_name_without_its_port() {
        assert_eq!(asked_host("PDQ.example.").as_deref(), Ok("pdq.example"));
        assert_eq!(asked_host("[2001:DB8::1]").as_deref(), Ok("[2001:db8::1]"));
        assert_eq!(asked_host("a:443"), Err(NotAHost::Port("a".to_owned())));
        for wrong in ["", "a b", "[::1", "::1", "-_.:[]", "u@a", "http://a"] {
            assert_eq!(asked_host(wrong), Err(NotAHost::Form), "{wrong}");
        }
    }
}
