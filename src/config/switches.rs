//! Switches that open what is closed by default, for as long as they stand in the file.

use std::net::SocketAddr;

use super::{Config, ListenAddr, OnFailure, Target};
use crate::network::is_local;

impl Config {
    /// The keys by which PHI passes unrecorded, or something passes in the clear, that otherwise would not. What is open until
    /// a date (`mode`, `enforce`) is not among them.
    pub fn open_switches(&self) -> Vec<String> {
        let audit = self.audit.as_ref().filter(|audit| audit.on_failure == OnFailure::Allow);
        let forwards = self.inbound.iter().filter(
            |inbound| matches!(&inbound.forward, Target::Tcp(address) if is_elsewhere(*address)),
        );
        let listens = self.outbound.iter().filter(
            |outbound| matches!(&outbound.listen, ListenAddr::Tcp(address) if is_elsewhere(*address)),
        );
        let redirect = self.redirect.as_ref();
        let others = redirect.filter(|redirect| !redirect.include_ports.is_empty());
        let ports = redirect.filter(|redirect| !redirect.exclude_ports.is_empty());
        let addresses = redirect.filter(|redirect| !redirect.exclude_addresses.is_empty());
        let mut open: Vec<String> = Vec::new();
        open.extend(audit.map(|_| "audit.on_failure".to_owned()));
        open.extend(forwards.map(|inbound| format!("inbound.{}.forward_anywhere", inbound.name)));
        open.extend(listens.map(|outbound| format!("outbound.{}.listen_anywhere", outbound.name)));
        let proxy = self.forward_proxy.filter(|address| is_elsewhere(*address));
        open.extend(proxy.map(|_| "forward_proxy.listen_anywhere".to_owned()));
        open.extend(others.map(|_| "redirect.include_ports".to_owned()));
        open.extend(ports.map(|_| "redirect.exclude_ports".to_owned()));
        open.extend(addresses.map(|_| "redirect.exclude_addresses".to_owned()));
        open
    }
}

fn is_elsewhere(address: SocketAddr) -> bool {
    !is_local(address.ip())
}
