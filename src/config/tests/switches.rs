use super::{HEAD, parse};

#[test]
fn what_is_open_by_a_switch_is_told_by_its_key() {
    let config = parse(&format!(
        "{HEAD}{}",
        r#"peers: {a: {dns: a.example}}
inbound:
  - {name: closed, listen: "0.0.0.0:8441", forward: "127.0.0.1:80", forward_anywhere: true, protocol: tcp, allow: [a]}
  - {name: api, listen: "0.0.0.0:8443", forward: "10.0.0.7:80", forward_anywhere: true, protocol: tcp, allow: [a]}
outbound:
  - {name: own, listen: "127.0.0.1:9002", to: ["h:1"], expect: [a], protocol: tcp}
  - {name: lan, listen: "0.0.0.0:9003", listen_anywhere: true, to: ["h:1"], expect: [a], protocol: tcp}
  - {name: caught, redirect: transparent, destinations: [{ address: 10.0.0.0/8 }], expect: [a], protocol: tcp}
forward_proxy: {listen: "0.0.0.0:9004", listen_anywhere: true}
redirect: {port: 15001, include_ports: [80], exclude_ports: [22], exclude_addresses: [169.254.169.254]}
audit: {dir: audit, on_failure: allow}
"#
    ))
    .unwrap();

    assert_eq!(
        config.open_switches(),
        [
            "audit.on_failure",
            "inbound.api.forward_anywhere",
            "outbound.lan.listen_anywhere",
            "forward_proxy.listen_anywhere",
            "redirect.include_ports",
            "redirect.exclude_ports",
            "redirect.exclude_addresses",
        ]
    );
}

#[test]
fn nothing_is_open_by_default() {
    let text = r#"peers: {a: {dns: a.example}}
inbound:
  - {name: own, listen: "0.0.0.0:8441", forward: "127.0.0.1:80", protocol: tcp, allow: [a]}
outbound:
  - {name: caught, redirect: transparent, destinations: [{ address: 10.0.0.0/8 }], expect: [a], protocol: tcp}
redirect: {port: 15001}
audit: {dir: audit}
"#;

    let config = parse(&format!("{HEAD}{text}")).unwrap();

    assert!(config.open_switches().is_empty(), "{:?}", config.open_switches());
}
