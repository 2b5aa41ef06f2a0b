//! A suggestion as it is pasted: YAML with the evidence beside each rule.

use std::fmt::{self, Write as _};

use super::draft::{CONNECTIONS, Kind, ListenerDraft, RuleDraft, TermsDraft};
use super::{Names, Suggestion};
use crate::config::{PeerMatcher, Target};
use crate::protocol::dicom;

/// Which peers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peers {
    /// Those that the configuration does not have.
    New,
    /// All, for a text that stands alone.
    All,
}

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Peers::New)
    }
}

impl Suggestion<'_> {
    pub(super) fn write(&self, out: &mut dyn fmt::Write, peers: Peers) -> fmt::Result {
        self.peers(out, peers)?;
        if self.listeners.is_empty() {
            return Ok(());
        }
        writeln!(out, "inbound:")?;
        self.listeners.iter().try_for_each(|listener| listener.write(out))
    }

    fn peers(&self, out: &mut dyn fmt::Write, which: Peers) -> fmt::Result {
        let new = self.book.new.iter();
        let known = self.book.known.iter().map(|(name, peer)| (name, &peer.matcher));
        let all: Vec<_> = match which {
            Peers::New => new.collect(),
            Peers::All => new.chain(known).collect(),
        };
        if all.is_empty() {
            return Ok(());
        }
        writeln!(out, "peers:")?;
        if which == Peers::New && !self.book.known.is_empty() {
            writeln!(out, "  # to be added to those that are there")?;
        }
        all.into_iter()
            .try_for_each(|(name, matcher)| writeln!(out, "  {name}: {}", entry(matcher)))
    }
}

fn entry(matcher: &PeerMatcher) -> String {
    match matcher {
        PeerMatcher::Spiffe(id) => format!("{{ spiffe: {id} }}"),
        PeerMatcher::Dns(name) => format!("{{ dns: {} }}", quoted(name.as_str())),
        PeerMatcher::CertificatePin(pin) => format!("{{ pin: \"sha256:{pin}\" }}"),
        PeerMatcher::KeyPin(pin) => format!("{{ spki: \"sha256:{pin}\" }}"),
        PeerMatcher::Subject { common_name, organization, organizational_unit } => {
            let parts = [("cn", common_name), ("o", organization), ("ou", organizational_unit)];
            let parts = parts.into_iter().filter_map(|(key, value)| {
                value.as_ref().map(|value| format!("{key}: {}", quoted(value)))
            });
            format!("{{ subject: {{ {} }} }}", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

impl ListenerDraft<'_> {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for note in &self.notes {
            writeln!(out, "  # {note}")?;
        }
        writeln!(out, "  - name: {}", self.name)?;
        self.places(out)?;
        writeln!(out, "    protocol: {}", self.protocol())?;
        if self.phi() {
            writeln!(out, "    phi: true")?;
        }
        writeln!(out, "    allow:")?;
        for (peer, evidence) in &self.allow {
            let comment = evidence.comment(CONNECTIONS);
            let comment =
                if evidence.allowed + evidence.denied == 0 { String::new() } else { comment };
            match comment.as_str() {
                "" => writeln!(out, "      - {peer}")?,
                comment => writeln!(out, "      - {peer} # {comment}")?,
            }
        }
        let things = match self.protocol() {
            "mllp" => "messages",
            "dicom" => "associations",
            _ => "requests",
        };
        for key in ["routes", "messages", "senders", "associations"] {
            let Some(rules) = self.rules.get(key) else { continue };
            writeln!(out, "    {key}:")?;
            rules.iter().try_for_each(|rule| rule.write(out, things))?;
        }
        Ok(())
    }

    /// Where it listens and forwards to: as the configuration says or, as far as that is seen, as records do.
    fn places(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if let Some(configured) = self.configured {
            writeln!(out, "    listen: {}", configured.listen)?;
            return match &configured.forward {
                Target::Tcp(address) => {
                    writeln!(out, "    forward: {address}")?;
                    if address.ip().is_loopback() {
                        Ok(())
                    } else {
                        writeln!(out, "    forward_anywhere: true")
                    }
                }
                Target::Unix(path) => {
                    writeln!(out, "    forward: {}", quoted(&format!("unix:{}", path.display())))
                }
            };
        }
        let port = self.port;
        writeln!(out, "    listen: 0.0.0.0:{port} # only the port is on record")?;
        writeln!(out, "    forward: 127.0.0.1:1 # not on record: where the workload listens")
    }
}

impl RuleDraft {
    fn write(&self, out: &mut dyn fmt::Write, things: &str) -> fmt::Result {
        match &self.evidence {
            Some(evidence) => writeln!(out, "      # {}", evidence.comment(things))?,
            None => {
                writeln!(out, "      # kept: what the sidecar answers by itself is not on record")?
            }
        }
        writeln!(out, "      - name: {}", self.name)?;
        let mut keys = Vec::new();
        match &self.terms {
            TermsDraft::Route { path, methods, kind } => {
                if !methods.is_empty() {
                    keys.push(format!("methods: {}", list(methods.iter().map(String::as_str))));
                }
                keys.push(format!("path: {}", quoted(path)));
                keys.extend(of_kind(kind));
            }
            TermsDraft::Messages { types } => {
                keys.push(format!("types: {}", list(types.iter().map(String::as_str))));
            }
            TermsDraft::Sender { application, facility } => {
                keys.extend(
                    application.iter().map(|text| format!("application: {}", quoted(text))),
                );
                keys.extend(facility.iter().map(|text| format!("facility: {}", quoted(text))));
            }
            TermsDraft::Association { calling, called, classes } => {
                keys.extend(calling.iter().map(|title| format!("calling_ae: {}", quoted(title))));
                keys.extend(called.iter().map(|title| format!("called_ae: {}", quoted(title))));
                if !classes.is_empty() {
                    let named =
                        |uid: &'_ String| dicom::sop_class_name(uid).unwrap_or(uid).to_owned();
                    let names: Vec<_> = classes.iter().map(named).collect();
                    keys.push(format!("sop_classes: {}", list(names.iter().map(String::as_str))));
                }
            }
        }
        keys.push(format!("allow: {}", names(&self.allow)));
        keys.into_iter().try_for_each(|key| writeln!(out, "        {key}"))
    }
}

fn of_kind(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Plain => return None,
        Kind::Respond(status) => format!("respond: {status}"),
        Kind::Soap(actions) => format!("soap_action: {}", list(actions.iter().map(String::as_str))),
        Kind::Ihe(transactions) => format!("ihe: {}", list(transactions.iter().copied())),
        Kind::DicomWeb(transactions) => {
            format!("dicomweb: {}", list(transactions.iter().copied()))
        }
        Kind::Fhir { interactions, resources } => {
            let interactions = list(interactions.iter().copied());
            match resources.is_empty() {
                true => format!("fhir: {{ interactions: {interactions} }}"),
                false => {
                    let resources = list(resources.iter().copied());
                    format!("fhir: {{ interactions: {interactions}, resources: {resources} }}")
                }
            }
        }
    })
}

fn names(names: &Names) -> String {
    list(names.iter().map(String::as_str))
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<_> = items.map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// A text as YAML takes it anywhere: in quotes, unless it is plain.
fn quoted(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    if begins && text.chars().all(plain) && !["null", "true", "false"].contains(&text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
