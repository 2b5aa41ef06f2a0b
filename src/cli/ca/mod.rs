//! `myelin ca`: the authority in a directory.

mod crl;
mod init;
mod issue;
mod list;
mod revoke;
mod roll;
mod serve;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::{Exit, console};
use crate::certs::embedded::{Authority, AuthorityError, Grant};
use crate::identity::{DnsName, SpiffeId, TrustDomain};
use crate::report::Report;

/// Shortest lifetime of a certificate or token.
const MIN_TTL: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an authority: a root, and an issuing authority under it
    Init(init::Arguments),
    /// Issues a certificate for another program, as PEM files
    Issue(issue::Arguments),
    /// Lists what was issued and how it stands
    List(list::Arguments),
    /// Revokes certificates; sidecars of the directory refuse them within seconds
    Revoke(revoke::Arguments),
    /// Prints the revocation list
    Crl(crl::Arguments),
    /// Puts another root in the place of the old one, step by step
    Roll(roll::Arguments),
    /// Serves EST (RFC 7030), by which sidecars on other hosts enrol
    Serve(serve::Arguments),
    /// Makes a join token, with which a sidecar on another host enrols once
    Token(token::Arguments),
}

/// Which authority.
#[derive(Debug, clap::Args)]
struct Place {
    /// The authority's directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/myelin/authority")]
    dir: PathBuf,
}

impl Place {
    fn open(&self) -> Result<Authority, AuthorityError> {
        let authority = Authority::open_any(&self.dir)?;
        for remark in authority.remarks() {
            console::error(&format!("warning: {remark}"));
        }
        Ok(authority)
    }
}

/// Whom a certificate names.
#[derive(Debug, clap::Args)]
struct Names {
    /// The service; its SPIFFE ID is spiffe://TRUST_DOMAIN/NAME, and its name is a DNS name, too, if it
    /// is one
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Another DNS name; may be given several times
    #[arg(long, value_name = "NAME", value_parser = DnsName::parse)]
    dns: Vec<DnsName>,
}

impl Names {
    fn grant(&self, trust_domain: &TrustDomain, ttl: Duration) -> Result<Grant, Bad> {
        let spiffe = SpiffeId::of(trust_domain, &self.service)
            .map_err(|error| Bad::Argument(format!("--service: {error}")))?;
        let mut dns: Vec<_> = DnsName::parse(&self.service).into_iter().collect();
        dns.extend(self.dns.iter().filter(|name| name.as_str() != self.service).cloned());
        Ok(Grant { spiffe, dns, ttl })
    }
}

/// Why a command came to nothing.
enum Bad {
    /// What was asked for is not there.
    Argument(String),
    Authority(AuthorityError),
    /// What the authority gives cannot be used.
    Unusable(String),
    Other(anyhow::Error),
}

impl From<AuthorityError> for Bad {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl From<anyhow::Error> for Bad {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let done = match &arguments.command {
        Command::Init(arguments) => init::run(arguments),
        Command::Issue(arguments) => issue::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Crl(arguments) => crl::run(arguments),
        Command::Roll(arguments) => roll::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Token(arguments) => token::run(arguments),
    };
    let (text, exit) = match done {
        Ok(()) => return Ok(Exit::Fine),
        Err(Bad::Argument(text)) => (text, Exit::BadCommand),
        Err(Bad::Unusable(text)) => (text, Exit::BadConfig),
        Err(Bad::Authority(error)) => (Report(&error).to_string(), exit_of(&error)),
        Err(Bad::Other(error)) => return Err(error),
    };
    console::error(&format!("error: {text}"));
    Ok(exit)
}

fn exit_of(error: &AuthorityError) -> Exit {
    match error {
        AuthorityError::NotIssued { .. }
        | AuthorityError::TooManyNames { .. }
        | AuthorityError::Foreign { .. }
        | AuthorityError::Serial(_) => Exit::BadCommand,
        AuthorityError::Io { .. }
        | AuthorityError::Locked { .. }
        | AuthorityError::Exists { .. }
        | AuthorityError::AlreadyRevoked { .. }
        | AuthorityError::NotNow { .. }
        | AuthorityError::HalfSwitched
        | AuthorityError::StillAlive { .. }
        | AuthorityError::FullLedger { .. }
        | AuthorityError::Make(_)
        | AuthorityError::NoKey(_)
        | AuthorityError::NoKind
        | AuthorityError::Random => Exit::Failed,
        AuthorityError::Missing { .. }
        | AuthorityError::Incomplete { .. }
        | AuthorityError::NoIssuing { .. }
        | AuthorityError::Exposed { .. }
        | AuthorityError::NoDirectory { .. }
        | AuthorityError::Forbidden { .. }
        | AuthorityError::Damaged { .. }
        | AuthorityError::DamagedLine { .. }
        | AuthorityError::NewerLedger { .. }
        | AuthorityError::OtherTrustDomain { .. }
        | AuthorityError::RootExpired { .. }
        | AuthorityError::Request(_)
        | AuthorityError::Unfit(_) => Exit::BadConfig,
    }
}

/// A lifetime of at least a minute.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl >= MIN_TTL => Ok(ttl),
        Ok(_) => Err("less than a minute".to_owned()),
        Err(_) => Err("a number with its unit is wanted, like 12h, 30d or 1y".to_owned()),
    }
}
