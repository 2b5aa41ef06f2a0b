//! Who may do what, as an operator writes it down.

use std::path::Path;
use std::sync::Arc;

use http::Method;
use proptest::prelude::*;
use time::macros::datetime;

use super::{Denied, ListenerPolicy, Requested};
use crate::config::{self, Config};
use crate::identity::{
    DnsName, Fingerprint, PeerCertificate, PeerIdentity, Proof, SpiffeId, Subject,
};
use crate::outcome::DenyReason;

mod agreement;
mod clear;
mod decisions;
mod observed;

const PIN: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn config(rest: &str) -> Config {
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: td\nidentity: {{ embedded: {{ dir: authority }} }}\n{rest}"
    );
    config::parse(Path::new("myelin.yaml"), &text, &|_| None).unwrap()
}

fn policy(config: &Config) -> ListenerPolicy {
    ListenerPolicy::inbound(config, &config.inbound[0])
}

/// A policy with these peers, of whom `allow` may connect.
fn allowing(peers: &str, allow: &str) -> ListenerPolicy {
    policy(&config(&format!(
        "peers: {{ {peers} }}\ninbound: [ {{ name: fhir, listen: \"127.0.0.1:8443\", forward: \"127.0.0.1:80\", \
         protocol: tcp, allow: [{allow}] }} ]"
    )))
}

fn certificate() -> PeerCertificate {
    PeerCertificate {
        not_after: datetime!(2027-01-01 0:00 UTC),
        ..PeerCertificate::nameless(datetime!(2026-01-01 0:00 UTC))
    }
}

fn chained(certificate: PeerCertificate) -> PeerIdentity {
    PeerIdentity { certificate: Arc::new(certificate), proof: Proof::Chain }
}

fn spiffe(id: &str) -> PeerIdentity {
    chained(PeerCertificate { spiffe: Some(SpiffeId::parse(id).unwrap()), ..certificate() })
}

fn dns(name: &str) -> PeerIdentity {
    chained(PeerCertificate { dns: vec![DnsName::parse(name).unwrap()], ..certificate() })
}

fn ask(policy: &ListenerPolicy, who: &PeerIdentity) -> Result<String, DenyReason> {
    policy
        .authorize(who, datetime!(2026-11-22 12:00 UTC))
        .map(|permit| permit.peer().unwrap().to_string())
        .map_err(|denied| denied.reason)
}

#[test]
fn a_listed_peer_is_let_in_by_its_name() {
    let policy = allowing("billing: { spiffe: \"spiffe://td/billing\" }", "billing");

    assert_eq!(ask(&policy, &spiffe("spiffe://td/billing")), Ok("billing".into()));
}

#[test]
fn nobody_is_let_in_without_being_listed() {
    let peers =
        "billing: { spiffe: \"spiffe://td/billing\" }, lab: { spiffe: \"spiffe://td/lab\" }";

    assert_eq!(
        ask(&allowing(peers, "billing"), &spiffe("spiffe://td/lab")),
        Err(DenyReason::NotListed)
    );
    assert_eq!(
        ask(&allowing(peers, ""), &spiffe("spiffe://td/billing")),
        Err(DenyReason::NotListed)
    );
    assert_eq!(
        ask(&allowing(peers, "billing"), &spiffe("spiffe://td/billing2")),
        Err(DenyReason::UnknownPeer)
    );
    assert_eq!(
        ask(&allowing(peers, "billing"), &spiffe("spiffe://other/billing")),
        Err(DenyReason::UnknownPeer)
    );
}

#[test]
fn an_expired_entry_lets_nobody_in() {
    let peers = |date| format!("lab: {{ spiffe: \"spiffe://td/lab\", expires: {date} }}");

    assert_eq!(
        ask(&allowing(&peers("2026-11-21"), "lab"), &spiffe("spiffe://td/lab")),
        Err(DenyReason::ListingExpired)
    );
    assert_eq!(
        ask(&allowing(&peers("2026-11-22"), "lab"), &spiffe("spiffe://td/lab")),
        Ok("lab".into()),
        "the day itself counts"
    );
}

#[test]
fn an_expired_certificate_lets_nobody_in_even_after_its_handshake() {
    let policy = allowing("billing: { spiffe: \"spiffe://td/billing\" }", "billing");
    let late = datetime!(2027-01-01 0:00 UTC);

    let denied = policy.authorize(&spiffe("spiffe://td/billing"), late).unwrap_err();

    assert_eq!(denied.reason, DenyReason::CertificateExpired);
}

