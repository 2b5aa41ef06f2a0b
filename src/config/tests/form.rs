//! Screens for files whose form is wrong: YAML, keys, scalars, and what is put in.

use super::{HEAD, screen};

#[test]
fn a_misspelt_key_is_named_with_what_was_meant() {
    let screen = screen(
        &[
            HEAD,
            r#"inbound:
  - name: fhir
    lisen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: []
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: `listen` is missing in inbound[0]
 --> m.yaml:6:5
  |
6 |   - name: fhir
  |     ^^^^
  = help: add it, like `listen: 0.0.0.0:8443`

error: unknown key `lisen` in inbound[0]
 --> m.yaml:7:5
  |
7 |     lisen: 0.0.0.0:8443
  |     ^^^^^
  = help: did you mean `listen`?

warning: nobody may connect to `fhir`: it allows no peer
  --> m.yaml:10:5
   |
10 |     allow: []
   |     ^^^^^
   = help: name peers in `allow`"#
    );
}

#[test]
fn everything_is_said_at_once_and_in_order() {
    let screen = screen(
        r#"version: 2
servce: ehr
trust_domain: Hospital.example
identity: {}
tls: [modern]
peers:
inbound:
  - name: FHIR
    listen: localhost:8443
    forward: 10.0.0.7:8080
    protocol: htpp
    phi: yes
    allow: billing
"#,
    );

    assert_eq!(
        screen,
        r#"error: `service` is missing
 --> m.yaml:1:1
  |
1 | version: 2
  | ^^^^^^^
  = help: add it, like `service: ehr`

error: `version: 2` is not a version that this release reads; only 1 is
 --> m.yaml:1:10
  |
1 | version: 2
  |          ^
  = help: write `version: 1`

error: unknown key `servce`
 --> m.yaml:2:1
  |
2 | servce: ehr
  | ^^^^^^
  = help: did you mean `service`?

error: `trust_domain: Hospital.example` is not a trust domain
 --> m.yaml:3:15
  |
3 | trust_domain: Hospital.example
  |               ^^^^^^^^^^^^^^^^
  = help: a trust domain has only a-z, 0-9, '.', '-' and '_', not 'H'

error: identity names no source
 --> m.yaml:4:1
  |
4 | identity: {}
  | ^^^^^^^^
  = help: add one of embedded, files, est, vault, spiffe

error: `tls` wants a mapping, this is a list
 --> m.yaml:5:1
  |
5 | tls: [modern]
  | ^^^
  = help: write it as `key: value`, one a line

error: `peers` has no value
 --> m.yaml:6:1
  |
6 | peers:
  | ^^^^^
  = help: give it a mapping, or remove the key

error: `name: FHIR` is not a name
 --> m.yaml:8:11
  |
8 |   - name: FHIR
  |           ^^^^
  = help: a name has a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit

error: `listen: localhost:8443` is not IP:PORT
 --> m.yaml:9:13
  |
9 |     listen: localhost:8443
  |             ^^^^^^^^^^^^^^
  = help: names are not accepted here; write 127.0.0.1:8443, 0.0.0.0:8443, or [::]:8443 for IPv6

error: `10.0.0.7:8080` is not loopback, and this side is plaintext
  --> m.yaml:10:14
   |
10 |     forward: 10.0.0.7:8080
   |              ^^^^^^^^^^^^^
   = help: use 127.0.0.1, [::1] or unix:PATH; or set `forward_anywhere: true` beside it if this network is safe

error: `protocol: htpp` is not one of tcp, http, mllp, dicom
  --> m.yaml:11:15
   |
11 |     protocol: htpp
   |               ^^^^
   = help: did you mean `http`?

error: `phi: yes` is neither true nor false
  --> m.yaml:12:10
   |
12 |     phi: yes
   |          ^^^
   = help: write `true`

error: `inbound[0].allow` wants a list, this is a text
  --> m.yaml:13:12
   |
13 |     allow: billing
   |            ^^^^^^^
   = help: write it as [a, b], or one `- a` a line"#
    );
}

#[test]
fn a_key_is_given_once() {
    let screen = screen(
        &[
            HEAD,
            r#"admin: {}
admin:
  listen: off
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

error: key `admin` is given twice
 --> m.yaml:6:1
  |
6 | admin:
  | ^^^^^
  = help: keep one; the other is on line 5"#
    );
}

#[test]
fn a_tab_is_pointed_at() {
    let screen = screen(&[HEAD, "admin:\n\tlisten: off\n"].concat());

    assert_eq!(
        screen,
        r#"error: a tab stands where only spaces may
 --> m.yaml:6:1
  |
6 | →listen: off
  | ^
  = help: use spaces"#
    );
}

#[test]
fn a_line_that_slipped_is_pointed_at() {
    let screen = screen(
        &[
            HEAD,
            r#"admin:
  listen: off
   probe_listen: 0.0.0.0:9902
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: a `:` is not expected here
 --> m.yaml:7:16
  |
7 |    probe_listen: 0.0.0.0:9902
  |                ^
  = help: check the indentation of this line, and quote a text that has `: ` in it"#
    );
}

#[test]
fn an_open_bracket_is_pointed_at() {
    let screen = screen(
        &[
            HEAD,
            r#"inbound: [
  {name: a
"#,
        ]
        .concat(),
    );

    assert_eq!(
        screen,
        r#"error: this `[` is never closed
 --> m.yaml:5:10
  |
5 | inbound: [
  |          ^
  = help: close it with `]`"#
    );
}

#[test]
fn a_substitution_in_braces_needs_quotes() {
    let screen = screen(&[HEAD, "admin: {listen: ${ADMIN}}\n"].concat());

    assert_eq!(
        screen,
        r#"error: this `{ }` or `[ ]` lacks a comma or a `:`
 --> m.yaml:5:18
  |
5 | admin: {listen: ${ADMIN}}
  |                  ^
  = help: inside of it, quote a text that has braces or commas, like "${NAME}""#
    );
}

#[test]
fn an_anchor_is_refused() {
    let screen = screen(
        &[
            HEAD,
            r#"limits: &l {connections: 1}
admin: *l
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

error: anchors and aliases (`&name`, `*name`) are not accepted here
 --> m.yaml:5:9
  |
5 | limits: &l {connections: 1}
  |         ^^
  = help: write the value out; quote a text that begins with `&` or `*`

error: anchors and aliases (`&name`, `*name`) are not accepted here
 --> m.yaml:6:8
  |
6 | admin: *l
  |        ^^
  = help: write the value out; quote a text that begins with `&` or `*`"#
    );
}

#[test]
fn what_cannot_be_put_in_is_named_and_never_shown() {
    let screen = screen(
        &[
            HEAD,
            r#"tls: {profile: "${UNSET}"}
admin:
  listen: ${SECRET}
  probe_listen: ${file:/nonexistent/x}
runtime: {workers: "${A:-1}"}
peers:
  a: {spiffe: "${SECRET}", note: "${file:."}
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

error: environment variable `UNSET` is not set
 --> m.yaml:5:16
  |
5 | tls: {profile: "${UNSET}"}
  |                ^^^^^^^^^^
  = help: set it, or write the value here

error: `listen: ${SECRET}`, once everything is put in, is not IP:PORT
 --> m.yaml:7:11
  |
7 |   listen: ${SECRET}
  |           ^^^^^^^^^
  = help: names are not accepted here; write 127.0.0.1:8443, 0.0.0.0:8443, or [::]:8443 for IPv6

error: `${file:/nonexistent/x}` cannot be put in: No such file or directory (os error 2)
 --> m.yaml:8:17
  |
8 |   probe_listen: ${file:/nonexistent/x}
  |                 ^^^^^^^^^^^^^^^^^^^^^^
  = help: relative paths begin at the directory of the configuration file

error: `${A:-1}` is no substitution
 --> m.yaml:9:20
  |
9 | runtime: {workers: "${A:-1}"}
  |                    ^^^^^^^^^
  = help: `${NAME}` is an environment variable, `${file:PATH}` a file

error: `spiffe: ${SECRET}`, once everything is put in, is not a SPIFFE ID
  --> m.yaml:11:15
   |
11 |   a: {spiffe: "${SECRET}", note: "${file:."}
   |               ^^^^^^^^^^^

error: `${file:.` has a `${` without its `}`
  --> m.yaml:11:34
   |
11 |   a: {spiffe: "${SECRET}", note: "${file:."}
   |                                  ^^^^^^^^^^
   = help: write `$${` for a `${` that is meant as it stands"#
    );
}

#[test]
fn an_empty_file_says_how_to_begin() {
    let screen = screen("# nothing yet\n");

    assert_eq!(
        screen,
        r#"error: the file is empty
 --> m.yaml
  = help: a configuration begins with `version: 1`"#
    );
}

#[test]
fn a_text_instead_of_a_file_is_refused() {
    let screen = screen("myelin\n");

    assert_eq!(
        screen,
        r#"error: the file wants a mapping, this is a text
 --> m.yaml:1:1
  |
1 | myelin
  | ^^^^^^
  = help: write it as `key: value`, one a line"#
    );
}
