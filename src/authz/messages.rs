//! Rules for HL7 v2 messages and for who sends them, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use super::bits::{Index, first, words};
use super::clause::Clause;
use super::peers::Peers;
use crate::config::{MessageRule, MessageType, SenderRule};
use crate::identity::ListenerName;
use crate::protocol::mllp::Header;

type Bytes = Box<[u8]>;

/// Rules for types of messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<(Clause, Vec<MessageType>)>,
    /// By MSH-9.1, then by MSH-9.2.
    codes: HashMap<Bytes, Index<Bytes>>,
    any_code: Index<Bytes>,
}

impl Messages {
    pub(super) fn new(listener: &ListenerName, rules: &[MessageRule], peers: &Peers) -> Self {
        let mut compiled = Self::default();
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

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// The first rule for messages of this type.
    pub(super) fn find(&self, message: &Header<'_>) -> Option<&Clause> {
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
}

impl Senders {
    /// Numbered from `from` on, behind the rules for types.
    pub(super) fn new(
        listener: &ListenerName,
        from: u32,
        rules: &[SenderRule],
        peers: &Peers,
    ) -> Self {
        let mut compiled = Self::default();
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

    /// The first rule for this sender.
    pub(super) fn find(&self, message: &Header<'_>) -> Option<&Clause> {
        let (application, facility) = sender(message);
        let applications = self.applications.takers(Some(application));
        let facilities = self.facilities.takers(Some(facility));
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let found = first(words(count), |word| applications.word(word) & facilities.word(word));
        self.all.get(found? as usize).map(|(clause, _)| clause)
    }
}

/// MSH-3.1 and MSH-4.1: the names by which sites know applications and facilities.
pub(super) fn sender<'a>(message: &Header<'a>) -> (&'a [u8], &'a [u8]) {
    let separator = message.encoding.first().copied().unwrap_or(b'^');
    let name = |field: &'a [u8]| {
        let mut components = field.split(|byte| *byte == separator);
        components.next().unwrap_or_default().trim_ascii()
    };
    (name(message.sending_application), name(message.sending_facility))
}
