//! A listener of either direction, for whoever asks the same of both.

use super::{Config, Inbound, Outbound, Protocol};
use crate::identity::{ListenerName, PeerName};

/// A listener of either direction.
#[derive(Debug, Clone, Copy)]
pub enum Listener<'c> {
    /// Peers connect to it.
    Inbound(&'c Inbound),
    /// It connects to peers.
    Outbound(&'c Outbound),
}

impl<'c> Listener<'c> {
    /// Its name.
    pub fn name(self) -> &'c ListenerName {
        match self {
            Self::Inbound(listener) => &listener.name,
            Self::Outbound(listener) => &listener.name,
        }
    }

    /// Who may connect, or whom its server must prove to be.
    pub fn peers(self) -> &'c [PeerName] {
        match self {
            Self::Inbound(listener) => &listener.allow,
            Self::Outbound(listener) => &listener.expect,
        }
    }

    /// What it carries.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Inbound(listener) => listener.protocol,
            Self::Outbound(listener) => listener.protocol,
        }
    }

    /// Whether it is a PHI endpoint.
    pub fn phi(self) -> bool {
        match self {
            Self::Inbound(listener) => listener.phi,
            Self::Outbound(listener) => listener.phi,
        }
    }
}

impl Config {
    /// All listeners, the inbound ones first. No two have the same name.
    pub fn listeners(&self) -> impl Iterator<Item = Listener<'_>> {
        let inbound = self.inbound.iter().map(Listener::Inbound);
        inbound.chain(self.outbound.iter().map(Listener::Outbound))
    }
}
