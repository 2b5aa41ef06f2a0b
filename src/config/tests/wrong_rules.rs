//! Screens for rules for messages and associations that are wrong, or odd.

use super::{HEAD, screen};

const PEERS: &str = "peers: {lab: {dns: lab.example}, ct: {dns: ct.example}}\n";

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

error: `application: A^B` is not what MSH has of a sender
  --> m.yaml:13:45
   |
13 |     senders: [{allow: [lab]}, {application: "A^B", allow: [ct]}, {facilty: X, allow: [lab]}]
   |                                             ^^^^^
   = help: write what stands before the first ^: rules look at that alone

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
   = help: it has 1 to 16 characters

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
     associations: [{called_ae: PACS, sop_classes: [Verification], allow: [lab]}, {calling_ae: CT, called_ae: PACS, allow: [lab]}]}
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

warning: rule `CT>PACS` is never reached: `*>PACS` before it takes all of its associations
  --> m.yaml:11:84
   |
11 | …ations: [{called_ae: PACS, sop_classes: [Verification], allow: [lab]}, {calling_ae: CT, called_ae: PACS, allow: [lab]}]}
   |                                                                          ^^^^^^^^^^
   = help: put the narrower rule first, or remove it

warning: an empty list of associations: all associations are denied
  --> m.yaml:13:6
   |
13 |      associations: []}
   |      ^^^^^^^^^^^^
   = help: remove `associations` to let listed peers have any association"#
    );
}

#[test]
fn rules_that_all_may_use_are_told_where_that_is_likely_not_meant() {
    let screen = screen(
        &[
            HEAD,
            PEERS,
            r#"inbound:
  - name: pacs
    listen: 0.0.0.0:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    allow: [lab, ct]
    associations: [{calling_ae: CT2}, {called_ae: PACS}]
  - name: adt
    listen: 0.0.0.0:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    allow: [lab, ct]
    messages: ["ADT^*", {name: a, types: ["ORU^*"], allow: [lab]}, {name: b, types: ["ORM^*"]}]
    senders: [{application: LIS}]
  - name: one
    listen: 0.0.0.0:2763
    forward: 127.0.0.1:11113
    protocol: dicom
    allow: [ct]
    associations: [{calling_ae: CT2}, {calling_ae: CT3, allow: [ct]}]
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"warning: rule `CT2>*` has no `allow`, so it binds nothing: all 2 peers that may connect may use it
  --> m.yaml:12:21
   |
12 |     associations: [{calling_ae: CT2}, {called_ae: PACS}]
   |                     ^^^^^^^^^^
   = help: name in `allow` whose it is

warning: rule `b` has no `allow`, unlike others here: all 2 peers that may connect may use it
  --> m.yaml:18:75
   |
18 |     messages: ["ADT^*", {name: a, types: ["ORU^*"], allow: [lab]}, {name: b, types: ["ORM^*"]}]
   |                                                                           ^
   = help: name peers in `allow`, all of them if that is meant

warning: sender `LIS|*` has no `allow`, so it binds nothing: all 2 peers that may connect may use it
  --> m.yaml:19:16
   |
19 |     senders: [{application: LIS}]
   |                ^^^^^^^^^^^
   = help: name in `allow` whose it is"#
    );
}
