//! The names of elements.

use std::fmt;
use std::sync::Arc;

/// The element that a body is to begin with. Shown as `{namespace}local`, or as `local` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its namespace; `None`: whichever.
    pub namespace: Option<Arc<str>>,
    /// Its local name.
    pub local: Arc<str>,
}

impl Element {
    /// One with this name.
    pub fn new(namespace: Option<&str>, local: &str) -> Self {
        Self { namespace: namespace.map(Into::into), local: local.into() }
    }

    /// Whether an element with this name is one.
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        *self.local == *local && self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{{{namespace}}}{}", self.local),
            None => f.write_str(&self.local),
        }
    }
}
