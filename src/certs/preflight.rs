//! Tries key material out before anybody uses it.

use std::fmt;
use std::sync::Arc;

use super::{Material, Needs};

/// What tries out.
type Rehearse = dyn Fn(&Material, Needs) -> Result<(), String> + Send + Sync;

/// Tries key material out in a handshake with itself. How that is done is known above this module.
#[derive(Clone)]
pub struct Preflight(Arc<Rehearse>);

impl Preflight {
    /// Tries out with `rehearse`; its error says why no handshake would succeed.
    pub fn new(
        rehearse: impl Fn(&Material, Needs) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(rehearse))
    }

    pub(super) fn of(&self, material: &Material, needs: Needs) -> Result<(), String> {
        (self.0)(material, needs)
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight").finish_non_exhaustive()
    }
}
