//! Rules for messages and associations, and what all rules have: what they become.

use std::time::Duration;

use super::{HEAD, parse};
use crate::config::{OnDenied, Quota, Rate, Rule};
use crate::identity::PeerName;

const PEERS: &str = "peers: {lab: {dns: lab.example}, ct: {dns: ct.example}}\n";

fn names(rule: &Rule) -> (&str, u32, Vec<&str>) {
    (&rule.name, rule.line, rule.allow.iter().map(PeerName::as_str).collect())
}

#[test]
fn messages_and_senders_become_rules() {
    let config = parse(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - name: adt
    listen: 0.0.0.0:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    on_denied: nack
    allow: [lab, ct]
    messages:
      - "ADT^A01"
      - name: results
        types: "ORU^*"
        allow: [lab]
        limits: {rate: 6/m, concurrency: 2}
      - "*"
    senders:
      - {application: LIS, facility: MAIN, allow: [lab]}
      - name: all-main
        facility: MAIN
        allow: [ct]
"#,
        ]
        .concat(),
    )
    .unwrap();

    let mllp = &config.inbound[0].mllp;
    let messages = mllp.messages.as_ref().unwrap();
    assert_eq!(names(&messages[0].rule), ("ADT^A01", 14, vec!["lab", "ct"]));
    assert_eq!(names(&messages[1].rule), ("results", 15, vec!["lab"]));
    assert_eq!(names(&messages[2].rule), ("*", 19, vec!["lab", "ct"]));
    let types: Vec<_> = messages.iter().map(|rule| rule.types[0].to_string()).collect();
    assert_eq!(types, ["ADT^A01", "ORU^*", "*"]);
    let rate = Rate { interval: Duration::from_secs(10), burst: 1 };
    let quota = Quota { rate: Some(rate), concurrency: Some(2) };
    assert_eq!(messages[1].rule.limits, Some(quota));
    let senders = mllp.senders.as_ref().unwrap();
    assert_eq!(names(&senders[0].rule), ("LIS|MAIN", 21, vec!["lab"]));
    assert_eq!(names(&senders[1].rule), ("all-main", 22, vec!["ct"]));
    assert_eq!(
        (senders[1].application.as_deref(), senders[1].facility.as_deref()),
        (None, Some("MAIN"))
    );
    assert_eq!(mllp.on_denied, OnDenied::Nack);
    assert_eq!(config.warnings.to_string(), "");
}

#[test]
fn associations_become_rules() {
    let config = parse(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - name: pacs
    listen: 0.0.0.0:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    allow: [ct]
    associations: [
      {calling_ae: CT2, called_ae: PACS, sop_classes: [CTImageStorage, 1.2.3], allow: [ct]},
      {calling_ae: CT3, called_ae: PACS, allow: [ct], expires: 9000-01-01}, {
        allow: [ct] } ]
"#,
        ]
        .concat(),
    )
    .unwrap();

    let rules = config.inbound[0].associations.as_ref().unwrap();
    assert_eq!(names(&rules[0].rule), ("CT2>PACS", 13, vec!["ct"]));
    assert_eq!(names(&rules[1].rule), ("CT3>PACS", 14, vec!["ct"]));
    assert_eq!(rules[2].rule.name.as_ref(), "*>*");
    let classes: Vec<_> = rules[0].sop_classes.iter().map(AsRef::as_ref).collect();
    assert_eq!(classes, ["1.2.840.10008.5.1.4.1.1.2", "1.2.3"]);
    assert!(rules[1].rule.expires.is_some() && rules[1].sop_classes.is_empty());
    assert_eq!(rules[2].calling_ae, None);
}

#[test]
fn peers_listeners_and_rules_know_their_lines() {
    let config = parse(
        &[
            HEAD,
            r#"peers:
  lab:
    # of the second floor
    dns: lab.example
  ct: {dns: ct.example}
inbound:
  -
    # of the third floor
    name: one
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [lab]
    routes:
      - path: /a
        name: a
        allow: [lab]
      - {name: b, path: /b, allow: [lab]}
      -
        name: c
        path: /c
        allow: [lab]
  - {name: two, listen: "0.0.0.0:8444", forward: "127.0.0.1:8080", protocol: tcp, allow: [ct]}
outbound:
  - name: three
    listen: 127.0.0.1:9002
    to: [h:1]
    expect: [ct]
    protocol: mllp
"#,
        ]
        .concat(),
    )
    .unwrap();

    let line = |name| config.peers[&PeerName::new(name)].line;
    assert_eq!((line("lab"), line("ct")), (6, 9));
    assert_eq!((config.inbound[0].line, config.inbound[1].line), (13, 27));
    let routes = config.inbound[0].routes.as_ref().unwrap();
    assert_eq!(routes.iter().map(|r| r.rule.line).collect::<Vec<_>>(), [19, 22, 24]);
    assert_eq!(config.outbound[0].line, 29);
}

#[test]
fn a_rule_that_does_not_say_who_may_is_for_all_who_may_connect() {
    let text = [
        HEAD,
        "peers: {lab: {dns: lab.example}, ct: {dns: ct.example}, mr: {dns: mr.example}}\n\
         inbound:\n  \
         - {name: pacs, listen: \"0.0.0.0:2762\", forward: \"127.0.0.1:11112\", protocol: dicom,\n     \
            allow: [ct, mr], associations: [{calling_ae: CT2, called_ae: PACS}, {allow: []}]}\n  \
         - {name: api, listen: \"0.0.0.0:8443\", forward: \"127.0.0.1:8080\", protocol: http,\n     \
            allow: [lab, mr], routes: [{name: all, path: /a}, {name: none, path: /b, allow: []}]}\n",
    ];
    let config = parse(&text.concat()).unwrap();

    let associations = config.inbound[0].associations.as_ref().unwrap();
    assert_eq!(names(&associations[0].rule).2, ["ct", "mr"]);
    assert!(associations[1].rule.allow.is_empty());
    let routes = config.inbound[1].routes.as_ref().unwrap();
    assert_eq!(names(&routes[0].rule).2, ["lab", "mr"]);
    assert!(routes[1].rule.allow.is_empty());
}
