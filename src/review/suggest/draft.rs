//! Rules before they are written.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::Names;
use crate::config::{Inbound, Protocol};
use crate::review::history::{ListenerSeen, Tally};

/// What a peer itself is counted by.
pub(super) const CONNECTIONS: &str = "connections";

/// What speaks for a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) peers: Names,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) last: OffsetDateTime,
}

impl Evidence {
    pub(super) fn of(tally: &Tally, peer: &str) -> Self {
        let peers = [peer.to_owned()].into();
        Self { peers, allowed: tally.allowed, denied: tally.denied, last: tally.last }
    }

    pub(super) fn nothing(peer: &str, last: OffsetDateTime) -> Self {
        Self { peers: [peer.to_owned()].into(), allowed: 0, denied: 0, last }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.peers.extend(other.peers);
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.last = self.last.max(other.last);
    }

    /// `4,211 requests of 2 peers, last 2026-11-21`
    pub(super) fn comment(&self, things: &str) -> String {
        let count = self.allowed + self.denied;
        let thing = if count == 1 { things.trim_end_matches('s') } else { things };
        let peers = match self.peers.len() {
            _ if things == CONNECTIONS => String::new(),
            1 => " of 1 peer".to_owned(),
            count => format!(" of {count} peers"),
        };
        let denied = match (self.allowed, self.denied) {
            (_, 0) => String::new(),
            (0, _) => "; DENIED until now".to_owned(),
            (_, denied) => format!("; {} of them denied", thousands(denied)),
        };
        format!("{} {thing}{peers}, last {}{denied}", thousands(count), self.last.date())
    }
}

/// `1,234,567`
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rule.
#[derive(Debug, Clone)]
pub(super) struct RuleDraft {
    pub(super) name: String,
    pub(super) terms: TermsDraft,
    pub(super) allow: Names,
    /// What speaks for it; `None` for one that is kept from the configuration.
    pub(super) evidence: Option<Evidence>,
}

impl RuleDraft {
    pub(super) fn new(name: String, terms: TermsDraft, allow: Names, evidence: Evidence) -> Self {
        Self { name, terms, allow, evidence: Some(evidence) }
    }
}

/// What a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TermsDraft {
    Route { path: String, methods: BTreeSet<String>, kind: Kind },
    Messages { types: BTreeSet<String> },
    Sender { application: Option<String>, facility: Option<String> },
    Association { calling: Option<String>, called: Option<String>, classes: BTreeSet<String> },
}

/// What a route looks at beside the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Soap(BTreeSet<String>),
    Ihe(BTreeSet<&'static str>),
    Fhir {
        interactions: BTreeSet<&'static str>,
        resources: BTreeSet<&'static str>,
    },
    DicomWeb(BTreeSet<&'static str>),
    Plain,
    /// The sidecar answers by itself.
    Respond(u16),
}

/// A listener.
#[derive(Debug)]
pub(super) struct ListenerDraft<'h> {
    pub(super) name: &'h str,
    pub(super) seen: &'h ListenerSeen,
    pub(super) configured: Option<&'h Inbound>,
    /// Where peers connected to; 0 when that is not known, or another listener has it.
    pub(super) port: u16,
    pub(super) allow: BTreeMap<String, Evidence>,
    /// The lists of rules, by their keys.
    pub(super) rules: BTreeMap<&'static str, Vec<RuleDraft>>,
    pub(super) notes: Vec<String>,
}

impl<'h> ListenerDraft<'h> {
    pub(super) fn new(
        name: &'h str,
        seen: &'h ListenerSeen,
        configured: Option<&'h Inbound>,
    ) -> Self {
        let (allow, rules) = (BTreeMap::new(), BTreeMap::new());
        Self { name, seen, configured, port: 0, allow, rules, notes: Vec::new() }
    }

    /// What it carries.
    pub(super) fn protocol(&self) -> &str {
        match self.configured.map(|listener| listener.protocol) {
            Some(Protocol::Tcp) => "tcp",
            Some(Protocol::Http) => "http",
            Some(Protocol::Mllp) => "mllp",
            Some(Protocol::Dicom) => "dicom",
            None => &self.seen.protocol,
        }
    }

    /// Whether its connections are accesses to PHI.
    pub(super) fn phi(&self) -> bool {
        self.configured.map_or(self.seen.phi, |listener| listener.phi)
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// All rules.
    pub(super) fn all_rules(&mut self) -> impl Iterator<Item = &mut RuleDraft> {
        self.rules.values_mut().flatten()
    }
}

/// What was done alike: who did it, and how often.
pub(super) type Alike<K> = BTreeMap<K, Evidence>;

/// Adds to what was done alike.
pub(super) fn alike<K: Ord>(all: &mut Alike<K>, key: K, evidence: Evidence) {
    match all.get_mut(&key) {
        Some(known) => known.add(evidence),
        None => {
            all.insert(key, evidence);
        }
    }
}

/// What belongs to `G` and is done by the same peers, together.
pub(super) fn together<G: Ord, V: Ord>(
    all: impl IntoIterator<Item = ((G, V), Evidence)>,
) -> BTreeMap<(G, Names), (BTreeSet<V>, Evidence)> {
    let mut grouped: BTreeMap<(G, Names), (BTreeSet<V>, Evidence)> = BTreeMap::new();
    for ((group, value), evidence) in all {
        let key = (group, evidence.peers.clone());
        match grouped.get_mut(&key) {
            Some((values, known)) => {
                values.insert(value);
                known.add(evidence);
            }
            None => {
                grouped.insert(key, ([value].into(), evidence));
            }
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(4211), "4,211");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }
}
