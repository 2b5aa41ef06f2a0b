//! Connections that were made for somebody else, and are sent to the sidecar by the kernel.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::Config;
use super::problem::Fault;
use crate::identity::ListenerName;

/// Under this name is on record what no listener takes.
pub(super) const NAME: &str = "redirect";

/// `redirect`: what the rules of the kernel send to the sidecar, and what they spare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The port of 127.0.0.1 and `[::1]` to which the workload's own connections are sent.
    pub port: u16,
    /// Only connections to these ports are sent there; empty: to all.
    pub include_ports: Vec<u16>,
    /// Connections to these ports go where they were to go.
    pub exclude_ports: Vec<u16>,
    /// Connections to these networks go where they were to go.
    pub exclude_addresses: Vec<Network>,
}

/// One item of an outbound listener's `destinations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where the connection was to go.
    pub place: Place,
    /// To which ports; empty: to any.
    pub ports: Vec<u16>,
    /// The port on which the peer takes mutual TLS; `None`: the one that was asked for.
    pub port: Option<u16>,
}

impl Destination {
    /// Whether connections to `port` are among those it is for.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Within a network.
    Within(Network),
    /// At an address of this name, as the resolver says.
    Named(Arc<str>),
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first of them.
    pub address: IpAddr,
    /// How many bits are alike.
    pub prefix: u8,
}

impl Network {
    /// Whether `ip` is one of them. An IPv4 address is the same in both of its forms.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4()
            && masked(ip, self.prefix) == masked(self.address, self.prefix)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The first `prefix` bits of `ip`, at the top.
fn masked(ip: IpAddr, prefix: u8) -> u128 {
    let (bits, width) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
        IpAddr::V6(ip) => (Ipv6Addr::to_bits(ip), 128),
    };
    match prefix.min(width) {
        0 => 0,
        prefix => bits & (u128::MAX << (128 - prefix)),
    }
}

/// `ADDRESS` or `ADDRESS/BITS`.
pub(super) fn network(text: &str) -> Result<Network, Fault> {
    let wrong =
        || Fault::new("is not ADDRESS/BITS").hint("write 10.1.0.0/16, 10.1.0.7, or 2001:db8::/32");
    let (address, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let address = address.parse::<IpAddr>().map_err(|_error| wrong())?.to_canonical();
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match bits {
        None => width,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong)?,
    };
    let network = Network { address, prefix };
    let whole = if address.is_ipv4() { masked(address, 32) } else { masked(address, 128) };
    if masked(address, prefix) != whole {
        return Err(Fault::new(format!("has bits that its first {prefix} do not cover"))
            .hint("write the first address of the network, like 10.1.0.0/16"));
    }
    Ok(network)
}

impl Config {
    /// The name under which is on record what no listener takes.
    pub fn redirect_name() -> ListenerName {
        ListenerName::new(NAME)
    }

    /// The port to which the workload's own connections are sent; `None` when none are.
    pub fn redirected_to(&self) -> Option<u16> {
        self.redirect.as_ref().map(|redirect| redirect.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_what_begins_alike() {
        let has = |of: &str, ip: &str| network(of).unwrap().contains(ip.parse().unwrap());

        for (of, ip) in [
            ("10.1.0.0/16", "10.1.255.255"),
            ("10.1.0.0/16", "::ffff:10.1.0.1"),
            ("10.1.0.7", "10.1.0.7"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
            ("::/0", "2001:db8::1"),
        ] {
            assert!(has(of, ip), "{ip} is in {of}");
        }
        for (of, ip) in [
            ("10.1.0.0/16", "10.2.0.0"),
            ("10.1.0.7", "10.1.0.8"),
            ("0.0.0.0/0", "2001:db8::1"),
            ("::/0", "10.1.0.7"),
            ("2001:db8::/33", "2001:db8:8000::1"),
        ] {
            assert!(!has(of, ip), "{ip} is not in {of}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "10.1.0.0/33", "10.1.0.7/16", "lab.example", "10.1/16", "2001:db8::/129"]
        {
            assert!(network(wrong).is_err(), "{wrong}");
        }
        assert_eq!(network("10.1.0.0/16").unwrap().to_string(), "10.1.0.0/16");
    }
}
