//! What peers may have, as an operator writes it down.

use std::path::Path;
use std::sync::Arc;

use http::Method;
use time::macros::datetime;

use super::*;
use crate::authz::Requested;
use crate::config::{self, Config};
use crate::identity::{
    DnsName, Fingerprint, LeafUse, PeerCertificate, PeerIdentity, Proof, Subject,
};
use crate::protocol::mllp::Header;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn config(lab: &str, route: &str) -> Config {
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: td\nidentity: {{embedded: {{dir: authority}}}}\n\
         peers: {{lab: {{dns: lab.td, {lab}}}, ward: {{dns: ward.td}}}}\n\
         inbound:\n  - name: api\n    listen: 127.0.0.1:8443\n    forward: 127.0.0.1:80\n    \
         protocol: http\n    allow: [lab, ward]\n    mode: permissive\n    until: 9000-01-01\n    \
         routes:\n      - {{name: all, path: \"/{{rest...}}\", allow: [lab, ward], {route}}}\n"
    );
    config::parse(Path::new("m.yaml"), &text, &|_| None).unwrap_or_else(|p| panic!("{p}"))
}

/// A listener's policy, its quotas, and those who ask.
struct Desk {
    policy: ListenerPolicy,
    quotas: Quotas,
}

impl Desk {
    fn new(lab: &str, route: &str) -> Self {
        Self::after(lab, route, None)
    }

    fn after(lab: &str, route: &str, before: Option<&Self>) -> Self {
        let config = config(lab, route);
        let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
        let quotas = Quotas::new(&policy, before.map(|before| &before.quotas));
        Self { policy, quotas }
    }

    fn permit(&self, peer: &str) -> Permit {
        self.policy.authorize(&identity(peer), NOW).unwrap()
    }

    fn grant(&self, permit: &Permit) -> Grant {
        let asked = Requested::plain(&Method::GET, "/a");
        self.policy.authorize_request(permit, &asked, NOW).unwrap()
    }

    fn ask(&self, permit: &Permit) -> Result<Running, Box<Over>> {
        self.quotas.begin(permit, Some(&self.grant(permit)))
    }

    /// How many of 20 may begin, each ended before the next.
    fn one_by_one(&self, peer: &str) -> usize {
        let permit = self.permit(peer);
        (0..20).filter(|_| self.ask(&permit).is_ok()).count()
    }

    /// How many of 20 may run at once.
    fn at_once(&self, peer: &str) -> usize {
        let permit = self.permit(peer);
        let running: Vec<_> = (0..20).filter_map(|_| self.ask(&permit).ok()).collect();
        running.len()
    }
}

fn identity(peer: &str) -> PeerIdentity {
    let certificate = PeerCertificate {
        spiffe: None,
        dns: vec![DnsName::parse(&format!("{peer}.td")).unwrap()],
        alternative_names: Vec::new(),
        subject: Subject::default(),
        issuer: String::new(),
        serial: String::new(),
        sha256: Fingerprint([0; 32]),
        key_sha256: Fingerprint([0; 32]),
        usage: LeafUse::default(),
        not_before: datetime!(2026-01-01 0:00 UTC),
        not_after: datetime!(2028-01-01 0:00 UTC),
    };
    PeerIdentity { certificate: Arc::new(certificate), proof: Proof::Chain }
}

#[test]
fn a_peer_without_limits_may_have_any_number() {
    let desk = Desk::new("limits: {concurrency: 1}", "");

    assert_eq!(desk.at_once("ward"), 20);
}

#[test]
fn a_peer_has_its_limits_on_the_whole_listener() {
    assert_eq!(Desk::new("limits: {rate: 1/h, burst: 3}", "").one_by_one("lab"), 3);
    let desk = Desk::new("limits: {concurrency: 3}", "");
    assert_eq!(desk.at_once("lab"), 3);
    assert_eq!(desk.one_by_one("lab"), 20, "what has ended is given back");
}

#[test]
fn a_rule_has_its_limits_for_each_peer_on_its_own() {
    let desk = Desk::new("", "limits: {rate: 1/h, burst: 3}");

    assert_eq!(desk.one_by_one("lab"), 3);
    assert_eq!(desk.one_by_one("ward"), 3);
    let desk = Desk::new("", "limits: {concurrency: 2}");
    assert_eq!((desk.at_once("lab"), desk.at_once("ward")), (2, 2));
}

#[test]
fn those_without_a_name_share_what_one_peer_may_have_of_a_rule() {
    let desk = Desk::new("", "limits: {rate: 1/h, burst: 3}");
    let permit = desk.policy.plaintext(NOW).unwrap();

    assert_eq!((0..20).filter(|_| desk.ask(&permit).is_ok()).count(), 3);
    assert_eq!(desk.one_by_one("lab"), 3);
}

#[test]
fn what_the_rule_denies_costs_nothing_of_the_peers_own() {
    let desk = Desk::new("limits: {rate: 1/h, burst: 10}", "limits: {rate: 1/h, burst: 3}");
    assert_eq!(desk.one_by_one("lab"), 3);

    let permit = desk.permit("lab");
    let elsewhere = (0..20).filter(|_| desk.quotas.begin(&permit, None).is_ok()).count();

    assert_eq!(elsewhere, 7);
}

#[test]
fn what_is_denied_takes_no_place() {
    let desk = Desk::new("limits: {rate: 1/h, concurrency: 1}", "limits: {concurrency: 1}");
    let permit = desk.permit("lab");

    drop(desk.ask(&permit).unwrap());
    let reason = || desk.ask(&permit).unwrap_err().denied.reason;

    assert_eq!((reason(), reason()), (DenyReason::RateLimit, DenyReason::RateLimit));
}

#[test]
fn what_is_in_use_goes_over_to_the_next_policy_unless_the_limit_is_another() {
    let limits = "limits: {rate: 1/h, burst: 3, concurrency: 3}";
    let before = Desk::new(limits, limits);
    let permit = before.permit("lab");
    let _running = before.ask(&permit).unwrap();

    let same = Desk::after(limits, limits, Some(&before));
    assert_eq!(same.at_once("lab"), 2);
    let other = Desk::after("limits: {rate: 1/h, burst: 5}", "", Some(&before));
    assert_eq!(other.one_by_one("lab"), 5);
}

#[test]
fn a_permit_of_another_policy_is_its_holders_all_the_same() {
    let old = Desk::new("", "").permit("lab");
    let text = "version: 1\nservice: ehr\ntrust_domain: td\nidentity: {embedded: {dir: authority}}\n\
                peers: {lab: {dns: lab.td, limits: {concurrency: 1}}, ward: {dns: ward.td}}\n\
                inbound: [{name: api, listen: \"127.0.0.1:8443\", forward: \"127.0.0.1:80\", \
                protocol: http, allow: [ward, lab]}]\n";
    let config = config::parse(Path::new("m.yaml"), text, &|_| None).unwrap();
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let quotas = Quotas::new(&policy, None);

    let _running = quotas.begin(&old, None).unwrap();

    assert!(quotas.begin(&old, None).is_err());
}

#[test]
fn a_denial_says_whose_limit_it_is_and_when_to_come_again() {
    let desk = Desk::new("limits: {rate: 100/m, burst: 1}", "limits: {concurrency: 1}");
    let permit = desk.permit("lab");
    let running = desk.ask(&permit).unwrap();

    let many = desk.ask(&permit).unwrap_err();
    drop(running);
    let often = desk.ask(&permit).unwrap_err();

    let shown = |over: &Over| {
        let Denied { reason, rule, line, differs, nearest, .. } = &over.denied;
        format!("{} {rule}:{line} {} {nearest}", reason.label(), differs.unwrap().label())
    };
    assert_eq!(
        shown(&many),
        "concurrency_limit api/all:15 concurrency peer `lab` has 1 at once, as many as it may"
    );
    assert_eq!(
        shown(&often),
        "rate_limit peers/lab:5 rate peer `lab` has used up its rate of 100/m (burst 1)"
    );
    assert!(often.retry_after > Duration::ZERO && often.retry_after <= Duration::from_millis(600));
}

#[test]
fn a_rate_is_told_as_it_was_written() {
    for (text, shown) in [("7/s", "7/s"), ("100/m", "100/m"), ("1/h", "1/h"), ("90/m", "90/m")] {
        let config = config(&format!("limits: {{rate: {text}, burst: 2}}"), "");
        let peer = config.peers.get(&PeerName::new("lab")).unwrap();
        let rate = peer.limits.unwrap().rate.unwrap();
        assert_eq!(told(rate), format!("{shown} (burst 2)"));
    }
}

#[test]
fn what_was_used_is_known_and_goes_over_to_the_next_policy() {
    let desk = Desk::new("", "");
    let permit = desk.permit("lab");
    (0..20).for_each(|_| desk.quotas.used(&permit, Some(&desk.grant(&permit)), NOW));
    let _begun = desk.ask(&permit); // which alone is no use

    let next = Desk::after("limits: {concurrency: 1}", "", Some(&desk));

    let peers: Vec<_> = next.quotas.peers().map(|p| (p.name.to_string(), p.usage.hits())).collect();
    assert_eq!(peers, [("lab".to_owned(), 20), ("ward".to_owned(), 0)]);
    let rule = next.quotas.rules().next().unwrap();
    assert_eq!((&*rule.name, rule.usage.hits(), rule.usage.last()), ("api/all", 20, Some(NOW)));
    assert_eq!(next.quotas.peers().nth(1).unwrap().usage.last(), None);
}

#[test]
fn a_limit_goes_on_though_a_rule_for_senders_has_the_same_name() {
    let text = "version: 1\nservice: ehr\ntrust_domain: td\nidentity: {embedded: {dir: authority}}\n\
                peers: {lab: {dns: lab.td}}\n\
                inbound:\n  - name: adt\n    listen: 127.0.0.1:8443\n    forward: 127.0.0.1:80\n    \
                protocol: mllp\n    allow: [lab]\n    \
                messages: [{name: a, types: [\"ADT^*\"], allow: [lab], limits: {rate: 1/h}}]\n    \
                senders: [{name: a, application: LAB, allow: [lab]}]\n";
    let config = config::parse(Path::new("m.yaml"), text, &|_| None).unwrap();
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let permit = policy.authorize(&identity("lab"), NOW).unwrap();
    let message =
        Header { code: b"ADT", trigger: b"A01", sending_application: b"LAB", ..Header::default() };
    let grant = policy.authorize_message(&permit, &message, NOW).unwrap();

    let first = Quotas::new(&policy, None);
    assert!(first.begin(&permit, Some(&grant)).is_ok());
    let second = Quotas::new(&policy, Some(&first));

    assert!(second.begin(&permit, Some(&grant)).is_err());
}
