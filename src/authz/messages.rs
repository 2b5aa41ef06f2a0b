//! Rules for HL7 v2 messages and for who sends them, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use super::bits::{Index, first, words};
use super::clause::Clause;
use super::peers::Peers;
use crate::config::{MessageRule, MessageType, SenderRule};
use crate::identity::ListenerName;
use crate::protocol::mllp::{Header, is_clear_code};

type Bytes = Box<[u8]>;

/// Rules for types of messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<(Clause, Vec<MessageType>)>,
    /// By MSH-9.1, then by MSH-9.2.
    codes: HashMap<Bytes, Index<Bytes>>,
    any_code: Index<Bytes>,
    named: Named,
}

/// Which of two parts of a header the rules of a list name. No rule of the list is for a message in which
/// such a part may say something else to its receiver: it would pass under a rule that is for all the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Named(bool, bool);

impl Named {
    /// MSH-9.1 and MSH-9.2
    fn in_types(rules: &[MessageRule]) -> Self {
        let mut types = rules.iter().flat_map(|rule| &rule.types);
        Self(types.clone().any(|kind| kind.code.is_some()), types.any(|t| t.trigger.is_some()))
    }

    /// MSH-3.1 and MSH-4.1
    fn in_senders(rules: &[SenderRule]) -> Self {
        let application = rules.iter().any(|rule| rule.application.is_some());
        Self(application, rules.iter().any(|rule| rule.facility.is_some()))
    }

    /// Whether all receivers take the same fields out of this header, as far as rules look at any.
    fn is_clear_split(self, message: &Header<'_>) -> bool {
        !(self.0 || self.1) || message.has_usual_separators()
    }

    /// Whether the type of this message is the same to all receivers, as far as rules look at it.
    pub(super) fn is_clear_type(self, message: &Header<'_>) -> bool {
        self.is_clear_split(message)
            && (!self.0 || is_clear_code(message.code))
            && (!self.1 || is_clear_code(message.trigger))
    }

    /// The same for its sender.
    pub(super) fn is_clear_sender(self, message: &Header<'_>) -> bool {
        let [application, facility] = message.sender();
        self.is_clear_split(message)
            && (!self.0 || message.is_clear_name(application))
            && (!self.1 || message.is_clear_name(facility))
    }
}

impl Messages {
    pub(super) fn new(listener: &ListenerName, rules: &[MessageRule], peers: &Peers) -> Self {
        let mut compiled = Self { named: Named::in_types(rules), ..Self::default() };
        for (number, rule) in (0..).zip(rules) {
            if rule.types.is_empty() {
                compiled.any_code.take(number, []);
            }
            for kind in &rule.types {
                let triggers = match &kind.code {
                    Some(code) => compiled.codes.entry(code.as_bytes().into()).or_default(),
                    None => &mut compiled.any_code,
                };
                triggers.take(number, kind.trigger.iter().map(|trigger| trigger.as_bytes().into()));
            }
            let clause = Clause::new(listener, number, &rule.rule, peers);
            compiled.all.push((clause, rule.types.clone()));
        }
        compiled
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Clause, Vec<MessageType>)> {
        self.all.iter()
    }

    pub(super) fn named(&self) -> Named {
        self.named
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// The first rule for messages of this type.
    pub(super) fn find(&self, message: &Header<'_>) -> Option<&Clause> {
        if !self.named.is_clear_type(message) {
            return None;
        }
        let trigger = Some(message.trigger);
        let by_code = self.codes.get(message.code).map(|triggers| triggers.takers(trigger));
        let any_code = self.any_code.takers(trigger);
        let found = first(words(self.count()), |word| {
            by_code.map_or(0, |takers| takers.word(word)) | any_code.word(word)
        });
        self.all.get(found? as usize).map(|(clause, _)| clause)
    }
}

/// Rules for who may send as whom.
#[derive(Debug, Default)]
pub(super) struct Senders {
    all: Vec<(Clause, SenderRule)>,
    applications: Index<Bytes>,
    facilities: Index<Bytes>,
    named: Named,
}

impl Senders {
    /// Numbered from `from` on, behind the rules for types.
    pub(super) fn new(
        listener: &ListenerName,
        from: u32,
        rules: &[SenderRule],
        peers: &Peers,
    ) -> Self {
        let mut compiled = Self { named: Named::in_senders(rules), ..Self::default() };
        for (at, rule) in (0..).zip(rules) {
            let bytes = |text: &Arc<str>| text.as_bytes().into();
            compiled.applications.take(at, rule.application.as_ref().map(bytes));
            compiled.facilities.take(at, rule.facility.as_ref().map(bytes));
            let clause = Clause::new(listener, from + at, &rule.rule, peers);
            compiled.all.push((clause, rule.clone()));
        }
        compiled
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Clause, SenderRule)> {
        self.all.iter()
    }

    pub(super) fn named(&self) -> Named {
        self.named
    }

    /// The first rule for this sender.
    pub(super) fn find(&self, message: &Header<'_>) -> Option<&Clause> {
        if !self.named.is_clear_sender(message) {
            return None;
        }
        let [application, facility] = message.sender();
        let applications = self.applications.takers(Some(application));
        let facilities = self.facilities.takers(Some(facility));
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let found = first(words(count), |word| applications.word(word) & facilities.word(word));
        self.all.get(found? as usize).map(|(clause, _)| clause)
    }
}
