//! Screens for peers, and for rules that name them.

use super::{HEAD, screen};

#[test]
fn a_peer_is_recognized_by_exactly_one_thing() {
    let screen = screen(
        &[
            HEAD,
            r#"peers:
  both: { spiffe: spiffe://h.example/a, dns: a.example }
  none: { owner: someone }
  empty: { subject: {} }
  pin: { pin: "sha256:9f86" }
  key: { spki: "sha256/base64=" }
  Name: { dns: "a..b" }
  id: { spiffe: "spiffe://h.example/a%2fb" }
  old: { dns: old.example, expires: 2020-01-01 }
  twin: { dns: old.example, expires: 30.06.2027 }
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"warning: no listener: nothing is carried
 --> m.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^
  = help: add `inbound` for peers that come in, or `outbound` for the workload's way out

error: `dns` beside `spiffe`: a peer is recognized by exactly one
 --> m.yaml:6:41
  |
6 |   both: { spiffe: spiffe://h.example/a, dns: a.example }
  |                                         ^^^
  = help: keep one, or make it two entries

error: nothing says how peer `none` is recognized
 --> m.yaml:7:3
  |
7 |   none: { owner: someone }
  |   ^^^^
  = help: add one of spiffe, dns, subject, pin, spki

error: `subject` names no part
 --> m.yaml:8:12
  |
8 |   empty: { subject: {} }
  |            ^^^^^^^
  = help: add one of cn, o, ou

error: `pin: sha256:9f86` is not sha256: and 64 hexadecimal digits
 --> m.yaml:9:15
  |
9 |   pin: { pin: "sha256:9f86" }
  |               ^^^^^^^^^^^^^
  = help: `openssl x509 -in peer.crt -outform der | sha256sum` prints the digits

error: `spki: sha256/base64=` is not sha256: and 64 hexadecimal digits
  --> m.yaml:10:16
   |
10 |   key: { spki: "sha256/base64=" }
   |                ^^^^^^^^^^^^^^^^
   = help: `openssl x509 -in peer.crt -noout -pubkey | openssl pkey -pubin -outform der | sha256sum` prints the digits

error: `Name` is not a name
  --> m.yaml:11:3
   |
11 |   Name: { dns: "a..b" }
   |   ^^^^
   = help: a name has a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit

error: `dns: a..b` is not a DNS name
  --> m.yaml:11:16
   |
11 |   Name: { dns: "a..b" }
   |                ^^^^^^
   = help: letters, digits, '-' and '_' in labels, joined by '.'

error: `spiffe: spiffe://h.example/a%2fb` is not a SPIFFE ID
  --> m.yaml:12:17
   |
12 |   id: { spiffe: "spiffe://h.example/a%2fb" }
   |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: a SPIFFE ID's path has only letters, digits, '.', '-' and '_', not '%'

warning: peer `old` has expired: this entry lets nobody in
  --> m.yaml:13:37
   |
13 |   old: { dns: old.example, expires: 2020-01-01 }
   |                                     ^^^^^^^^^^
   = help: set a later date, or remove the entry

error: `expires: 30.06.2027` is not a date
  --> m.yaml:14:38
   |
14 |   twin: { dns: old.example, expires: 30.06.2027 }
   |                                      ^^^^^^^^^^
   = help: write 2027-06-30 for the end of that day in UTC, or 2027-06-30T18:00:00+02:00"#
    );
}

#[test]
fn an_unknown_peer_is_refused_with_the_nearest_known_one() {
    let screen = screen(
        &[
            HEAD,
            r#"peers:
  billing: { spiffe: spiffe://h.example/billing }
inbound:
  - name: fhir
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [biling, nobody-like-this, billing, billing]
    routes:
      - {name: all, path: "/{rest...}", allow: [bilingg]}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: peer `biling` is not in `peers`
  --> m.yaml:12:13
   |
12 |     allow: [biling, nobody-like-this, billing, billing]
   |             ^^^^^^
   = help: did you mean `billing`?

error: peer `nobody-like-this` is not in `peers`
  --> m.yaml:12:21
   |
12 |     allow: [biling, nobody-like-this, billing, billing]
   |                     ^^^^^^^^^^^^^^^^
   = help: add it there: `peers: { NAME: { spiffe: spiffe://… } }`

error: peer `bilingg` is not in `peers`
  --> m.yaml:14:49
   |
14 |       - {name: all, path: "/{rest...}", allow: [bilingg]}
   |                                                 ^^^^^^^
   = help: did you mean `billing`?"#
    );
}
