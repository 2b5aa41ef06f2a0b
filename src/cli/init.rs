//! `myelin init`: a configuration and an authority for a service, ready to run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::{Exit, console};
use crate::certs::embedded::Authority;
use crate::identity::{DnsName, SpiffeId, TrustDomain};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The service that the sidecar stands beside
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The trust domain of its SPIFFE ID
    #[arg(long, value_name = "DOMAIN", default_value = "hospital.example")]
    trust_domain: String,
    /// Where everything is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where peers connect
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Where the service listens
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    forward: SocketAddr,
    /// What the service speaks
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// A peer that may connect, by its service's name; may be given several times
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Also issue a certificate and key for this service, as PEM files for other programs; may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    issue: Vec<String>,
    /// Lifetime of the certificates of --issue
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    issue_ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Http,
    Tcp,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let domain = TrustDomain::parse(&arguments.trust_domain).context("--trust-domain")?;
    let id = |name: &str| SpiffeId::of(&domain, name).with_context(|| format!("service `{name}`"));
    id(&arguments.service)?;
    for peer in arguments.allow.iter().chain(&arguments.issue) {
        id(peer)?;
    }
    let dir = &arguments.dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    let authority_dir = dir.join("authority");
    let authority = Authority::open_or_create(&authority_dir, &domain)?;
    console::line(&format!("{}: the authority of {domain}", authority_dir.display()));

    let config = dir.join("myelin.yaml");
    if config.exists() {
        if arguments.issue.is_empty() {
            bail!("{} exists; move it away, or choose another --dir", config.display());
        }
        console::line(&format!("{}: kept as it is", config.display()));
    } else {
        write(&config, 0o644, &configuration(arguments))?;
        console::line(&format!("{}: the configuration", config.display()));
    }
    if !arguments.issue.is_empty() {
        replace(&dir.join("ca.crt"), 0o644, authority.trust_bundle_pem())?;
    }
    for name in &arguments.issue {
        let dns: Vec<_> = DnsName::parse(name).into_iter().collect();
        let pair = authority.issue_pem(&id(name)?, &dns, arguments.issue_ttl)?;
        let (chain, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        replace(&chain, 0o644, &pair.chain)?;
        replace(&key, 0o600, &pair.key)?;
        console::line(&format!("{}, {}: {}", chain.display(), key.display(), id(name)?));
    }
    console::line(&format!("\nNext: myelin check -c {0} && myelin run -c {0}", config.display()));
    Ok(Exit::Fine)
}

/// Never writes over a file.
fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a new file in the place of the old one, which readers see whole or not at all.
fn replace(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    if new.exists() {
        fs::remove_file(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    write(&new, mode, text)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(arguments: &Arguments) -> String {
    let Arguments { service, trust_domain, listen, forward, .. } = arguments;
    let protocol = match arguments.protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    };
    let peers: String = arguments
        .allow
        .iter()
        .map(|peer| format!("  {peer}: {{ spiffe: spiffe://{trust_domain}/{peer} }}\n"))
        .collect();
    let peers = if peers.is_empty() {
        format!("  # billing: {{ spiffe: spiffe://{trust_domain}/billing }}\n")
    } else {
        peers
    };
    let allow = arguments.allow.join(", ");
    format!(
        r#"# The sidecar of `{service}`. Relative paths are relative to this file's directory.
version: 1
service: {service}                      # this sidecar stands beside the service `{service}`
trust_domain: {trust_domain}            # its identity is spiffe://{trust_domain}/{service}

identity:
  embedded:
    dir: authority                      # the authority's directory; share it between sidecars of one machine
    ttl: 24h                            # lifetime of a certificate; it renews itself at two thirds of it

peers:                                  # whom we know; rules name them
{peers}
inbound:
  - name: {service}
    listen: {listen}                    # peers connect here, with mutual TLS
    forward: {forward}                  # the service, in plaintext on this machine
    protocol: {protocol}
    phi: true                           # every access is on record before the first byte goes through
    allow: [{allow}]                    # who may connect; nobody else

audit:
  dir: audit                            # the trail; `myelin audit verify audit` checks it

admin:
  listen: 127.0.0.1:9901                # /live /ready /metrics /status /denials
"#
    )
}
