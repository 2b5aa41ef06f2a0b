//! Policy in Rego, for commands that answer by it.

use std::sync::Arc;

use super::findings::Findings;
use super::{Exit, Format};
use crate::authz::RegoPolicy;
use crate::config::Config;
use crate::runtime::rego;

/// What narrows the rules of `config`, if something does. Inside: the exit, where that cannot be used and has
/// been told of as `format` says.
pub(super) fn narrowing(
    config: &Config,
    format: Format,
) -> anyhow::Result<Result<Option<Arc<RegoPolicy>>, Exit>> {
    match rego(config) {
        Ok(rego) => Ok(Ok(rego)),
        Err(error) => {
            let mut findings = Findings::of(config.warnings.clone());
            findings.error("policy", error.to_string());
            findings.print(format)?;
            Ok(Err(Exit::BadConfig))
        }
    }
}
