//! `myelin init`: a configuration and an authority for a service, ready to run.

mod page;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::put::{replace, write};
use super::{Exit, console};
use crate::certs::embedded::Authority;
use crate::config::{self, Endpoint, Target, TextError, check_name};
use crate::identity::{DnsName, SpiffeId, TrustDomain};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The service that the sidecar stands beside
    #[arg(long, value_name = "NAME")]
    service: Name,
    /// The trust domain of its SPIFFE ID
    #[arg(long, value_name = "DOMAIN", default_value = "hospital.example", value_parser = TrustDomain::parse)]
    trust_domain: TrustDomain,
    /// Where everything is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// An authority that there is already, which services of one machine share; default: DIR/authority
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// Where peers connect [default: 0.0.0.0:8443, unless the service only calls others]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where the service listens, on this machine: IP:PORT or unix:PATH [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = workload)]
    forward: Option<Target>,
    /// Where operators connect, on this machine
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901", value_parser = loopback)]
    admin: SocketAddr,
    /// What the service speaks, and those that it calls
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// A service that this one calls, and where its sidecar listens; may be given several times
    #[arg(long, value_name = "NAME=HOST:PORT")]
    call: Vec<Call>,
    /// Where this service connects to call it, on this machine; each further --call has the next port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9001", value_parser = one_port)]
    call_listen: SocketAddr,
    /// A peer that may connect, by its service's name; may be given several times
    #[arg(long, value_name = "NAME")]
    allow: Vec<Name>,
    /// Also issue a certificate and key for this service, as PEM files for other programs; may be given
    /// several times
    #[arg(long, value_name = "NAME", value_parser = issued)]
    issue: Vec<Name>,
    /// Lifetime of the certificates of --issue
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = super::ca::ttl)]
    issue_ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Http,
    Tcp,
    Mllp,
    Dicom,
}

/// A service that is called, and where.
#[derive(Debug, Clone)]
struct Call {
    service: Name,
    /// `HOST:PORT`, as it was given.
    to: String,
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((service, to)) = text.split_once('=') else {
            return Err("NAME=HOST:PORT is wanted".to_owned());
        };
        let told = |error: TextError| error.to_string();
        let _sound: Endpoint = to.parse().map_err(told)?;
        Ok(Self { service: service.parse().map_err(told)?, to: to.to_owned() })
    }
}

impl Arguments {
    /// Whether peers come in. Without a word about it they do, unless the service only calls others.
    fn is_called(&self) -> bool {
        let told = self.listen.is_some() || self.forward.is_some() || !self.allow.is_empty();
        told || self.call.is_empty()
    }
}

/// A service's name that can name a listener, a peer and a file, too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name(String);

impl FromStr for Name {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        check_name(text).map(|()| Self(text.to_owned()))
    }
}

fn issued(text: &str) -> Result<Name, String> {
    match text {
        "ca" => Err("ca.crt is where the trust bundle is written".to_owned()),
        text => text.parse().map_err(|error: TextError| error.to_string()),
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_error| "IP:PORT is wanted".to_owned())?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => {
            Err("not a loopback address, and this side is plaintext: use 127.0.0.1".to_owned())
        }
    }
}

fn one_port(text: &str) -> Result<SocketAddr, String> {
    match loopback(text)? {
        address if address.port() == 0 => Err("nothing can connect to port 0".to_owned()),
        address => Ok(address),
    }
}

fn workload(text: &str) -> Result<Target, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("names no socket; write unix:/run/app.sock".to_owned()),
        Some(path) => Ok(Target::Unix(path.into())),
        None => one_port(text).map(Target::Tcp),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (dir, domain) = (&arguments.dir, &arguments.trust_domain);
    let first = usize::from(arguments.call_listen.port());
    if first + arguments.call.len() > usize::from(u16::MAX) + 1 {
        console::error("error: there are not that many ports above --call-listen\n");
        return Ok(Exit::BadCommand);
    }
    let path = dir.join("myelin.yaml");
    let kept = path.symlink_metadata().is_ok();
    if kept && arguments.issue.is_empty() {
        bail!("{} exists; move it away, or choose another --dir", path.display());
    }
    let authority_dir = match &arguments.authority {
        None => dir.join("authority"),
        Some(shared) => std::path::absolute(shared)?,
    };
    // Beside the file, it goes where the file goes.
    let named = match &arguments.authority {
        None => Path::new("authority"),
        Some(_shared) => &authority_dir,
    };
    let text = page::configuration(arguments, named);
    // What was written by `init` must never be refused by `run`.
    if let Err(problems) = config::parse(&path, &text, &|_| None) {
        console::error("error: these arguments do not fit together, and nothing was written:\n");
        console::error(&problems.to_string());
        return Ok(Exit::BadCommand);
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    let authority = Authority::open_or_create(&authority_dir, domain)?;
    console::line(&format!("{}: the authority of {domain}", authority_dir.display()));
    if kept {
        console::line(&format!("{}: kept as it is", path.display()));
    } else {
        write(&path, 0o644, &text)?;
        console::line(&format!("{}: the configuration", path.display()));
    }
    issue(arguments, &authority)?;
    let file = page::shell_word(&path.display().to_string());
    console::line(&format!("\nNext: myelin check -c {file} && myelin run -c {file}"));
    Ok(Exit::Fine)
}

/// Certificates and keys for other programs.
fn issue(arguments: &Arguments, authority: &Authority) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    if !arguments.issue.is_empty() {
        replace(&dir.join("ca.crt"), 0o644, authority.trust_bundle_pem())?;
    }
    for Name(name) in &arguments.issue {
        let id = SpiffeId::of(&arguments.trust_domain, name)?;
        let dns: Vec<_> = DnsName::parse(name).into_iter().collect();
        let pair = authority.issue_pem(&id, &dns, arguments.issue_ttl)?;
        let (chain, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        replace(&chain, 0o644, &pair.chain)?;
        replace(&key, 0o600, pair.key.as_bytes())?;
        console::line(&format!("{}, {}: {id}", chain.display(), key.display()));
    }
    Ok(())
}
