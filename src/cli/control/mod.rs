//! Where a running sidecar can be asked: its control socket, or its administrative listener.

mod acts;
mod client;
mod facts;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub(super) use acts::{Drain, LogLevel, Reload, drain, failed, log_level, reload};
pub(super) use client::{Answer, Failure, ask, follow};
pub(super) use facts::{Certificate, Facts, Listener, Moment, rough};

use super::{ConfigFile, load};
use crate::config::{Config, IdentitySource, Problems};

/// Which sidecar is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Which {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Ask on this control socket instead of the one that the configuration names
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

/// Where it answers.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// `admin.socket`
    Socket(PathBuf),
    /// `admin.listen`, where nothing can be changed.
    Admin(SocketAddr),
}

/// Why there is nobody to ask.
#[derive(Debug)]
pub(super) enum NoDoor {
    /// The configuration has problems.
    Problems(Problems),
    /// It names no door of the kind that is wanted.
    None(String),
}

impl Which {
    /// Where questions are answered. Key material is not looked at.
    pub(super) fn door(&self) -> Result<Door, NoDoor> {
        if let Some(path) = &self.socket {
            return Ok(Door::Socket(path.clone()));
        }
        let admin = self.config()?.admin;
        let listens = admin.listen.map(|address| Door::Admin(reachable(address)));
        admin.socket.map(Door::Socket).or(listens).ok_or_else(|| self.is_closed())
    }

    /// `admin.listen`, which tells everybody on this machine what the socket tells a few.
    pub(super) fn listener(&self) -> Option<Door> {
        let config = if self.socket.is_none() { self.config().ok() } else { None };
        config?.admin.listen.map(|address| Door::Admin(reachable(address)))
    }

    /// The configuration.
    pub(super) fn config(&self) -> Result<Config, NoDoor> {
        load(&self.file.config).map_err(NoDoor::Problems)
    }

    /// It names no door.
    pub(super) fn is_closed(&self) -> NoDoor {
        let path = self.file.config.display();
        NoDoor::None(format!("{path} has no admin.socket, and admin.listen is off: {ADD}"))
    }

    /// Where something can be changed.
    pub(super) fn socket(&self) -> Result<PathBuf, NoDoor> {
        match self.door()? {
            Door::Socket(path) => Ok(path),
            Door::Admin(_) => Err(NoDoor::None(format!(
                "{} has no admin.socket: {ADD}",
                self.file.config.display()
            ))),
        }
    }
}

const ADD: &str = "add `admin: { socket: /run/myelin/control.sock }` and restart the sidecar";

/// What a sidecar of this configuration may have to wait for before it answers anybody.
pub(super) fn awaited(config: &Config) -> String {
    match &config.identity {
        IdentitySource::Embedded(embedded) => {
            format!("the authority in {}", embedded.dir.display())
        }
        IdentitySource::Files(files) => {
            format!("its certificates and {}", files.trust_bundle.display())
        }
        IdentitySource::Est(est) => format!("the enrolment at {}", est.url),
        IdentitySource::Vault(vault) => format!("a certificate from {}", vault.address),
        IdentitySource::Spiffe(spiffe) => {
            format!("an SVID from the Workload API at {}", spiffe.socket.display())
        }
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => Path::display(path).fmt(f),
            Self::Admin(address) => address.fmt(f),
        }
    }
}

/// A wildcard address is reached on loopback.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
