//! The configuration that `init` writes.

use std::net::SocketAddr;
use std::path::Path;

use super::super::sheet::{Sheet, quoted};
use super::{Arguments, Call, Name, Protocol};
use crate::config::{MAX_CONTROL, Target};

/// The configuration that `arguments` ask for. `authority` is where the authority is, as the file names it.
pub(super) fn configuration(arguments: &Arguments, authority: &Path) -> String {
    let Arguments { service: Name(service), trust_domain: domain, .. } = arguments;
    let mut page = Sheet::default();
    page.text(format!(
        "# The sidecar of `{service}`. Relative paths begin at the directory of this file."
    ));
    page.text("version: 1");
    page.line(
        format!("service: {}", quoted(service)),
        format!("this sidecar stands beside the service `{service}`"),
    );
    page.line(
        format!("trust_domain: {}", quoted(domain.as_str())),
        format!("its identity is spiffe://{domain}/{service}"),
    );
    page.text("\nidentity:\n  embedded:");
    let dir = authority.display().to_string();
    let dir = if dir == "authority" { dir } else { quoted(&dir) };
    page.line(format!("    dir: {dir}"), "the authority; sidecars of one machine may share it");
    page.line("    ttl: 24h", "a certificate's lifetime; renewed at two thirds of it");
    page.text("");
    peers(&mut page, arguments);
    if arguments.is_called() {
        page.text("\ninbound:");
        inbound(&mut page, arguments);
    }
    if !arguments.call.is_empty() {
        page.text("\noutbound:");
        outbound(&mut page, arguments);
    }
    page.text("\naudit:");
    page.line("  dir: audit", "the trail; `myelin audit verify` checks it");
    page.text("\nadmin:");
    page.line(
        format!("  listen: {}", quoted(&arguments.admin.to_string())),
        "/live /ready /metrics /status /denials",
    );
    // A directory may be too deep for a socket's path.
    let socket = std::path::absolute(&arguments.dir).map(|dir| dir.join("control.sock"));
    if socket.is_ok_and(|path| path.as_os_str().len() <= MAX_CONTROL) {
        page.line(
            "  socket: control.sock",
            "`myelin status`, `reload`, `drain`, `log-level`; this user's and root's",
        );
    }
    page.finish()
}

fn peers(page: &mut Sheet, arguments: &Arguments) {
    let domain = &arguments.trust_domain;
    let entry = |name: &str| {
        let id = quoted(&format!("spiffe://{domain}/{name}"));
        format!("  {}: {{ spiffe: {id} }}", quoted(name))
    };
    let known = || arguments.allow.iter().chain(arguments.call.iter().map(|call| &call.service));
    if known().next().is_none() {
        page.line("peers: {}", "whom we know; rules name them. In place of {}, one line each:");
        page.line("", entry("billing"));
        return;
    }
    page.line("peers:", "whom we know; rules name them");
    for name in names(known()) {
        page.text(entry(name));
    }
}

fn inbound(page: &mut Sheet, arguments: &Arguments) {
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 8443)));
    let forward = match &arguments.forward {
        None => "127.0.0.1:8080".to_owned(),
        Some(Target::Tcp(address)) => address.to_string(),
        Some(Target::Unix(path)) => format!("unix:{}", path.display()),
    };
    let allow: Vec<_> = names(&arguments.allow).into_iter().map(quoted).collect();
    page.text(format!("  - name: {}", quoted(&arguments.service.0)));
    page.line(
        format!("    listen: {}", quoted(&listen.to_string())),
        "peers connect here, with mutual TLS",
    );
    page.line(
        format!("    forward: {}", quoted(&forward)),
        "the service, in plaintext on this machine",
    );
    protocol(page, arguments.protocol);
    page.line("    phi: true", "every access is on record before the first byte passes");
    page.line(format!("    allow: [{}]", allow.join(", ")), "who may connect; nobody else");
}

fn outbound(page: &mut Sheet, arguments: &Arguments) {
    let (ip, first) = (arguments.call_listen.ip(), arguments.call_listen.port());
    for (Call { service: Name(service), to }, port) in arguments.call.iter().zip(first..=u16::MAX) {
        page.text(format!("  - name: {}", quoted(&format!("to-{service}"))));
        page.line(
            format!("    listen: {}", quoted(&SocketAddr::new(ip, port).to_string())),
            "the service connects here, in plaintext on this machine",
        );
        page.line(format!("    to: [{}]", quoted(to)), "mutual TLS leads there; may be several");
        page.line(
            format!("    expect: [{}]", quoted(service)),
            "whom the server must prove to be; else no byte is sent",
        );
        protocol(page, arguments.protocol);
        page.line("    phi: true", "every access is on record before the first byte passes");
    }
}

