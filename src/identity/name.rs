//! Names that operators give, and DNS names that certificates carry.

use std::fmt;
use std::sync::Arc;

/// The name of a listener in the configuration. A metric label, so it comes from there only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerName(Arc<str>);

/// The name of an entry in `peers`. A metric label, so it comes from the configuration only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(Arc<str>);

impl ListenerName {
    /// Takes a name that the configuration has checked.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PeerName {
    /// Takes a name that the configuration has checked.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A DNS name as it stands in a certificate or a rule: lower-case, at most 253 bytes.
///
/// A leading `*.` stands for exactly one label, in certificates as in rules (RFC 6125, 6.4.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

/// A text that is no DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS name: labels of letters, digits, '-' and '_', joined by '.'")]
pub struct DnsNameError;

impl DnsName {
    /// Checks and keeps `name`, lower-cased.
    ///
    /// # Errors
    ///
    /// The text is not a DNS name.
    pub fn parse(name: &str) -> Result<Self, DnsNameError> {
        let labels = name.strip_prefix("*.").unwrap_or(name);
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !labels.split('.').all(fits) {
            return Err(DnsNameError);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The name as text, lower-case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_are_compared_without_case() {
        assert_eq!(DnsName::parse("LIS.Lab.Example"), DnsName::parse("lis.lab.example"));
    }

    #[test]
    fn what_is_no_dns_name_is_refused() {
        for wrong in ["", ".", "a..b", "-a", "a b", "a/b", "*", "a.*.b", "10.0.0.1:80", "é"] {
            assert!(DnsName::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
