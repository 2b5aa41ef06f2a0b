//! Texts to the parts of a route.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::{Method, StatusCode};

use crate::config::PathTemplate;
use crate::config::problem::Fault;
use crate::config::scalar::count;
use crate::identity::DnsName;
use crate::protocol;

/// A template of paths.
pub(super) fn path(text: &str) -> Result<PathTemplate, Fault> {
    PathTemplate::parse(text).map_err(|error| Fault::new("is not a path").hint(error.to_string()))
}

/// A method, in upper case.
pub(in crate::config::check) fn method(text: &str) -> Result<Method, Fault> {
    protocol::http::method(text)
        .map_err(|error| Fault::new("is not a method that rules see").quoting(error))
}

/// A host as requests name it, without its port: a DNS name, an IPv4 address, or IPv6 in brackets.
pub(super) fn host(text: &str) -> Result<Arc<str>, Fault> {
    let wrong = || {
        Fault::new("is not a host").hint("write fhir.hospital.example, 10.0.0.7, or [2001:db8::7]")
    };
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(inside) = inside {
        let address: Ipv6Addr = inside.parse().map_err(|_error| wrong())?;
        return Ok(format!("[{address}]").into());
    }
    match text.parse() {
        Ok(IpAddr::V6(address)) => return Err(wrong().quoting(format!("write \"[{address}]\""))),
        Ok(IpAddr::V4(address)) => return Ok(address.to_string().into()),
        Err(_no_address) => {}
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !name.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(
            Fault::new("has a port, and hosts are told without").quoting(format!("write {name}"))
        );
    }
    let name = DnsName::parse(text).map_err(|_error| wrong())?;
    if name.as_str().starts_with("*.") {
        return Err(
            Fault::new("has a wildcard, and hosts are told one by one").hint("list each host")
        );
    }
    Ok(name.as_str().into())
}

/// A status to answer with.
pub(super) fn status(text: &str) -> Result<StatusCode, Fault> {
    let number = count(100..=599)(text)?;
    let status = u16::try_from(number).ok().and_then(|number| StatusCode::from_u16(number).ok());
    status.filter(|status| status.is_success() || number >= 400).ok_or_else(|| {
        Fault::new("is not a status that ends a request").hint("write 200 to 299, or 400 to 599")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port_and_one_spelling() {
        let host = |text: &str| host(text).map(|host| host.to_string());

        assert_eq!(host("FHIR.hospital.example").unwrap(), "fhir.hospital.example");
        assert_eq!(host("[2001:DB8:0::7]").unwrap(), "[2001:db8::7]");
        assert_eq!(host("10.0.0.7").unwrap(), "10.0.0.7");
        for wrong in ["", "a:443", "2001:db8::7", "[10.0.0.7]", "*.example", "a b", "http://a"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_status_is_a_final_one() {
        for good in ["200", "204", "404", "503", "599"] {
            assert!(status(good).is_ok(), "{good}");
        }
        for wrong in ["100", "101", "301", "600", "2xx", ""] {
            assert!(status(wrong).is_err(), "{wrong}");
        }
    }
}
