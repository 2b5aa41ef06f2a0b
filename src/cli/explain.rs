//! `myelin explain`: which rule lets this peer in, or which came nearest and why it does not.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use http::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use time::Duration;

use super::{ConfigFile, Exit, Format, console, load};
use crate::authz::{Denied, ListenerPolicy};
use crate::certs::Source;
use crate::clock;
use crate::config::{Config, Inbound, Peer, PeerMatcher};
use crate::identity::{
    DnsName, Fingerprint, LeafUse, PeerCertificate, PeerIdentity, PeerName, Proof, SpiffeId,
    Subject,
};
use crate::tls;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    who: Who,
    /// The inbound listener; all of them without it
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The HTTP method; with --path, asks the routes, too
    #[arg(long, requires = "path")]
    method: Option<Method>,
    /// The HTTP path, decoded
    #[arg(long)]
    path: Option<String>,
    /// How to print the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Whom it is about.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// An entry of `peers`
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// A SPIFFE ID, proven by a chain
    #[arg(long, value_name = "URI")]
    spiffe: Option<String>,
    /// A DNS name, proven by a chain
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// A certificate with its intermediates in PEM; verified as a listener would
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

/// The answer for one listener.
struct Answer {
    listener: String,
    allowed: bool,
    rule: String,
    why: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = match load(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => {
            console::error(problems.to_string().trim_end());
            return Ok(Exit::BadConfig);
        }
    };
    let listeners: Vec<&Inbound> = config
        .inbound
        .iter()
        .filter(|l| arguments.listener.as_ref().is_none_or(|name| name == l.name.as_str()))
        .collect();
    if listeners.is_empty() {
        let names: Vec<_> = config.inbound.iter().map(|l| l.name.to_string()).collect();
        bail!("no such inbound listener; there are: {}", names.join(", "));
    }
    let mut answers = Vec::new();
    for listener in listeners {
        answers.push(answer(&config, listener, arguments)?);
    }
    match arguments.format {
        Format::Text => answers.iter().for_each(|answer| console::line(&answer.to_string())),
        Format::Json => {
            let values: Vec<_> = answers.iter().map(Answer::json).collect();
            console::line(&serde_json::to_string_pretty(&values)?);
        }
    }
    Ok(if answers.iter().all(|answer| answer.allowed) { Exit::Fine } else { Exit::Failed })
}

fn answer(config: &Config, listener: &Inbound, arguments: &Arguments) -> anyhow::Result<Answer> {
    let who = match identity(config, listener, &arguments.who)? {
        Ok(who) => who,
        Err(refused) => {
            return Ok(Answer {
                listener: listener.name.to_string(),
                allowed: false,
                rule: "TLS handshake".to_owned(),
                why: refused,
            });
        }
    };
    let policy = ListenerPolicy::inbound(config, listener);
    let no = |denied: Denied| Answer {
        listener: listener.name.to_string(),
        allowed: false,
        rule: denied.rule.to_string(),
        why: format!("{}: {}", denied.reason.label(), denied.nearest),
    };
    let permit = match policy.authorize(&who, clock::now()) {
        Ok(permit) => permit,
        Err(denied) => return Ok(no(denied)),
    };
    let Some(path) = &arguments.path else {
        return Ok(Answer {
            listener: listener.name.to_string(),
            allowed: true,
            rule: permit.rule().to_string(),
            why: format!("peer `{}` may connect", permit.peer()),
        });
    };
    let method = arguments.method.clone().unwrap_or(Method::GET);
    Ok(match policy.authorize_request(&permit, &method, path) {
        Ok(request) => Answer {
            listener: listener.name.to_string(),
            allowed: true,
            rule: request.rule().to_string(),
            why: match request.template() {
                Some(template) => format!("peer `{}` may {method} {template}", permit.peer()),
                None => format!("peer `{}` may ask for anything: no routes", permit.peer()),
            },
        },
        Err(denied) => no(denied),
    })
}

/// Whom a listener would take the peer for; the inner error is a refused handshake.
fn identity(
    config: &Config,
    listener: &Inbound,
    who: &Who,
) -> anyhow::Result<Result<PeerIdentity, String>> {
    if let Some(path) = &who.cert {
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("{}: no certificates in PEM", path.display()))?;
        let material = Source::of(config)?.load()?.material;
        let pins = crate::runtime::pins(config, &listener.allow);
        let examined = tls::examine(&material, &config.tls, &pins, &chain, clock::now())?;
        return Ok(
            examined.map_err(|failed| format!("{}: {}", failed.refusal.label(), failed.message))
        );
    }
    let mut certificate = nobody();
    let mut proof = Proof::Chain;
    if let Some(name) = &who.peer {
        let peer = config.peers.get(&PeerName::new(name));
        let peer = peer.with_context(|| format!("no entry `{name}` in peers"))?;
        proof = become_peer(&mut certificate, peer);
    }
    if let Some(uri) = &who.spiffe {
        certificate.spiffe = Some(SpiffeId::parse(uri)?);
    }
    if let Some(name) = &who.dns {
        certificate.dns = vec![DnsName::parse(name)?];
    }
    Ok(Ok(PeerIdentity { certificate: Arc::new(certificate), proof }))
}

/// Gives the certificate whatever makes it `peer`'s.
fn become_peer(certificate: &mut PeerCertificate, peer: &Peer) -> Proof {
    match &peer.matcher {
        PeerMatcher::Spiffe(id) => certificate.spiffe = Some(id.clone()),
        PeerMatcher::Dns(name) => certificate.dns = vec![name.clone()],
        PeerMatcher::Subject { common_name, organization, organizational_unit } => {
            certificate.subject.common_names = common_name.iter().cloned().collect();
            certificate.subject.organizations = organization.iter().cloned().collect();
            certificate.subject.organizational_units =
                organizational_unit.iter().cloned().collect();
        }
        PeerMatcher::CertificatePin(pin) => {
            certificate.sha256 = *pin;
            return Proof::Pin;
        }
        PeerMatcher::KeyPin(pin) => {
            certificate.key_sha256 = *pin;
            return Proof::Pin;
        }
    }
    Proof::Chain
}

/// A certificate that says nothing, for a while.
fn nobody() -> PeerCertificate {
    let now = clock::now();
    PeerCertificate {
        spiffe: None,
        dns: Vec::new(),
        alternative_names: Vec::new(),
        subject: Subject::default(),
        issuer: String::new(),
        serial: String::new(),
        sha256: Fingerprint([0; 32]),
        key_sha256: Fingerprint([0; 32]),
        usage: LeafUse::default(),
        not_before: now,
        not_after: now + Duration::hours(1),
    }
}

impl Answer {
    fn json(&self) -> Value {
        json!({
            "listener": self.listener,
            "allowed": self.allowed,
            "rule": self.rule,
            "why": self.why,
        })
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        write!(f, "{}: {verdict} by {}: {}", self.listener, self.rule, self.why)
    }
}
