//! Rules for DICOM associations, compiled.

use std::collections::HashSet;
use std::sync::Arc;

use super::bits::{Index, first, words};
use super::clause::Clause;
use super::differences::sop_class;
use super::peers::Peers;
use super::permit::{ContextBinding, Denied, Grant};
use crate::config::AssociationRule;
use crate::identity::ListenerName;
use crate::outcome::{DenyReason, Differs};
use crate::protocol::dicom::{Misfit, Request, Service};

/// A listener's rules for associations.
#[derive(Debug, Default)]
pub(super) struct Associations {
    all: Vec<CompiledAssociation>,
    calling: Index<Arc<str>>,
    called: Index<Arc<str>>,
}

/// A rule, and what may be proposed under it.
#[derive(Debug)]
pub(super) struct CompiledAssociation {
    pub(super) clause: Clause,
    pub(super) rule: AssociationRule,
    sop_classes: HashSet<Arc<str>>,
}

impl Associations {
    pub(super) fn new(listener: &ListenerName, rules: &[AssociationRule], peers: &Peers) -> Self {
        let mut compiled = Self::default();
        for (number, rule) in (0..).zip(rules) {
            compiled.calling.take(number, rule.calling_ae.clone());
            compiled.called.take(number, rule.called_ae.clone());
            compiled.all.push(CompiledAssociation {
                clause: Clause::new(listener, number, &rule.rule, peers),
                rule: rule.clone(),
                sop_classes: rule.sop_classes.iter().cloned().collect(),
            });
        }
        compiled
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CompiledAssociation> {
        self.all.iter()
    }

    /// The first rule for this pair of AE titles.
    pub(super) fn find(&self, association: &Request) -> Option<&CompiledAssociation> {
        let calling = self.calling.takers(Some(association.calling_ae.as_str()));
        let called = self.called.takers(Some(association.called_ae.as_str()));
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let found = first(words(count), |word| calling.word(word) & called.word(word));
        self.all.get(found? as usize)
    }
}

impl CompiledAssociation {
    /// Whether it is for some SOP classes only.
    pub(super) fn names_sop_classes(&self) -> bool {
        !self.sop_classes.is_empty()
    }

    /// The first SOP class that is proposed, and not the rule's.
    pub(super) fn foreign<'a>(&self, association: &'a Request) -> Option<&'a str> {
        if self.sop_classes.is_empty() {
            return None;
        }
        let mut proposed = association.contexts.iter().map(|context| &*context.abstract_syntax);
        proposed.find(|proposed| !self.sop_classes.contains(*proposed))
    }
}

impl Grant {
    /// What is to be said of a command that its presentation context is not for; `None` where that is nobody's
    /// concern.
    pub fn mismatch(&self, misfit: &Misfit) -> Option<Denied> {
        match self.context_binding {
            ContextBinding::Free => return None,
            ContextBinding::Observed | ContextBinding::Bound => {}
        }
        let service = misfit.service.map_or("a command that nobody knows", Service::name);
        let of = misfit.named.map(|class| format!(" of {class}")).unwrap_or_default();
        let context = sop_class(&misfit.context);
        Some(Denied {
            reason: DenyReason::SopClassMismatch,
            rule: Arc::clone(&self.rule),
            line: self.line,
            version: self.version,
            peer: None,
            template: None,
            differs: Some(Differs::SopClass),
            nearest: format!(
                "the presentation context is for {context}, and {service}{of} came on it"
            ),
        })
    }
}
