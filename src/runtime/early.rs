//! Sockets that take a privilege, bound while there still is one.

use std::net::SocketAddr;

use rustix::thread::{CapabilitySet, capabilities};

use super::Inheritance;
use crate::config::{Config, ListenAddr};
use crate::listener::{self, BindError, Sockets};

/// Ports below the first that anybody may bind; no file is as if nothing was changed.
const UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const PRIVILEGED: u16 = 1024;

/// Binds what `config` has on ports that not everybody may bind, if this process may: its capabilities go before the
/// listeners come.
///
/// # Errors
///
/// Names the address, and what is in the way. What an `inheritance` may bring is not missed here.
pub fn bind_early(config: &Config, inheritance: &Inheritance) -> Result<Sockets, BindError> {
    let mut sockets = Sockets::default();
    let may = capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_BIND_SERVICE));
    if !may {
        return Ok(sockets); // nothing is lost: binding says why it cannot
    }
    let first = std::fs::read_to_string(UNPRIVILEGED).ok();
    let first = first.and_then(|text| text.trim().parse().ok()).unwrap_or(PRIVILEGED);
    let may_come = inheritance.predecessor.is_some() || !inheritance.sockets.is_empty();
    for (what, address) in addresses(config) {
        if address.port() == 0 || address.port() >= first {
            continue;
        }
        match listener::listen(address) {
            Ok(socket) => sockets.add(what, address.to_string(), socket.into()),
            Err(_its_own) if may_come => {}
            Err(source) => return Err(BindError { what, address: address.to_string(), source }),
        }
    }
    Ok(sockets)
}

/// Whose each is, in words, and where it is.
fn addresses(config: &Config) -> impl Iterator<Item = (String, SocketAddr)> {
    let inbound = config.inbound.iter().map(|listener| (&listener.name, listener.listen));
    let outbound = config.outbound.iter().filter_map(|listener| match listener.listen {
        ListenAddr::Tcp(address) => Some((&listener.name, address)),
        ListenAddr::Unix(_) | ListenAddr::Redirected | ListenAddr::ForwardProxy => None,
    });
    let doors = [config.admin.listen, config.admin.probe_listen].into_iter().flatten();
    let listeners =
        inbound.chain(outbound).map(|(name, address)| (format!("listener `{name}`"), address));
    let asked = config.forward_proxy.map(|address| ("forward_proxy".to_owned(), address));
    listeners.chain(asked).chain(doors.map(|address| ("admin".to_owned(), address)))
}
