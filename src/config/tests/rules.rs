//! Rules for messages and associations, and what all rules have: screens, and what they become.

use std::time::Duration;

use super::{HEAD, parse, screen};
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
      {calling_ae: CT2, called_ae: PACS, allow: [ct], expires: 9000-01-01}, {
        allow: [ct] } ]
"#,
        ]
        .concat(),
    )
    .unwrap();

    let rules = config.inbound[0].associations.as_ref().unwrap();
    assert_eq!(names(&rules[0].rule), ("CT2>PACS", 13, vec!["ct"]));
    assert_eq!(names(&rules[1].rule), ("CT2>PACS#2", 14, vec!["ct"]));
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
fn wrong_rules_for_messages_are_told() {
    let screen = screen(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - name: adt
    listen: 0.0.0.0:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    allow: [lab]
    messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
    senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
    on_denied: drop
    associations: []
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `ADT` is not a type of messages
  --> m.yaml:12:16
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                ^^^^^
   = help: write "ADT^*" for every trigger event

error: `adt^a01` is not in upper case, as types of messages are
  --> m.yaml:12:23
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                       ^^^^^^^^^
   = help: did you mean `ADT^A01`?

error: `ADT^A01^ADT_A01` is not a type of messages
  --> m.yaml:12:34
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                                  ^^^^^^^^^^^^^^^^^
   = help: write "ADT^A01": what follows (MSH-9.3) only repeats it, and many leave it out

error: `name` is missing in inbound[0].messages[3]
  --> m.yaml:12:54
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                                                      ^^^^^
   = help: add it, like `name: results`

warning: nobody may use this rule: it allows no peer
  --> m.yaml:12:54
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                                                      ^^^^^
   = help: name peers in `allow`

error: an empty list of types
  --> m.yaml:12:54
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                                                      ^^^^^
   = help: write ["*"] for all types

warning: rule `ORU^R01` is never reached: `ORU^*` before it takes all of its messages
  --> m.yaml:12:75
   |
12 |     messages: ["ADT", "adt^a01", "ADT^A01^ADT_A01", {types: []}, "ORU^*", "ORU^R01"]
   |                                                                           ^^^^^^^^^
   = help: put the narrower rule first, or remove it

error: a sender that is named by nothing
  --> m.yaml:13:16
   |
13 |     senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
   |                ^^^^^
   = help: add `application: LIS` (MSH-3) or `facility: MAIN` (MSH-4)

error: `application: A^B` has more than one component
  --> m.yaml:13:45
   |
13 |     senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
   |                                             ^^^^^
   = help: write what stands before the first ^

warning: `ct` may not connect, so this has no effect
  --> m.yaml:13:60
   |
13 |     senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
   |                                                            ^^
   = help: add it to the listener's `allow` too

error: unknown key `facilty` in inbound[0].senders[2]
  --> m.yaml:13:67
   |
13 |     senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
   |                                                                   ^^^^^^^
   = help: did you mean `facility`?

error: `on_denied: drop` is not one of close, nack
  --> m.yaml:14:16
   |
14 |     on_denied: drop
   |                ^^^^

error: `associations` needs `protocol: dicom`
  --> m.yaml:15:5
   |
15 |     associations: []
   |     ^^^^^^^^^^^^
   = help: the rules of mllp are `messages` and `senders`; change `protocol`, or remove the key

warning: an empty list of associations: all associations are denied
  --> m.yaml:15:5
   |
15 |     associations: []
   |     ^^^^^^^^^^^^
   = help: remove `associations` to let listed peers have any association"#
    );
}