#[test]
fn beside_a_spiffe_id_no_other_name_counts() {
    let policy = allowing("lis: { dns: lis.example }", "lis");
    let both = chained(PeerCertificate {
        spiffe: Some(SpiffeId::parse("spiffe://td/mallory").unwrap()),
        dns: vec![DnsName::parse("lis.example").unwrap()],
        ..certificate()
    });

    assert_eq!(ask(&policy, &both), Err(DenyReason::UnknownPeer));
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let exact = allowing("lab: { dns: lis.lab.example }", "lab");
    let wild = allowing("lab: { dns: \"*.lab.example\" }", "lab");

    assert_eq!(ask(&exact, &dns("LIS.lab.example")), Ok("lab".into()));
    assert_eq!(ask(&exact, &dns("*.lab.example")), Ok("lab".into()));
    assert_eq!(ask(&exact, &dns("pacs.lab.example")), Err(DenyReason::UnknownPeer));
    assert_eq!(ask(&wild, &dns("pacs.lab.example")), Ok("lab".into()));
    assert_eq!(ask(&wild, &dns("a.b.lab.example")), Err(DenyReason::UnknownPeer));
    assert_eq!(ask(&wild, &dns("lab.example")), Err(DenyReason::UnknownPeer));
}

#[test]
fn names_in_a_certificate_that_is_only_pinned_count_for_nothing() {
    let peers = format!(
        "billing: {{ spiffe: \"spiffe://td/billing\" }}, lis: {{ dns: lis.example }}, ct: {{ pin: \"sha256:{PIN}\" }}"
    );
    let forged = PeerCertificate {
        spiffe: Some(SpiffeId::parse("spiffe://td/billing").unwrap()),
        dns: vec![DnsName::parse("lis.example").unwrap()],
        sha256: Fingerprint([0x11; 32]),
        ..certificate()
    };
    let pinned = PeerIdentity { certificate: Arc::new(forged), proof: Proof::Pin };

    assert_eq!(ask(&allowing(&peers, "ct"), &pinned), Ok("ct".into()));
    assert_eq!(ask(&allowing(&peers, "billing, lis"), &pinned), Err(DenyReason::NotListed));
}

#[test]
fn every_given_part_of_a_subject_must_be_the_certificates_only_one() {
    let policy = allowing("ct: { subject: { cn: ct-2, o: Vendor } }", "ct");
    let subject = |cn: &[&str], o: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let subject =
            Subject { common_names: own(cn), organizations: own(o), ..Subject::default() };
        chained(PeerCertificate { subject, ..certificate() })
    };

    assert_eq!(ask(&policy, &subject(&["ct-2"], &["Vendor"])), Ok("ct".into()));
    assert_eq!(ask(&policy, &subject(&["ct-2"], &[])), Err(DenyReason::UnknownPeer));
    assert_eq!(
        ask(&policy, &subject(&["ct-1", "ct-2"], &["Vendor"])),
        Err(DenyReason::UnknownPeer)
    );
}

#[test]
fn a_stranger_with_many_names_among_many_peers_is_compared_with_few() {
    let peers: Vec<String> = (0..2_000).map(|n| format!("p{n}: {{ dns: p{n}.example }}")).collect();
    let allow: Vec<String> = (0..2_000).map(|n| format!("p{n}")).collect();
    let policy = allowing(&peers.join(", "), &allow.join(", "));
    let dns = (0..2_000).map(|n| DnsName::parse(&format!("p1999.{n}.example")).unwrap()).collect();

    let denied = policy
        .authorize(
            &chained(PeerCertificate { dns, ..certificate() }),
            datetime!(2026-11-22 12:00 UTC),
        )
        .unwrap_err();

    assert!(!denied.nearest.contains("`p1999`"), "{}", denied.nearest);
}

#[test]
fn a_denial_names_the_entry_that_came_nearest() {
    let policy = allowing("billing: { spiffe: \"spiffe://td/billing\" }", "billing");
    let denied = policy
        .authorize(&spiffe("spiffe://td/billing-test"), datetime!(2026-11-22 12:00 UTC))
        .unwrap_err();

    assert_eq!(
        denied.nearest,
        "nearest is peer `billing`, which is spiffe://td/billing; this one is spiffe://td/billing-test"
    );
}

