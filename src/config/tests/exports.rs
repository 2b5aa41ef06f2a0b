//! Where the trail goes out to.

use std::path::Path;
use std::time::Duration;

use super::{HEAD, parse, screen};
use crate::config::{ExportFeed, ExportSettings, ExportTo, SyslogFormat};

fn exports(items: &str) -> Vec<ExportSettings> {
    parse(&format!("{HEAD}audit: {{dir: audit, export: {items}}}\n")).unwrap().audit.unwrap().export
}

#[test]
fn an_export_is_by_tls_whole_and_kept_for_unless_the_file_says_otherwise() {
    let [arr, local] = exports(
        "[{syslog: {address: 'arr.example:6514', format: atna}}, {syslog: {name: agent, format: json, \
         address: '127.0.0.1:514', plaintext: true, feed: failures, trust_bundle: /ca.crt, confirm: 1s, \
         keep_undelivered: false}}]",
    )
    .try_into()
    .unwrap();

    assert_eq!((&*arr.name, arr.feed, arr.keep_undelivered), ("syslog", ExportFeed::All, true));
    assert_eq!(arr.trust_bundle, None);
    let ExportTo::Syslog(syslog) = arr.to else { panic!("{:?}", arr.to) };
    assert_eq!((&*syslog.address.host, syslog.address.port), ("arr.example", 6514));
    assert_eq!((syslog.format, syslog.plaintext), (SyslogFormat::Atna, false));
    assert_eq!(syslog.confirm, Duration::from_secs(60));
    assert_eq!(
        (&*local.name, local.feed, local.keep_undelivered),
        ("agent", ExportFeed::Failures, false)
    );
    assert_eq!(local.trust_bundle.as_deref(), Some(Path::new("/ca.crt")));
    let ExportTo::Syslog(syslog) = local.to else { panic!("{:?}", local.to) };
    assert!(syslog.plaintext);
}

#[test]
fn repositories_and_collectors_are_reached_where_their_protocol_has_them() {
    let [fhir, grpc, http, path] = exports(
        "[{fhir: {url: 'https://arr.example/fhir/AuditEvent'}}, {otlp: {endpoint: 'https://otel.example:4317/'}}, \
         {otlp: {name: a, endpoint: 'http://127.0.0.1:4318', protocol: http}}, \
         {otlp: {name: b, endpoint: 'https://otel.example/otlp/logs', protocol: http, headers_file: /h}}]",
    )
    .try_into()
    .unwrap();

    let ExportTo::Fhir(repository) = fhir.to else { panic!("{:?}", fhir.to) };
    assert_eq!(repository.batch, 100);
    let endpoint = |export: ExportSettings| match export.to {
        ExportTo::Otlp(otlp) => otlp.endpoint.to_string(),
        other => panic!("{other:?}"),
    };
    let service = "opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert_eq!(endpoint(grpc), format!("https://otel.example:4317/{service}"));
    assert_eq!(endpoint(http), "http://127.0.0.1:4318/v1/logs");
    assert_eq!(endpoint(path), "https://otel.example/otlp/logs");
}

