//! What a denial says: the rule that decided, or the one that came nearest, and how it differs.

use std::sync::Arc;

use time::OffsetDateTime;

use super::apart::Apart;
use super::associations::{Associations, CompiledAssociation};
use super::clause::{Clause, Verdict};
use super::decide::Asking;
use super::differences::{Asked, Difference, Terms, message_type, sent_by, shown, tell};
use super::messages::{Messages, Senders};
use super::permit::{Denied, Grant, Holder, Permit};
use super::policy::ListenerPolicy;
use super::routes::Routes;
use crate::outcome::{DenyReason, Differs};

/// The rules of a listener that are asked together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rules<'p> {
    Routes(&'p Routes),
    Messages(&'p Messages),
    Senders(&'p Senders),
    Associations(&'p Associations),
}

impl<'p> Rules<'p> {
    /// All of them, in their order, with what they are for.
    pub(super) fn iter(self) -> Box<dyn Iterator<Item = (&'p Clause, Terms<'p>)> + 'p> {
        match self {
            Self::Routes(routes) => {
                Box::new(routes.iter().map(|one| (&one.clause, Terms::Route(&one.route))))
            }
            Self::Messages(messages) => {
                let named = messages.named();
                let terms = move |types| Terms::Types(types, named);
                Box::new(messages.iter().map(move |(clause, types)| (clause, terms(types))))
            }
            Self::Senders(senders) => {
                let named = senders.named();
                let terms = move |rule| Terms::Sender(rule, named);
                Box::new(senders.iter().map(move |(clause, rule)| (clause, terms(rule))))
            }
            Self::Associations(associations) => Box::new(
                associations.iter().map(|one| (&one.clause, Terms::Association(&one.rule))),
            ),
        }
    }

    /// What one of them is called.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Routes(_) => "route",
            Self::Messages(_) => "message rule",
            Self::Senders(_) => "sender rule",
            Self::Associations(_) => "association rule",
        }
    }

    /// The reason when none matches.
    pub(super) fn unmatched(self) -> DenyReason {
        match self {
            Self::Routes(_) => DenyReason::NoRoute,
            Self::Messages(_) => DenyReason::NoMessageRule,
            Self::Senders(_) => DenyReason::UnknownSender,
            Self::Associations(_) => DenyReason::NoAssociationRule,
        }
    }

    /// The reason when the one that matches does not let the peer.
    pub(super) fn unlisted(self) -> DenyReason {
        match self {
            Self::Routes(_) => DenyReason::NotListedForRoute,
            Self::Messages(_) => DenyReason::NotListedForMessage,
            Self::Senders(_) => DenyReason::UnknownSender,
            Self::Associations(_) => DenyReason::NotListedForAssociation,
        }
    }
}

/// Everything that a denial looks at. Made when there is one to tell of.
#[derive(Debug)]
pub(super) struct Denying<'a> {
    pub(super) policy: &'a ListenerPolicy,
    pub(super) asking: &'a Asking<'a>,
    pub(super) rules: Rules<'a>,
    pub(super) asked: Asked<'a>,
}

impl<'a> Denying<'a> {
    /// No rule matches. `grant` is what passes all the same, while policy is only observed.
    pub(super) fn without_rule(&self, grant: Grant) -> Result<Grant, Denied> {
        let near = self.nearest();
        let Some(until) = self.observed_until() else { return Err(self.no_rule(near)) };
        let grant = grant.although(until, || self.no_rule(near));
        Ok(match near {
            _ if grant.rule_number.is_some() => grant,
            Some((clause, terms, apart)) => Grant {
                rule: Arc::clone(&clause.name),
                line: clause.rule.line,
                template: template(terms, apart),
                phi: self.phi(Some((terms, apart))),
                ..grant
            },
            None => Grant { phi: self.phi(None), ..grant },
        })
    }

    /// A rule matches and does not let it. `grant` is by that rule.
    pub(super) fn by_rule(
        &self,
        clause: &Clause,
        verdict: Verdict,
        grant: Grant,
    ) -> Result<Grant, Denied> {
        let (kind, name) = (self.rules.kind(), &clause.rule.name);
        let template = grant.template.clone();
        let denied = || {
            let (reason, differs, nearest) = match verdict {
                Verdict::Expired(_) => {
                    let ended = self.differences(clause, Apart::default().and_expired(true));
                    (DenyReason::RuleExpired, Differs::Expires, format!("{kind} `{name}` {ended}"))
                }
                Verdict::Unlisted | Verdict::Lets => {
                    let text =
                        format!("{kind} `{name}` does not allow {}", who(self.asking.permit));
                    (self.rules.unlisted(), Differs::Peer, text)
                }
            };
            Denied { template, ..self.by(clause, reason, differs, nearest) }
        };
        match self.observed_until() {
            Some(until) => Ok(grant.although(until, denied)),
            None => Err(denied()),
        }
    }

