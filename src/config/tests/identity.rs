//! Where key material comes from: what a good file becomes.

use std::time::Duration;

use super::{parse, screen};
use crate::config::{
    Embedded, Est, EstTrust, Files, IdentitySource, KeyType, PairFiles, PairForm, Spiffe, Vault,
    VaultAuth,
};
use crate::identity::Fingerprint;

const LISTENER: &str = "inbound: [{name: a, listen: \"0.0.0.0:1\", forward: \"127.0.0.1:2\", protocol: tcp, allow: [b]}]
peers: {b: {dns: b.example}}
";

/// A file whose identity is `yaml`, which begins on line 5.
pub(super) fn with(yaml: &str) -> String {
    format!("version: 1\nservice: ehr\ntrust_domain: h.example\nidentity:\n{yaml}{LISTENER}")
}

fn source(yaml: &str) -> IdentitySource {
    parse(&with(yaml)).unwrap_or_else(|problems| panic!("{problems}")).identity
}

fn pem(cert: &str, key: &str) -> PairForm {
    PairForm::Pem { cert: cert.into(), key: key.into() }
}

#[test]
fn what_is_left_out_has_its_default() {
    assert_eq!(
        source("  embedded: {dir: /a}\n"),
        IdentitySource::Embedded(Embedded {
            dir: "/a".into(),
            ttl: Duration::from_secs(24 * 3600),
            key_types: vec![KeyType::P256],
        })
    );
    let pin = "9f".repeat(32);
    assert_eq!(
        source(&format!("  est: {{url: \"https://ca/est/\", fingerprint: \"sha256:{pin}\"}}\n")),
        IdentitySource::Est(Est {
            url: "https://ca/est".parse().unwrap(),
            trust: EstTrust::Fingerprint(Fingerprint([0x9f; 32])),
            token_file: None,
            username: None,
            dir: "/var/lib/myelin/identity".into(),
            key_types: vec![KeyType::P256],
            crl_urls: vec![],
        })
    );
    assert_eq!(
        source(
            "  vault: {address: \"http://127.0.0.1:8200\", role: r, auth: {kubernetes: {role: k}}}\n"
        ),
        IdentitySource::Vault(Box::new(Vault {
            address: "http://127.0.0.1:8200".parse().unwrap(),
            namespace: None,
            mount: "pki".into(),
            role: "r".into(),
            trust_bundle: None,
            auth: VaultAuth::Kubernetes {
                mount: "kubernetes".into(),
                role: "k".into(),
                token_file: "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
            },
            ttl: None,
            common_name: None,
            key_types: vec![KeyType::P256],
            dir: None,
        }))
    );
    assert_eq!(
        source("  spiffe: {socket: \"unix:/run/a.sock\"}\n"),
        IdentitySource::Spiffe(Spiffe { socket: "/run/a.sock".into() })
    );
}

#[test]
fn files_are_pem_or_pkcs12_and_so_is_each_of_the_others() {
    let source = source(
        "  files:
    pkcs12: /identity.p12
    passphrase_file: /pass
    trust_bundle: /ca.crt
    crls: [/ca.crl]
    others: [{cert: /rsa.crt, key: /rsa.key}, {pkcs12: /old.p12, passphrase_file: /old}]
",
    );

    let pair = |form, passphrase: Option<&str>| PairFiles {
        form,
        passphrase_file: passphrase.map(Into::into),
    };
    assert_eq!(
        source,
        IdentitySource::Files(Files {
            pair: pair(PairForm::Pkcs12("/identity.p12".into()), Some("/pass")),
            others: vec![
                pair(pem("/rsa.crt", "/rsa.key"), None),
                pair(PairForm::Pkcs12("/old.p12".into()), Some("/old")),
            ],
            trust_bundle: "/ca.crt".into(),
            crls: vec!["/ca.crl".into()],
        })
    );
}

#[test]
fn every_way_to_authenticate_to_vault_is_read() {
    let auth = |yaml: &str| {
        let vault = format!(
            "  vault: {{address: \"https://bao\", trust_bundle: /ca, role: r, auth: {{{yaml}}}}}\n"
        );
        match source(&vault) {
            IdentitySource::Vault(vault) => vault.auth,
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(auth("token_file: /t"), VaultAuth::TokenFile("/t".into()));
    assert_eq!(
        auth("approle: {role_id: 7f, secret_id_file: /s}"),
        VaultAuth::AppRole {
            mount: "approle".into(),
            role_id: "7f".into(),
            secret_id_file: "/s".into(),
        }
    );
    assert_eq!(
        auth("cert: {mount: tls/wards, cert: /c, key: /k}"),
        VaultAuth::Cert {
            mount: "tls/wards".into(),
            role: None,
            cert: "/c".into(),
            key: "/k".into(),
        }
    );
}

#[test]
fn key_types_are_kept_in_their_order() {
    let IdentitySource::Embedded(embedded) =
        source("  embedded: {dir: a, key_types: [ed25519, rsa3072, p384]}\n")
    else {
        panic!("another source")
    };

    assert_eq!(embedded.key_types, [KeyType::Ed25519, KeyType::Rsa3072, KeyType::P384]);
}

#[test]
fn the_alternatives_in_the_comments_of_the_reference_are_good() {
    let reference = include_str!("../../../config/myelin.yaml");
    let (_, identity) = reference.split_once("\nidentity:\n").unwrap();
    let (identity, _) = identity.split_once("\ntls:\n").unwrap();

    for name in ["files", "est", "vault", "spiffe"] {
        let first = format!("  # {name}:");
        let lines = identity.lines().skip_while(|line| !line.starts_with(&first));
        let block: String = lines
            .take_while(|line| line.starts_with("  #"))
            .map(|line| format!("  {}\n", line.strip_prefix("  # ").unwrap()))
            .collect();
        let config = parse(&with(&block)).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.warnings.to_string(), "", "{name}");
    }
}

#[test]
fn identity_comes_from_one_source() {
    let screen = screen(
        r#"version: 1
service: a/b
trust_domain: h.example
identity:
  embedded: {dir: "", ttl: 10s}
  files: {cert: tls.crt}
"#,
    );

    assert_eq!(
        screen,
        r#"warning: no listener: nothing is carried
 --> m.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^
  = help: add `inbound` for peers that come in, or `outbound` for the workload's way out

error: `service: a/b` is not one segment of a SPIFFE ID's path
 --> m.yaml:2:10
  |
2 | service: a/b
  |          ^^^
  = help: letters, digits, '.', '-' and '_', at most 255

error: `dir: ""` is not a path
 --> m.yaml:5:19
  |
5 |   embedded: {dir: "", ttl: 10s}
  |                   ^^

error: `ttl: 10s` is less than 1m, the least
 --> m.yaml:5:28
  |
5 |   embedded: {dir: "", ttl: 10s}
  |                            ^^^

error: `files` beside `embedded`: identity comes from exactly one source
 --> m.yaml:6:3
  |
6 |   files: {cert: tls.crt}
  |   ^^^^^
  = help: keep one of them

error: `key` is missing in identity.files
 --> m.yaml:6:3
  |
6 |   files: {cert: tls.crt}
  |   ^^^^^
  = help: add it, like `key: tls.key`

error: `trust_bundle` is missing in identity.files
 --> m.yaml:6:3
  |
6 |   files: {cert: tls.crt}
  |   ^^^^^
  = help: add it, like `trust_bundle: ca.crt`"#
    );
}
