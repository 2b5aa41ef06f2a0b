//! Screens for files that say what this release, or safety, does not allow.

use super::{HEAD, screen};

#[test]
fn what_is_not_in_this_release_is_refused_by_name() {
    let screen = screen(
        r#"version: 1
service: ehr
trust_domain: h.example
identity: { embedded: { dir: authority } }
tls: { fips: required }
peers: { lab: { dns: lab.example } }
inbound:
  - {name: adt, listen: "0.0.0.0:2575", forward: "127.0.0.1:2576", protocol: tcp, allow: [lab]}
"#,
    );

    assert_eq!(
        screen,
        r#"error: `fips: required` is not in this release; only off is
 --> m.yaml:5:14
  |
5 | tls: { fips: required }
  |              ^^^^^^^^
  = help: write `off`, or remove the key: it is the only one in this release"#
    );
}

#[test]
fn limits_have_bounds() {
    let screen = screen(
        &[
            HEAD,
            r#"limits:
  connections: 0
  handshake_timeout: 10
  connect_timeout: 1ms
  idle_timeout: 31d
  header_bytes: 64K
  streams: many
inbound:
  - name: api
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: tcp
    allow: []
    limits: {header_bytes: 1KiB, conections: 5}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `connections: 0` is less than 1, the least
 --> m.yaml:6:16
  |
6 |   connections: 0
  |                ^

error: `handshake_timeout: 10` is not a duration
 --> m.yaml:7:22
  |
7 |   handshake_timeout: 10
  |                      ^^
  = help: a number with its unit, like 500ms, 10s, 5m, 24h, 90d or 6y

error: `connect_timeout: 1ms` is less than 100ms, the least
 --> m.yaml:8:20
  |
8 |   connect_timeout: 1ms
  |                    ^^^

error: `idle_timeout: 31d` is more than 30days, the most
 --> m.yaml:9:17
  |
9 |   idle_timeout: 31d
  |                 ^^^

error: `header_bytes: 64K` is not a size
  --> m.yaml:10:17
   |
10 |   header_bytes: 64K
   |                 ^^^
   = help: a number of bytes, or one with B, KiB, MiB, GiB, KB or MB, like 64KiB

error: `streams: many` is not a whole number
  --> m.yaml:11:12
   |
11 |   streams: many
   |            ^^^^
   = help: digits only, like 10000

warning: nobody may connect to `api`: it allows no peer
  --> m.yaml:17:5
   |
17 |     allow: []
   |     ^^^^^
   = help: name peers in `allow`

error: `header_bytes: 1KiB` is less than 8192 bytes, the least
  --> m.yaml:18:28
   |
18 |     limits: {header_bytes: 1KiB, conections: 5}
   |                            ^^^^

error: unknown key `conections` in inbound[0].limits
  --> m.yaml:18:34
   |
18 |     limits: {header_bytes: 1KiB, conections: 5}
   |                                  ^^^^^^^^^^
   = help: did you mean `connections`?"#
    );
}

#[test]
fn cipher_suites_narrow_the_profile() {
    let screen = screen(
        &[
            HEAD,
            r#"tls:
  profile: nist
  cipher_suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_256_GCM_SHA38, TLS_RSA_WITH_AES_128_CBC_SHA]
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

error: `TLS_CHACHA20_POLY1305_SHA256` is not in profile nist
 --> m.yaml:7:19
  |
7 |   cipher_suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_256_GCM_SHA38, TLS_RSA_WITH_AES_128_CBC_SHA]
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: the list narrows the profile and never widens it; choose another `profile` for it

error: `TLS_AES_256_GCM_SHA38` is not a cipher suite that this release has
 --> m.yaml:7:49
  |
7 |   cipher_suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_256_GCM_SHA38, TLS_RSA_WITH_AES_128_CBC_SHA]
  |                                                 ^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean `TLS_AES_256_GCM_SHA384`?

error: `TLS_RSA_WITH_AES_128_CBC_SHA` is not a cipher suite that this release has
 --> m.yaml:7:72
  |
7 |   cipher_suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_256_GCM_SHA38, TLS_RSA_WITH_AES_128_CBC_SHA]
  |                                                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: an IANA name like TLS_AES_256_GCM_SHA384; RSA key transport, CBC and SHA-1 are gone"#
    );
}

#[test]
fn the_administrative_listener_stays_on_loopback() {
    let screen = screen(
        &[
            HEAD,
            r#"admin: {listen: "0.0.0.0:9901"}
audit: {retention: 1h, on_failure: alow}
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

error: `listen: 0.0.0.0:9901` is not a loopback address, and this listener asks nobody who they are
 --> m.yaml:5:17
  |
5 | admin: {listen: "0.0.0.0:9901"}
  |                 ^^^^^^^^^^^^^^
  = help: use 127.0.0.1:9901 here, and `probe_listen` for probes and scrapers from outside

error: `dir` is missing in audit
 --> m.yaml:6:1
  |
6 | audit: {retention: 1h, on_failure: alow}
  | ^^^^^
  = help: add it, like `dir: /var/log/myelin/audit`

error: `retention: 1h` is less than 1day, the least
 --> m.yaml:6:20
  |
6 | audit: {retention: 1h, on_failure: alow}
  |                    ^^

error: `on_failure: alow` is not one of block, allow
 --> m.yaml:6:36
  |
6 | audit: {retention: 1h, on_failure: alow}
  |                                    ^^^^
  = help: did you mean `allow`?"#
    );
}
