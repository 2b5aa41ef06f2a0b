//! Screens for listeners that let through, for a while, what they will refuse.

use time::macros::datetime;

use super::{HEAD, parse, screen};

fn listener(protocol: &str, keys: &str) -> String {
    [
        HEAD,
        "peers: {a: {dns: a.example}}\ninbound:\n  - name: api\n    listen: 0.0.0.0:8443\n",
        "    forward: 127.0.0.1:8080\n    allow: [a]\n",
        &format!("    protocol: {protocol}\n"),
        keys,
    ]
    .concat()
}

#[test]
fn what_is_lenient_needs_an_end() {
    let screen = screen(&listener("mllp", "    mode: permissive\n    enforce: false\n"));

    assert_eq!(
        screen,
        r#"error: `mode: permissive` has no end
  --> m.yaml:12:11
   |
12 |     mode: permissive
   |           ^^^^^^^^^^
   = help: add `until: YYYY-MM-DD`, after which the listener turns strict by itself

error: `enforce: false` has no end
  --> m.yaml:13:14
   |
13 |     enforce: false
   |              ^^^^^
   = help: add `until: YYYY-MM-DD`, after which the listener turns strict by itself"#
    );
}

#[test]
fn an_end_needs_something_to_end() {
    let screen = screen(&listener("http", "    mode: strict\n    until: 2027-01-31\n"));

    assert_eq!(
        screen,
        r#"error: `until` without `mode: permissive` or `enforce: false`: nothing ends then
  --> m.yaml:13:12
   |
13 |     until: 2027-01-31
   |            ^^^^^^^^^^
   = help: remove it, or add what is to end"#
    );
}

#[test]
fn where_the_server_may_speak_first_nobody_can_tell_plaintext() {
    let screen = screen(&listener("tcp", "    mode: permissive\n    until: 2020-01-31\n"));

    assert_eq!(
        screen,
        r#"error: `mode: permissive` is not for `protocol: tcp`: where the server may speak first, nobody can tell plaintext from TLS
  --> m.yaml:12:11
   |
12 |     mode: permissive
   |           ^^^^^^^^^^
   = help: name the protocol if it is http, mllp or dicom

warning: `api` is strict: `2020-01-31` has passed
  --> m.yaml:13:12
   |
13 |     until: 2020-01-31
   |            ^^^^^^^^^^
   = help: remove `until` and what it ended, or set a later date"#
    );
}

#[test]
fn what_is_lenient_is_said_with_what_it_means_and_a_far_end_with_a_warning() {
    let text =
        listener("http", "    mode: permissive\n    enforce: false\n    until: 9000-01-31\n");

    assert_eq!(
        screen(&text),
        r#"warning: until `9000-01-31`, `api` takes plaintext, too: from anybody who reaches it, unauthenticated
  --> m.yaml:12:11
   |
12 |     mode: permissive
   |           ^^^^^^^^^^
   = help: `/status` and the records say who still comes that way

warning: until `9000-01-31`, `api` lets through what policy denies, to everybody with a valid certificate
  --> m.yaml:13:14
   |
13 |     enforce: false
   |              ^^^^^
   = help: `/status` and the records say what would be denied

warning: `9000-01-31` is more than a year away
  --> m.yaml:14:12
   |
14 |     until: 9000-01-31
   |            ^^^^^^^^^^
   = help: set an earlier date: what has a far end is forgotten"#
    );
    let config = parse(&text).unwrap();
    let end = datetime!(9000-01-31 23:59:59.999_999_999 UTC);
    assert_eq!(config.inbound[0].permissive_until, Some(end));
    assert_eq!(config.inbound[0].observe_until, Some(end));
}

#[test]
fn each_has_the_end_for_itself() {
    let observe = parse(&listener("tcp", "    enforce: false\n    until: 9000-01-31\n")).unwrap();
    let permissive =
        parse(&listener("dicom", "    mode: permissive\n    until: 9000-01-31\n")).unwrap();
    let strict = parse(&listener("tcp", "    enforce: true\n    mode: strict\n")).unwrap();

    assert!(observe.inbound[0].observe_until.is_some());
    assert!(observe.inbound[0].permissive_until.is_none());
    assert!(permissive.inbound[0].permissive_until.is_some());
    assert!(permissive.inbound[0].observe_until.is_none());
    assert!(strict.inbound[0].observe_until.is_none());
    assert!(strict.inbound[0].permissive_until.is_none());
}

#[test]
fn shapes_of_paths_are_recorded_only_while_policy_is_observed() {
    let observed = "    enforce: false\n    until: 9000-01-31\n";

    let good = parse(&listener("http", &format!("{observed}    observe_paths: true\n"))).unwrap();
    let endless = screen(&listener("http", "    observe_paths: true\n"));
    let wrong = screen(&listener("tcp", &format!("{observed}    observe_paths: true\n")));

    assert!(good.inbound[0].observe_paths);
    assert!(good.warnings.to_string().contains("`api` puts the words of paths on record"));
    assert!(endless.contains("error: `observe_paths` without `enforce: false`"), "{endless}");
    assert!(wrong.contains("error: `observe_paths` needs `protocol: http`"), "{wrong}");
}
