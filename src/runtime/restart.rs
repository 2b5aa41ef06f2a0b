//! What a reload cannot change.

use std::time::Duration;

use crate::config::{AuditSettings, Config, Keeping};

/// The keys that differ and take effect only at a start.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut differ = |key, differs: bool| {
        if differs {
            keys.push(key);
        }
    };
    differ("service", old.service != new.service);
    differ("trust_domain", old.trust_domain != new.trust_domain);
    differ("identity", old.identity != new.identity);
    differ("audit", written(old) != written(new));
    differ("redirect.port", old.redirected_to() != new.redirected_to());
    differ("forward_proxy", old.forward_proxy != new.forward_proxy);
    let bounded = new.forward_proxy.is_some();
    differ("limits.connections", bounded && old.limits.connections != new.limits.connections);
    differ("admin", old.admin != new.admin);
    differ("runtime.workers", old.workers != new.workers);
    differ("runtime.sandbox", old.sandbox != new.sandbox);
    keys
}

/// How the trail is written; what becomes of what is written, and where it goes, may change at any time.
fn written(config: &Config) -> Option<AuditSettings> {
    let keeping = Keeping { compress: false, retention: Duration::ZERO, legal_hold: None };
    config.audit.clone().map(|audit| AuditSettings { keeping, export: Vec::new(), ..audit })
}
