//! Screens for listeners, their rules, and what must fit together.

use super::{HEAD, screen};

#[test]
fn a_listener_on_the_network_for_plaintext_is_refused() {
    let screen = screen(
        &[
            HEAD,
            r#"peers: {lab: {dns: lab.example}}
outbound:
  - {name: to-lab, listen: "0.0.0.0:9002", to: [], expect: [], protocol: tcp}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `0.0.0.0:9002` is not loopback, and this side is plaintext
 --> m.yaml:7:28
  |
7 |   - {name: to-lab, listen: "0.0.0.0:9002", to: [], expect: [], protocol: tcp}
  |                            ^^^^^^^^^^^^^^
  = help: use 127.0.0.1, [::1] or unix:PATH; or set `listen_anywhere: true` beside it if this network is safe

error: an empty list leads nowhere
 --> m.yaml:7:44
  |
7 |   - {name: to-lab, listen: "0.0.0.0:9002", to: [], expect: [], protocol: tcp}
  |                                            ^^
  = help: name where the server is: [lab.example:8443]

error: an empty list expects nobody: no server could be the right one
 --> m.yaml:7:52
  |
7 |   - {name: to-lab, listen: "0.0.0.0:9002", to: [], expect: [], protocol: tcp}
  |                                                    ^^^^^^
  = help: name the peers that the server may prove to be"#
    );
}

#[test]
fn phi_needs_a_trail() {
    let screen = screen(
        &[
            HEAD,
            r#"peers: {a: {dns: a.example}}
inbound:
  - name: api
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: tcp
    phi: true
    allow: [a]
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `phi: true` needs a trail, and `audit.dir` is missing
  --> m.yaml:11:10
   |
11 |     phi: true
   |          ^^^^
   = help: add `audit: { dir: /var/log/myelin/audit }`"#
    );
}

#[test]
fn routes_need_requests() {
    let screen = screen(
        &[
            HEAD,
            r#"peers: {a: {dns: a.example}}
inbound:
  - name: db
    listen: 0.0.0.0:5432
    forward: unix:/run/db.sock
    protocol: tcp
    forward_protocol: h2c
    allow: [a]
    routes: []
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `forward_protocol` needs `protocol: http`
  --> m.yaml:11:5
   |
11 |     forward_protocol: h2c
   |     ^^^^^^^^^^^^^^^^
   = help: a byte stream has no requests to look at; change `protocol`, or remove the key

error: `routes` needs `protocol: http`
  --> m.yaml:13:5
   |
13 |     routes: []
   |     ^^^^^^
   = help: a byte stream has no requests to look at; change `protocol`, or remove the key

warning: an empty list of routes: all requests are denied
  --> m.yaml:13:5
   |
13 |     routes: []
   |     ^^^^^^
   = help: remove `routes` to let listed peers ask for anything"#
    );
}

#[test]
fn a_route_is_checked_down_to_its_path() {
    let screen = screen(
        &[
            HEAD,
            r#"peers: {a: {dns: a.example}}
inbound:
  - name: api
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [a]
    routes:
      - { name: one, methods: [get], path: "/a/{x}", allow: [a] }
      - { name: two, methods: [], path: "/a%20b", allow: [a] }
      - { name: three, methods: ["G T"], path: "/a?x=1", allow: [a] }
      - { name: three, path: /a/../b, allow: [a] }
      - { path: "/a/{x}b" }
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `get` is not a method that rules see
  --> m.yaml:13:32
   |
13 |       - { name: one, methods: [get], path: "/a/{x}", allow: [a] }
   |                                ^^^
   = help: methods are upper-case; did you mean GET?

error: an empty list of methods
  --> m.yaml:14:22
   |
14 |       - { name: two, methods: [], path: "/a%20b", allow: [a] }
   |                      ^^^^^^^
   = help: remove the key for all methods

error: `path: /a%20b` is not a path
  --> m.yaml:14:41
   |
14 |       - { name: two, methods: [], path: "/a%20b", allow: [a] }
   |                                         ^^^^^^^^
   = help: a path is written without percent escapes, as it reads once they are decoded

error: `G T` is not a method that rules see
  --> m.yaml:15:34
   |
15 |       - { name: three, methods: ["G T"], path: "/a?x=1", allow: [a] }
   |                                  ^^^^^
   = help: write it as a request does, like GET or POST

error: `path: /a?x=1` is not a path
  --> m.yaml:15:48
   |
15 |       - { name: three, methods: ["G T"], path: "/a?x=1", allow: [a] }
   |                                                ^^^^^^^^
   = help: a path has no query and no fragment: rules look at the path alone

error: a second route is named `three`
  --> m.yaml:16:17
   |
16 |       - { name: three, path: /a/../b, allow: [a] }
   |                 ^^^^^
   = help: the first is inbound[0].routes[2]

error: `path: /a/../b` is not a path
  --> m.yaml:16:30
   |
16 |       - { name: three, path: /a/../b, allow: [a] }
   |                              ^^^^^^^
   = help: a path has no '.' or '..' segment

error: `name` is missing in inbound[0].routes[4]
  --> m.yaml:17:11
   |
17 |       - { path: "/a/{x}b" }
   |           ^^^^
   = help: add it, like `name: read-patient`

error: `path: /a/{x}b` is not a path
  --> m.yaml:17:17
   |
17 |       - { path: "/a/{x}b" }
   |                 ^^^^^^^^^
   = help: braces stand around a whole segment and hold a name, like /Patient/{id}"#
    );
}

#[test]
fn addresses_and_names_are_taken_once() {
    let screen = screen(
        &[
            HEAD,
            r#"peers: {a: {dns: a.example}}
inbound:
  - {name: one, listen: "0.0.0.0:8443", forward: "127.0.0.1:8080", protocol: tcp, allow: [a]}
  - {name: two, listen: "127.0.0.1:8443", forward: "127.0.0.1:8080", protocol: tcp, allow: [a]}
  - {name: three, listen: "127.0.0.1:9901", forward: "127.0.0.1:8443", protocol: tcp, allow: [a]}
outbound:
  - {name: one, listen: "127.0.0.1:9002", to: ["h:1"], expect: [a], protocol: tcp}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `127.0.0.1:8443` cannot be bound twice
 --> m.yaml:8:25
  |
8 |   - {name: two, listen: "127.0.0.1:8443", forward: "127.0.0.1:8080", protocol: tcp, allow: [a]}
  |                         ^^^^^^^^^^^^^^^^
  = help: inbound[0].listen binds `0.0.0.0:8443`

error: `127.0.0.1:9901` cannot be bound twice
 --> m.yaml:9:27
  |
9 |   - {name: three, listen: "127.0.0.1:9901", forward: "127.0.0.1:8443", protocol: tcp, allow: [a]}
  |                           ^^^^^^^^^^^^^^^^
  = help: `admin.listen` binds it when it is not set; choose another port, or set it

error: `127.0.0.1:8443` is this sidecar's own `inbound[0].listen`: a loop
 --> m.yaml:9:54
  |
9 |   - {name: three, listen: "127.0.0.1:9901", forward: "127.0.0.1:8443", protocol: tcp, allow: [a]}
  |                                                      ^^^^^^^^^^^^^^^^
  = help: forward to the workload's own address

error: a second listener is named `one`
  --> m.yaml:11:12
   |
11 |   - {name: one, listen: "127.0.0.1:9002", to: ["h:1"], expect: [a], protocol: tcp}
   |            ^^^
   = help: the first is inbound[0]; names are unique over inbound and outbound"#
    );
}

#[test]
fn what_is_allowed_and_odd_is_said_as_a_warning() {
    let screen = screen(
        &[
            HEAD,
            r#"peers:
  a: {dns: a.example}
  b: {dns: b.example}
inbound:
  - name: closed
    listen: 0.0.0.0:8441
    forward: 127.0.0.1:8080
    protocol: http
    routes: []
  - name: api
    listen: 0.0.0.0:8443
    forward: 10.0.0.7:8080
    forward_anywhere: true
    protocol: http
    allow: [a]
    routes:
      - {name: all, path: "/a/{rest...}", allow: [a, b]}
      - {name: never, methods: [GET], path: /a/x, allow: [a]}
      - {name: nobody, path: /b, allow: []}
  - {name: relay, listen: "0.0.0.0:8444", forward: "127.0.0.1:9002", protocol: tcp, allow: [a]}
outbound:
  - {name: out, listen: "127.0.0.1:9002", to: ["h:1", "H:1"], expect: [a], protocol: tcp}
audit: {dir: audit, on_failure: allow}
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"warning: nobody may connect to `closed`: it allows no peer
 --> m.yaml:9:5
  |
9 |   - name: closed
  |     ^^^^
  = help: name peers in `allow`

warning: an empty list of routes: all requests are denied
  --> m.yaml:13:5
   |
13 |     routes: []
   |     ^^^^^^
   = help: remove `routes` to let listed peers ask for anything

warning: `10.0.0.7:8080` is not loopback: plaintext may leave this machine
  --> m.yaml:16:14
   |
16 |     forward: 10.0.0.7:8080
   |              ^^^^^^^^^^^^^
   = help: make sure that nobody else can reach this network

warning: `b` may not connect, so this has no effect
  --> m.yaml:21:54
   |
21 |       - {name: all, path: "/a/{rest...}", allow: [a, b]}
   |                                                      ^
   = help: add it to the listener's `allow` too

warning: route `never` is never reached: `all` before it takes all of its requests
  --> m.yaml:22:16
   |
22 |       - {name: never, methods: [GET], path: /a/x, allow: [a]}
   |                ^^^^^
   = help: put the narrower route first, or remove it

warning: nobody may use route `nobody`: it allows no peer
  --> m.yaml:23:10
   |
23 |       - {name: nobody, path: /b, allow: []}
   |          ^^^^
   = help: name peers in `allow`, or leave the key out for all who may connect

warning: `127.0.0.1:9002` is this sidecar's own `outbound[0].listen`: what peers send goes out again under this sidecar's identity
  --> m.yaml:24:52
   |
24 |   - {name: relay, listen: "0.0.0.0:8444", forward: "127.0.0.1:9002", protocol: tcp, allow: [a]}
   |                                                    ^^^^^^^^^^^^^^^^
   = help: forward to the workload, unless this is to be a relay

warning: `H:1` is listed twice
  --> m.yaml:26:55
   |
26 |   - {name: out, listen: "127.0.0.1:9002", to: ["h:1", "H:1"], expect: [a], protocol: tcp}
   |                                                       ^^^^^
   = help: keep one

warning: PHI passes without a record while the trail cannot be written: this fails open
  --> m.yaml:27:33
   |
27 | audit: {dir: audit, on_failure: allow}
   |                                 ^^^^^
   = help: `on_failure: block` keeps the promise that every access is on record"#
    );
}

#[test]
fn a_file_without_a_listener_is_good_for_nothing() {
    let screen = screen(HEAD);

    assert_eq!(
        screen,
        r#"warning: no listener: nothing is carried
 --> m.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^
  = help: add `inbound` for peers that come in, or `outbound` for the workload's way out"#
    );
}
