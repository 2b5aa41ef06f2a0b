//! What the workload asks a proxy for, by name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Config, Destination, Endpoint, Place};
use crate::identity::ListenerName;

/// Under this name is on record what no listener takes.
pub(super) const NAME: &str = "forward_proxy";

/// Where a destination leads somebody who has asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Led {
    /// To this address.
    Address(SocketAddr),
    /// To one of the listener's endpoints.
    Endpoint(Endpoint),
}

impl Destination {
    /// Where it leads those who ask for `host` (a name in lower case, or an address, IPv6 in brackets) and `port`; `None` if it is
    /// not for them. Names are compared as they are written: nobody is asked for their addresses.
    pub fn leads(&self, host: &str, port: u16) -> Option<Led> {
        if !self.has_port(port) {
            return None;
        }
        let to = self.port.unwrap_or(port);
        match &self.place {
            Place::Named(name) if **name == *host => {
                Some(Led::Endpoint(Endpoint { host: Arc::clone(name), port: to }))
            }
            Place::Named(_) => None,
            Place::Within(network) => {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                let ip: IpAddr = bare.unwrap_or(host).parse().ok()?;
                network.contains(ip).then(|| Led::Address(SocketAddr::new(ip, to)))
            }
        }
    }
}

impl Config {
    /// The name under which is on record what is asked for and no listener takes.
    pub fn forward_proxy_name() -> ListenerName {
        ListenerName::new(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::redirect::network;

    fn destination(place: Place, ports: &[u16], port: Option<u16>) -> Destination {
        Destination { place, ports: ports.to_vec(), port }
    }

    #[test]
    fn a_name_leads_to_its_endpoint_and_nobody_elses() {
        let named =
            |ports: &[u16], port| destination(Place::Named("lis.lab.example".into()), ports, port);
        let endpoint =
            |port| Some(Led::Endpoint(Endpoint { host: "lis.lab.example".into(), port }));

        assert_eq!(named(&[80, 8080], Some(8443)).leads("lis.lab.example", 8080), endpoint(8443));
        assert_eq!(named(&[80], None).leads("lis.lab.example", 80), endpoint(80));
        assert_eq!(named(&[80], None).leads("lis.lab.example", 81), None);
        for other in ["lab.example", "x.lis.lab.example", "lis.lab.example.", "10.1.0.7"] {
            assert_eq!(named(&[80], None).leads(other, 80), None, "{other}");
        }
    }

    #[test]
    fn a_network_leads_to_addresses_in_it_and_to_no_name() {
        let within = |of: &str| destination(Place::Within(network(of).unwrap()), &[], Some(8443));
        let address = |text: &str| Some(Led::Address(text.parse().unwrap()));

        assert_eq!(within("10.1.0.0/16").leads("10.1.0.7", 80), address("10.1.0.7:8443"));
        assert_eq!(within("fd77::/64").leads("[fd77::2]", 80), address("[fd77::2]:8443"));
        for other in ["10.2.0.7", "lis.lab.example", "0x0a010007", "10.1.7", "localhost"] {
            assert_eq!(within("10.1.0.0/16").leads(other, 80), None, "{other}");
        }
    }
}
