//! Screens for sources of key material that are wrong.

use super::identity::with;
use super::screen;

#[test]
fn a_key_of_another_source_is_named_with_what_was_meant() {
    let screen = screen(&with("  embedded: {dir: a, key_type: p384, key_types: []}\n"));

    assert_eq!(
        screen,
        r#"error: unknown key `key_type` in identity.embedded
 --> m.yaml:5:22
  |
5 |   embedded: {dir: a, key_type: p384, key_types: []}
  |                      ^^^^^^^^
  = help: did you mean `key_types`?

error: an empty list leaves no key to make
 --> m.yaml:5:38
  |
5 |   embedded: {dir: a, key_type: p384, key_types: []}
  |                                      ^^^^^^^^^
  = help: remove the key for [p256]"#
    );
}

#[test]
fn each_kind_of_key_is_listed_once() {
    let twice = screen(&with("  embedded: {dir: a, key_types: [p256, rsa2048, p256]}\n"));
    let weak = screen(&with("  embedded: {dir: a, key_types: [rsa1024]}\n"));

    assert_eq!(
        twice,
        r#"error: `p256` is listed twice
 --> m.yaml:5:49
  |
5 |   embedded: {dir: a, key_types: [p256, rsa2048, p256]}
  |                                                 ^^^^
  = help: keep one: there is one certificate of each"#
    );
    assert_eq!(
        weak,
        r#"error: `rsa1024` is not one of p256, p384, ed25519, rsa2048, rsa3072, rsa4096
 --> m.yaml:5:34
  |
5 |   embedded: {dir: a, key_types: [rsa1024]}
  |                                  ^^^^^^^"#
    );
}

#[test]
fn a_certificate_and_its_key_come_from_one_place() {
    let screen = screen(&with(
        "  files:
    cert: tls.crt
    pkcs12: identity.p12
    trust_bundle: ca.crt
    others: [{key: rsa.key}, {}, {pkcs12: old.p12, crls: []}]
",
    ));

    assert_eq!(
        screen,
        r#"error: `pkcs12` beside `cert`: a PKCS#12 file holds certificate and key
 --> m.yaml:7:5
  |
7 |     pkcs12: identity.p12
  |     ^^^^^^
  = help: keep `cert: tls.crt` and `key: tls.key`, or `pkcs12: identity.p12`

error: `cert` is missing in identity.files.others[0]
 --> m.yaml:9:15
  |
9 |     others: [{key: rsa.key}, {}, {pkcs12: old.p12, crls: []}]
  |               ^^^
  = help: add it, like `cert: tls.crt`

error: no certificate is named here
 --> m.yaml:9:30
  |
9 |     others: [{key: rsa.key}, {}, {pkcs12: old.p12, crls: []}]
  |                              ^
  = help: add `cert: tls.crt` and `key: tls.key`, or `pkcs12: identity.p12`

error: unknown key `crls` in identity.files.others[2]
 --> m.yaml:9:52
  |
9 |     others: [{key: rsa.key}, {}, {pkcs12: old.p12, crls: []}]
  |                                                    ^^^^
  = help: known here: cert, key, pkcs12, passphrase_file"#
    );
}

