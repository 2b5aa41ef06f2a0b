//! What all rules have in common once they are compiled: a name, and whom they let.

use std::sync::Arc;

use time::OffsetDateTime;

use super::bits::Bits;
use super::peers::Peers;
use crate::config::Rule;
use crate::identity::ListenerName;

/// What a rule has that decided, or came nearest.
#[derive(Debug)]
pub(super) struct Clause {
    /// `listener/rule`
    pub(super) name: Arc<str>,
    /// Its place among the listener's rules.
    pub(super) number: u32,
    pub(super) rule: Rule,
    /// Those of `rule.allow` who may connect at all.
    allow: Bits,
}

/// As whom somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The peer with this number among those whom the listener allows.
    Peer(u32),
    /// Somebody in plaintext: may what a rule lets anybody do.
    Plaintext,
    /// Somebody whom no rule can name, while policy is only observed.
    Unlisted,
}

/// What a rule says that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Lets,
    Expired(OffsetDateTime),
    Unlisted,
}

impl Clause {
    pub(super) fn new(listener: &ListenerName, number: u32, rule: &Rule, peers: &Peers) -> Self {
        Self {
            name: format!("{listener}/{}", rule.name).into(),
            number,
            allow: rule.allow.iter().filter_map(|peer| peers.number(peer)).collect(),
            rule: rule.clone(),
        }
    }

    /// Whether it lets those with this standing, where it matches.
    pub(super) fn verdict(&self, standing: Standing, now: OffsetDateTime) -> Verdict {
        match self.rule.expires {
            Some(end) if end <= now => Verdict::Expired(end),
            Some(_) | None if self.lets(standing) => Verdict::Lets,
            Some(_) | None => Verdict::Unlisted,
        }
    }

    /// Whether it names those with this standing.
    pub(super) fn lets(&self, standing: Standing) -> bool {
        match standing {
            Standing::Peer(number) => self.allow.contains(number),
            Standing::Plaintext => !self.allow.is_empty(),
            Standing::Unlisted => false,
        }
    }
}
