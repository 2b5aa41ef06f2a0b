//! A SPIFFE trust domain.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest trust domain name (SPIFFE-ID standard, section 2.1).
const MAX_BYTES: usize = 255;

/// A trust domain name that has been checked against the SPIFFE-ID standard, section 2.1.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// Why a text is not a trust domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustDomainError {
    /// No text at all.
    #[error("a trust domain is not empty")]
    Empty,
    /// Longer than the standard allows.
    #[error("a trust domain has at most 255 bytes")]
    TooLong,
    /// A character outside of the standard's set.
    #[error("a trust domain has only a-z, 0-9, '.', '-' and '_', not {0:?}")]
    Character(char),
}

impl TrustDomain {
    /// Checks and keeps `name`.
    ///
    /// # Errors
    ///
    /// Names the rule of the SPIFFE-ID standard that `name` breaks.
    pub fn parse(name: &str) -> Result<Self, TrustDomainError> {
        if name.is_empty() {
            return Err(TrustDomainError::Empty);
        }
        if name.len() > MAX_BYTES {
            return Err(TrustDomainError::TooLong);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        match name.chars().find(|c| !allowed(*c)) {
            Some(wrong) => Err(TrustDomainError::Character(wrong)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Maps by trust domain can be asked by its text.
impl Borrow<str> for TrustDomain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