    /// The rule that matches does not have all SOP classes that are proposed.
    pub(super) fn by_sop_class(
        &self,
        compiled: &CompiledAssociation,
        grant: Grant,
    ) -> Result<Grant, Denied> {
        let clause = &compiled.clause;
        let apart = Apart::default().and_sop_class(true);
        let text = self.differences(clause, apart);
        let nearest = format!("{} `{}` is for {text}", self.rules.kind(), clause.rule.name);
        let denied = self.by(clause, DenyReason::SopClass, Differs::SopClass, nearest);
        self.policy.enforce(grant, denied, self.asking.now)
    }

    fn observed_until(&self) -> Option<OffsetDateTime> {
        self.policy.observed_until(self.asking.now)
    }

    fn by(&self, clause: &Clause, reason: DenyReason, differs: Differs, nearest: String) -> Denied {
        let (rule, line) = (Arc::clone(&clause.name), clause.rule.line);
        Denied { rule, line, ..self.policy.denied(reason, differs, nearest) }
    }

    /// The rule that shares most with what was asked for; of several the first.
    fn nearest(&self) -> Option<(&'a Clause, Terms<'a>, Apart)> {
        let Asking { standing, now, .. } = *self.asking;
        let apart = self.rules.iter().map(|(clause, terms)| {
            let is_expired = matches!(clause.verdict(standing, now), Verdict::Expired(_));
            let apart = terms.apart(self.asked);
            (clause, terms, apart.and_expired(is_expired).and_peer(clause.lets(standing)))
        });
        let nearest = apart.min_by_key(|(_, _, apart)| apart.distance());
        nearest.filter(|(_, _, apart)| apart.is_near())
    }

    fn no_rule(&self, near: Option<(&Clause, Terms<'_>, Apart)>) -> Denied {
        let reason = self.rules.unmatched();
        let Some((clause, terms, apart)) = near else {
            let (differs, text) = self.nothing_near();
            return self.policy.denied(reason, differs, text);
        };
        let (kind, name) = (self.rules.kind(), &clause.rule.name);
        let text = format!("nearest is {kind} `{name}`: {}", self.differences(clause, apart));
        let differs = apart.fields().next().unwrap_or(Differs::Peer);
        Denied { template: template(terms, apart), ..self.by(clause, reason, differs, text) }
    }

    fn nothing_near(&self) -> (Differs, String) {
        match self.asked {
            Asked::Request(_) => (Differs::Path, "no route has this path".to_owned()),
            Asked::Message(header) => match self.rules {
                Rules::Senders(_) => {
                    (Differs::Sender, format!("no rule is for the sender {}", sent_by(header)))
                }
                _ => {
                    let kind = message_type(header);
                    (Differs::MessageType, format!("no rule is for messages of type {kind}"))
                }
            },
            Asked::Association(asked) => {
                let (calling, called) = (shown(&asked.calling_ae), shown(&asked.called_ae));
                let text = format!("no rule is for {calling} calling {called}");
                (Differs::CallingAe, text)
            }
        }
    }

    /// Some of the differences between a rule and what was asked for, as a sentence.
    fn differences(&self, clause: &Clause, apart: Apart) -> String {
        let terms = self.rules.iter().find(|(other, _)| other.number == clause.number);
        let told = terms.map(|(_, terms)| {
            tell(apart, (terms, &clause.rule), self.asked, &who(self.asking.permit))
        });
        let told: Vec<String> =
            told.unwrap_or_default().iter().map(Difference::to_string).collect();
        told.join("; ")
    }

    /// Whether what no rule is for may be PHI: as the nearest says, if it is for the same path.
    fn phi(&self, near: Option<(Terms<'_>, Apart)>) -> bool {
        match near {
            Some((Terms::Route(route), apart)) if !apart.has(Differs::Path) => route.phi,
            _ => self.policy.guards_phi(),
        }
    }
}

/// Who asks, in words.
pub(super) fn who(permit: &Permit) -> String {
    match &permit.holder {
        Holder::Peer(name) => format!("peer `{name}`"),
        Holder::Observed => "a peer that is not listed".to_owned(),
        Holder::Plaintext => "anybody in plaintext".to_owned(),
    }
}

/// The template of a route that has the path.
fn template(terms: Terms<'_>, apart: Apart) -> Option<Arc<str>> {
    match terms {
        Terms::Route(route) if !apart.has(Differs::Path) => Some(Arc::clone(&route.path.text)),
        _ => None,
    }
}
