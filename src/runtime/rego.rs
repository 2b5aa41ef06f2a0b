//! Policy in Rego, compiled.

use std::sync::Arc;

use crate::audit::{self, Origin};
use crate::authz::{RegoError, RegoPolicy};
use crate::clock;
use crate::config::Config;

/// What narrows the rules of `config`, if something does; it has answered a question of each kind.
///
/// # Errors
///
/// It cannot be used, and where that is to be mended.
pub fn rego(config: &Config) -> Result<Option<Arc<RegoPolicy>>, RegoError> {
    let Some(settings) = &config.rego else { return Ok(None) };
    let origin = Origin::of(config);
    let samples = audit::samples(&origin, clock::now());
    RegoPolicy::compile(settings, &samples).map(Arc::new).map(Some)
}