#[test]
fn an_est_server_is_known_before_it_is_spoken_to() {
    let screen = screen(&with(
        "  est:
    url: http://ca.example
    fingerprint: sha1:9f
    trust_bundle: ca.crt
    username: a:b
    crl_urls: [ldap://ca.example/crl]
",
    ));

    assert_eq!(
        screen,
        r#"error: `url: http://ca.example` is not https, and EST is spoken over nothing else (RFC 7030)
 --> m.yaml:6:10
  |
6 |     url: http://ca.example
  |          ^^^^^^^^^^^^^^^^^
  = help: write it like https://ca.hospital.example/.well-known/est

error: `fingerprint` beside `trust_bundle`: the server is known in exactly one way
 --> m.yaml:7:5
  |
7 |     fingerprint: sha1:9f
  |     ^^^^^^^^^^^
  = help: keep one of them

error: `fingerprint: sha1:9f` is not sha256: and 64 hexadecimal digits
 --> m.yaml:7:18
  |
7 |     fingerprint: sha1:9f
  |                  ^^^^^^^
  = help: `openssl x509 -in ca.crt -outform der | sha256sum` prints the digits

error: `username: a:b` has a colon or a control character, which no user name may (RFC 7617)
 --> m.yaml:9:15
  |
9 |     username: a:b
  |               ^^^

error: `ldap://ca.example/crl` is not an http or https URL
  --> m.yaml:10:16
   |
10 |     crl_urls: [ldap://ca.example/crl]
   |                ^^^^^^^^^^^^^^^^^^^^^
   = help: write it like http://ca.hospital.example/ca.crl"#
    );
}

#[test]
fn an_est_server_has_a_path_and_a_username_needs_a_token() {
    let bare = screen(&with("  est: {url: \"https://ca.example/\"}\n"));
    let warned = screen(&with(
        "  est: {url: \"https://ca.example/est\", trust_bundle: ca.crt, username: ehr}\n",
    ));

    assert_eq!(
        bare,
        r#"error: nothing says how the server of identity.est is known
 --> m.yaml:5:3
  |
5 |   est: {url: "https://ca.example/"}
  |   ^^^
  = help: add `trust_bundle: ca.crt`, or `fingerprint: "sha256:…"` of its authority

error: `url: https://ca.example/` has no path, and EST servers answer below one
 --> m.yaml:5:14
  |
5 |   est: {url: "https://ca.example/"}
  |              ^^^^^^^^^^^^^^^^^^^^^
  = help: write https://ca.example/.well-known/est, unless the CA's manual says otherwise"#
    );
    assert_eq!(
        warned,
        r#"warning: `username` without `token_file`: nobody is told it
 --> m.yaml:5:72
  |
5 |   est: {url: "https://ca.example/est", trust_bundle: ca.crt, username: ehr}
  |                                                                        ^^^
  = help: add `token_file`, or remove `username`"#
    );
}

#[test]
fn the_token_for_vault_never_goes_in_the_clear() {
    let screen = screen(&with(
        "  vault:
    address: http://bao.example:8200
    mount: ../sys
    role: a b
    auth: {token_file: /t, approle: {role_id: 7f}, tokenfile: /t}
    ttl: 1s
",
    ));

    assert_eq!(
        screen,
        r#"error: `address: http://bao.example:8200` is http, and the token would go in the clear
 --> m.yaml:6:14
  |
6 |     address: http://bao.example:8200
  |              ^^^^^^^^^^^^^^^^^^^^^^^
  = help: use https with `trust_bundle`; http is for 127.0.0.1 and [::1] alone, not for names

error: `mount: ../sys` is not a path in the server
 --> m.yaml:7:12
  |
7 |     mount: ../sys
  |            ^^^^^^
  = help: letters, digits, '-', '_' and '.' in segments joined by '/', like pki or pki/wards

error: `role: a b` is not the name of a role
 --> m.yaml:8:11
  |
8 |     role: a b
  |           ^^^
  = help: letters, digits, '-', '_' and '.'

error: `approle` beside `token_file`: one way to authenticate is used
 --> m.yaml:9:28
  |
9 |     auth: {token_file: /t, approle: {role_id: 7f}, tokenfile: /t}
  |                            ^^^^^^^
  = help: keep one of them

error: `secret_id_file` is missing in identity.vault.auth.approle
 --> m.yaml:9:28
  |
9 |     auth: {token_file: /t, approle: {role_id: 7f}, tokenfile: /t}
  |                            ^^^^^^^
  = help: add it, like `secret_id_file: /run/secrets/vault-secret-id`

error: unknown key `tokenfile` in identity.vault.auth
 --> m.yaml:9:52
  |
9 |     auth: {token_file: /t, approle: {role_id: 7f}, tokenfile: /t}
  |                                                    ^^^^^^^^^
  = help: did you mean `token_file`?

error: `ttl: 1s` is less than 1m, the least
  --> m.yaml:10:10
   |
10 |     ttl: 1s
   |          ^^"#
    );
}

#[test]
fn vault_over_https_needs_a_trust_bundle_and_a_way_to_authenticate() {
    let path = screen(&with(
        "  vault: {address: \"https://bao.example:8200/v1\", auth: {}}
  spiffe: {socket: unix://run/agent.sock}
",
    ));
    let bundle =
        screen(&with("  vault: {address: \"https://bao\", role: r, auth: {token_file: /t}}\n"));

    assert_eq!(
        path,
        r#"error: `role` is missing in identity.vault
 --> m.yaml:5:3
  |
5 |   vault: {address: "https://bao.example:8200/v1", auth: {}}
  |   ^^^^^
  = help: add it, like `role: sidecar`

error: `address: https://bao.example:8200/v1` has a path
 --> m.yaml:5:20
  |
5 |   vault: {address: "https://bao.example:8200/v1", auth: {}}
  |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: leave it out; `mount` says where the PKI is

error: identity.vault.auth names no way to authenticate
 --> m.yaml:5:51
  |
5 |   vault: {address: "https://bao.example:8200/v1", auth: {}}
  |                                                   ^^^^
  = help: add one of token_file, approle, kubernetes, cert

error: `spiffe` beside `vault`: identity comes from exactly one source
 --> m.yaml:6:3
  |
6 |   spiffe: {socket: unix://run/agent.sock}
  |   ^^^^^^
  = help: keep one of them

error: `socket: unix://run/agent.sock` is not unix: and an absolute path
 --> m.yaml:6:20
  |
6 |   spiffe: {socket: unix://run/agent.sock}
  |                    ^^^^^^^^^^^^^^^^^^^^^
  = help: write unix:///run/spire/agent.sock, with three slashes"#
    );
    assert_eq!(
        bundle,
        r#"error: `trust_bundle` is missing in identity.vault
 --> m.yaml:5:3
  |
5 |   vault: {address: "https://bao", role: r, auth: {token_file: /t}}
  |   ^^^^^
  = help: add it, like `trust_bundle: ca.crt`"#
    );
}

#[test]
fn what_was_put_in_is_not_shown() {
    let screen = screen(&with("  est: {url: \"https://${SECRET}\", trust_bundle: ca.crt}\n"));

    assert_eq!(
        screen,
        r#"error: `url: https://${SECRET}`, once everything is put in, is not an http or https URL
 --> m.yaml:5:14
  |
5 |   est: {url: "https://${SECRET}", trust_bundle: ca.crt}
  |              ^^^^^^^^^^^^^^^^^^^
  = help: write it like https://ca.hospital.example/.well-known/est"#
    );
    assert!(!screen.contains("hunter"));
}