#[test]
fn wrong_rules_for_associations_are_told() {
    let screen = screen(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - name: pacs
    listen: 0.0.0.0:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    allow: [ct]
    routes: []
    associations:
      - {calling_ae: A_TITLE_THAT_IS_TOO_LONG, allow: [ct]}
      - {calling_ae: " CT2", sop_classes: [CTImageStorge, 1.02, X], allow: [ct]}
      - {called_ae: PACS, allow: [ct], expires: 2020-01-01, limits: {burst: 2}}
      - {called_ae: PACS, calling_ae: CT, allow: [ct], limits: {rate: 5, concurrency: 0}}
      - {called_ae: PACS, name: x, allow: [ct], limits: {}}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `routes` needs `protocol: http`
  --> m.yaml:12:5
   |
12 |     routes: []
   |     ^^^^^^
   = help: the rules of dicom are `associations`; change `protocol`, or remove the key

warning: an empty list of routes: all requests are denied
  --> m.yaml:12:5
   |
12 |     routes: []
   |     ^^^^^^
   = help: remove `routes` to let listed peers ask for anything

error: `calling_ae: A_TITLE_THAT_IS_TOO_LONG` is not an AE title
  --> m.yaml:14:22
   |
14 |       - {calling_ae: A_TITLE_THAT_IS_TOO_LONG, allow: [ct]}
   |                      ^^^^^^^^^^^^^^^^^^^^^^^^
   = help: it has 1 to 16 characters; leave the key out for any

error: `calling_ae:  CT2` is not an AE title
  --> m.yaml:15:22
   |
15 |       - {calling_ae: " CT2", sop_classes: [CTImageStorge, 1.02, X], allow: [ct]}
   |                      ^^^^^^
   = help: leave out the spaces around it, they do not count

error: `CTImageStorge` is not the keyword of a SOP class
  --> m.yaml:15:44
   |
15 |       - {calling_ae: " CT2", sop_classes: [CTImageStorge, 1.02, X], allow: [ct]}
   |                                            ^^^^^^^^^^^^^
   = help: did you mean `CTImageStorage`?

error: `1.02` is not a UID
  --> m.yaml:15:59
   |
15 |       - {calling_ae: " CT2", sop_classes: [CTImageStorge, 1.02, X], allow: [ct]}
   |                                                           ^^^^
   = help: numbers without leading zeros, joined by '.', at most 64 characters

error: `X` is not the keyword of a SOP class
  --> m.yaml:15:65
   |
15 |       - {calling_ae: " CT2", sop_classes: [CTImageStorge, 1.02, X], allow: [ct]}
   |                                                                 ^
   = help: write it like CTImageStorage, or write its UID

warning: this rule has expired: it lets nobody in any more
  --> m.yaml:16:49
   |
16 |       - {called_ae: PACS, allow: [ct], expires: 2020-01-01, limits: {burst: 2}}
   |                                                 ^^^^^^^^^^
   = help: set a later date, or remove the rule

error: `burst` without `rate`: there is nothing to rest from
  --> m.yaml:16:77
   |
16 |       - {called_ae: PACS, allow: [ct], expires: 2020-01-01, limits: {burst: 2}}
   |                                                                             ^
   = help: add `rate: "100/s"`, or remove `burst`

error: `rate: 5` is not a rate
  --> m.yaml:17:71
   |
17 |       - {called_ae: PACS, calling_ae: CT, allow: [ct], limits: {rate: 5, concurrency: 0}}
   |                                                                       ^
   = help: a number per s, m or h, like "100/s"

error: `concurrency: 0` is less than 1, the least
  --> m.yaml:17:87
   |
17 |       - {called_ae: PACS, calling_ae: CT, allow: [ct], limits: {rate: 5, concurrency: 0}}
   |                                                                                       ^

error: these limits limit nothing
  --> m.yaml:18:49
   |
18 |       - {called_ae: PACS, name: x, allow: [ct], limits: {}}
   |                                                 ^^^^^^
   = help: add `rate: "100/s"` or `concurrency: 20`, or remove it"#
    );
}

#[test]
fn rules_that_are_never_reached_are_told() {
    let screen = screen(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - {name: adt, listen: "0.0.0.0:2575", forward: "127.0.0.1:2576", protocol: mllp, allow: [lab],
     messages: ["ADT^*", "ADT^A01", "*^A01"],
     senders: [{facility: MAIN, allow: [lab]}, {application: LIS, facility: MAIN, allow: [lab]}]}
  - {name: pacs, listen: "0.0.0.0:2762", forward: "127.0.0.1:11112", protocol: dicom, allow: [lab],
     associations: [{called_ae: PACS, allow: [lab]}, {calling_ae: CT, called_ae: PACS, allow: [lab]}]}
  - {name: none, listen: "0.0.0.0:2763", forward: "127.0.0.1:2764", protocol: dicom, allow: [lab],
     associations: []}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"warning: rule `ADT^A01` is never reached: `ADT^*` before it takes all of its messages
 --> m.yaml:8:26
  |
8 |      messages: ["ADT^*", "ADT^A01", "*^A01"],
  |                          ^^^^^^^^^
  = help: put the narrower rule first, or remove it

warning: sender `LIS|MAIN` is never reached: `*|MAIN` before it takes all of its messages
 --> m.yaml:9:49
  |
9 |      senders: [{facility: MAIN, allow: [lab]}, {application: LIS, facility: MAIN, allow: [lab]}]}
  |                                                 ^^^^^^^^^^^
  = help: put the narrower sender first, or remove it

error: `127.0.0.1:2763` is this sidecar's own `inbound[2].listen`: a loop
  --> m.yaml:10:51
   |
10 |   - {name: pacs, listen: "0.0.0.0:2762", forward: "127.0.0.1:11112", protocol: dicom, allow: [lab],
   |                                                   ^^^^^^^^^^^^^^^^
   = help: forward to the workload's own address

warning: rule `CT>PACS` is never reached: `*>PACS` before it takes all of its associations
  --> m.yaml:11:55
   |
11 |      associations: [{called_ae: PACS, allow: [lab]}, {calling_ae: CT, called_ae: PACS, allow: [lab]}]}
   |                                                       ^^^^^^^^^^
   = help: put the narrower rule first, or remove it

warning: an empty list of associations: all associations are denied
  --> m.yaml:13:6
   |
13 |      associations: []}
   |      ^^^^^^^^^^^^
   = help: remove `associations` to let listed peers have any association"#
    );
}
