//! What was asked for on a connection, in a form that can be asked again while it goes on.
//!
//! A question may name a patient, in a path. It is kept in memory only: it has no `Debug`, and goes into no record.

use std::borrow::Cow;

use http::Method;
use time::OffsetDateTime;

use crate::authz::{Denied, Grant, ListenerPolicy, Permit, Requested};
use crate::protocol::soap::Unreadable;
use crate::protocol::{dicom, soap};
use crate::proxy::l7::Head;

/// Something that may go on for long.
pub(super) enum Question {
    /// An association.
    Association(Box<dicom::Request>),
    /// A request that became a tunnel.
    Request(Box<RequestQuestion>),
}

/// A request, as far as rules look at it.
pub(super) struct RequestQuestion {
    method: Method,
    host: Option<Box<str>>,
    path: Box<str>,
    claim: Result<Option<Box<str>>, Unreadable>,
}

impl Question {
    /// That of an association.
    pub(super) fn association(request: &dicom::Request) -> Self {
        Self::Association(Box::new(request.clone()))
    }

    /// That of a request.
    pub(super) fn request(head: &Head<'_>) -> Self {
        let claim = soap::claimed(head.headers);
        Self::Request(Box::new(RequestQuestion {
            method: head.method.clone(),
            host: head.host.map(|host| host_name(host).into()),
            path: head.path.into(),
            claim: claim.map(|claim| claim.map(|action| action.as_ref().into())),
        }))
    }

    /// What `policy` says of it at this moment, to the holder of `permit`.
    ///
    /// # Errors
    ///
    /// It would not be let through.
    pub(super) fn ask(
        &self,
        policy: &ListenerPolicy,
        permit: &Permit,
        at: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        match self {
            Self::Association(request) => policy.authorize_association(permit, request, at),
            Self::Request(request) => {
                let RequestQuestion { method, host, path, claim } = &**request;
                let claim = claim.as_ref().map(Option::as_deref).map_err(|why| *why);
                let claim = if policy.reads_soap() { claim } else { Ok(None) };
                let host = host.as_deref();
                let asked = Requested { method, host, path, soap_action: None };
                policy.authorize_claim(permit, &asked, claim, at)
            }
        }
    }

    /// What goes on, in words.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Association(_) => "the association",
            Self::Request(_) => "the request that the tunnel began with",
        }
    }
}

/// A host as rules name it: in lower case, without its port, without the dot of the root.
pub(super) fn host_name(authority: &str) -> Cow<'_, str> {
    let name = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand before its bracket.
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
