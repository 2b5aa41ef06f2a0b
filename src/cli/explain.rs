//! `myelin explain`: which rule lets this peer in, or which came nearest and why it does not.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use time::Duration;

use super::findings::Findings;
use super::{ConfigFile, Exit, Format, chain, console, load, wait};
use crate::authz::{Denied, ListenerPolicy, Requested};
use crate::certs::{Supply, Trusted};
use crate::clock;
use crate::config::{self, Config, Inbound, Peer, PeerMatcher, Protocol};
use crate::identity::{
    DnsName, Fingerprint, LeafUse, PeerCertificate, PeerIdentity, PeerName, Proof, SpiffeId,
    Subject,
};
use crate::proxy::l7::Malformed;
use crate::report::Report;
use crate::tls;

/// Most names that a message lists.
const LISTED: usize = 10;

const EXIT_CODES: &str = "\
Exit codes: 0 allowed on every listener asked about, 1 denied on one of them, 2 a bad argument, such as \
a peer that is not in the configuration, 3 bad configuration or key material";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    who: Who,
    /// The inbound listener; all of them without it
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The HTTP method; with --path, asks the routes, too
    #[arg(long, requires = "path", value_parser = method)]
    method: Option<Method>,
    /// The HTTP path as a request has it, without a query
    #[arg(long, value_parser = path)]
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
    #[arg(long, value_name = "URI", value_parser = spiffe)]
    spiffe: Option<SpiffeId>,
    /// A DNS name, proven by a chain
    #[arg(long, value_name = "NAME", value_parser = DnsName::parse)]
    dns: Option<DnsName>,
    /// A certificate with its intermediates in PEM; verified as a listener would
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

fn spiffe(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|error| Report(&error).to_string())
}

/// A method that a request with a route can have.
fn method(text: &str) -> Result<Method, String> {
    let wrong = || "not an HTTP method, like GET or POST".to_owned();
    let method = Method::from_bytes(text.as_bytes()).map_err(|_error| wrong())?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(format!("methods are upper-case; did you mean {}?", text.to_ascii_uppercase()));
    }
    match method {
        Method::CONNECT | Method::TRACE => Err(Malformed::Method.text().to_owned()),
        method => Ok(method),
    }
}

/// The path as policy sees it: one that the gate would refuse never comes that far.
fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with '/'".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("rules look at the path alone: leave out the query and the fragment".to_owned());
    }
    let refused = |malformed: Malformed| {
        format!("{}; such a request is refused before any rule is asked", malformed.text())
    };
    Malformed::check_path(text).map(Into::into).map_err(refused)
}

/// Why there is no answer.
struct Unanswered {
    exit: Exit,
    problems: Vec<String>,
}

impl Unanswered {
    fn argument(problem: String) -> Self {
        Self { exit: Exit::BadCommand, problems: vec![problem] }
    }

    fn material(problems: Vec<String>) -> Self {
        Self { exit: Exit::BadConfig, problems }
    }
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
            Findings::of(problems).print(Format::Text)?;
            return Ok(Exit::BadConfig);
        }
    };
    let answers = match answers(&config, arguments) {
        Ok(answers) => answers,
        Err(Unanswered { exit, problems }) => {
            for problem in problems {
                console::error(&format!("error: {problem}"));
            }
            return Ok(exit);
        }
    };
    match arguments.format {
        Format::Text => answers.iter().for_each(|answer| console::line(&answer.to_string())),
        Format::Json => {
            let values: Vec<_> = answers.iter().map(Answer::json).collect();
            console::line(&serde_json::to_string_pretty(&values)?);
        }
    }
    Ok(if answers.iter().all(|answer| answer.allowed) { Exit::Fine } else { Exit::Failed })
}

fn answers(config: &Config, arguments: &Arguments) -> Result<Vec<Answer>, Unanswered> {
    let listeners = listeners(config, arguments.listener.as_deref())?;
    let subject = Peers::of(config, &arguments.who)?;
    listeners.into_iter().map(|listener| answer(config, listener, &subject, arguments)).collect()
}

fn listeners<'c>(config: &'c Config, name: Option<&str>) -> Result<Vec<&'c Inbound>, Unanswered> {
    let Some(name) = name else {
        return match config.inbound.is_empty() {
            true => {
                let text = "the configuration has no inbound listener: nobody may connect".into();
                Err(Unanswered::argument(text))
            }
            false => Ok(config.inbound.iter().collect()),
        };
    };
    match config.inbound.iter().find(|listener| listener.name.as_str() == name) {
        Some(listener) => Ok(vec![listener]),
        None => {
            let names: Vec<_> = config.inbound.iter().map(|l| l.name.as_str()).collect();
            let text =
                format!("no inbound listener `{}`{}", name.escape_debug(), known(name, &names));
            Err(Unanswered::argument(text))
        }
    }
}

