//! The configuration that `init` writes, with its comments in one column.

use super::{Arguments, Name, Protocol};
use crate::config::Target;

/// Texts up to this length move the comments to the right, longer ones stand out.
const WIDE: usize = 44;

/// Longest path of a unix socket in bytes.
const LONGEST_SOCKET: usize = 107;

/// The configuration that `arguments` ask for.
pub(super) fn configuration(arguments: &Arguments) -> String {
    let Arguments { service: Name(service), trust_domain: domain, .. } = arguments;
    let mut page = Page::default();
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
    page.line("    dir: authority", "the authority; sidecars of one machine may share it");
    page.line("    ttl: 24h", "a certificate's lifetime; renewed at two thirds of it");
    page.text("");
    peers(&mut page, arguments);
    page.text("\ninbound:");
    inbound(&mut page, arguments);
    page.text("\naudit:");
    page.line("  dir: audit", "the trail; `myelin audit verify` checks it");
    page.text("\nadmin:");
    page.line(
        format!("  listen: {}", quoted(&arguments.admin.to_string())),
        "/live /ready /metrics /status /denials",
    );
    // A directory may be too deep for a socket's path.
    let socket = std::path::absolute(&arguments.dir).map(|dir| dir.join("control.sock"));
    if socket.is_ok_and(|path| path.as_os_str().len() <= LONGEST_SOCKET) {
        page.line(
            "  socket: control.sock",
            "`myelin status`, `reload`, `drain`, `log-level`; this user's and root's",
        );
    }
    page.finish()
}

fn peers(page: &mut Page, arguments: &Arguments) {
    let domain = &arguments.trust_domain;
    let entry = |name: &str| {
        let id = quoted(&format!("spiffe://{domain}/{name}"));
        format!("  {}: {{ spiffe: {id} }}", quoted(name))
    };
    if arguments.allow.is_empty() {
        page.line("peers: {}", "whom we know; rules name them. In place of {}, one line each:");
        page.line("", entry("billing"));
        return;
    }
    page.line("peers:", "whom we know; rules name them");
    for name in names(&arguments.allow) {
        page.text(entry(name));
    }
}

fn inbound(page: &mut Page, arguments: &Arguments) {
    let protocol = match arguments.protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    };
    let forward = match &arguments.forward {
        Target::Tcp(address) => address.to_string(),
        Target::Unix(path) => format!("unix:{}", path.display()),
    };
    let allow: Vec<_> = names(&arguments.allow).into_iter().map(quoted).collect();
    page.text(format!("  - name: {}", quoted(&arguments.service.0)));
    page.line(
        format!("    listen: {}", quoted(&arguments.listen.to_string())),
        "peers connect here, with mutual TLS",
    );
    page.line(
        format!("    forward: {}", quoted(&forward)),
        "the service, in plaintext on this machine",
    );
    page.line(format!("    protocol: {protocol}"), "declared, never guessed: http or tcp");
    page.line("    phi: true", "every access is on record before the first byte passes");
    page.line(format!("    allow: [{}]", allow.join(", ")), "who may connect; nobody else");
}

/// Each once, in their order.
fn names(list: &[Name]) -> Vec<&str> {
    let mut once: Vec<&str> = Vec::new();
    for Name(name) in list {
        if !once.contains(&name.as_str()) {
            once.push(name);
        }
    }
    once
}

/// A scalar that no reader of YAML takes for anything but this text.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A word that a shell takes as it is.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:+@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Lines, some of which have a comment.
#[derive(Default)]
struct Page {
    lines: Vec<(String, String)>,
}

impl Page {
    fn text(&mut self, text: impl Into<String>) {
        self.lines.push((text.into(), String::new()));
    }

    fn line(&mut self, text: impl Into<String>, comment: impl Into<String>) {
        self.lines.push((text.into(), comment.into()));
    }

    fn finish(self) -> String {
        let width = |text: &str| text.chars().count();
        let commented = self.lines.iter().filter(|(_, comment)| !comment.is_empty());
        let column = commented.map(|(text, _)| width(text)).filter(|w| *w <= WIDE).max();
        let column = column.unwrap_or(0);
        let mut page = String::new();
        for (text, comment) in &self.lines {
            page.push_str(text);
            if !comment.is_empty() {
                page.extend(std::iter::repeat_n(' ', column.saturating_sub(width(text)) + 2));
                page.push_str("# ");
                page.push_str(comment);
            }
            page.push('\n');
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Config, parse};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        init: Arguments,
    }

    fn page(line: &str) -> String {
        configuration(&Line::parse_from(line.split(' ')).init)
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