#[test]
fn the_trail_leaves_the_machine_by_tls_and_for_where_it_is_taken() {
    let screen = screen(
        &[
            HEAD,
            r#"audit:
  dir: audit
  export:
    - {fhir: {url: "http://arr.example/fhir/AuditEvent"}}
    - {fhir: {url: "https://arr.example/fhir/", name: a, batch: 0}}
    - {otlp: {endpoint: "http://localhost:4318", protocol: http}}
    - {otlp: {endpoint: "https://otel.example/v1/logs", name: b}}
    - {otlp: {endpoint: "https://otel.example", name: c, protocol: udp}}
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

error: `url: http://arr.example/fhir/AuditEvent` is http, and the trail would go in the clear
 --> m.yaml:8:20
  |
8 |     - {fhir: {url: "http://arr.example/fhir/AuditEvent"}}
  |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: use https; http is for 127.0.0.1 and [::1] alone, not for names

error: `url: https://arr.example/fhir/` does not end with /AuditEvent, where events are created
 --> m.yaml:9:20
  |
9 |     - {fhir: {url: "https://arr.example/fhir/", name: a, batch: 0}}
  |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write https://arr.example/fhir/AuditEvent

error: `batch: 0` is less than 1, the least
 --> m.yaml:9:65
  |
9 |     - {fhir: {url: "https://arr.example/fhir/", name: a, batch: 0}}
  |                                                                 ^

error: `endpoint: http://localhost:4318` is http, and the trail would go in the clear
  --> m.yaml:10:25
   |
10 |     - {otlp: {endpoint: "http://localhost:4318", protocol: http}}
   |                         ^^^^^^^^^^^^^^^^^^^^^^^
   = help: use https; http is for 127.0.0.1 and [::1] alone, not for names

error: `endpoint: https://otel.example/v1/logs` has a path, which gRPC sets by itself
  --> m.yaml:11:25
   |
11 |     - {otlp: {endpoint: "https://otel.example/v1/logs", name: b}}
   |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: leave it out, or write `protocol: http`

error: `protocol: udp` is not one of grpc, http
  --> m.yaml:12:68
   |
12 |     - {otlp: {endpoint: "https://otel.example", name: c, protocol: udp}}
   |                                                                    ^^^"#
    );
}

#[test]
fn everything_that_is_wrong_with_exports_is_said_at_once() {
    let screen = screen(
        &[
            HEAD,
            r#"audit:
  dir: audit
  export:
    - {syslog: {address: "arr.example:6514", format: atna}}
    - {syslog: {address: "lab.example:6514", format: json}}
    - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
    - {syslog: {address: "10.0.0.7:514", format: json, plaintext: true, name: c}}
    - {syslog: {name: d, adress: "localhost:1"}}
    - {}
    - {sylog: {}}
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

error: `address: arr.example` is not HOST:PORT
  --> m.yaml:10:26
   |
10 |     - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
   |                          ^^^^^^^^^^^
   = help: write lab.example:8443, 10.0.0.7:8443, or [2001:db8::7]:8443 for IPv6

error: `format: cef` is not one of atna, json
  --> m.yaml:10:47
   |
10 |     - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
   |                                               ^^^

error: `feed: some` is not one of all, failures
  --> m.yaml:10:58
   |
10 |     - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
   |                                                          ^^^^

error: `confirm: 1ms` is less than 1s, the least
  --> m.yaml:10:73
   |
10 |     - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
   |                                                                         ^^^

error: `name: A b` is not a name
  --> m.yaml:10:84
   |
10 |     - {syslog: {address: arr.example, format: cef, feed: some, confirm: 1ms, name: "A b"}}
   |                                                                                    ^^^^^
   = help: a name has a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit

error: `10.0.0.7:514` would get the trail without TLS
  --> m.yaml:11:67
   |
11 |     - {syslog: {address: "10.0.0.7:514", format: json, plaintext: true, name: c}}
   |                                                                   ^^^^
   = help: remove `plaintext`, or send to an agent at 127.0.0.1, which sends it on by TLS

error: `address` is missing in audit.export[4].syslog
  --> m.yaml:12:8
   |
12 |     - {syslog: {name: d, adress: "localhost:1"}}
   |        ^^^^^^
   = help: add it, like `address: arr.hospital.example:6514`

error: `format` is missing in audit.export[4].syslog
  --> m.yaml:12:8
   |
12 |     - {syslog: {name: d, adress: "localhost:1"}}
   |        ^^^^^^
   = help: add it, like `format: atna`

error: unknown key `adress` in audit.export[4].syslog
  --> m.yaml:12:26
   |
12 |     - {syslog: {name: d, adress: "localhost:1"}}
   |                          ^^^^^^
   = help: did you mean `address`?

error: this export names no receiver
  --> m.yaml:13:7
   |
13 |     - {}
   |       ^
   = help: add one of syslog, fhir, otlp

error: unknown key `sylog` in audit.export[6]
  --> m.yaml:14:8
   |
14 |     - {sylog: {}}
   |        ^^^^^
   = help: did you mean `syslog`?"#
    );
}

#[test]
fn two_exports_have_two_names() {
    let screen = screen(
        &[
            HEAD,
            r#"audit:
  dir: audit
  export:
    - {syslog: {address: "arr.example:6514", format: atna}}
    - {syslog: {address: "lab.example:6514", format: json}}
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

error: a second export is named `syslog`
 --> m.yaml:9:8
  |
9 |     - {syslog: {address: "lab.example:6514", format: json}}
  |        ^^^^^^
  = help: give each a `name`: the first is audit.export[0]"#
    );
}
