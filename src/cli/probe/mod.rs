//! `myelin probe HOST:PORT`: a handshake as this service, each step told, and what its outcome means.

mod text;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::explain::known;
use super::findings::Findings;
use super::{ConfigFile, Exit, Format, console, load, wait};
use crate::authz::ListenerPolicy;
use crate::certs::{MaterialError, Seen as Material, Supply};
use crate::config::{Config, Endpoint, Limits, Outbound, Protocol};
use crate::identity::{ListenerName, PeerName};
use crate::probe::{self, Diagnosis, Level, Question, Seen};
use crate::report::Report;
use crate::tls;

/// Longest wait for one step that can be asked for.
const LONGEST: Duration = Duration::from_secs(300);

const EXIT_CODES: &str = "\
Exit codes: 0 an outbound listener would get through, 1 it would not, or the server is not the expected one, \
2 a bad argument, 3 bad configuration or key material

Nothing but TLS is sent, and nothing after the handshake. The server's side may keep a record of it.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// Where the server is: a DNS name or an IP address, and a port
    #[arg(value_name = "HOST:PORT")]
    to: Endpoint,
    #[command(flatten)]
    file: ConfigFile,
    /// An entry of `peers` that the server must prove to be; may be given again for others that would do, too
    #[arg(long, value_name = "NAME", conflicts_with = "outbound")]
    expect: Vec<String>,
    /// The outbound listener whose `expect` and `protocol` hold; without it, the one that leads there
    #[arg(long, value_name = "LISTENER")]
    outbound: Option<String>,
    /// Goes on although the server's certificate fails, to hear what the server says of ours; it learns who we are
    #[arg(long)]
    anyway: bool,
    /// How long each step may take; otherwise as `limits` say
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// How to print what was seen
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|_error| "not a duration, like 500ms or 10s".to_owned())?;
    if parsed < Duration::from_millis(100) || parsed > LONGEST {
        return Err("from 100ms to 5m".to_owned());
    }
    Ok(parsed)
}

/// Whom the server is to be, and why that is asked.
struct Expectation {
    names: Vec<PeerName>,
    policy: Arc<ListenerPolicy>,
    protocol: Protocol,
    /// The listener that it comes from, and its limits.
    listener: Option<(ListenerName, Limits)>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = match load(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => {
            Findings::of(problems).print(Format::Text)?;
            return Ok(Exit::BadConfig);
        }
    };
    let expectation = match expectation(&config, arguments) {
        Ok(expectation) => expectation,
        Err(problem) => {
            console::error(&format!("error: {problem}"));
            return Ok(Exit::BadCommand);
        }
    };
    let material = match wait(Supply::of(&config)?.look())? {
        Ok(material) => material,
        Err(error) => return Ok(no_material(&error)),
    };
    let format = arguments.format;
    if format == Format::Text {
        console::print(&text::heading(&config, arguments, &material, expectation.as_ref())?);
    }
    let question = question(config, arguments, material, expectation);
    let probed = wait(probe::probe(&question, |part| {
        if format == Format::Text {
            console::print(&text::part(part));
        }
    }))?;
    let seen = match probed {
        Ok(seen) => seen,
        Err(error) => {
            console::error(&format!("error: {}", Report(&error)));
            return Ok(Exit::BadConfig);
        }
    };
    let diagnoses = probe::diagnose(&seen);
    let failed = diagnoses.iter().any(|one| one.level == Level::Failure);
    match format {
        Format::Text => console::print(&text::verdict(&seen, &diagnoses)),
        Format::Json => console::line(&serde_json::to_string_pretty(&Told {
            ok: !failed,
            seen: &seen,
            diagnoses: &diagnoses,
        })?),
    }
    Ok(if failed { Exit::Failed } else { Exit::Fine })
}

/// The answer for programs.
#[derive(Serialize)]
struct Told<'a> {
    ok: bool,
    #[serde(flatten)]
    seen: &'a Seen,
    diagnoses: &'a [Diagnosis],
}

fn no_material(error: &MaterialError) -> Exit {
    for problem in error.problems() {
        console::error(&format!("error: {problem}"));
    }
    Exit::BadConfig
}

fn expectation(config: &Config, arguments: &Arguments) -> Result<Option<Expectation>, String> {
    let of_listener = |listener: &Outbound| Expectation {
        names: listener.expect.clone(),
        policy: Arc::new(ListenerPolicy::outbound(config, listener)),
        protocol: listener.protocol,
        listener: Some((listener.name.clone(), listener.limits.clone())),
    };
    if let Some(name) = &arguments.outbound {
        let Some(found) = config.outbound.iter().find(|o| o.name.as_str() == name) else {
            let names: Vec<_> = config.outbound.iter().map(|o| o.name.as_str()).collect();
            let shown = name.escape_debug();
            return Err(format!("no outbound listener `{shown}`{}", known(name, &names)));
        };
        return Ok(Some(of_listener(found)));
    }
    if arguments.expect.is_empty() {
        let leading = config.outbound.iter().filter(|o| o.to.contains(&arguments.to));
        return match leading.collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(of_listener(only))),
            several => {
                let names: Vec<_> = several.iter().map(|o| format!("`{}`", o.name)).collect();
                let names = names.join(", ");
                Err(format!("several outbound listeners lead there, {names}: choose by --outbound"))
            }
        };
    }
    let mut names = Vec::new();
    for name in &arguments.expect {
        let peer = PeerName::new(name);
        if !config.peers.contains_key(&peer) {
            let all: Vec<_> = config.peers.keys().map(PeerName::as_str).collect();
            let shown = name.escape_debug();
            return Err(format!("no entry `{shown}` in peers{}", known(name, &all)));
        }
        names.push(peer);
    }
    let policy = ListenerPolicy::expecting(config, &ListenerName::new("--expect"), &names);
    let (policy, protocol) = (Arc::new(policy), Protocol::Tcp);
    Ok(Some(Expectation { names, policy, protocol, listener: None }))
}

fn question(
    config: Config,
    arguments: &Arguments,
    material: Material,
    expectation: Option<Expectation>,
) -> Question {
    let everybody: Vec<PeerName> = config.peers.keys().cloned().collect();
    let names = expectation.as_ref().map_or(&everybody, |expectation| &expectation.names);
    let alpn = match expectation.as_ref().map(|expectation| expectation.protocol) {
        Some(Protocol::Http) => tls::HTTP.iter().map(|name| name.to_vec()).collect(),
        Some(Protocol::Tcp | Protocol::Mllp | Protocol::Dicom) | None => Vec::new(),
    };
    let listener = expectation.as_ref().and_then(|expectation| expectation.listener.as_ref());
    let limits = listener.map_or_else(|| config.limits.clone(), |(_, limits)| limits.clone());
    // A listener has one time for all of it. Whoever names a time gives it to each step.
    let total_timeout = listener.filter(|_| arguments.timeout.is_none());
    let total_timeout = total_timeout.map(|(_, limits)| limits.connect_timeout);
    Question {
        to: arguments.to.clone(),
        pins: crate::runtime::pins(&config, names),
        trusted: material.trusted,
        presents: material.material.as_ref().map(tls::presenting),
        material: material.material,
        expected: expectation.map(|expectation| (expectation.names, expectation.policy)),
        alpn,
        anyway: arguments.anyway,
        connect_timeout: arguments.timeout.unwrap_or(limits.connect_timeout),
        handshake_timeout: arguments.timeout.unwrap_or(limits.handshake_timeout),
        total_timeout,
        config: Arc::new(config),
    }
}
