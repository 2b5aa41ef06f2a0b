//! Decisions as a reader of the configuration would make them: rule by rule, field by field, by name.
//!
//! Slow and plain on purpose. It is what `myelin explain` shows, and what the compiled policy is held against.

use std::sync::Arc;

use time::OffsetDateTime;

use super::apart::{Apart, foreign};
use super::clause::Clause;
use super::denial::{Rules, who};
use super::differences::{Asked, Difference, Terms, tell};
use super::permit::{Denied, Grant, Holder, Permit};
use super::policy::ListenerPolicy;
use crate::config::Rule;
use crate::outcome::{DenyReason, Differs};

/// What each rule of a listener has to do with a question, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Why not; `None` when it is let through.
    pub reason: Option<DenyReason>,
    /// The rules in their order.
    pub rules: Vec<Weighed>,
}

/// A rule held against a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Its place among the listener's rules.
    pub number: u32,
    /// `listener/rule`
    pub name: Arc<str>,
    /// Its line in the configuration file.
    pub line: u32,
    /// `route`, `message rule`, `sender rule` or `association rule`.
    pub kind: &'static str,
    /// It is for what was asked.
    pub matches: bool,
    /// It is the first that is.
    pub decides: bool,
    /// Everything in which it differs: why it does not match or, if it does, does not let it through.
    pub differences: Vec<Difference>,
}

impl ListenerPolicy {
    /// Whether the holder of `permit` may do this.
    ///
    /// # Errors
    ///
    /// Says why not, and which rule came nearest.
    pub fn decide(
        &self,
        permit: &Permit,
        asked: Asked<'_>,
        now: OffsetDateTime,
    ) -> Result<Grant, Denied> {
        match asked {
            Asked::Request(asked) => self.authorize_request(permit, asked, now),
            Asked::Message(header) => self.authorize_message(permit, header, now),
            Asked::Association(asked) => self.authorize_association(permit, asked, now),
        }
    }

    /// What would be decided by rules that are enforced, whatever is only observed, and what each of them has
    /// to do with it. Takes for granted that the holder of `permit` may be connected.
    pub fn explain(&self, permit: &Permit, asked: Asked<'_>, now: OffsetDateTime) -> Explanation {
        let mut explanation = Explanation { reason: None, rules: Vec::new() };
        for rules in self.all_rules() {
            let reader = Reader { policy: self, rules, permit, asked, now };
            let reason = reader.read(&mut explanation.rules);
            explanation.reason = explanation.reason.or(reason);
        }
        explanation
    }
}

/// Who reads rules that are asked together.
struct Reader<'a> {
    policy: &'a ListenerPolicy,
    rules: Rules<'a>,
    permit: &'a Permit,
    asked: Asked<'a>,
    now: OffsetDateTime,
}

impl Reader<'_> {
    /// Weighs the rules, and says why they do not let it through.
    fn read(&self, weighed: &mut Vec<Weighed>) -> Option<DenyReason> {
        let mut decided = None;
        for (clause, terms) in self.rules.iter() {
            let apart = terms.apart(self.asked);
            let matches = apart.is_none();
            let decides = matches && decided.is_none();
            if decides {
                decided = Some(self.verdict(&clause.rule, terms));
            }
            weighed.push(self.weigh(clause, terms, (matches, decides)));
        }
        match decided {
            Some(verdict) => verdict.err(),
            None => Some(self.rules.unmatched()),
        }
    }

    /// What a rule says that is for what was asked.
    fn verdict(&self, rule: &Rule, terms: Terms<'_>) -> Result<(), DenyReason> {
        if self.is_over(rule) {
            return Err(DenyReason::RuleExpired);
        }
        if !self.is_named(rule) {
            return Err(self.rules.unlisted());
        }
        if self.is_foreign(terms) { Err(DenyReason::SopClass) } else { Ok(()) }
    }

    fn is_over(&self, rule: &Rule) -> bool {
        rule.expires.is_some_and(|end| end <= self.now)
    }

    /// Whether the rule names the holder of the permit. In plaintext, whether it names anybody at all who may
    /// connect.
    fn is_named(&self, rule: &Rule) -> bool {
        match self.permit.holder() {
            Holder::Peer(name) => rule.allow.contains(name),
            Holder::Plaintext => self.policy.peers().any(|peer| rule.allow.contains(&peer.name)),
            Holder::Observed => false,
        }
    }

    fn is_foreign(&self, terms: Terms<'_>) -> bool {
        match (terms, self.asked) {
            (Terms::Association(rule), Asked::Association(asked)) => {
                foreign(rule, asked).next().is_some()
            }
            _ => false,
        }
    }

    fn weigh(
        &self,
        clause: &Clause,
        terms: Terms<'_>,
        (matches, decides): (bool, bool),
    ) -> Weighed {
        let rule = &clause.rule;
        let apart: Apart = terms
            .apart(self.asked)
            .and_sop_class(self.is_foreign(terms))
            .and_expired(self.is_over(rule))
            .and_peer(self.is_named(rule));
        Weighed {
            number: clause.number,
            name: Arc::clone(&clause.name),
            line: rule.line,
            kind: self.rules.kind(),
            matches,
            decides,
            differences: tell(apart, (terms, rule), self.asked, &who(self.permit)),
        }
    }
}

impl Weighed {
    /// Whether it decides, and lets it through.
    pub fn lets(&self) -> bool {
        self.decides && self.differences.is_empty()
    }

    /// Whether `field` is among what differs.
    pub fn differs_in(&self, field: Differs) -> bool {
        self.differences.iter().any(|difference| difference.field == field)
    }
}
