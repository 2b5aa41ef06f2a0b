//! Screens for groups of peers, and what rules make of them.

use super::{HEAD, parse, screen};
use crate::identity::PeerName;

const PEERS: &str = "peers:
  billing: { dns: billing.example }
  lab: { dns: lab.example }
  ct: { dns: ct.example }
";

/// A listener that allows this.
fn allowing(allow: &str) -> String {
    format!(
        "inbound: [{{name: api, listen: \"0.0.0.0:8443\", forward: \"127.0.0.1:8080\", protocol: tcp, \
         allow: {allow}}}]\n"
    )
}

fn names(list: &[PeerName]) -> Vec<&str> {
    list.iter().map(PeerName::as_str).collect()
}

#[test]
fn a_group_stands_for_its_members_wherever_a_peer_may_stand() {
    let config = parse(
        &[
            HEAD,
            PEERS,
            r#"groups:
  all: [clinics, ct, billing]
  clinics: [billing, lab]
inbound:
  - name: api
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [all]
    routes:
      - {name: one, path: /a, allow: [ct, clinics]}
outbound:
  - {name: out, listen: "127.0.0.1:9002", to: ["h:1"], expect: [clinics, lab], protocol: tcp}
"#,
        ]
        .concat(),
    )
    .unwrap();

    assert_eq!(config.warnings.to_string(), "");
    assert_eq!(names(&config.inbound[0].allow), ["billing", "lab", "ct"]);
    let route = &config.inbound[0].routes.as_ref().unwrap()[0].rule;
    assert_eq!(names(&route.allow), ["ct", "billing", "lab"]);
    assert_eq!(names(&config.outbound[0].expect), ["billing", "lab"]);
    assert_eq!(names(&config.groups[&PeerName::new("all")]), ["billing", "lab", "ct"]);
}

#[test]
fn a_group_that_is_wrong_is_told() {
    let screen = screen(
        &[
            HEAD,
            PEERS,
            r#"groups:
  Clinics: [billing]
  lab: [billing]
  empty: []
  slip: [biling, ct, ct]
  unused: [ct]
  a: [b]
  b: [ct, c]
  c: [a]
"#,
            &allowing("[empty, slip, c, clinic]"),
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `Clinics` is not a name
  --> m.yaml:10:3
   |
10 |   Clinics: [billing]
   |   ^^^^^^^
   = help: a name has a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit

error: `lab` is a peer and a group
  --> m.yaml:11:3
   |
11 |   lab: [billing]
   |   ^^^
   = help: rules could mean either; give the group another name

warning: nobody is in group `empty`
  --> m.yaml:12:3
   |
12 |   empty: []
   |   ^^^^^
   = help: name peers in it, or remove it

error: peer `biling` is not in `peers`
  --> m.yaml:13:10
   |
13 |   slip: [biling, ct, ct]
   |          ^^^^^^
   = help: did you mean `billing`?

warning: group `unused` is used nowhere
  --> m.yaml:14:3
   |
14 |   unused: [ct]
   |   ^^^^^^
   = help: name it in an `allow`, or remove it

error: group `a` is in itself: `a` has `b` has `c` has `a`
  --> m.yaml:17:7
   |
17 |   c: [a]
   |       ^
   = help: take one of them out of the other

error: peer `clinic` is not in `peers`
  --> m.yaml:18:113
   |
18 | …nbound: [{name: api, listen: "0.0.0.0:8443", forward: "127.0.0.1:8080", protocol: tcp, allow: [empty, slip, c, clinic]}]
   |                                                                                                                 ^^^^^^
   = help: did you mean `Clinics`?"#
    );
}

#[test]
fn groups_are_not_nested_without_end() {
    let groups: String = (0..40).map(|n| format!("  g{n}: [g{}]\n", n + 1)).collect();
    let text = [HEAD, PEERS, "groups:\n", &groups, "  g40: [ct]\n", &allowing("[g0]")].concat();

    let problems = parse(&text).unwrap_err();

    assert!(problems.to_string().contains("groups nested deeper than 16"), "{problems}");
}

#[test]
fn a_rule_for_a_group_of_whom_nobody_may_connect_has_no_effect() {
    let rules = |allow: &str| {
        screen(&[
            HEAD,
            PEERS,
            "groups: {clinics: [billing, lab], wards: [billing, ct]}\n",
            "inbound:\n  - {name: api, listen: \"0.0.0.0:8443\", forward: \"127.0.0.1:8080\", \
             protocol: http, allow: [ct], routes: [{name: all, path: \"/{rest...}\", allow: ",
            allow,
            "}]}\noutbound: [{name: out, listen: \"127.0.0.1:9002\", to: [\"h:1\"], expect: [wards, clinics], \
             protocol: tcp}]\n",
        ].concat())
    };

    assert_eq!(rules("[wards]"), "");
    assert!(rules("[wards, clinics]").starts_with("warning: `clinics` may not connect"));
}
