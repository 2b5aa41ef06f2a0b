//! What a reload cannot change.

use crate::config::{AuditSettings, Config};

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
    let fixed = |config: &Config| {
        config.audit.clone().map(|audit| AuditSettings { export: Vec::new(), ..audit })
    };
    differ("audit", fixed(old) != fixed(new));
    differ("admin", old.admin != new.admin);
    differ("runtime.workers", old.workers != new.workers);
    keys
}
