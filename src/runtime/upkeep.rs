//! Rules and peers that need somebody: those that have expired, and those that should have been looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::has_passed;
use crate::config::Config;
use crate::telemetry::metrics::Metrics;

/// Leap seconds and corrections are shorter.
const NOTICED: Duration = Duration::from_secs(2);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    known: BTreeSet<String>,
    is_set_back: bool,
}

impl Upkeep {
    /// A configuration has taken effect. What has passed by then is among its warnings.
    pub(super) fn loaded(&mut self, config: &Config, metrics: &Metrics, now: OffsetDateTime) {
        let _told = self.look(config, metrics, now);
    }

    /// What has passed since the last look, one a text.
    pub(super) fn look(
        &mut self,
        config: &Config,
        metrics: &Metrics,
        now: OffsetDateTime,
    ) -> Vec<String> {
        let rules = expired_rules(config, now);
        let peers: Vec<_> = config
            .peers
            .values()
            .filter(|peer| has_passed(peer.expires, now))
            .map(|peer| format!("peer `{}` (line {}) has expired", peer.name, peer.line))
            .collect();
        let overdue: Vec<_> = config
            .peers
            .values()
            .filter(|peer| has_passed(peer.review_by, now))
            .map(|peer| format!("peer `{}` (line {}) is due for review", peer.name, peer.line))
            .collect();
        metrics.expired(rules.len(), peers.len(), overdue.len());
        let found: BTreeSet<_> = rules.into_iter().chain(peers).chain(overdue).collect();
        let old = std::mem::replace(&mut self.known, found);
        self.known.difference(&old).cloned().collect()
    }

    /// What is to be said when the wall clock was set back. Once, until it has caught up.
    pub(super) fn set_back(&mut self, metrics: &Metrics, behind: Duration) -> Option<String> {
        metrics.clock_behind(behind);
        let was_set_back = std::mem::replace(&mut self.is_set_back, behind >= NOTICED);
        (self.is_set_back && !was_set_back).then(|| {
            format!(
                "the wall clock was set back by {}s: dates that had passed stay passed, and certificates \
                 that had expired stay expired. If the clock was wrong before and is right now, restart \
                 this sidecar; if not, find out who sets it",
                behind.as_secs()
            )
        })
    }
}

fn expired_rules(config: &Config, now: OffsetDateTime) -> Vec<String> {
    let rules = config
        .inbound
        .iter()
        .flat_map(|listener| listener.rules().map(move |rule| (&listener.name, rule)));
    rules
        .filter(|(_, rule)| has_passed(rule.expires, now))
        .map(|(name, rule)| format!("rule `{name}/{}` (line {}) has expired", rule.name, rule.line))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::config;

    const NOON: OffsetDateTime = datetime!(2100-11-22 12:00 UTC);

    fn config() -> Config {
        let text = "version: 1\nservice: ehr\ntrust_domain: h.example\n\
                    identity: {embedded: {dir: authority}}\n\
                    peers: {lab: {dns: lab.example, expires: '2100-11-22T12:00:01Z', \
                    review_by: '2100-11-22T12:00:02Z'}}\n\
                    inbound:\n  - {name: adt, listen: '0.0.0.0:2575', forward: '127.0.0.1:2576', \
                    protocol: mllp, allow: [lab],\n    messages: [{name: results, types: '*', \
                    allow: [lab], expires: '2100-11-22T12:00:03Z'}]}\n";
        config::parse(Path::new("m.yaml"), text, &|_| None).unwrap_or_else(|p| panic!("{p}"))
    }

    #[test]
    fn what_passes_is_said_once_and_counted_for_as_long_as_it_lasts() {
        let (mut upkeep, metrics, config) = (Upkeep::default(), Metrics::new().unwrap(), config());
        let mut look = |seconds| upkeep.look(&config, &metrics, NOON + Duration::seconds(seconds));

        assert!(look(0).is_empty());
        assert_eq!(look(1), ["peer `lab` (line 5) has expired"]);
        assert_eq!(
            look(3),
            ["peer `lab` (line 5) is due for review", "rule `adt/results` (line 8) has expired"]
        );
        assert!(look(9999).is_empty());
        let shown = metrics.render();
        for gauge in ["expired_rules", "expired_peers", "overdue_reviews"] {
            assert!(shown.contains(&format!("myelin_{gauge} 1")), "{shown}");
        }
    }

    #[test]
    fn what_had_passed_before_is_no_news() {
        let (mut upkeep, metrics, config) = (Upkeep::default(), Metrics::new().unwrap(), config());

        upkeep.loaded(&config, &metrics, NOON + Duration::HOUR);

        assert!(upkeep.look(&config, &metrics, NOON + Duration::HOUR).is_empty());
    }
}
