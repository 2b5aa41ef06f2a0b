//! What `/status` shows of rules and peers: what is used, what has expired, what should be looked at.

use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock::{has_passed, rfc3339};
use crate::identity::PeerName;
use crate::inventory::{Partner, Usage};

/// The rules and peers of the configuration.
#[derive(Clone, Default)]
pub struct PolicyView {
    /// Listener by listener, in the order of the configuration.
    pub rules: Vec<RuleView>,
    /// By name.
    pub peers: Vec<PeerView>,
}

/// A rule, and how it is used.
#[derive(Clone)]
pub struct RuleView {
    /// `listener/rule`
    pub name: Arc<str>,
    /// Its line in the configuration file.
    pub line: u32,
    /// After this moment it lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// When, and how often.
    pub usage: Arc<Usage>,
}

/// An entry of `peers`, and how it is used.
#[derive(Clone)]
pub struct PeerView {
    /// Its name.
    pub name: PeerName,
    /// Its line in the configuration file.
    pub line: u32,
    /// After this moment it lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// By then somebody should have looked whether it is still needed.
    pub review_by: Option<OffsetDateTime>,
    /// On each listener that lets it in.
    pub usages: Vec<Arc<Usage>>,
}

impl PolicyView {
    /// `partners`: when peers were seen, on outbound listeners, too.
    pub(super) fn json(&self, partners: &[Partner], now: OffsetDateTime) -> Value {
        let rules = self.rules.iter().map(|rule| rule.json(now)).collect::<Vec<_>>();
        let peers = self.peers.iter().map(|peer| peer.json(partners, now)).collect::<Vec<_>>();
        json!({ "rules": rules, "peers": peers })
    }
}

impl RuleView {
    fn json(&self, now: OffsetDateTime) -> Value {
        json!({
            "name": self.name,
            "line": self.line,
            "hits": self.usage.hits(),
            "last_used": self.usage.last().map(rfc3339),
            "expires": self.expires.map(rfc3339),
            "expired": has_passed(self.expires, now),
        })
    }
}

impl PeerView {
    fn json(&self, partners: &[Partner], now: OffsetDateTime) -> Value {
        let partner = partners.binary_search_by(|partner| partner.name.cmp(&self.name)).ok();
        let seen = partner.and_then(|place| partners.get(place)?.certificates.first());
        let seen = seen.map(|presented| presented.last_seen);
        let used = self.usages.iter().filter_map(|usage| usage.last()).max();
        json!({
            "name": self.name.as_str(),
            "line": self.line,
            "hits": self.usages.iter().map(|usage| usage.hits()).sum::<u64>(),
            "last_used": used.max(seen).map(rfc3339),
            "expires": self.expires.map(rfc3339),
            "expired": has_passed(self.expires, now),
            "review_by": self.review_by.map(rfc3339),
            "overdue": has_passed(self.review_by, now),
        })
    }
}
