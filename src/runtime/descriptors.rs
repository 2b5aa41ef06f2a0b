//! How many sockets and files this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// What is open besides connections: listeners, the trail, the runtime's own.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, which no process needs a privilege for, and warns if that is
/// less than the listeners' limits ask for: every proxied connection has two sockets.
pub fn raise_limit(config: &Config) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    let inbound = config.inbound.iter().map(|listener| &listener.limits);
    let outbound = config.outbound.iter().map(|listener| &listener.limits);
    let connections: usize = inbound.chain(outbound).map(|limits| limits.connections).sum();
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2) + OTHERS;
    if let Some(granted) = getrlimit(Resource::Nofile).current.filter(|granted| *granted < wanted) {
        tracing::warn!(
            granted,
            wanted,
            "fewer open files are allowed than limits.connections ask for; raise the limit (LimitNOFILE= in \
             systemd, ulimits in compose) or lower limits.connections"
        );
    }
}