fn routed() -> ListenerPolicy {
    policy(&config(
        r#"
peers: { billing: { spiffe: "spiffe://td/billing" }, lab: { spiffe: "spiffe://td/lab" } }
audit: { dir: audit }
inbound:
  - name: fhir
    listen: 127.0.0.1:8443
    forward: 127.0.0.1:80
    protocol: http
    phi: true
    allow: [billing, lab]
    routes:
      - { name: read, methods: [GET], path: "/fhir/Patient/{id}", allow: [billing] }
      - { name: health, path: /healthz, phi: false, allow: [billing, lab] }
      - { name: files, methods: [GET], path: "/files/{rest...}", allow: [lab] }
"#,
    ))
}

fn request(peer: &str, method: Method, path: &str) -> Result<String, (DenyReason, String)> {
    let policy = routed();
    let who = spiffe(&format!("spiffe://td/{peer}"));
    let now = datetime!(2026-11-22 12:00 UTC);
    let permit = policy.authorize(&who, now).unwrap();
    let asked = Requested::plain(&method, path);
    policy
        .authorize_request(&permit, &asked, now)
        .map(|request| request.rule().to_string())
        .map_err(|Denied { reason, nearest, .. }| (reason, nearest))
}

#[test]
fn the_first_route_that_matches_decides() {
    assert_eq!(request("billing", Method::GET, "/fhir/Patient/42"), Ok("fhir/read".into()));
    assert_eq!(request("lab", Method::DELETE, "/healthz"), Ok("fhir/health".into()));
    assert_eq!(request("lab", Method::GET, "/files"), Ok("fhir/files".into()));
    assert_eq!(request("billing", Method::GET, "/fhir/Patient/42/"), Ok("fhir/read".into()));
    assert_eq!(request("lab", Method::GET, "/files/a/b"), Ok("fhir/files".into()));
}

#[test]
fn what_no_route_names_is_denied_and_says_what_differed() {
    let reason = |result: Result<String, (DenyReason, String)>| result.unwrap_err();

    assert_eq!(
        reason(request("lab", Method::GET, "/fhir/Patient/42")),
        (DenyReason::NotListedForRoute, "route `read` does not allow peer `lab`".into())
    );
    assert_eq!(
        reason(request("billing", Method::DELETE, "/fhir/Patient/42")),
        (DenyReason::NoRoute, "nearest is route `read`: method GET, not DELETE".into())
    );
    for path in ["/fhir/Patient", "/fhir/Patient/", "/fhir/Patient/1/x", "/fhir//1"] {
        assert_eq!(
            reason(request("billing", Method::GET, path)),
            (
                DenyReason::NoRoute,
                "nearest is route `read`: path /fhir/Patient/{id}, not this one".into()
            ),
            "{path}"
        );
    }
    for path in ["/", "/FHIR/Patient/1", "//"] {
        assert_eq!(
            reason(request("billing", Method::GET, path)),
            (DenyReason::NoRoute, "no route has this path".into()),
            "{path}"
        );
    }
}

proptest! {
    /// The compiled lookup says what a plain search through the list would say.
    #[test]
    fn the_compiled_policy_agrees_with_a_naive_one(
        allowed in proptest::collection::btree_set(0_u8..20, 0..10),
        asked in 0_u8..24,
    ) {
        let peers: Vec<_> = (0..20)
            .map(|n| match n % 2 {
                0 => format!("p{n}: {{ spiffe: \"spiffe://td/s{n}\" }}"),
                _ => format!("p{n}: {{ dns: s{n}.example }}"),
            })
            .collect();
        let allow: Vec<_> = allowed.iter().map(|n| format!("p{n}")).collect();
        let policy = allowing(&peers.join(", "), &allow.join(", "));
        let who = match asked % 2 {
            0 => spiffe(&format!("spiffe://td/s{asked}")),
            _ => dns(&format!("s{asked}.example")),
        };

        let naive = match (allowed.contains(&asked), asked < 20) {
            (true, _) => Ok(format!("p{asked}")),
            (false, true) => Err(DenyReason::NotListed),
            (false, false) => Err(DenyReason::UnknownPeer),
        };
        prop_assert_eq!(ask(&policy, &who), naive);
    }
}
