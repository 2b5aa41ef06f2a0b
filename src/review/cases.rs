//! Cases put to a policy: is what is expected also what is decided?

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::judge::{Denial, Judge, Verdict};
use super::who::{Proven, Who};
use crate::authz::RegoPolicy;
use crate::config::{Case, CaseWho, Config};
use crate::identity::{Fingerprint, PeerIdentity};

/// A case, and what was decided.
#[derive(Debug)]
pub struct Tried<'c> {
    /// The case.
    pub case: &'c Case,
    /// What was decided, were everything enforced.
    pub verdict: Verdict,
    /// Whether it is what was expected.
    pub is_expected: bool,
}

/// Puts all `cases` to `config`, those that name no moment at `now`.
///
/// `rego` is what the configuration's `policy` narrows its rules by.
pub fn try_all<'c>(
    config: &Config,
    rego: Option<&Arc<RegoPolicy>>,
    cases: &'c [Case],
    now: OffsetDateTime,
) -> Vec<Tried<'c>> {
    let mut judges = BTreeMap::new();
    let tried = cases.iter().map(|case| {
        let at = case.at.unwrap_or(now);
        let judge = judges.entry(at).or_insert_with(|| Judge::new(config, at).narrowed_by(rego));
        let verdict = put(judge, case, at);
        Tried { case, is_expected: is_expected(case, &verdict), verdict }
    });
    tried.collect()
}

fn put(judge: &Judge<'_>, case: &Case, at: OffsetDateTime) -> Verdict {
    let identity = identity(judge.config(), &case.who, at);
    case.question.put(|asked| judge.put(&case.listener, identity.as_ref(), asked))
}

fn identity(config: &Config, who: &CaseWho, at: OffsetDateTime) -> Option<PeerIdentity> {
    let names = |spiffe, dns| {
        let proven = Proven::Chain { spiffe, dns, subject: String::new() };
        Who { peer: None, proven }.identity(Fingerprint([0; 32]), at)
    };
    match who {
        CaseWho::Plaintext => None,
        CaseWho::Spiffe(id) => names(Some(id.clone()), Vec::new()),
        CaseWho::Dns(name) => names(None, vec![name.clone()]),
        CaseWho::Peer(name) => config.peers.get(name).map(|peer| peer.stand_in(at)),
    }
}

fn is_expected(case: &Case, verdict: &Verdict) -> bool {
    let named = |rule: &str| {
        let wanted = case.rule.as_deref();
        let short = rule.split_once('/').map_or(rule, |(_, name)| name);
        wanted.is_none_or(|wanted| wanted == rule || wanted == short)
    };
    let because =
        |denial: &Denial| case.reason.as_deref().is_none_or(|wanted| wanted == denial.label());
    match verdict {
        Verdict::Allowed { rule, .. } => case.allowed && named(rule),
        Verdict::Denied(denial) => !case.allowed && named(&denial.rule) && because(denial),
        Verdict::Unjudged(_) => false,
    }
}
