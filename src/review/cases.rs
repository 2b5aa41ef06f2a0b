//! Cases put to a policy: is what is expected also what is decided?

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::judge::{Denial, Judge, Verdict, association};
use super::who::{Proven, Who, nobody};
use crate::authz::{Asked, Requested};
use crate::config::{Case, CaseAsked, CaseWho, Config, Peer, PeerMatcher};
use crate::identity::{Fingerprint, PeerCertificate, PeerIdentity, Proof};
use crate::protocol::mllp;

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
pub fn try_all<'c>(config: &Config, cases: &'c [Case], now: OffsetDateTime) -> Vec<Tried<'c>> {
    let mut judges = BTreeMap::new();
    let tried = cases.iter().map(|case| {
        let at = case.at.unwrap_or(now);
        let judge = judges.entry(at).or_insert_with(|| Judge::new(config, at));
        let verdict = put(judge, case, at);
        Tried { case, is_expected: is_expected(case, &verdict), verdict }
    });
    tried.collect()
}

fn put(judge: &Judge<'_>, case: &Case, at: OffsetDateTime) -> Verdict {
    let identity = identity(judge.config(), &case.who, at);
    let asked = |asked: Option<Asked<'_>>| judge.put(&case.listener, identity.as_ref(), asked);
    match &case.asked {
        CaseAsked::Connect => asked(None),
        CaseAsked::Request { method, host, path, soap_action } => {
            let (host, soap_action) = (host.as_deref(), soap_action.as_deref());
            asked(Some(Asked::Request(&Requested { method, host, path, soap_action })))
        }
        CaseAsked::Message { kind: (code, trigger), sender: (application, facility) } => {
            asked(Some(Asked::Message(&mllp::Header {
                code: code.as_bytes(),
                trigger: trigger.as_bytes(),
                sending_application: application.as_bytes(),
                sending_facility: facility.as_bytes(),
                ..mllp::Header::default()
            })))
        }
        CaseAsked::Association { calling, called, classes } => {
            asked(Some(Asked::Association(&association(calling, called, classes))))
        }
    }
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
        CaseWho::Peer(name) => config.peers.get(name).map(|peer| as_peer(peer, nobody(at))),
    }
}

/// Somebody whom nothing but `peer` recognizes.
fn as_peer(peer: &Peer, mut certificate: PeerCertificate) -> PeerIdentity {
    let mut proof = Proof::Chain;
    match &peer.matcher {
        PeerMatcher::Spiffe(id) => certificate.spiffe = Some(id.clone()),
        PeerMatcher::Dns(name) => certificate.dns = vec![name.clone()],
        PeerMatcher::Subject { common_name, organization, organizational_unit } => {
            let subject = &mut certificate.subject;
            subject.common_names = common_name.iter().cloned().collect();
            subject.organizations = organization.iter().cloned().collect();
            subject.organizational_units = organizational_unit.iter().cloned().collect();
        }
        PeerMatcher::CertificatePin(pin) => (certificate.sha256, proof) = (*pin, Proof::Pin),
        PeerMatcher::KeyPin(pin) => (certificate.key_sha256, proof) = (*pin, Proof::Pin),
    }
    PeerIdentity { certificate: Arc::new(certificate), proof }
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
