//! A SPIFFE ID.

use std::fmt;
use std::sync::Arc;

use super::{TrustDomain, TrustDomainError};

/// The scheme, with what follows it.
const SCHEME: &str = "spiffe://";
/// Longest SPIFFE ID (SPIFFE-ID standard, section 2.3).
const MAX_BYTES: usize = 2048;

/// A SPIFFE ID that has been checked against the SPIFFE-ID standard, section 2.
///
/// Holding one is proof that it parsed; no other code checks the text again. Cloning copies a
/// pointer, so it may travel through the hot path freely.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(Arc<str>);

/// Why a text is not a SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Another scheme, or none.
    #[error("a SPIFFE ID begins with spiffe://")]
    Scheme,
    /// Longer than the standard allows.
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
    /// The part after the scheme is no trust domain.
    #[error("a SPIFFE ID names a trust domain after spiffe://")]
    TrustDomain(#[source] TrustDomainError),
    /// A path that ends in a slash or has two in a row.
    #[error("a SPIFFE ID's path has no empty segment")]
    EmptySegment,
    /// A path segment `.` or `..`.
    #[error("a SPIFFE ID's path has no '.' or '..' segment")]
    DotSegment,
    /// A character outside of the standard's set; percent-encoding, query and fragment included.
    #[error("a SPIFFE ID's path has only letters, digits, '.', '-' and '_', not {0:?}")]
    Character(char),
}

impl SpiffeId {
    /// Checks and keeps `uri`.
    ///
    /// # Errors
    ///
    /// Names the rule of the SPIFFE-ID standard that `uri` breaks.
    pub fn parse(uri: &str) -> Result<Self, SpiffeIdError> {
        if uri.len() > MAX_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = uri.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        TrustDomain::parse(domain).map_err(SpiffeIdError::TrustDomain)?;
        path.map_or(Ok(()), |path| path.split('/').try_for_each(check_segment))?;
        Ok(Self(uri.into()))
    }

    /// The ID of the workload `path` in `domain`.
    ///
    /// # Errors
    ///
    /// Names the rule of the SPIFFE-ID standard that `path` breaks.
    pub fn of(domain: &TrustDomain, path: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(&format!("{SCHEME}{domain}/{path}"))
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        let rest = self.0.get(SCHEME.len()..).unwrap_or_default();
        rest.split_once('/').map_or(rest, |(domain, _)| domain)
    }
}

fn check_segment(segment: &str) -> Result<(), SpiffeIdError> {
    match segment {
        "" => return Err(SpiffeIdError::EmptySegment),
        "." | ".." => return Err(SpiffeIdError::DotSegment),
        _ => {}
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    segment.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(SpiffeIdError::Character(c)))
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_of_a_trust_domain_is_an_id() {
        let id = SpiffeId::parse("spiffe://hospital.example/ns/ehr/sa/Billing_1").unwrap();

        assert_eq!(id.trust_domain(), "hospital.example");
        assert_eq!(id.to_string(), "spiffe://hospital.example/ns/ehr/sa/Billing_1");
    }

    #[test]
    fn a_trust_domain_alone_is_an_id() {
        assert_eq!(SpiffeId::parse("spiffe://td").unwrap().trust_domain(), "td");
    }

    #[test]
    fn every_broken_rule_has_a_name() {
        let error = |text: &str| SpiffeId::parse(text).unwrap_err();

        assert_eq!(error("http://td/a"), SpiffeIdError::Scheme);
        assert_eq!(error("SPIFFE://td/a"), SpiffeIdError::Scheme);
        assert_eq!(error("spiffe://"), SpiffeIdError::TrustDomain(TrustDomainError::Empty));
        assert_eq!(
            error("spiffe://td:8443/a"),
            SpiffeIdError::TrustDomain(TrustDomainError::Character(':'))
        );
        assert_eq!(
            error("spiffe://Hospital/a"),
            SpiffeIdError::TrustDomain(TrustDomainError::Character('H'))
        );
        assert_eq!(error("spiffe://td/"), SpiffeIdError::EmptySegment);
        assert_eq!(error("spiffe://td/a//b"), SpiffeIdError::EmptySegment);
        assert_eq!(error("spiffe://td/a/../b"), SpiffeIdError::DotSegment);
        assert_eq!(error("spiffe://td/a%2fb"), SpiffeIdError::Character('%'));
        assert_eq!(error("spiffe://td/a?b"), SpiffeIdError::Character('?'));
        assert_eq!(error(&format!("spiffe://td/{}", "a".repeat(2048))), SpiffeIdError::TooLong);
    }
}
