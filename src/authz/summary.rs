//! What there is to a listener's policy, for those who list it.

use std::sync::Arc;

use time::OffsetDateTime;

use super::associations::Associations;
use super::denial::Rules;
use super::messages::{Messages, Senders};
use super::policy::ListenerPolicy;
use super::routes::Routes;
use crate::config::{Peer, Quota};
use crate::identity::PeerName;

/// A rule, as lists show it.
#[derive(Debug, Clone, Copy)]
pub struct RuleSummary<'p> {
    /// Its place among the listener's rules.
    pub number: u32,
    /// `listener/rule`
    pub name: &'p Arc<str>,
    /// Its line in the configuration file.
    pub line: u32,
    /// `route`, `message rule`, `sender rule` or `association rule`.
    pub kind: &'static str,
    /// Whom it allows.
    pub allow: &'p [PeerName],
    /// After this moment it lets nobody.
    pub expires: Option<OffsetDateTime>,
    /// What each peer may have under it.
    pub limits: Option<Quota>,
}

impl ListenerPolicy {
    /// All rules of the listener, in the order of their numbers.
    pub fn rules(&self) -> impl Iterator<Item = RuleSummary<'_>> {
        self.all_rules().flat_map(|rules| {
            rules.iter().map(move |(clause, _)| RuleSummary {
                number: clause.number,
                name: &clause.name,
                line: clause.rule.line,
                kind: rules.kind(),
                allow: &clause.rule.allow,
                expires: clause.rule.expires,
                limits: clause.rule.limits,
            })
        })
    }

    /// Those who may connect, in the order of their numbers.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.allowed.iter()
    }

    pub(super) fn all_rules(&self) -> impl Iterator<Item = Rules<'_>> {
        let routes = self.routes.iter().map(|rules: &Routes| Rules::Routes(rules));
        let messages = self.messages.iter().map(|rules: &Messages| Rules::Messages(rules));
        let senders = self.senders.iter().map(|rules: &Senders| Rules::Senders(rules));
        let associations =
            self.associations.iter().map(|rules: &Associations| Rules::Associations(rules));
        routes.chain(messages).chain(senders).chain(associations)
    }
}
