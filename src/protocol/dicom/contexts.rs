//! The presentation contexts on which something may be said.

use super::{Answer, Request};

/// Presentation contexts that were proposed and accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contexts {
    /// Identifiers and abstract syntaxes, by identifier.
    accepted: Vec<(u8, String)>,
}

impl Contexts {
    /// Those of `request` that `answers` accept. One that is not answered is not accepted.
    pub fn accepted(request: Request, answers: &[Answer]) -> Self {
        let is_accepted = |id| answers.iter().any(|answer| answer.id == id && answer.accepted);
        let contexts = request.contexts.into_iter().filter(|context| is_accepted(context.id));
        let mut accepted: Vec<_> =
            contexts.map(|context| (context.id, context.abstract_syntax)).collect();
        accepted.sort_unstable();
        Self { accepted }
    }

    /// The abstract syntax of one of them.
    pub(super) fn abstract_syntax(&self, id: u8) -> Option<&str> {
        let found = self.accepted.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.accepted.get(found).map(|(_, syntax)| syntax.as_str())
    }
}
