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
    let ExportTo::Syslog(syslog) = arr.to;
    assert_eq!((&*syslog.address.host, syslog.address.port), ("arr.example", 6514));
    assert_eq!((syslog.format, syslog.plaintext), (SyslogFormat::Atna, false));
    assert_eq!(syslog.confirm, Duration::from_secs(60));
    assert_eq!(
        (&*local.name, local.feed, local.keep_undelivered),
        ("agent", ExportFeed::Failures, false)
    );
    assert_eq!(local.trust_bundle.as_deref(), Some(Path::new("/ca.crt")));
    let ExportTo::Syslog(syslog) = local.to;
    assert!(syslog.plaintext);
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
   = help: add one of syslog

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
