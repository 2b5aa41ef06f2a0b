//! `rule`: what decided, and where it is written.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::audit::record::Rule;
use crate::config::Config;

/// From where a trail's records come.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The service beside which it is kept.
    pub service: Arc<str>,
    /// The configuration file, as it was named.
    pub config: Arc<str>,
    /// Of which both are.
    pub trust_domain: Arc<str>,
}

impl Origin {
    /// Of the service that `config` is for.
    pub fn of(config: &Config) -> Self {
        let path = config.path.to_string_lossy();
        Self::new(config.trust_domain.as_str(), &config.service, &path)
    }

    /// Of `service` of a trust domain, whose rules are in the file `config`.
    pub fn new(trust_domain: &str, service: &str, config: &str) -> Self {
        Self { service: service.into(), config: config.into(), trust_domain: trust_domain.into() }
    }
}

/// The rule that decided, or came nearest.
#[derive(Serialize)]
pub(in crate::audit) struct RuleFields<'a> {
    name: &'a str,
    version: String,
    /// Ours: ECS has no name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// For whoever has to look there: denials, and what would be denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Place<'a>>,
}

/// `FILE:LINE`.
struct Place<'a>(&'a str, u32);

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0, self.1))
    }
}

impl<'a> RuleFields<'a> {
    pub(in crate::audit) fn of(rule: &'a Rule, origin: &'a Origin) -> Self {
        let line = (rule.line > 0).then_some(rule.line);
        let reference = line.filter(|_| rule.nearest.is_some());
        Self {
            name: &rule.name,
            version: format!("sha256:{}", hex::encode(rule.version.0)),
            line,
            reference: reference.map(|line| Place(&origin.config, line)),
        }
    }
}
