//! The forward proxy, and what its listeners may carry.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ledger::{Bound, Ledger};
use super::{Carried, Context, listeners};
use crate::config::address::socket;
use crate::config::problem::Fault;
use crate::config::read::{At, Fields, Reader, located, one};
use crate::config::scalar::flag;
use crate::config::yaml::Node;
use crate::config::{Config, Destination, Endpoint, ListenAddr, Place, Protocol, keys};

/// `forward_proxy`
pub(super) fn settings(
    context: &Context<'_, '_>,
    node: &Node,
    ledger: &mut Ledger,
) -> Option<SocketAddr> {
    let mut fields = Fields::open(context.reader, node, &keys::FORWARD_PROXY)?;
    let anywhere = fields.or("listen_anywhere", false, one(flag));
    let listen = fields.required("listen", located(socket));
    fields.finish();
    let listen = listen?;
    ledger.bind(ListenAddr::Tcp(listen.value), Bound::Outbound, Some(listen.mark()));
    listeners::loopback(context, &listen, listen.value, anywhere?, "listen_anywhere")?;
    Some(listen.value)
}

/// Whether the proxy and those who take what it is asked for fit together.
pub(super) fn fits(reader: &Reader<'_>, at: At<'_>, carried: &Carried) {
    let Carried { inbound, outbound, forward_proxy, .. } = carried;
    let asked = outbound.iter().find(|l| l.listen == ListenAddr::ForwardProxy);
    match (asked, forward_proxy) {
        (Some(listener), None) => {
            let text = format!("`forward_proxy` is missing: nothing asks for `{}`", listener.name);
            let hint = "add it, like `forward_proxy: { listen: 127.0.0.1:9002 }`";
            reader.error(at, Fault::new(text).hint(hint));
        }
        (None, Some(_)) => {
            let text = "the forward proxy leads nowhere: whatever it is asked for is denied";
            let hint = "add an outbound listener with `redirect: forward_proxy` and `destinations`";
            reader.warn(at, Fault::new(text).hint(hint));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let reserved = Config::forward_proxy_name();
    let mut names = inbound.iter().map(|l| &l.name).chain(outbound.iter().map(|l| &l.name));
    if forward_proxy.is_some() && names.any(|name| *name == reserved) {
        let text = "a listener is named `forward_proxy`: under this name is on record what no listener takes";
        reader.error(at, Fault::new(text).hint("give it another name"));
    }
}

/// A listener of the proxy carries what can be asked of one, within the bounds that all of them share.
pub(super) fn carries(
    reader: &Reader<'_>,
    fields: &mut Fields<'_, '_>,
    protocol: Option<Protocol>,
) {
    if let (Some(protocol @ (Protocol::Mllp | Protocol::Dicom)), Some(entry)) =
        (protocol, fields.entry("protocol"))
    {
        let text = format!("a forward proxy is not asked for {}", protocol.label());
        let hint = "it takes requests (`protocol: http`), and CONNECT (`protocol: tcp`); give the workload a `listen` for \
                    anything else";
        reader.error(entry.at(), Fault::new(text).hint(hint));
    }
    if let (Some(Protocol::Http), Some(entry)) = (protocol, fields.entry("limits")) {
        let text =
            "`limits` of one listener: requests of the forward proxy share those of the file";
        reader.error(entry.at(), Fault::new(text).hint("write them into `limits` of the file"));
    }
}

/// Where the peers are of those `destinations` that have a name: the only names that the resolver is asked for.
pub(super) fn endpoints(destinations: &[Destination]) -> Vec<Endpoint> {
    let mut all = Vec::new();
    for Destination { place, ports, port } in destinations {
        let Place::Named(name) = place else { continue };
        let own = port.as_ref().map_or(ports.as_slice(), std::slice::from_ref);
        for port in own {
            let endpoint = Endpoint { host: Arc::clone(name), port: *port };
            if !all.contains(&endpoint) {
                all.push(endpoint);
            }
        }
    }
    all
}