/// The name that was meant, or all that there are.
pub(super) fn known(name: &str, names: &[&str]) -> String {
    match config::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if names.is_empty() => "; there is none".to_owned(),
        None => {
            let more = if names.len() > LISTED { ", …" } else { "" };
            let names: Vec<_> = names.iter().take(LISTED).copied().collect();
            format!("; there are: {}{more}", names.join(", "))
        }
    }
}

/// Who connects.
enum Peers {
    /// Somebody with these names, believed.
    Named(PeerIdentity),
    /// Somebody with this chain, which is to be verified against the key material.
    Presenting(Vec<CertificateDer<'static>>, Arc<Trusted>),
}

impl Peers {
    fn of(config: &Config, who: &Who) -> Result<Self, Unanswered> {
        if let Some(path) = &who.cert {
            let chain = chain::read(path).map_err(Unanswered::argument)?;
            return Ok(Self::Presenting(chain, trusted(config)?));
        }
        let mut certificate = nobody();
        let mut proof = Proof::Chain;
        if let Some(name) = &who.peer {
            let Some(peer) = config.peers.get(&PeerName::new(name)) else {
                let names: Vec<_> = config.peers.keys().map(PeerName::as_str).collect();
                let text =
                    format!("no entry `{}` in peers{}", name.escape_debug(), known(name, &names));
                return Err(Unanswered::argument(text));
            };
            proof = become_peer(&mut certificate, peer);
        }
        if let Some(id) = &who.spiffe {
            certificate.spiffe = Some(id.clone());
        }
        if let Some(name) = &who.dns {
            certificate.dns = vec![name.clone()];
        }
        Ok(Self::Named(PeerIdentity { certificate: Arc::new(certificate), proof }))
    }

    /// Whom `listener` takes the peer for, or why the handshake comes to nothing.
    fn seen_by(
        &self,
        config: &Config,
        listener: &Inbound,
    ) -> Result<Result<PeerIdentity, String>, Unanswered> {
        let (chain, trusted) = match self {
            Self::Named(identity) => return Ok(Ok(identity.clone())),
            Self::Presenting(chain, trusted) => (chain, trusted),
        };
        let pins = crate::runtime::pins(config, &listener.allow);
        let examined = tls::examine(trusted, &config.tls, &pins, chain, clock::now())
            .map_err(|error| Unanswered::material(vec![Report(&error).to_string()]))?;
        Ok(examined.map_err(|failed| format!("{}: {}", failed.refusal.label(), failed.message)))
    }
}

/// What peers are verified with; an authority that is not there is not made for a question.
fn trusted(config: &Config) -> Result<Arc<Trusted>, Unanswered> {
    let supply = Supply::of(config)
        .map_err(|error| Unanswered::material(vec![Report(&error).to_string()]))?;
    let seen = wait(supply.look())
        .map_err(|error| Unanswered::material(vec![Report(&*error).to_string()]))?;
    let seen = seen.map_err(|error| Unanswered::material(error.problems()))?;
    Ok(seen.trusted)
}

fn answer(
    config: &Config,
    listener: &Inbound,
    peers: &Peers,
    arguments: &Arguments,
) -> Result<Answer, Unanswered> {
    let answer = |allowed, rule: &str, why| Answer {
        listener: listener.name.to_string(),
        allowed,
        rule: rule.to_owned(),
        why,
    };
    let no = |denied: Denied| {
        let why = format!("{}: {}", denied.reason.label(), denied.nearest);
        answer(false, &denied.rule, why)
    };
    let who = match peers.seen_by(config, listener)? {
        Ok(who) => who,
        Err(refused) => return Ok(answer(false, "TLS handshake", refused)),
    };
    let policy = ListenerPolicy::inbound(config, listener);
    let permit = match policy.authorize(&who, clock::now()) {
        Ok(permit) => permit,
        Err(denied) => return Ok(no(denied)),
    };
    let peer = permit.peer().map_or("", |peer| peer.as_str());
    let path = match (&arguments.path, listener.protocol) {
        (Some(path), Protocol::Http) => path,
        (Some(_), Protocol::Tcp | Protocol::Mllp | Protocol::Dicom) => {
            let why =
                format!("peer `{peer}` may connect; `protocol: tcp` has no requests to judge");
            return Ok(answer(true, permit.rule(), why));
        }
        (None, _) => {
            return Ok(answer(true, permit.rule(), format!("peer `{peer}` may connect")));
        }
    };
    let method = arguments.method.clone().unwrap_or(Method::GET);
    let asked = Requested { method: &method, host: None, path, soap_action: None };
    Ok(match policy.authorize_request(&permit, &asked, clock::now()) {
        Ok(request) => {
            let why = match request.template() {
                Some(template) => format!("peer `{peer}` may {method} {template}"),
                None => format!("peer `{peer}` may ask for anything: no routes"),
            };
            answer(true, request.rule(), why)
        }
        Err(denied) => no(denied),
    })
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
