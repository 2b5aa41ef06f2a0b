//! In a build without Rego there is no engine, and nothing that could be asked.

use std::time::Duration;

use super::{Objection, RegoError};
use crate::config::RegoSettings;

/// There is none.
#[derive(Debug)]
pub(super) enum Engine {}

impl Engine {
    pub(super) fn compile(_settings: &RegoSettings) -> Result<Self, RegoError> {
        Err(RegoError("this build has no Rego: it was made without the feature `rego`".to_owned()))
    }

    pub(super) fn timeout(&self) -> Duration {
        match *self {}
    }

    pub(super) fn evaluate(
        &self,
        _query: &str,
        _question: &str,
        _timeout: Duration,
    ) -> Result<(), Objection> {
        match *self {}
    }
}
