//! What a certificate may say.

use std::fmt;
use std::time::Duration;

use crate::identity::{DnsName, SpiffeId};

/// Whom a certificate names, and for how long: decided before anybody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its SPIFFE ID, in the authority's trust domain.
    pub spiffe: SpiffeId,
    /// Its DNS names; at most [`Self::MOST_NAMES`].
    pub dns: Vec<DnsName>,
    /// Its lifetime; cut to the issuing authority's own.
    pub ttl: Duration,
}

impl Grant {
    /// No certificate has more DNS names.
    pub const MOST_NAMES: usize = 100;
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.spiffe)?;
        self.dns.iter().try_for_each(|name| write!(f, ", DNS:{name}"))
    }
}
