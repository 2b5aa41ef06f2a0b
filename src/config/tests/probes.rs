//! Screens for administration, pseudonyms and policy in Rego, and what they become.

use std::path::Path;
use std::time::Duration;

use super::{HEAD, parse, screen};
use crate::config::{Checkpoints, KeyAlgorithm, ProbeCheck};

#[test]
fn probes_and_pseudonyms_become_settings() {
    let config = parse(
        &[
            HEAD,
            r#"audit: {dir: audit, pseudonyms: {key_file: /k}}
admin:
  listen: off
  probe_listen: 0.0.0.0:9902
  probes:
    - {path: /health/fhir, http: "http://127.0.0.1:8080/healthz?deep=1"}
    - {path: /health/web, http: "http://[::1]"}
    - {path: /health/adt, tcp: "127.0.0.1:2576"}
"#,
        ]
        .concat(),
    )
    .unwrap();

    assert_eq!(config.audit.unwrap().pseudonyms.unwrap().key_file, Path::new("/k"));
    let probes: Vec<_> = config.admin.probes.iter().map(|p| (&*p.path, &p.check)).collect();
    let http = |address: &str, path: &str| ProbeCheck::Http {
        address: address.parse().unwrap(),
        path: path.into(),
    };
    assert_eq!(
        probes,
        [
            ("/health/fhir", &http("127.0.0.1:8080", "/healthz?deep=1")),
            ("/health/web", &http("[::1]:80", "/")),
            ("/health/adt", &ProbeCheck::Tcp("127.0.0.1:2576".parse().unwrap())),
        ]
    );
}

#[test]
fn a_trail_is_sealed_every_second_unless_the_file_says_otherwise() {
    let checkpoints = |audit: &str| {
        parse(&format!("{HEAD}audit: {{dir: audit{audit}}}\n")).unwrap().audit.unwrap().checkpoints
    };
    let default = Checkpoints {
        interval: Duration::from_secs(1),
        key_file: None,
        algorithm: KeyAlgorithm::Ed25519,
        key_lifetime: Duration::from_secs(24 * 3600),
    };

    assert_eq!(checkpoints(""), default);
    assert_eq!(checkpoints(", checkpoints: {}"), default);
    assert_eq!(
        checkpoints(
            ", checkpoints: {interval: 10s, key_file: /k, algorithm: ecdsa-p256, key_lifetime: 7d}"
        ),
        Checkpoints {
            interval: Duration::from_secs(10),
            key_file: Some("/k".into()),
            algorithm: KeyAlgorithm::EcdsaP256,
            key_lifetime: Duration::from_secs(7 * 24 * 3600),
        }
    );
}

#[test]
fn a_trail_that_would_be_sealed_too_seldom_or_by_an_unknown_algorithm_is_refused() {
    let said = screen(&format!(
        "{HEAD}audit: {{dir: audit, checkpoints: {{interval: 2h, algorithm: rsa, key_lifetime: 1m}}}}\n"
    ));

    assert!(said.contains("error: `interval: 2h` is more than 1h, the most"), "{said}");
    assert!(said.contains("error: `algorithm: rsa`") && said.contains("ecdsa-p256"), "{said}");
    assert!(said.contains("error: `key_lifetime: 1m` is less than 1h, the least"), "{said}");
}

#[test]
fn what_is_wrong_beside_the_listeners_is_told() {
    let screen = screen(
        &[
            HEAD,
            r#"audit: {dir: audit, pseudonyms: {}}
policy: {rego: [], query: myelin.allow, timeout: 1m}
admin:
  listen: off
  probes:
    - {path: /ready, tcp: "127.0.0.1:1"}
    - {path: /health/a, tcp: "10.0.0.7:1"}
    - {path: /health/a, tcp: "127.0.0.1:1"}
    - {path: /health/b, http: "https://127.0.0.1/"}
    - {path: /health/c, http: "http://127.0.0.1:1/", tcp: "127.0.0.1:1"}
    - {path: /health/d}
    - {path: /health/a, http: "http://example.org/"}
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

error: `key_file` is missing in audit.pseudonyms
 --> m.yaml:5:21
  |
5 | audit: {dir: audit, pseudonyms: {}}
  |                     ^^^^^^^^^^
  = help: add it, like `key_file: /etc/myelin/pseudonyms.key`

error: an empty list of modules
 --> m.yaml:6:10
  |
6 | policy: {rego: [], query: myelin.allow, timeout: 1m}
  |          ^^^^
  = help: name a file, or remove `policy`

error: `query: myelin.allow` is not the path of a rule
 --> m.yaml:6:27
  |
6 | policy: {rego: [], query: myelin.allow, timeout: 1m}
  |                           ^^^^^^^^^^^^
  = help: write data.PACKAGE.RULE, like data.myelin.allow

error: `timeout: 1m` is more than 5s, the most
 --> m.yaml:6:50
  |
6 | policy: {rego: [], query: myelin.allow, timeout: 1m}
  |                                                  ^^

error: `probes` with nobody to answer them: `listen` is off
 --> m.yaml:9:3
  |
9 |   probes:
  |   ^^^^^^
  = help: add `probe_listen: 0.0.0.0:9902`

error: `path: /ready` is not /health/ and a name
  --> m.yaml:10:14
   |
10 |     - {path: /ready, tcp: "127.0.0.1:1"}
   |              ^^^^^^
   = help: a name has a-z, 0-9, '_', '.' and '-', like /health/fhir

error: `tcp: 10.0.0.7:1` is not a loopback address
  --> m.yaml:11:30
   |
11 |     - {path: /health/a, tcp: "10.0.0.7:1"}
   |                              ^^^^^^^^^^^^
   = help: the workload is on this machine: 127.0.0.1:PORT or [::1]:PORT

error: `http: https://127.0.0.1/` is not an http URL
  --> m.yaml:13:31
   |
13 |     - {path: /health/b, http: "https://127.0.0.1/"}
   |                               ^^^^^^^^^^^^^^^^^^^^
   = help: write it like http://127.0.0.1:8080/healthz

error: `tcp` beside `http`: a probe asks in one way
  --> m.yaml:14:54
   |
14 |     - {path: /health/c, http: "http://127.0.0.1:1/", tcp: "127.0.0.1:1"}
   |                                                      ^^^
   = help: keep one, or make it two probes

error: nothing says how this probe asks
  --> m.yaml:15:8
   |
15 |     - {path: /health/d}
   |        ^^^^
   = help: add `http: "http://127.0.0.1:8080/healthz"` or `tcp: 127.0.0.1:2576`

error: `http: http://example.org/` does not lead to a loopback address
  --> m.yaml:16:31
   |
16 |     - {path: /health/a, http: "http://example.org/"}
   |                               ^^^^^^^^^^^^^^^^^^^^^
   = help: the workload is on this machine: http://127.0.0.1:8080/healthz"#
    );
}