fn protocol(page: &mut Sheet, protocol: Protocol) {
    let protocol = match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
        Protocol::Mllp => "mllp",
        Protocol::Dicom => "dicom",
    };
    page.line(
        format!("    protocol: {protocol}"),
        "declared, never guessed: http, mllp, dicom or tcp",
    );
}

/// Each once, in their order.
fn names<'a>(list: impl IntoIterator<Item = &'a Name>) -> Vec<&'a str> {
    let mut once: Vec<&str> = Vec::new();
    for Name(name) in list {
        if !once.contains(&name.as_str()) {
            once.push(name);
        }
    }
    once
}

/// A word that a shell takes as it is.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:+@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Config, ListenAddr, parse};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        init: Arguments,
    }

    fn page(line: &str) -> String {
        configuration(&Line::parse_from(line.split(' ')).init, "authority".as_ref())
    }

    fn checked(line: &str) -> Config {
        let text = page(line);
        parse("m.yaml".as_ref(), &text, &|_| None).unwrap_or_else(|p| panic!("{text}\n{p}"))
    }

    #[test]
    fn whatever_is_asked_for_is_fit_to_be_used() {
        let alone = checked("init --service ehr");
        let odd = checked(
            "init --service null --allow true --allow 1e3 --allow true --listen [::]:1 \
             --forward unix:/run/a${b}\"c#d --trust-domain 007",
        );

        assert!(alone.peers.is_empty() && alone.inbound[0].allow.is_empty());
        assert_eq!((&*odd.service, odd.peers.len()), ("null", 2));
        assert_eq!(odd.inbound[0].forward, Target::Unix("/run/a${b}\"c#d".into()));
        assert_eq!(odd.trust_domain.as_str(), "007");
    }

    #[test]
    fn a_service_that_only_calls_others_lets_nobody_in() {
        let config =
            checked("init --service lab --call ehr=ehr.example:8443 --call pacs=[::1]:2762");

        assert!(config.inbound.is_empty());
        assert_eq!((config.outbound.len(), config.peers.len()), (2, 2));
        let listen: Vec<_> = config.outbound.iter().map(|out| out.listen.clone()).collect();
        let ports = ["127.0.0.1:9001", "127.0.0.1:9002"];
        assert_eq!(listen, ports.map(|port| ListenAddr::Tcp(port.parse().unwrap())));
    }

    #[test]
    fn a_service_that_is_called_and_calls_has_both_sides_in_one_protocol() {
        for protocol in ["http", "tcp", "mllp", "dicom"] {
            let config = checked(&format!(
                "init --service lab --allow ehr --call ehr=ehr:1 --protocol {protocol}"
            ));
            assert_eq!(
                (config.inbound.len(), config.outbound.len(), config.peers.len()),
                (1, 1, 1)
            );
            assert_eq!(config.inbound[0].protocol.label(), protocol);
            assert_eq!(config.outbound[0].protocol.label(), protocol);
        }
    }

    #[test]
    fn comments_stand_in_one_column() {
        let page = page("init --service a --allow billing --forward [::1]:8080");
        let columns: Vec<_> = page.lines().skip(1).filter_map(|line| line.find(" # ")).collect();

        assert!(columns.len() > 8, "{page}");
        assert!(columns.iter().all(|column| *column == columns[0]), "{page}");
    }

    #[test]
    fn a_bad_argument_is_refused_before_anything_else() {
        for wrong in [
            "init --service EHR",
            "init --service a/b",
            "init --service a --allow a/b",
            "init --service a --allow Billing",
            "init --service a --issue a/b",
            "init --service a --issue ca",
            "init --service a --issue-ttl 1s",
            "init --service a --call ehr",
            "init --service a --call EHR=ehr:1",
            "init --service a --call ehr=ehr",
            "init --service a --call ehr=ehr:1 --call-listen 10.0.0.1:1",
            "init --service a --forward 10.0.0.1:80",
            "init --service a --forward 127.0.0.1:0",
            "init --service a --forward unix:",
            "init --service a --admin 0.0.0.0:9901",
            "init --service a --trust-domain Hospital",
        ] {
            assert!(Line::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shell_takes_a_directory_with_spaces_as_one_word() {
        assert_eq!(shell_word("ehr/myelin.yaml"), "ehr/myelin.yaml");
        assert_eq!(shell_word("it's here/m.yaml"), r"'it'\''s here/m.yaml'");
    }
}
