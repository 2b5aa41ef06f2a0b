//! Reads what is suggested as the configuration would be read, and asks it about everything that was seen.

use std::collections::BTreeMap;
use std::path::Path;

use time::OffsetDateTime;

use super::Suggestion;
use super::yaml::Peers;
use crate::config::{self, Config};
use crate::outcome::DenyReason;
use crate::review::history::Attempt;
use crate::review::judge::{Judge, Verdict};
use crate::review::who::Proven;

/// What a file needs before its peers and listeners, for a text that nobody runs.
const HEAD: &str = "version: 1\nservice: suggested\ntrust_domain: suggested.example\n\
                    identity: { embedded: { dir: /nonexistent } }\naudit: { dir: /nonexistent }\n";
/// Rounds until nothing is left to add. A rule that is in another's way takes one each.
const ROUNDS: usize = 64;

impl<'h> Suggestion<'h> {
    /// Adds peers to rules that decide about them before their own do, until all that was seen passes. Whether
    /// it does in the end.
    pub(super) fn fit(
        &mut self,
        seen: &BTreeMap<&str, Vec<Attempt<'h>>>,
        now: OffsetDateTime,
    ) -> bool {
        let mut left = Vec::new();
        for _ in 0..ROUNDS {
            let config = match self.read() {
                Ok(config) => config,
                Err(problem) => {
                    left = vec![(0, format!("this text does not read as it should: {problem}"))];
                    break;
                }
            };
            let denied = self.denied(&config, seen, now);
            left.clear();
            let mut added = false;
            for (listener, peer, rule, text) in denied {
                if rule.is_some_and(|rule| self.add(listener, &rule, &peer)) {
                    added = true;
                } else {
                    left.push((listener, text));
                }
            }
            if !added {
                break;
            }
        }
        for (listener, text) in &left {
            if let Some(listener) = self.listeners.get_mut(*listener) {
                listener.note(text.clone());
            }
        }
        left.is_empty()
    }

    fn read(&self) -> Result<Config, String> {
        let mut text = HEAD.to_owned();
        self.write(&mut text, Peers::All).map_err(|error| error.to_string())?;
        config::parse(Path::new("suggestion.yaml"), &text, &|_| None)
            .map_err(|problems| problems.one_line())
    }

    /// What would be denied: at which listener, whom, by which rule, and in words.
    fn denied(
        &self,
        config: &Config,
        seen: &BTreeMap<&str, Vec<Attempt<'h>>>,
        now: OffsetDateTime,
    ) -> Vec<(usize, String, Option<String>, String)> {
        let judge = Judge::new(config, now);
        let mut denied = Vec::new();
        for (place, listener) in self.listeners.iter().enumerate() {
            let attempts = seen.get(listener.name).map(Vec::as_slice).unwrap_or_default();
            for attempt in attempts.iter().filter(|a| a.who.proven != Proven::Plaintext) {
                let Verdict::Denied(denial) = judge.judge(attempt) else { continue };
                let peer = self.book.named(attempt).unwrap_or_default();
                let is_of_a_rule = matches!(
                    denial.reason,
                    Some(
                        DenyReason::NotListedForRoute
                            | DenyReason::NotListedForMessage
                            | DenyReason::NotListedForAssociation
                            | DenyReason::UnknownSender
                    )
                );
                let rule = is_of_a_rule.then(|| denial.rule.clone());
                let text = format!(
                    "not covered: {} of `{peer}`: {}: {}",
                    attempt.what,
                    denial.label(),
                    denial.why
                );
                denied.push((place, peer, rule, text));
            }
        }
        denied
    }

    /// Lets `peer` use a rule, too. `false` if it may already.
    fn add(&mut self, listener: usize, rule: &str, peer: &str) -> bool {
        let Some(listener) = self.listeners.get_mut(listener) else { return false };
        let name = rule.split_once('/').map_or(rule, |(_, name)| name);
        let rule = listener.all_rules().find(|known| known.name == name);
        rule.is_some_and(|rule| rule.allow.insert(peer.to_owned()))
    }
}
