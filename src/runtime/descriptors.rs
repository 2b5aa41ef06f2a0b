//! How many sockets and files this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// What is open besides connections: listeners, the trail, the runtime's own.
const OTHERS: u64 = 64;

/// Fewer descriptors than the listeners' limits ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{granted} open files are allowed and limits.connections ask for {wanted}; raise the limit \
     (LimitNOFILE= in systemd, ulimits in compose) or lower limits.connections"
)]
pub struct TooFew {
    /// How many may be open.
    pub granted: u64,
    /// How many would be, with every connection taken: each has two sockets.
    pub wanted: u64,
}

/// Raises the soft limit to the hard one, which no process needs a privilege for.
///
/// # Errors
///
/// What is granted is less than the listeners may need. They run all the same, and wait at the limit.
pub fn raise_limit(config: &Config) -> Result<(), TooFew> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    let inbound = config.inbound.iter().map(|listener| &listener.limits);
    let outbound = config.outbound.iter().map(|listener| &listener.limits);
    let connections: usize = inbound.chain(outbound).map(|limits| limits.connections).sum();
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2) + OTHERS;
    match getrlimit(Resource::Nofile).current {
        Some(granted) if granted < wanted => Err(TooFew { granted, wanted }),
        Some(_) | None => Ok(()),
    }
}
