//! What is redirected to the sidecar, and where its listeners may take it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::Carried;
use super::ledger::{Bound, Ledger};
use crate::config::address::host;
use crate::config::problem::Fault;
use crate::config::read::{At, Fields, Reader, located, one};
use crate::config::redirect::network;
use crate::config::scalar::{choice, count};
use crate::config::yaml::Node;
use crate::config::{Config, Destination, ListenAddr, Place, Redirect, keys};

const MODES: &[(&str, Mode)] =
    &[("transparent", Mode::Transparent), ("forward_proxy", Mode::ForwardProxy)];

/// How what the workload opens comes to a listener that it does not connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The kernel sends it.
    Transparent,
    /// The workload asks a proxy for it.
    ForwardProxy,
}

impl Mode {
    /// As the file has it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Transparent => "transparent",
            Self::ForwardProxy => "forward_proxy",
        }
    }
}

/// `redirect`
pub(super) fn settings(reader: &Reader<'_>, node: &Node, ledger: &mut Ledger) -> Option<Redirect> {
    let mut fields = Fields::open(reader, node, &keys::REDIRECT)?;
    let found = fields.required("port", located(own_port));
    if let Some(port) = &found {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let address = ListenAddr::Tcp(SocketAddr::new(ip, port.value));
            ledger.bind(address, Bound::Outbound, Some(port.mark()));
        }
    }
    let include_ports = fields.or("include_ports", Vec::new(), ports);
    let exclude_ports = fields.or("exclude_ports", Vec::new(), ports);
    let exclude_addresses =
        fields.or("exclude_addresses", Vec::new(), |reader, node| reader.list(node, one(network)));
    fields.finish();
    Some(Redirect {
        port: found?.value,
        include_ports: include_ports?,
        exclude_ports: exclude_ports?,
        exclude_addresses: exclude_addresses?,
    })
}

/// Whether what is redirected and who takes it fit together.
pub(super) fn fits(reader: &Reader<'_>, at: At<'_>, carried: &Carried) {
    let Carried { inbound, outbound, redirect, admin, .. } = carried;
    let transparent = outbound.iter().find(|l| l.listen == ListenAddr::Redirected);
    if let (Some(listener), None) = (transparent, redirect) {
        let text = format!("`redirect` is missing: nothing is sent to `{}`", listener.name);
        reader.error(at, Fault::new(text).hint("add it, like `redirect: { port: 15001 }`"));
    }
    let reserved = Config::redirect_name();
    let mut names = inbound.iter().map(|l| &l.name).chain(outbound.iter().map(|l| &l.name));
    if redirect.is_some() && names.any(|name| *name == reserved) {
        let text =
            "a listener is named `redirect`: under this name is on record what no listener takes";
        reader.error(at, Fault::new(text).hint("give it another name"));
    }
    let own = [("admin.listen", admin.listen), ("admin.probe_listen", admin.probe_listen)];
    let own = own.into_iter().filter_map(|(key, address)| Some((key.to_owned(), address?.port())));
    let listens = inbound.iter().map(|l| (format!("`{}`", l.name), l.listen.port()));
    let mut taken: Vec<(String, u16)> = own.chain(listens).collect();
    for listener in inbound {
        for port in &listener.redirect_ports {
            if let Some((whose, _)) = taken.iter().find(|(_, other)| other == port) {
                let text =
                    format!("`{}` redirects port {port}, which {whose} has already", listener.name);
                let hint = "`redirect_ports` are those that peers connected to before, one listener for each";
                reader.error(at, Fault::new(text).hint(hint));
            }
        }
        let name = &listener.name;
        taken.extend(listener.redirect_ports.iter().map(|port| (format!("`{name}`"), *port)));
    }
}

/// `redirect`; `None` when it is wrong.
pub(super) fn mode(fields: &mut Fields<'_, '_>) -> Option<Option<Mode>> {
    fields.optional("redirect", one(choice(MODES, &[])))
}

/// `destinations` of a listener to which they are redirected.
pub(super) fn destinations(fields: &mut Fields<'_, '_>, mode: Mode) -> Option<Vec<Destination>> {
    let like = "[{ address: 10.1.0.0/16, ports: [8080], port: 8443 }]";
    fields.must("destinations", Some(like), |reader, node| {
        let empty = ("an empty list takes no connection", "name where the workload connects to");
        reader.some(node, |reader, node| destination(reader, node, mode), empty)
    })
}

fn destination(reader: &Reader<'_>, node: &Node, mode: Mode) -> Option<Destination> {
    let mut fields = Fields::open(reader, node, &keys::DESTINATION)?;
    let address = fields.optional("address", located(network));
    let name = fields.optional("name", located(|text: &str| host(text)));
    let ports = fields.or("ports", Vec::new(), ports);
    let port = fields.optional("port", one(port));
    let at = fields.at();
    let unknown = fields.finish();
    let place = match (address?, name?) {
        (Some(address), None) => Place::Within(address.value),
        (None, Some(name)) => Place::Named(Arc::from(name.value)),
        (Some(_), Some(name)) => {
            let fault = Fault::new("a destination is an address or a name, not both");
            reader.error(name.at(), fault.hint("make it two entries"));
            return None;
        }
        (None, None) if unknown > 0 => return None,
        (None, None) => {
            let fault = Fault::new("a destination without `address` and `name`");
            let hint = "add `address: 10.1.0.0/16` or `name: lab.example`";
            reader.error(at, fault.hint(hint));
            return None;
        }
    };
    let destination = Destination { place, ports: ports?, port: port? };
    if mode == Mode::ForwardProxy && destination.is_endless() {
        let fault = Fault::new("a destination by name without `ports` and `port`");
        let hint = "the port on which the peer takes mutual TLS has to be known: add `port: 8443`, or the `ports` \
                    that are asked for if it is the same";
        reader.error(at, fault.hint(hint));
        return None;
    }
    Some(destination)
}

/// A list of ports that must not be empty.
pub(super) fn ports(reader: &Reader<'_>, node: &Node) -> Option<Vec<u16>> {
    let empty = ("an empty list names no port", "name ports, or remove the key");
    reader.some(node, one(port), empty)
}

/// It is bound after the capabilities are gone, and nobody has to know it by heart.
fn own_port(text: &str) -> Result<u16, Fault> {
    count(1024..=u64::from(u16::MAX))(text).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

fn port(text: &str) -> Result<u16, Fault> {
    count(1..=u64::from(u16::MAX))(text).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}
